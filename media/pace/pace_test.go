package pace

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

const second = mono.Time(time.Second)

// rated returns a pacer of so many bit/s.
func rated(bitrate uint64) *Pacer {
	p := new(Pacer)
	p.Init(new(Tables))
	p.SetRate(bitrate, 0)
	return p
}

func full(i int) Item { return Item{Ref: packet.Ref(i + 1), Size: 1200} }

// send spends packets of 1,200 bytes while they may leave, and returns how many did.
func send(p *Pacer, now mono.Time, n int) (sent int) {
	for sent < n && p.Free(now) {
		p.Spend(now, 1200)
		sent++
	}
	return sent
}

// leave lets out what may leave until everything has, by the deadlines, and returns when each did.
func leave(t testing.TB, p *Pacer, now mono.Time) (at []mono.Time, refs []packet.Ref) {
	t.Helper()
	for p.Len() > 0 {
		if d := p.Deadline(); d == mono.Never {
			t.Fatalf("%d wait for nothing", p.Len())
		} else {
			now = max(now, d)
		}
		for {
			it, _, ok := p.Next(now)
			if !ok {
				break
			}
			p.Spend(now, int(it.Size))
			at, refs = append(at, now), append(refs, it.Ref)
		}
	}
	if p.Deadline() != mono.Never {
		t.Error("a deadline, but nothing waits")
	}
	return at, refs
}

// Frames of 5 packets each 33 ms are 1.45 Mbit/s: an ordinary stream for a way that takes as much,
// which is paced at 2.5 times that.
func TestOrdinaryFramesDoNotWait(t *testing.T) {
	p := rated(2.5 * 1_450_000)
	for now := second; now < 3*second; now = now.Add(33 * time.Millisecond) {
		if n := send(p, now, 5); n != 5 {
			t.Fatalf("%d packets of a frame of 5 left at once", n)
		}
	}
}

func TestKeyFrameLeavesInPiecesAtTheRate(t *testing.T) {
	p := rated(10_000_000)
	sent := send(p, second, 60)
	if sent < 10 || sent > 12 {
		t.Errorf("%d packets left at once, want the 10 of a burst", sent)
	}
	for i := sent; i < 60; i++ {
		if !p.Push(second, Media, full(i)) {
			t.Fatal("no room")
		}
	}
	at, refs := leave(t, p, second)
	for i, ref := range refs {
		if ref != packet.Ref(sent+i+1) {
			t.Fatalf("packet %d left as number %d", ref, sent+i)
		}
	}
	// 50 packets of 0.96 ms each.
	if took := at[len(at)-1].Sub(second); took < 45*time.Millisecond || took > 55*time.Millisecond {
		t.Errorf("the last packet left after %v, want about 48 ms", took)
	}
	most, pieces := 0, 0
	for i := 0; i < len(at); pieces++ {
		n := 1
		for i+n < len(at) && at[i+n] == at[i] {
			n++
		}
		most, i = max(most, n), i+n
	}
	if most > 4 || pieces > 30 {
		t.Errorf("%d pieces, the largest of %d packets", pieces, most)
	}
}

func TestRateRisesToWhatEmptiesTheQueueInTime(t *testing.T) {
	for _, rate := range []uint64{50_000, 500_000, 5_000_000} {
		p := rated(rate)
		sent := send(p, second, 200)
		for i := sent; i < 200; i++ {
			p.Push(second, Media, full(i))
		}
		at, _ := leave(t, p, second)
		if took := at[len(at)-1].Sub(second); took > MaxWait {
			t.Errorf("%d bit/s: the last packet left after %v", rate, took)
		}
		most := 0
		for i := range at {
			n := 0
			for ; i+n < len(at) && at[i+n] == at[i]; n++ {
			}
			most = max(most, n)
		}
		if most > 40 {
			t.Errorf("%d bit/s: %d packets left at once", rate, most)
		}
		if p.SetRate(rate, 0); p.each != p.usual {
			t.Errorf("%d bit/s: the rate stays raised", rate)
		}
	}
}

