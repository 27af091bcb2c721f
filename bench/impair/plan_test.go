package impair

import (
	"bytes"
	"testing"
	"time"
)

// arrivals pushes n datagrams of a size at an interval and returns when each comes out, by
// number; zero: it was lost.
func arrivals(t testing.TB, l *Link, n, size int, interval time.Duration) []time.Duration {
	t.Helper()
	out := make([]time.Duration, n)
	b := make([]byte, size)
	drain := func(until time.Time) {
		for next := l.Next(); !next.IsZero() && !next.After(until); next = l.Next() {
			d, ok := l.Pop(next)
			if !ok {
				t.Fatal("nothing at the time that was said")
			}
			out[int(d[0])<<8|int(d[1])] = next.Sub(epoch)
		}
	}
	for i := range n {
		now := epoch.Add(time.Duration(i) * interval)
		l.Advance(now)
		drain(now)
		b[0], b[1] = byte(i>>8), byte(i)
		l.Push(now, b)
	}
	drain(epoch.Add(time.Hour))
	return out
}

func TestABlackoutLosesAllOfItsTimeAndNothingElse(t *testing.T) {
	l := link(t, Config{})
	if err := l.Plan(epoch, Step{2 * time.Second, Config{Loss: 1}}, Step{3 * time.Second, Config{}}); err != nil {
		t.Fatal(err)
	}
	for i, at := range arrivals(t, l, 500, 100, 10*time.Millisecond) {
		if lost := at == 0 && i > 0; lost != (i >= 200 && i < 300) {
			t.Fatalf("datagram %d: %v", i, at)
		}
	}
	if !l.Change().IsZero() {
		t.Fatal("a step is left")
	}
}

func TestAStepOfTheRateAppliesToWhatWaits(t *testing.T) {
	for _, c := range []struct {
		second int
		want   time.Duration // of the last one
	}{
		// 100 of 1,000 bytes at once take 8 s at 100 kbit/s; the rest of them at the second
		// rate after 4 s.
		{100_000, 8 * time.Second}, {200_000, 6 * time.Second}, {50_000, 12 * time.Second}, {0, 4 * time.Second},
	} {
		l := link(t, Config{Rate: 100_000, Queue: 200_000})
		if err := l.Plan(epoch, Step{4 * time.Second, Config{Rate: c.second, Queue: 200_000}}); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			l.Push(epoch, bytes.Repeat([]byte{byte(i)}, 1000))
		}
		l.Advance(l.Change())
		last, n := time.Duration(0), 0
		for next := l.Next(); !next.IsZero(); next = l.Next() {
			b, _ := l.Pop(next)
			if int(b[0]) != n {
				t.Fatalf("rate %d: %d comes as number %d", c.second, b[0], n)
			}
			last = next.Sub(epoch)
			n++
		}
		if d := last - c.want; n != 100 || d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("rate %d: %d come, the last after %v, want %v", c.second, n, last, c.want)
		}
	}
}

func TestAnotherPlanTakesTheFirstOnesPlace(t *testing.T) {
	l := link(t, Config{})
	for _, from := range []time.Duration{time.Second, 2 * time.Second} {
		if err := l.Plan(epoch, Step{from, Config{Loss: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	got := arrivals(t, l, 300, 100, 10*time.Millisecond)
	if got[199] == 0 || got[200] != 0 {
		t.Fatalf("%v %v", got[199], got[200])
	}
}

func TestPlansThatMakeNoSenseAreRefused(t *testing.T) {
	l := link(t, Config{})
	for _, steps := range [][]Step{
		{{-1, Config{}}}, {{2, Config{}}, {1, Config{}}}, {{1, Config{Loss: 2}}}, make([]Step, maxSteps+1),
	} {
		if l.Plan(epoch, steps...) == nil {
			t.Errorf("%d steps are a plan", len(steps))
		}
	}
}

func TestOvertaking(t *testing.T) {
	const n = 20_000
	out, _ := run(t, Config{Delay: 20 * time.Millisecond, Overtake: 0.05, Seed: 8}, n, 20, time.Millisecond)
	early := 0
	for _, a := range out {
		switch a.after {
		case 0:
			early++
		case 20 * time.Millisecond:
		default:
			t.Fatalf("%+v", a)
		}
	}
	near(t, "share that overtakes", float64(early)/n, 0.05, 0.08)
}

func TestCorruptionChangesOneByteBehindThoseThatStay(t *testing.T) {
	const n, size, intact = 20_000, 64, 28
	l := link(t, Config{Corrupt: 0.1, Intact: intact, Seed: 9})
	in, changed := bytes.Repeat([]byte{0x5a}, size), 0
	for range n {
		l.Push(epoch, in)
		out, ok := l.Pop(epoch)
		if !ok || len(out) != size {
			t.Fatalf("%d bytes come", len(out))
		}
		switch other := size - bytes.Count(out, []byte{0x5a}); other {
		case 0:
		case 1:
			changed++
			if !bytes.Equal(out[:intact], in[:intact]) {
				t.Fatalf("% x", out[:intact])
			}
		default:
			t.Fatalf("%d bytes are others", other)
		}
	}
	near(t, "share corrupted", float64(changed)/n, 0.1, 0.05)
	if int(l.Stats().Corrupted) != changed {
		t.Errorf("%+v", l.Stats())
	}
	l.Push(epoch, in[:intact])
	if out, ok := l.Pop(epoch); !ok || !bytes.Equal(out, in[:intact]) {
		t.Errorf("% x", out)
	}
}

func TestWhatIsCorruptedAndOvertakesChangesNothingElseOfASeed(t *testing.T) {
	plain := link(t, Config{Loss: 0.2, Seed: 10})
	all := link(t, Config{Loss: 0.2, Seed: 10, Corrupt: 0.3, Overtake: 0.3})
	a, b := lostBy(plain, 5000), lostBy(all, 5000)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("datagram %d is lost in one run only", i)
		}
	}
}
