package router

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// glass is a window under test: buffers are numbered by the packets' sequence numbers.
type glass struct {
	*Window
	t     *testing.T
	count WindowCounters
}

func newGlass(t *testing.T) *glass {
	g := &glass{t: t}
	g.Window = NewWindow(4096, time.Millisecond, &g.count)
	return g
}

var track7 = param.TrackID{Index: 7, Gen: 1}

// add gives a packet of track7 to the window and returns the runs that this released.
func (g *glass) add(now mono.Time, seq uint64, ts uint32, end bool) [][]packet.Ref {
	g.Add(now, &Held{Track: track7, Ref: packet.Ref(seq), Timestamp: ts, Seq: seq, End: end})
	return g.takeAll()
}

func (g *glass) takeAll() (runs [][]packet.Ref) {
	for r := g.Take(); r != nil; r = g.Take() {
		runs = append(runs, slices.Clone(r.Refs[:r.N]))
	}
	return runs
}

func (g *glass) want(got [][]packet.Ref, want ...[]packet.Ref) {
	g.t.Helper()
	if !slices.EqualFunc(got, want, slices.Equal) {
		g.t.Fatalf("released %v, want %v", got, want)
	}
}

func TestWindowReleasesAFrameAtItsEnd(t *testing.T) {
	g := newGlass(t)
	g.want(g.add(1, 10, 3000, false))
	g.want(g.add(1, 11, 3000, false))
	g.want(g.add(2, 12, 3000, true), []packet.Ref{10, 11, 12})
	if g.count.WindowMarker.Load() != 1 || g.Held() != 0 || g.Deadline() != mono.Never {
		t.Fatalf("window_marker %d, %d held, due %d", g.count.WindowMarker.Load(), g.Held(), g.Deadline())
	}
}

func TestWindowReleasesAFrameWhenTheNextBegins(t *testing.T) {
	g := newGlass(t)
	g.add(1, 10, 3000, false)
	g.want(g.add(1, 11, 6000, false), []packet.Ref{10})
	g.want(g.add(1, 12, 9000, true), []packet.Ref{11}, []packet.Ref{12})
	if g.count.WindowNext.Load() != 2 || g.count.WindowMarker.Load() != 1 {
		t.Fatalf("window_next %d, window_marker %d", g.count.WindowNext.Load(), g.count.WindowMarker.Load())
	}
}

func TestWindowReleasesEverythingWhenAnOlderPacketComes(t *testing.T) {
	g := newGlass(t)
	g.add(1, 10, 3000, false)
	g.add(1, 12, 3000, false)
	g.want(g.add(1, 11, 3000, false), []packet.Ref{10, 11, 12})
	g.want(g.add(1, 13, 3000, true), []packet.Ref{13})
	g.want(g.add(1, 9, 1000, false), []packet.Ref{9}) // recovered, and nothing waits
	g.add(2, 14, 6000, false)
	g.want(g.add(2, 8, 1000, true), []packet.Ref{8, 14})
	if n := g.count.WindowLate.Load(); n != 3 {
		t.Fatalf("window_late %d, want 3", n)
	}
}

func TestWindowReleasesARunThatIsFull(t *testing.T) {
	g := newGlass(t)
	for i := range uint64(MaxRun - 1) {
		g.want(g.add(1, 100+i, 3000, false))
	}
	if runs := g.add(1, 100+MaxRun-1, 3000, false); len(runs) != 1 || len(runs[0]) != MaxRun {
		t.Fatalf("released %v, want a run of %d", runs, MaxRun)
	}
	if n := g.count.WindowCap.Load(); n != 1 {
		t.Fatalf("window_cap %d, want 1", n)
	}
}

func TestWindowReleasesAtItsDeadline(t *testing.T) {
	g := newGlass(t)
	g.add(1000, 10, 3000, false)
	g.add(5000, 11, 3000, false)
	due := mono.Time(1000).Add(time.Millisecond)
	if g.Deadline() != due {
		t.Fatalf("due at %d, want %d: the first packet's time counts", g.Deadline(), due)
	}
	g.Expire(due - 1)
	g.want(g.takeAll())
	g.Expire(due)
	g.want(g.takeAll(), []packet.Ref{10, 11})
	if n := g.count.WindowTimer.Load(); n != 1 {
		t.Fatalf("window_timer %d, want 1", n)
	}
}

func TestWindowReleasesWhatATrackHasWaitingAtItsEnd(t *testing.T) {
	g := newGlass(t)
	g.add(1, 10, 3000, false)
	g.End(param.TrackID{Index: 7, Gen: 9}) // of another name
	g.want(g.takeAll())
	g.End(track7)
	g.want(g.takeAll(), []packet.Ref{10})
	g.End(track7)
	g.want(g.takeAll())
	NewWindow(0, 0, &g.count).End(track7) // one that is off
}

