package rtx

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// Tracks come and go 10,000 times on two shards while readers on others ask for packets by
// ids of now and of before, without anybody telling them that a track is over: what they
// get is what they asked for, and in the end no buffer is missing.
func TestReadersOnOtherShardsDuringTenThousandTracks(t *testing.T) {
	const writers, readers, tracks, packets = 2, 4, 10000 / 2, 24
	arena, err := packet.New(packet.Config{Classes: []packet.ClassConfig{{Size: 64, Count: 256}}})
	if err != nil {
		t.Fatal(err)
	}
	// Fewer slots than packets, so that packets leave by count; two rings, so that each
	// track's ring was another's a moment ago.
	pool := NewPool(arena, writers, Config{Slots: 8, MaxAge: 50 * time.Millisecond})
	var current [writers]atomic.Uint64 // index and generation
	var running, hits, misses atomic.Int64
	running.Store(writers)

	write := func(w int) {
		defer running.Add(-1)
		m := arena.Magazine()
		defer m.Drain()
		now := mono.Time(1)
		for n := 0; n < tracks || hits.Load() == 0; n++ {
			id, ok := pool.Open()
			if !ok {
				t.Error("no ring left")
				return
			}
			current[w].Store(uint64(id.Index)<<32 | uint64(id.Gen))
			g := pool.Writer(id)
			for seq := range uint64(packets) {
				// The same numbers in every track: what tells them apart is the generation.
				if r, ok := m.Get(24, packet.Video); ok {
					stamp(arena, r, id, 1<<16+seq)
					g.Insert(1<<16+seq, r, now, m)
				}
				now = now.Add(5 * time.Millisecond)
			}
			pool.Close(id, m)
		}
	}
	read := func(k int) {
		m := arena.Magazine()
		defer m.Drain()
		var id ID
		for i := uint64(k); running.Load() > 0; i++ {
			if i%16 < 8 || id.Gen == 0 { // the other half of the time id may be over
				word := current[i%writers].Load()
				id = ID{uint32(word >> 32), uint32(word)}
			}
			seq := 1<<16 + i*7%packets
			r, ok := pool.Get(id, seq)
			if !ok {
				misses.Add(1)
				continue
			}
			if i%4 == 0 {
				runtime.Gosched() // hold it for a while
			}
			if !stamped(arena, r, id, seq) {
				t.Errorf("asked for %d of %v, got %x", seq, id, arena.Data(r))
			}
			hits.Add(1)
			m.Release(r)
		}
	}

	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { write(w) })
	}
	for k := range readers {
		wg.Go(func() { read(k) })
	}
	wg.Wait()
	if n := arena.Outstanding(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
	if s := arena.Stats().Classes[0]; s.Depot != s.Count {
		t.Errorf("depot has %d of %d buffers", s.Depot, s.Count)
	}
	if pool.Free() != writers {
		t.Errorf("%d rings free of %d", pool.Free(), writers)
	}
	t.Logf("%d hits, %d misses", hits.Load(), misses.Load())
}

// Readers walk through the group that is held while it grows, is let go and gives way to the next:
// what they find is what they look for, each packet behind the one before.
func TestReadersOfGroupsThatComeAndGo(t *testing.T) {
	const readers, enough = 3, 20000
	b := setup(t, 1, Config{Slots: 64, MaxAge: time.Millisecond, HoldBytes: 30 * 64, HoldAge: time.Hour})
	id, g := b.open()
	var walks, found atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			m := b.arena.Magazine()
			defer m.Drain()
			for !done.Load() {
				first, ok := b.pool.Held(id)
				if !ok {
					runtime.Gosched()
					continue
				}
				walks.Add(1)
				for seq, ok := b.pool.Next(id, first); ok; {
					if r, is := b.pool.Get(id, seq); is {
						if !stamped(b.arena, r, id, seq) {
							t.Errorf("asked for %d, got %x", seq, b.arena.Data(r))
						}
						found.Add(1)
						m.Release(r)
					}
					next, more := b.pool.Next(id, seq+1)
					if more && next <= seq {
						t.Errorf("%d comes after %d", next, seq)
					}
					seq, ok = next, more
				}
			}
		})
	}
	now := mono.Time(1)
	for seq := uint64(1 << 16); found.Load() < enough; seq++ {
		if seq%7 != 0 { // with holes
			b.insert(id, g, now, seq)
		}
		if seq%40 < 3 { // groups of some 34 packets, the longest of them too long
			g.Hold(seq, b.mag)
		}
		if now = now.Add(50 * time.Microsecond); seq%16 == 0 {
			runtime.Gosched()
		}
	}
	done.Store(true)
	wg.Wait()
	b.pool.Close(id, b.mag)
	b.mag.Drain()
	if n := b.arena.Outstanding(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
	t.Logf("%d walks found %d packets", walks.Load(), found.Load())
}

// One long track whose packets are replaced under the readers' eyes.
func TestReadersOfARingThatTurns(t *testing.T) {
	const readers, enough = 3, 5000
	b := setup(t, 1, Config{Slots: 16})
	id, g := b.open()
	var newest, hits atomic.Uint64
	newest.Store(1 << 16)
	var done atomic.Bool
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			m := b.arena.Magazine()
			defer m.Drain()
			for i := uint64(0); !done.Load(); i++ {
				// Most of the time around the slot that is replaced next.
				seq := newest.Load() - 16 + i%4
				if r, ok := b.pool.Get(id, seq); ok {
					if !stamped(b.arena, r, id, seq) {
						t.Errorf("asked for %d, got %x", seq, b.arena.Data(r))
					}
					hits.Add(1)
					m.Release(r)
				}
			}
		})
	}
	for seq := uint64(1 << 16); hits.Load() < enough; seq++ {
		b.insert(id, g, 1, seq)
		newest.Store(seq)
	}
	done.Store(true)
	wg.Wait()
	b.pool.Close(id, b.mag)
	b.mag.Drain()
	if n := b.arena.Outstanding(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
}
