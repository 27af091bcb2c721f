package recv

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/netio/mono"
)

// oracle is what RFC 3550 says of a stream, from a list of everything that has come: nothing is
// extended, windowed or rounded.
type oracle struct {
	originals      map[int]bool // by the number that the sender counts, from 0 without end
	seen           map[int]bool // retransmissions too
	lowest, newest int
	jitter         float64
	transit        float64 // of the newest
	rate           float64

	expectedPrior, receivedPrior int
}

func (o *oracle) take(n int, at, sent time.Duration, rtx bool) {
	if o.seen[n] {
		return
	}
	o.seen[n] = true
	if rtx {
		return // section 6.4.1 is about the stream, and RFC 4588 section 6.3 keeps its losses
	}
	first := len(o.originals) == 0
	o.originals[n] = true
	if first {
		o.lowest, o.newest = n, n
	}
	o.lowest = min(o.lowest, n)
	if n < o.newest {
		return
	}
	// Appendix A.8, in units of the clock: D is the difference of the transit times.
	transit := (at - sent).Seconds() * o.rate
	if !first {
		o.jitter += (math.Abs(transit-o.transit) - o.jitter) / 16
	}
	o.transit, o.newest = transit, n
}

// report returns the cumulative loss, and the loss since the last report in 1/256 (A.3).
func (o *oracle) report() (cumulative int32, fraction uint8) {
	expected, received := o.newest-o.lowest+1, len(o.originals)
	e, r := expected-o.expectedPrior, received-o.receivedPrior
	o.expectedPrior, o.receivedPrior = expected, received
	if e > 0 && e > r {
		fraction = uint8(min((e-r)<<8/e, 255))
	}
	return int32(expected - received), fraction
}

// A voice with pauses, and a video, over paths that lose, reorder, repeat and delay, with some of
// what is lost coming again as retransmissions; long enough for the numbers to go round.
func TestReportsAgreeWithAnOracle(t *testing.T) {
	type flight struct {
		n        int
		at, sent time.Duration
		rtx      bool
	}
	for _, c := range []struct {
		name  string
		cfg   Config
		every time.Duration
		pause bool // and DTX: timestamps go on, numbers do not
		loss  float64
	}{
		{"voice with pauses", Config{SSRC: 1, ClockRate: 48000}, 20 * time.Millisecond, true, 0.1},
		{"voice", Config{SSRC: 1, ClockRate: 48000}, 20 * time.Millisecond, false, 0.3},
		{"video", Config{SSRC: 1, ClockRate: 90000, NACK: true, Video: true}, 3 * time.Millisecond, false, 0.05},
	} {
		for seed := range uint64(4) {
			dice := rand.New(rand.NewPCG(seed, 7))
			s := new(Stream)
			s.Init(c.cfg)
			o := &oracle{originals: map[int]bool{}, seen: map[int]bool{}, rate: float64(c.cfg.ClockRate)}
			var inTheAir []flight
			var now, sent time.Duration
			report := time.Second
			for n := range 70_000 {
				sent += c.every
				if c.pause && dice.IntN(200) == 0 {
					sent += time.Duration(dice.IntN(4000)) * time.Millisecond
				}
				delay := 20*time.Millisecond + time.Duration(dice.IntN(10_000))*time.Microsecond
				if dice.IntN(20) == 0 {
					delay += time.Duration(dice.IntN(60)) * time.Millisecond
				}
				switch {
				case dice.Float64() >= c.loss:
					inTheAir = append(inTheAir, flight{n, sent + delay, sent, false})
					if dice.IntN(50) == 0 {
						inTheAir = append(inTheAir, flight{n, sent + delay + time.Millisecond, sent, false})
					}
				case c.cfg.NACK && dice.IntN(10) > 0:
					inTheAir = append(inTheAir, flight{n, sent + delay + 100*time.Millisecond, sent, true})
				}
				for { // what arrives before the next packet is sent, in order
					i := earliest(inTheAir, func(f flight) time.Duration { return f.at })
					if i < 0 || inTheAir[i].at > sent+c.every {
						break
					}
					f := inTheAir[i]
					inTheAir = append(inTheAir[:i], inTheAir[i+1:]...)
					now = max(now, f.at)
					if len(o.originals) == 0 && f.rtx {
						continue // the stream begins with an original
					}
					ts := uint32(f.sent * time.Duration(c.cfg.ClockRate) / time.Second)
					_, v := s.Receive(mono.Time(time.Hour).Add(f.at), uint16(f.n+65_000), ts+1<<31, 100, f.rtx)
					if (v == Accept) == o.seen[f.n] {
						t.Fatalf("%s, seed %d: packet %d: verdict %d, seen %v", c.name, seed, f.n, v, o.seen[f.n])
					}
					o.take(f.n, f.at, f.sent, f.rtx)
				}
				if now < report || len(o.originals) == 0 {
					continue
				}
				report = now + time.Second
				b, ok := s.Report(mono.Time(time.Hour).Add(now))
				cumulative, fraction := o.report()
				if !ok || b.CumulativeLost != cumulative || b.FractionLost != fraction || b.HighestSeq != uint32(o.newest+65_000) {
					t.Fatalf("%s, seed %d, packet %d: reported %+v, want %d lost, %d of 256, highest %d",
						c.name, seed, n, b, cumulative, fraction, o.newest+65_000)
				}
				// Appendix A.8 has the jitter in whole units, of the timestamps too.
				if math.Abs(float64(b.Jitter)-o.jitter) > 2 {
					t.Fatalf("%s, seed %d, packet %d: jitter %d, want %.1f", c.name, seed, n, b.Jitter, o.jitter)
				}
			}
			if o.newest < 65_536+1000 {
				t.Fatalf("%s: the numbers did not go round", c.name)
			}
		}
	}
}

// earliest returns the place of the element whose key is least, -1 if there is none.
func earliest[T any](s []T, key func(T) time.Duration) int {
	best := -1
	for i := range s {
		if best < 0 || key(s[i]) < key(s[best]) {
			best = i
		}
	}
	return best
}
