package impair

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

func link(t testing.TB, cfg Config) *Link {
	t.Helper()
	l, err := NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// arrival is a datagram that came out.
type arrival struct {
	number int
	after  time.Duration // its way's duration
}

// run sends numbered datagrams of a size at an interval and returns what arrives, in order.
func run(t testing.TB, cfg Config, n, size int, interval time.Duration) (out []arrival, s Stats) {
	t.Helper()
	l := link(t, cfg)
	datagram := make([]byte, size)
	drain := func(until time.Time) {
		for next := l.Next(); !next.IsZero() && !next.After(until); next = l.Next() {
			b, ok := l.Pop(next)
			if !ok || len(b) != size {
				t.Fatalf("nothing at the time that was said: %d bytes", len(b))
			}
			k := int(binary.BigEndian.Uint32(b))
			out = append(out, arrival{k, next.Sub(epoch.Add(time.Duration(k) * interval))})
		}
	}
	for i := range n {
		now := epoch.Add(time.Duration(i) * interval)
		drain(now)
		binary.BigEndian.PutUint32(datagram, uint32(i))
		l.Push(now, datagram)
	}
	drain(epoch.Add(24 * time.Hour))
	if l.Len() != 0 || l.bytes != 0 {
		t.Fatalf("%d datagrams of %d bytes remain", l.Len(), l.bytes)
	}
	return out, l.Stats()
}

// bursts returns how many runs of lost numbers there are and how many numbers are lost.
func bursts(out []arrival, n int) (runs, lost int) {
	have := make([]bool, n)
	for _, a := range out {
		have[a.number] = true
	}
	for i, ok := range have {
		if !ok {
			lost++
			if i == 0 || have[i-1] {
				runs++
			}
		}
	}
	return runs, lost
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*want {
		t.Errorf("%s: %.4f, want %.4f", what, got, want)
	}
}

func TestAPerfectLinkPassesAllAtOnce(t *testing.T) {
	out, _ := run(t, Config{Seed: 1}, 1000, 100, time.Millisecond)
	if len(out) != 1000 {
		t.Fatalf("%d arrive", len(out))
	}
	for i, a := range out {
		if a.number != i || a.after != 0 {
			t.Fatalf("%d: %+v", i, a)
		}
	}
}

func TestRandomLoss(t *testing.T) {
	const n = 100_000
	for _, share := range []float64{0.01, 0.1, 0.5} {
		out, s := run(t, Config{Loss: share, Seed: 2}, n, 20, time.Millisecond)
		runs, lost := bursts(out, n)
		near(t, "share lost", float64(lost)/n, share, 0.05)
		near(t, "lost in a row", float64(lost)/float64(runs), 1/(1-share), 0.05)
		if int(s.Lost) != lost || s.Pushed != n || int(s.Popped) != len(out) {
			t.Errorf("%+v, %d lost", s, lost)
		}
	}
	if out, _ := run(t, Config{Loss: 1, Burst: 3}, 1000, 20, time.Millisecond); len(out) != 0 {
		t.Errorf("%d arrive of none", len(out))
	}
}

func TestLossInBursts(t *testing.T) {
	const n = 300_000
	for _, c := range []struct{ loss, burst float64 }{{0.02, 4}, {0.1, 8}, {0.5, 3}} {
		out, _ := run(t, Config{Loss: c.loss, Burst: c.burst, Seed: 3}, n, 20, time.Millisecond)
		runs, lost := bursts(out, n)
		near(t, "share lost", float64(lost)/n, c.loss, 0.05)
		near(t, "lost in a row", float64(lost)/float64(runs), c.burst, 0.05)
	}
}

func TestDelay(t *testing.T) {
	out, _ := run(t, Config{Delay: 40 * time.Millisecond}, 100, 20, time.Millisecond)
	for _, a := range out {
		if a.after != 40*time.Millisecond {
			t.Fatalf("%+v", a)
		}
	}
}

func TestJitterKeepsOrderUnlessToldOtherwise(t *testing.T) {
	const n = 20_000
	for _, reorder := range []bool{false, true} {
		cfg := Config{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Reorder: reorder, Seed: 4}
		out, _ := run(t, cfg, n, 20, time.Millisecond)
		behind, total := 0, time.Duration(0)
		for i, a := range out {
			if a.after < 20*time.Millisecond || a.after > 30*time.Millisecond {
				t.Fatalf("%+v", a)
			}
			if i > 0 && a.number < out[i-1].number {
				behind++
			}
			total += a.after
		}
		if len(out) != n || reorder != (behind > 0) {
			t.Errorf("reorder %v: %d arrive, %d behind", reorder, len(out), behind)
		}
		if reorder {
			near(t, "mean delay in ms", float64(total)/n/1e6, 25, 0.01)
		}
	}
}

func TestDuplicates(t *testing.T) {
	const n = 50_000
	out, s := run(t, Config{Duplicate: 0.1, Seed: 5}, n, 20, time.Millisecond)
	near(t, "copies", float64(len(out)-n), 0.1*n, 0.05)
	if int(s.Duplicated) != len(out)-n {
		t.Errorf("%+v", s)
	}
	for i := 1; i < len(out); i++ {
		if d := out[i].number - out[i-1].number; d != 0 && d != 1 {
			t.Fatalf("%d behind %d", out[i].number, out[i-1].number)
		}
	}
}

func TestRateAndItsQueue(t *testing.T) {
	// 2 Mbit/s into 1 Mbit/s: half is lost, what passes waits as long as the queue is.
	const n, size = 20_000, 1000
	out, s := run(t, Config{Rate: 1_000_000, Queue: 10 * size}, n, size, 4*time.Millisecond)
	near(t, "what passes", float64(len(out)), n/2, 0.01)
	if int(s.Overflowed) != n-len(out) {
		t.Errorf("%+v", s)
	}
	const each = 8 * time.Millisecond // of a datagram at this rate
	longest := time.Duration(0)
	for i, a := range out {
		longest = max(longest, a.after)
		if i > 0 {
			at := func(a arrival) time.Duration { return a.after + time.Duration(a.number)*4*time.Millisecond }
			if gap := at(a) - at(out[i-1]); gap < each {
				t.Fatalf("%v between two", gap)
			}
		}
	}
	if longest > 11*each || longest < 9*each {
		t.Errorf("the longest wait is %v", longest)
	}
}

func TestAnIdleLinkTakesWhatItsQueueWouldNot(t *testing.T) {
	out, _ := run(t, Config{Rate: 8000, Queue: 1}, 2, 1000, 2*time.Second)
	if len(out) != 2 || out[0].after != time.Second || out[1].after != time.Second {
		t.Fatalf("%+v", out)
	}
}

func TestASeedRepeatsARun(t *testing.T) {
	cfg := Config{Loss: 0.1, Burst: 3, Delay: time.Millisecond, Jitter: 9 * time.Millisecond, Reorder: true, Duplicate: 0.05, Rate: 2_000_000, Seed: 6}
	a, _ := run(t, cfg, 5000, 300, time.Millisecond)
	b, _ := run(t, cfg, 5000, 300, time.Millisecond)
	cfg.Seed++
	c, _ := run(t, cfg, 5000, 300, time.Millisecond)
	same := func(a, b []arrival) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(a, b) || same(a, c) {
		t.Fatal("a seed does not make a run")
	}
}

func TestDatagramsAreCopied(t *testing.T) {
	l := link(t, Config{})
	for _, size := range []int{1, 1500, 9000, 65507, 1500} {
		in := bytes.Repeat([]byte{byte(size)}, size)
		l.Push(epoch, in)
		clear(in)
		out, ok := l.Pop(epoch)
		if !ok || len(out) != size || bytes.Count(out, []byte{byte(size)}) != size {
			t.Fatalf("%d bytes come out as %d", size, len(out))
		}
	}
}

func TestNothingIsPoppedEarly(t *testing.T) {
	l := link(t, Config{Delay: time.Millisecond})
	if !l.Next().IsZero() {
		t.Fatal("something is under way in an empty link")
	}
	l.Push(epoch, []byte{1})
	if b, ok := l.Pop(epoch.Add(time.Millisecond - 1)); ok {
		t.Fatal(b)
	}
	if !l.Next().Equal(epoch.Add(time.Millisecond)) {
		t.Fatal(l.Next())
	}
	if _, ok := l.Pop(l.Next()); !ok {
		t.Fatal("nothing comes")
	}
	if b, ok := l.Pop(epoch.Add(time.Hour)); ok {
		t.Fatal(b)
	}
}

func TestWhatIsUnderWayIsBounded(t *testing.T) {
	for _, size := range []int{1, 60_000} {
		l := link(t, Config{Delay: time.Second})
		b := make([]byte, size)
		for range maxFlight + 10 {
			l.Push(epoch, b)
		}
		if l.Len() > maxFlight || l.bytes > maxBytes || int(l.Stats().Overflowed) != maxFlight+10-l.Len() {
			t.Errorf("%d datagrams of %d bytes, %+v", l.Len(), l.bytes, l.Stats())
		}
		for n := l.Len(); n > 0; n-- {
			if _, ok := l.Pop(epoch.Add(time.Second)); !ok {
				t.Fatal("one is missing")
			}
		}
		for _, s := range l.spare {
			if cap(s) > maxSpare {
				t.Fatalf("%d bytes are kept for one", cap(s))
			}
		}
	}
}

func TestConfigsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Loss: -0.1}, {Loss: 1.1}, {Loss: math.NaN()}, {Duplicate: 2}, {Burst: -1}, {Burst: math.NaN()},
		{Overtake: 2}, {Corrupt: -1}, {Intact: -1}, {Loss: 0.9, Burst: 2}, {Delay: -1}, {Jitter: -1}, {Delay: maxDelay + 1}, {Jitter: maxDelay + 1},
		{Rate: -1}, {Queue: -1}, {Queue: maxBytes + 1},
	} {
		if l, err := NewLink(cfg); err == nil {
			t.Errorf("%+v makes %p", cfg, l)
		}
	}
}