func TestResendsLeaveBeforeMediaButDoNotStarveIt(t *testing.T) {
	p := rated(1_000_000)
	send(p, second, 100)
	p.Push(second, Media, full(0))
	p.Push(second, Resend, full(1))
	if it, lane, ok := p.Take(); !ok || lane != Resend || it.Ref != 2 {
		t.Fatalf("%v %v of lane %d left first", it, ok, lane)
	}
	// More retransmissions than the rate has room for.
	left := false
	for now := second; now < second.Add(2*MaxWait) && !left; now = now.Add(time.Millisecond) {
		p.Push(now, Resend, full(2))
		for {
			it, lane, ok := p.Next(now)
			if !ok {
				break
			}
			if p.Spend(now, 1200); lane == Media {
				left = true
				if waited := now.Sub(second); waited > MaxWait {
					t.Errorf("media waited %v", waited)
				}
			}
			_ = it
		}
	}
	if !left {
		t.Error("media never left")
	}
}

func TestBoundOfAPacer(t *testing.T) {
	p := rated(1_000_000)
	for i := range MaxItems {
		if !p.Push(second, Lane(i%2), full(i)) {
			t.Fatalf("refused number %d", i)
		}
	}
	if p.Push(second, Media, full(0)) || p.Len() != MaxItems {
		t.Errorf("%d wait", p.Len())
	}
	if _, _, ok := p.Take(); !ok || !p.Push(second, Media, full(0)) {
		t.Error("no room after one has left")
	}
}

func TestBoundOfTheTables(t *testing.T) {
	tables := &Tables{lent: MaxBlocks - 1}
	var a, b Pacer
	a.Init(tables)
	b.Init(tables)
	if !a.Push(second, Media, full(0)) {
		t.Fatal("the last block was refused")
	}
	if b.Push(second, Media, full(0)) || b.Len() != 0 || b.Deadline() != mono.Never || !b.Free(second) {
		t.Error("one that was refused changed something")
	}
	a.Take()
	if !b.Push(second, Media, full(0)) {
		t.Error("a block that was given back was not lent again")
	}
}

func TestWithoutARateNothingIsHeldBack(t *testing.T) {
	p := rated(0)
	if n := send(p, second, 10_000); n != 10_000 {
		t.Errorf("%d packets left", n)
	}
}

// Row RTP-10: whatever the estimate, there is no division by zero and nothing waits for ever.
func TestAnyRateIsARate(t *testing.T) {
	for _, rate := range []uint64{1, 7, 1 << 20, 1 << 40, 1<<64 - 1} {
		p := rated(rate)
		for i := range 50 {
			if !p.Free(second) {
				p.Push(second, Media, full(i))
			} else {
				p.Spend(second, 1200)
			}
		}
		if at, _ := leave(t, p, second); len(at) > 0 && at[len(at)-1] > second.Add(MaxWait) {
			t.Errorf("rate %d: the last left after %v", rate, at[len(at)-1].Sub(second))
		}
	}
}

// waiting is a packet of the model.
type waiting struct {
	Item
	lane Lane
	came mono.Time
}

