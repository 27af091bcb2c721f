package bwe

import (
	"fmt"
	"math"
	"testing"

	"tsubame/netio/mono"
)

// What a viewer is sent while nothing shapes media by the estimate: video whatever is lost of it,
// sent again on top, and voice, whose small packets fit into a full queue when none of video does.
// The bottleneck counts the headers of UDP and IP, too, which the estimate does not.
func TestStepDownAndUpUnderMediaThatIsNotShaped(t *testing.T) {
	for _, rate := range []float64{1.5e6, 1.8e6} {
		for _, voice := range []bool{false, true} {
			for _, resends := range []bool{false, true} {
				t.Run(fmt.Sprintf("%.1f M, voice %v, sent again %v", rate/1e6, voice, resends), func(t *testing.T) {
					for seed := uint64(1); seed <= seeds; seed++ {
						l := newLink(path{
							rate:  []step{{0, 2e6}, {10 * second, 5e5}, {25 * second, 2e6}},
							queue: 200 * ms, tail: true, wire: 28, delay: 50 * ms,
						}, seed)
						f := newFlow(newOurs(Config{}, uint64(3*rate)), l, seed)
						f.demand, f.voice, f.resends = []step{{0, rate}}, voice, resends
						s := simulate(45*second, nil, f)
						down, up := s.within(10*second, 25*second, 5e5, 0.2), s.within(25*second, 45*second, 2e6, 0.2)
						low, high := s.span(15*second, 25*second)
						t.Logf("seed %d: down in %v, then from %.0f to %.0f, up in %v", seed, down, low, high, up)
						if down < 0 || down > 5*second || low < 4e5 || high > 6e5 {
							t.Errorf("seed %d: down in %v, then from %.0f to %.0f", seed, down, low, high)
						}
						if up < 0 || up > 10*second {
							t.Errorf("seed %d: up in %v", seed, up)
						}
					}
				})
			}
		}
	}
}

// A queue that stays full shows no more overuse, and its loss lets nothing grow.
func TestEstimateThatFellTooFarComesBackUnderAFullQueue(t *testing.T) {
	o := newOurs(Config{}, 4e6)
	l := newLink(path{rate: []step{{0, 2e6}, {10 * second, 5e5}}, queue: 200 * ms, tail: true, wire: 28, delay: 50 * ms}, 1)
	f := newFlow(o, l, 1)
	f.demand, f.voice, f.resends = []step{{0, 1.8e6}}, true, true
	s := simulate(25*second, func(now mono.Time) {
		if t := now.Sub(simStart); t >= 18*second && t < 19*second {
			o.aimd.rate = 2e5
		}
	}, f)
	if low, high := s.span(20*second, 25*second); low < 4e5 || high > 5.2e5 {
		t.Errorf("from %.0f to %.0f", low, high)
	}
}

// Media that takes a little less than the link makes no queue, so that only probes tell where the
// link ends.
func TestEstimateDoesNotGoFarBeyondWhatProbesFound(t *testing.T) {
	for _, before := range []float64{2e6, 20e6} { // an estimate from a link that took more has to go, too
		for _, rate := range []float64{1.3e6, 1.5e6, 1.65e6, 1.75e6} {
			for seed := uint64(1); seed <= seeds; seed++ {
				l := newLink(path{
					rate:  []step{{0, before}, {3 * second, 2e6}, {10 * second, 5e5}, {25 * second, 2e6}},
					queue: 200 * ms, tail: true, wire: 28, delay: 50 * ms,
				}, seed)
				f := newFlow(newOurs(Config{}, uint64(3*rate)), l, seed)
				f.demand, f.voice, f.resends = []step{{0, rate}}, true, true
				s := simulate(60*second, nil, f)
				if d := s.above(25*second, 60*second, 2.4e6); d > second {
					t.Errorf("%.0f, %.2f M, seed %d: above by more than 20 %% for %v", before, rate/1e6, seed, d)
				}
			}
		}
	}
}

func TestWhatAProbeFoundBoundsTheRateUntilMoreIsKnown(t *testing.T) {
	now := simStart
	m := measured{acked: 1.8e6, arrives: 1.8e6}
	raised := func(a *aimd) float64 {
		for range 60 {
			now = now.Add(100 * ms)
			a.phase = increase
			a.step(now, m)
		}
		return a.rate
	}
	a := aimd{rate: 1.8e6, changed: now}
	if a.fill(now, 1.9e6, true); math.Abs(raised(&a)-beyondFull*1.9e6) > 1 {
		t.Errorf("%.0f by a probe that found 1.9 M", a.rate)
	}
	if a.fill(now, 1.5e6, true); math.Abs(raised(&a)-beyondFull*1.9e6) > 1 {
		t.Errorf("%.0f after a probe that found less: it lowers nothing", a.rate)
	}
	if a.fill(now, 2.3e6, false); raised(&a) < 2.6e6 {
		t.Errorf("%.0f after a probe that the path took", a.rate)
	}
	a = aimd{rate: 1.8e6, changed: now}
	a.fill(now, 1.4e6, true)
	m.arrives = 1.8e6 // of which more than a quarter above it arrives
	if raised(&a) < 2.6e6 {
		t.Errorf("%.0f though more arrives", a.rate)
	}
	a = aimd{rate: 1.8e6, changed: now}
	a.fill(now, 1.9e6, true)
	if now = now.Add(fullTime); raised(&a) < 2.6e6 {
		t.Errorf("%.0f long after the probe", a.rate)
	}
}