// busy is a link with all it can do at once, warmed up, and a function that goes on one
// datagram.
func busy(t testing.TB) (step func()) {
	l := link(t, Config{
		Loss: 0.02, Burst: 3, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Reorder: true,
		Duplicate: 0.02, Rate: 20_000_000, Seed: 7,
	})
	datagram := make([]byte, 1100)
	now := epoch
	step = func() {
		now = now.Add(500 * time.Microsecond)
		l.Push(now, datagram)
		for _, ok := l.Pop(now); ok; _, ok = l.Pop(now) {
		}
	}
	for range 20_000 {
		step()
	}
	return step
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(10_000, busy(t)); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}

func BenchmarkLink(b *testing.B) {
	step := busy(b)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

// lostBy returns which of n datagrams a link loses.
func lostBy(l *Link, n int) []bool {
	out := make([]bool, n)
	for i := range out {
		before := l.Stats().Lost
		l.Push(epoch, []byte{0})
		out[i] = l.Stats().Lost != before
	}
	return out
}

func TestDirectionsOfOneSeedAreIndependent(t *testing.T) {
	const n, loss = 20_000, 0.3
	for seed := range uint64(20) {
		down, up, again := link(t, Config{Loss: loss, Seed: seed}), link(t, Config{Loss: loss, Seed: seed}), link(t, Config{Loss: loss, Seed: seed})
		up.Reverse()
		again.Reverse()
		a, b, c := lostBy(down, n), lostBy(up, n), lostBy(again, n)
		both := 0
		for i := range a {
			if a[i] && b[i] {
				both++
			}
			if b[i] != c[i] {
				t.Fatalf("seed %d: datagram %d is lost in one run and not in the next", seed, i)
			}
		}
		// Six standard deviations; equal sequences lose 0.3 of them together.
		if share := float64(both) / n; math.Abs(share-loss*loss) > 0.0122 {
			t.Errorf("seed %d: both directions lose %.3f of the datagrams, want %.3f", seed, share, loss*loss)
		}
	}
}
