package packet

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestBufferLivesUntilTheLastReferenceGoes(t *testing.T) {
	a := small(t, 64, 8, 0)
	m := a.Magazine()
	r := mustGet(t, m, 1, Video)
	a.Retain(r, 3)
	m.Release(r)
	m.ReleaseN(r, 2)
	m.ReleaseN(r, 0)
	if a.Outstanding() != 1 {
		t.Fatal("freed with a reference left")
	}
	m.Release(r)
	if a.Outstanding() != 0 {
		t.Fatal("not freed by the last reference")
	}
	if again := mustGet(t, m, 1, Video); again != r {
		t.Errorf("got %#x, want %#x, which is warm", again, r)
	}
}

func TestReleasingTooOftenPanics(t *testing.T) {
	for name, misuse := range map[string]func(*Arena, *Magazine, Ref){
		"a double free":                    func(a *Arena, m *Magazine, r Ref) { m.ReleaseN(r, 2); m.Release(r) },
		"a double free without a magazine": func(a *Arena, m *Magazine, r Ref) { m.ReleaseN(r, 2); a.Release(r) },
		"releasing 3 of 2":                 func(a *Arena, m *Magazine, r Ref) { m.ReleaseN(r, 3) },
		"Retain of a free buffer":          func(a *Arena, m *Magazine, r Ref) { m.ReleaseN(r, 2); a.Retain(r, 1) },
	} {
		a := small(t, 64, 8, 0)
		m := a.Magazine()
		r := mustGet(t, m, 1, Video)
		a.Retain(r, 1)
		mustPanic(t, name, func() { misuse(a, m, r) })
		if n := a.head(r).refs.Load(); name != "releasing 3 of 2" {
			// Whoever recovers finds out at the latest when the buffer comes up again.
			mustPanic(t, name+", and then Get", func() { m.Get(1, Video) })
		} else if n != -1 {
			t.Errorf("%s left a count of %d", name, n)
		}
	}
}

func TestTryRetainRefusesFreeBuffers(t *testing.T) {
	a := small(t, 64, 8, 0)
	m := a.Magazine()
	r := mustGet(t, m, 1, Video)
	if !a.TryRetain(r) {
		t.Fatal("TryRetain of a live buffer failed")
	}
	m.ReleaseN(r, 2)
	if a.TryRetain(r) {
		t.Fatal("TryRetain revived a free buffer")
	}
	if a.Outstanding() != 0 {
		t.Error("not free")
	}
}

// A reader that came too late holds a reference of the buffer's next life, and may be the
// last to let go of it.
func TestStaleReaderOfTheNextLifeFreesIt(t *testing.T) {
	a := small(t, 64, 8, 0)
	owner, reader := a.Magazine(), a.Magazine()
	r := mustGet(t, owner, 1, Video)
	owner.Release(r)
	if next := mustGet(t, owner, 1, Video); next != r {
		t.Fatalf("got %#x, want %#x again", next, r)
	}
	if !a.TryRetain(r) {
		t.Fatal("TryRetain of the next life failed")
	}
	owner.Release(r)
	if a.Outstanding() != 1 {
		t.Fatal("freed under the reader")
	}
	reader.Release(r)
	if a.Outstanding() != 0 {
		t.Fatal("not freed by the reader")
	}
	if got := mustGet(t, reader, 1, Video); got != r {
		t.Errorf("the reader's magazine gave %#x, not %#x", got, r)
	}
}

func TestReleaseWithoutAMagazineReachesTheDepot(t *testing.T) {
	a := small(t, 64, 2, 0)
	m := a.Magazine()
	r := mustGet(t, m, 1, Video)
	a.Retain(r, 1)
	a.Release(r)
	before := a.Stats().Classes[0].Depot
	a.Release(r)
	if got := a.Stats().Classes[0].Depot; got != before+1 || a.Outstanding() != 0 {
		t.Errorf("depot has %d, want %d", got, before+1)
	}
}

// Shards take buffers, publish them in shared slots, take them down and release them,
// while readers do what media/rtx does: load, retain, load again. The first word of a
// buffer is what its slot says as long as anybody holds it rightly.
func TestLockFreeReadersSeeTheRightLifeOrNothing(t *testing.T) {
	const writers, readers, rounds, slots = 2, 3, 20000, 4
	a := small(t, 64, 24, 0) // few buffers: lives follow each other closely
	var shared [writers][slots]atomic.Uint64
	var running, hits atomic.Int64
	running.Store(writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			defer running.Add(-1)
			m := a.Magazine()
			for i := uint32(0); i < rounds || hits.Load() == 0; i++ {
				slot := &shared[w][i%slots]
				if old := Ref(slot.Swap(0)); old != 0 {
					m.Release(old)
				}
				r, ok := m.Get(4, Video)
				if !ok {
					runtime.Gosched()
					continue
				}
				stamp := i<<1 | uint32(w)
				b := a.Bytes(r)
				b[0], b[1], b[2], b[3] = byte(stamp), byte(stamp>>8), byte(stamp>>16), byte(stamp>>24)
				a.Meta(r).Seq = uint64(stamp)
				slot.Store(uint64(stamp)<<32 | uint64(r))
			}
			for s := range slots {
				if old := Ref(shared[w][s].Swap(0)); old != 0 {
					m.Release(old)
				}
			}
			m.Drain()
		})
	}
	for k := range readers {
		wg.Go(func() {
			m := a.Magazine()
			for i := k; running.Load() > 0; i++ {
				slot := &shared[i%writers][i/writers%slots]
				word := slot.Load()
				if word == 0 || !a.TryRetain(Ref(word)) {
					continue
				}
				if slot.Load() == word {
					hits.Add(1)
					b, stamp := a.Bytes(Ref(word)), uint32(word>>32)
					got := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
					if got != stamp || a.Meta(Ref(word)).Seq != uint64(stamp) {
						t.Errorf("slot says %#x, buffer %#x", stamp, got)
					}
				}
				if i%2 == 0 {
					m.Release(Ref(word))
				} else {
					a.Release(Ref(word))
				}
			}
			m.Drain()
		})
	}
	wg.Wait()
	if n := a.Outstanding(); n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
	if s := a.Stats().Classes[0]; s.Depot != s.Count {
		t.Errorf("depot has %d of %d buffers", s.Depot, s.Count)
	}
}