// With any schedule all that was pushed comes out once, in the order of its lane, in time, or is
// dropped with its stream; and every block is given back.
func TestAnyScheduleLosesAndDoublesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := &Tables{lent: rapid.SampledFrom([]int{0, MaxBlocks - 3}).Draw(t, "lent")}
		others := tables.lent
		var p Pacer
		p.Init(tables)
		now, next := second, packet.Ref(1)
		var model [lanes][]waiting
		out := func(it Item, lane Lane) {
			if len(model[lane]) == 0 || model[lane][0].Ref != it.Ref || model[lane][0].Seq != it.Seq || model[lane][0].Slot != it.Slot {
				t.Fatalf("%+v came out of lane %d, which holds %v", it, lane, model[lane])
			}
			if waited := now.Sub(model[lane][0].came); waited > MaxWait+time.Millisecond {
				t.Fatalf("it has waited %v", waited)
			}
			model[lane] = model[lane][1:]
			p.Spend(now, int(it.Size)+rapid.IntRange(0, 100).Draw(t, "header"))
		}
		release := func() {
			for {
				it, lane, ok := p.Next(now)
				if !ok {
					return
				}
				out(it, lane)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"rate": func(t *rapid.T) {
				p.SetRate(rapid.Uint64Range(0, 50_000_000).Draw(t, "rate"), rapid.IntRange(0, 100_000).Draw(t, "burst"))
			},
			"burst": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "n") {
					it := Item{Ref: next, Slot: uint16(rapid.IntRange(0, 3).Draw(t, "slot")), Seq: uint16(next), Size: uint16(rapid.IntRange(0, 1300).Draw(t, "size"))}
					next++
					lane := Lane(rapid.IntRange(0, 1).Draw(t, "lane"))
					if p.Free(now) {
						if p.Len() > 0 {
							t.Fatal("something may overtake what waits")
						}
						p.Spend(now, int(it.Size))
						continue
					}
					for !p.Push(now, lane, it) {
						was, its, ok := p.Take()
						if !ok {
							if tables.lent != MaxBlocks {
								t.Fatal("refused without need")
							}
							return
						}
						out(was, its)
					}
					model[lane] = append(model[lane], waiting{it, lane, now})
				}
			},
			"time": func(t *rapid.T) {
				end := now.Add(time.Duration(rapid.IntRange(0, 50_000).Draw(t, "us")) * time.Microsecond)
				for p.Deadline() != mono.Never && p.Deadline() <= end {
					now = max(now, p.Deadline())
					release()
				}
				now = end
			},
			"drop": func(t *rapid.T) {
				slot := uint16(rapid.IntRange(0, 3).Draw(t, "slot"))
				got := map[packet.Ref]bool{}
				p.Drop(slot, func(it Item) { got[it.Ref] = true })
				for i := range model {
					kept := []waiting{}
					for _, w := range model[i] {
						if w.Slot != slot {
							kept = append(kept, w)
						} else if !got[w.Ref] {
							t.Fatalf("%d was not given back", w.Ref)
						} else {
							delete(got, w.Ref)
						}
					}
					model[i] = kept
				}
				if len(got) > 0 {
					t.Fatalf("%v were given back too", got)
				}
			},
			"": func(t *rapid.T) {
				if n := len(model[0]) + len(model[1]); p.Len() != n || (n > 0) != (p.Deadline() != mono.Never) {
					t.Fatalf("%d wait until %v, want %d", p.Len(), p.Deadline(), n)
				}
				if p.Len() == 0 && tables.lent != others {
					t.Fatalf("%d blocks are lent for nothing", tables.lent-others)
				}
			},
		})
		for p.Len() > 0 {
			out2, lane, _ := p.Take()
			out(out2, lane)
		}
		if tables.lent != others {
			t.Fatalf("%d blocks were not given back", tables.lent-others)
		}
	})
}

func TestPacingAllocatesNothing(t *testing.T) {
	p := rated(5_000_000)
	now := second
	burst := func() {
		for i := range 300 {
			if p.Free(now) {
				p.Spend(now, 1200)
				continue
			}
			p.Push(now, Media, full(i))
		}
		for p.Len() > 0 {
			now = max(now, p.Deadline())
			for it, _, ok := p.Next(now); ok; it, _, ok = p.Next(now) {
				p.Spend(now, int(it.Size))
			}
		}
	}
	if n := testing.AllocsPerRun(10, burst); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFree(b *testing.B) {
	p := rated(100_000_000)
	now := second
	for b.Loop() {
		now += 1000_000
		if p.Free(now) {
			p.Spend(now, 1200)
		}
	}
}

func BenchmarkPaced(b *testing.B) {
	p := rated(5_000_000)
	now := second
	b.ReportAllocs()
	for b.Loop() {
		p.Push(now, Media, full(1))
		now = max(now, p.Deadline())
		for it, _, ok := p.Next(now); ok; it, _, ok = p.Next(now) {
			p.Spend(now, int(it.Size))
		}
	}
}
