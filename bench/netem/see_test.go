package netem

import (
	"math"
	"slices"
	"testing"
	"time"
)

// gap is what a rebinding of a client's NAT did to the media that it receives.
type gap struct {
	// Silence is from the last packet of media before it to the first after it, and Answer from
	// the first check of the client that reached the server from the new port to that packet, as
	// it left the server; Picture is from the rebinding to the next picture that is shown behind
	// that packet: s.
	Silence, Answer, Picture float64
}

// gaps looks at the records of the box of a client that receives, one gap for each rebinding.
func gaps(up, down []Record, shown []float64, rebound []time.Time, delay time.Duration) (out []gap) {
	for i, at := range rebound {
		end := time.Now()
		if i+1 < len(rebound) {
			end = rebound[i+1]
		}
		g, first := oneGap(up, down, at, end, delay)
		if next, _ := slices.BinarySearch(shown, millis(first)); !first.IsZero() && next < len(shown) {
			g.Picture = (shown[next] - millis(at)) / 1000
		}
		out = append(out, g)
	}
	return out
}

// millis is a time as JavaScript has it.
func millis(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

// oneGap returns when the first packet of media came behind it, too.
func oneGap(up, down []Record, at, end time.Time, delay time.Duration) (gap, time.Time) {
	g := gap{never, never, never}
	isMedia := func(r Record) bool { return r.Kind == RTP }
	first := slices.IndexFunc(down, func(r Record) bool { return isMedia(r) && r.At.After(at) && r.At.Before(end) })
	if first <= 0 {
		return g, time.Time{}
	}
	before := at
	for _, r := range slices.Backward(down[:first]) {
		if isMedia(r) {
			before = r.At
			break
		}
	}
	g.Silence = down[first].At.Sub(before).Seconds()
	check := slices.IndexFunc(up, func(r Record) bool {
		return r.Kind == STUN && r.Type == 1 && r.At.After(at) && r.Port == down[first].Port
	})
	if check >= 0 && up[check].At.Before(down[first].At) {
		g.Answer = (down[first].At.Sub(up[check].At) - delay).Seconds()
	}
	return g, down[first].At
}

// The step of the rate: from high to low after some seconds, and back again.
const (
	highRate, lowRate  = 2_000_000, 500_000
	stepDown, stepBack = 10 * time.Second, 25 * time.Second
	stepEnd            = 45
)

// point is an estimate at a time since the measurement's start.
type point struct {
	At      time.Duration
	Bitrate float64
}

// adaption is what an estimate did behind the steps of the rate.
type adaption struct {
	// Down and Back are the seconds after each step till the estimate was within 20 % of the
	// rate and stayed there for a second; never: it did not come there.
	Down, Back float64
	// Over is the longest time in a row in which it was more than 20 % too high, s, without that
	// before Down and that before the first step: a link that takes more than is sent shows no rate.
	Over float64
}

// adapts sees how an estimate followed the steps of the rate.
func adapts(points []point) adaption {
	a := adaption{
		Down: within(points, stepDown, stepBack, lowRate),
		Back: within(points, stepBack, stepEnd*time.Second, highRate),
	}
	since := time.Duration(0)
	for _, p := range points {
		rate := float64(highRate)
		if p.At >= stepDown && p.At < stepBack {
			rate = lowRate
		}
		adapting := p.At < stepDown || p.At < stepBack && (a.Down == never || p.At < stepDown+seconds(a.Down))
		switch {
		case p.Bitrate <= 1.2*rate || adapting:
			since = 0
		case since == 0:
			since = p.At
		default:
			a.Over = max(a.Over, (p.At - since).Seconds())
		}
	}
	return a
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// within is how long behind from an estimate comes within 20 % of a rate and stays for a second.
func within(points []point, from, to time.Duration, rate float64) float64 {
	since := time.Duration(never)
	for _, p := range points {
		switch {
		case p.At < from || p.At >= to:
		case p.Bitrate < 0.8*rate || p.Bitrate > 1.2*rate:
			since = never
		case since == never:
			since = p.At
		case p.At-since >= time.Second:
			return (since - from).Seconds()
		}
	}
	return never
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{nil, never}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(c.all); got != c.want {
			t.Errorf("%v: %v", c.all, got)
		}
	}
}

// estimates are points every 200 ms, as a function of the second has them in kbit/s.
func estimates(of func(second float64) float64) (out []point) {
	for at := time.Duration(0); at < stepEnd*time.Second; at += 200 * time.Millisecond {
		out = append(out, point{at, 1000 * of(at.Seconds())})
	}
	return out
}

func TestAdaptionToStepsOfARate(t *testing.T) {
	for name, c := range map[string]struct {
		of   func(second float64) float64
		want adaption
	}{
		"follows at once": {func(s float64) float64 {
			if s >= 10 && s < 25 {
				return 480
			}
			return 1900
		}, adaption{0, 0, 0}},
		"follows after 3 and 8 s": {func(s float64) float64 {
			if s >= 13 && s < 33 {
				return 480
			}
			return 1900
		}, adaption{3, 8, 0}},
		"never follows": {func(float64) float64 { return 1000 }, adaption{never, never, 0}},
		"passes by is not there": {func(s float64) float64 {
			if s >= 10 && s < 25 {
				return max(100, 1900-400*(s-10))
			}
			return 1900
		}, adaption{never, 0, 0}},
		"too high for 4 s behind it": {func(s float64) float64 {
			switch {
			case s >= 14 && s < 18.1:
				return 700
			case s >= 10 && s < 25:
				return 480
			}
			return 1900
		}, adaption{0, 0, 4}},
		"too high before it knew the rate": {func(s float64) float64 {
			switch {
			case s < 4:
				return 9000
			case s >= 10 && s < 25:
				return 480
			}
			return 1900
		}, adaption{0, 0, 0}},
	} {
		got := adapts(estimates(c.of))
		if math.Abs(got.Down-c.want.Down) > 0.01 || math.Abs(got.Back-c.want.Back) > 0.01 || math.Abs(got.Over-c.want.Over) > 0.01 {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestGapsOfRebindings(t *testing.T) {
	epoch := time.UnixMilli(1_700_000_000_000)
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	down := []Record{
		{At: at(0), Kind: RTP, Port: 5}, {At: at(990), Kind: RTP, Port: 5},
		{At: at(2100), Kind: STUN, Port: 6}, {At: at(2160), Kind: RTP, Port: 6}, {At: at(2180), Kind: RTP, Port: 6},
	}
	up := []Record{{At: at(500), Kind: STUN, Type: 1, Port: 5}, {At: at(2050), Kind: STUN, Type: 1, Port: 6}, {At: at(2055), Kind: STUN, Type: 1, Port: 6}}
	shown := []float64{millis(at(950)), millis(at(1100)), millis(at(2300))}
	got := gaps(up, down, shown, []time.Time{at(1000), at(9000)}, 50*time.Millisecond)
	want := []gap{{1.17, 0.06, 1.3}, {never, never, never}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, g := range got {
		w := want[i]
		if math.Abs(g.Silence-w.Silence)+math.Abs(g.Answer-w.Answer)+math.Abs(g.Picture-w.Picture) > 0.002 {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}
