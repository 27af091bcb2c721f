package rtx

import (
	"testing"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// grouped is a ring in which packets go after 10 ms, but a group of up to ten buffers stays for
// 100 ms.
var grouped = Config{Slots: 32, MaxAge: 10 * time.Millisecond, HoldBytes: 640, HoldAge: 100 * time.Millisecond}

func ms(n int) mono.Time { return mono.Time(time.Duration(n) * time.Millisecond) }

func TestAGroupStaysWhenOtherPacketsGo(t *testing.T) {
	b := setup(t, 1, grouped)
	id, g := b.open()
	b.insert(id, g, ms(1), 100, 101, 102)
	g.Hold(101, b.mag)
	b.insert(id, g, ms(50), 103, 105)
	b.expect(id, 90, 110, 101, 102, 103, 105)
	if seq, ok := b.pool.Held(id); !ok || seq != 101 {
		t.Errorf("holds %d, %v", seq, ok)
	}
	var found []uint64
	for seq, ok := b.pool.Next(id, 101); ok; seq, ok = b.pool.Next(id, seq+1) {
		found = append(found, seq)
	}
	if len(found) != 4 || found[0] != 101 || found[3] != 105 {
		t.Errorf("one after the other: %v", found)
	}
	b.pool.Close(id, b.mag)
	if n := b.arena.Outstanding(); n != 0 {
		t.Errorf("%d buffers left", n)
	}
}

func TestTheNextGroupEndsTheOneBefore(t *testing.T) {
	b := setup(t, 1, grouped)
	id, g := b.open()
	b.insert(id, g, ms(1), 100, 101)
	g.Hold(100, b.mag)
	b.insert(id, g, ms(50), 102)
	g.Hold(102, b.mag)
	g.Hold(101, b.mag) // a key frame from before, that came late: nothing to begin with
	b.expect(id, 90, 110, 100, 101, 102)
	b.insert(id, g, ms(60), 103)
	b.expect(id, 90, 110, 102, 103)
	if s := g.Stats(); s.Groups != 2 || s.Outgrown != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestAGroupBeyondItsBoundsIsLetGo(t *testing.T) {
	for name, grow := range map[string]func(b *bench, id ID, g *Ring){
		"bytes": func(b *bench, id ID, g *Ring) {
			for seq := uint64(101); seq <= 110; seq++ {
				b.insert(id, g, ms(40), seq)
			}
		},
		"age":     func(b *bench, id ID, g *Ring) { b.insert(id, g, ms(101), 101) },
		"packets": func(b *bench, id ID, g *Ring) { b.insert(id, g, ms(40), 132) },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 1, grouped)
			id, g := b.open()
			b.insert(id, g, ms(1), 100)
			g.Hold(100, b.mag)
			grow(b, id, g)
			if seq, ok := b.pool.Held(id); ok || g.Holds() {
				t.Fatalf("still holds %d", seq)
			}
			b.insert(id, g, ms(120), 140)
			b.expect(id, 90, 150, 140)
			if s := g.Stats(); s.Outgrown != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestAPacketOfTheGroupThatComesLateStaysWithIt(t *testing.T) {
	b := setup(t, 1, grouped)
	id, g := b.open()
	b.insert(id, g, ms(1), 100, 102)
	g.Hold(100, b.mag)
	b.insert(id, g, ms(30), 103, 101)
	b.insert(id, g, ms(90), 104)
	b.expect(id, 90, 110, 100, 101, 102, 103, 104)
}

// A group counts by itself: it neither pushes out what else is kept, nor is it pushed out.
func TestAGroupIsNotCountedWithTheOthers(t *testing.T) {
	cfg := grouped
	cfg.MaxBytes = 3 * 64
	b := setup(t, 1, cfg)
	id, g := b.open()
	b.insert(id, g, ms(1), 98, 99, 100)
	g.Hold(100, b.mag)
	b.insert(id, g, ms(2), 101, 102, 103)
	b.expect(id, 90, 110, 98, 99, 100, 101, 102, 103)
	b.insert(id, g, ms(3), 104)
	g.Hold(104, b.mag)
	b.expect(id, 90, 110, 101, 102, 103, 104)
}

func TestNothingIsHeldWithoutRoomForIt(t *testing.T) {
	b := setup(t, 1, Config{Slots: 32, MaxAge: 10 * time.Millisecond})
	id, g := b.open()
	b.insert(id, g, ms(1), 100)
	g.Hold(100, b.mag)
	if _, ok := b.pool.Held(id); ok {
		t.Error("a group is held")
	}
	b.insert(id, g, ms(50), 101)
	b.expect(id, 90, 110, 101)
}

func TestHoldingAllocatesNothing(t *testing.T) {
	b := setup(t, 1, grouped)
	id, g := b.open()
	seq := uint64(100)
	if n := testing.AllocsPerRun(200, func() {
		seq++
		b.insert(id, g, ms(int(seq)), seq)
		if seq%8 == 0 {
			g.Hold(seq, b.mag)
		}
		b.pool.Held(id)
		b.pool.Next(id, seq)
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkInsertHeld is BenchmarkInsert with a key frame for each 300 packets.
func BenchmarkInsertHeld(b *testing.B) {
	s := setup(b, 1, Config{Slots: 1024, MaxAge: 200 * time.Microsecond, HoldBytes: 64 << 10, HoldAge: time.Millisecond})
	_, g := s.open()
	seq, now := uint64(1<<16), mono.Time(1)
	b.ReportAllocs()
	for b.Loop() {
		r, ok := s.mag.Get(24, packet.Video)
		if !ok {
			b.Fatal("arena is empty")
		}
		seq, now = seq+1, now.Add(time.Microsecond)
		g.Insert(seq, r, now, s.mag)
		if seq%300 == 0 {
			g.Hold(seq, s.mag)
		}
	}
}

// BenchmarkNextMiss is what it costs to learn that nothing more has come.
func BenchmarkNextMiss(b *testing.B) {
	s := setup(b, 1, Config{Slots: 4096})
	id, g := s.open()
	s.insert(id, g, 1, 100)
	b.ReportAllocs()
	for b.Loop() {
		s.pool.Next(id, 101)
	}
}