// The index of a track is another's after its end, whose numbers begin anew.
func TestWindowDoesNotTakeANewTracksPacketsForLate(t *testing.T) {
	g := newGlass(t)
	g.want(g.add(1, 1000, 3000, true), []packet.Ref{1000})
	g.End(track7)
	g.Add(1, &Held{Track: param.TrackID{Index: 7, Gen: 3}, Ref: 5, Seq: 5, Timestamp: 1})
	g.want(g.takeAll())
	if g.Held() != 1 {
		t.Fatalf("%d packets wait, want 1", g.Held())
	}
}

// A full window gives up the frame that has waited longest.
func TestFullWindowLetsTheOldestFrameGo(t *testing.T) {
	for _, perFrame := range []int{1, 8} {
		g := newGlass(t)
		var left []packet.Ref
		ref := packet.Ref(0)
		for i := range 600 {
			for seq := range perFrame {
				ref++
				id := param.TrackID{Index: uint32(i), Gen: 1}
				g.Add(1, &Held{Track: id, Ref: ref, Timestamp: 1, Seq: 1<<16 + uint64(seq)})
				for _, run := range g.takeAll() {
					left = append(left, run...)
				}
				if g.Held() > windowPackets || len(left)+g.Held() != int(ref) {
					t.Fatalf("%d wait and %d left of %d", g.Held(), len(left), ref)
				}
			}
		}
		if !slices.IsSorted(left) || len(left) == 0 {
			t.Fatalf("%d left, in order: %v", len(left), slices.IsSorted(left))
		}
		g.EndAll()
		for _, run := range g.takeAll() {
			left = append(left, run...)
		}
		if g.Held() != 0 || len(left) != int(ref) {
			t.Fatalf("%d wait and %d left of %d at the end", g.Held(), len(left), ref)
		}
	}
}

// Whatever comes in whatever order: nothing waits past its deadline, each packet leaves once,
// and none leaves behind one that came after it, unless that has a higher number: the window
// may mend the order, and makes none worse.
func TestWindowKeepsItsPromises(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	type came struct {
		at    mono.Time
		seq   uint64
		track uint32
		order int
	}
	for range 200 {
		g := newGlass(t)
		waiting := map[packet.Ref]came{}
		lastOut := map[uint32]came{}
		next := [5]uint64{}
		now, ref, out := mono.Time(1), packet.Ref(0), 0
		check := func() {
			for r := g.Take(); r != nil; r = g.Take() {
				for _, ref := range r.Refs[:r.N] {
					p, ok := waiting[ref]
					if !ok || p.track != r.Track.Index {
						t.Fatalf("buffer %d left twice, or as another track's", ref)
					}
					delete(waiting, ref)
					out++
					if q, ok := lastOut[p.track]; ok && q.order > p.order && q.seq > p.seq {
						t.Fatalf("packet %d left behind %d, which came after it", p.seq, q.seq)
					}
					lastOut[p.track] = p
				}
			}
			for _, p := range waiting {
				if d := g.Deadline(); d == mono.Never || d > p.at.Add(time.Millisecond) {
					t.Fatalf("packet %d waits beyond its time", p.seq)
				}
			}
			if g.Held() != len(waiting) {
				t.Fatalf("%d packets wait, the window says %d", len(waiting), g.Held())
			}
		}
		for i := range 400 {
			now = now.Add(time.Duration(rnd.IntN(300)) * time.Microsecond)
			g.Expire(now)
			check()
			for _, p := range waiting {
				if p.at.Add(time.Millisecond) <= now {
					t.Fatalf("packet %d is held past its deadline", p.seq)
				}
			}
			tr := uint32(rnd.IntN(5))
			next[tr]++
			seq := 1<<16 + 4*next[tr]
			if rnd.IntN(6) == 0 {
				seq -= uint64(1 + rnd.IntN(15))
			}
			ref++
			waiting[ref] = came{at: now, seq: seq, track: tr, order: i}
			g.Add(now, &Held{
				Track: param.TrackID{Index: tr, Gen: 1}, Ref: ref, Seq: seq,
				Timestamp: uint32(next[tr] / 3), End: rnd.IntN(4) == 0,
			})
			check()
		}
		for tr := range uint32(5) {
			g.End(param.TrackID{Index: tr, Gen: 1})
		}
		check()
		if out != int(ref) || g.Held() != 0 {
			t.Fatalf("%d of %d packets left, %d are held", out, ref, g.Held())
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	var count WindowCounters
	w := NewWindow(16, time.Millisecond, &count)
	p := Held{Track: track7, Ref: 1}
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		p.End = p.Seq%6 == 0
		w.Add(1, &p)
		for w.Take() != nil {
		}
	}
}
