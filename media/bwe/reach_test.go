package bwe

import (
	"fmt"
	"math"
	"testing"
	"time"

	"tsubame/netio/mono"
)

// seeds is how many there are of every simulation here; a failure names its own. The race
// detector makes them slow.
var seeds = func() uint64 {
	if raceEnabled {
		return 1
	}
	return 6
}()

// course runs a scenario by every seed.
func course(t *testing.T, c scenario, check func(t *testing.T, s trace, e *Estimator)) {
	t.Helper()
	if c.wanted == 0 {
		c.wanted = 2.5e6
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			o := newOurs(Config{}, uint64(c.wanted))
			check(t, c.run(o, seed), o.Estimator)
		})
	}
}

// The reach for a rate that falls to a quarter and comes back, over round trips and queues.
func TestStepDownAndUp(t *testing.T) {
	for _, rtt := range []time.Duration{40 * ms, 100 * ms, 200 * ms, 400 * ms} {
		for _, queue := range []time.Duration{50 * ms, 300 * ms, 1000 * ms, 2000 * ms} {
			p := path{rate: []step{{0, 2e6}, {20 * second, 5e5}, {60 * second, 2e6}}, queue: queue, delay: rtt / 2}
			t.Run(fmt.Sprintf("RTT %v, queue %v", rtt, queue), func(t *testing.T) {
				course(t, scenario{path: p, length: 90 * second}, func(t *testing.T, s trace, _ *Estimator) {
					if d := s.within(20*second, 60*second, 5e5, 0.2); d < 0 || d > 5*second {
						t.Errorf("down in %v", d)
					}
					if d := s.within(60*second, 90*second, 2e6, 0.2); d < 0 || d > 15*second {
						t.Errorf("up in %v", d)
					}
					for _, part := range [][2]time.Duration{{0, 20 * second}, {25 * second, 60 * second}, {60 * second, 90 * second}} {
						if d := s.above(part[0], part[1], 1.2*rateAt(p.rate, part[0])); d > second {
							t.Errorf("%v above by more than 20 %% from %v on", d, part[0])
						}
					}
				})
			})
		}
	}
}

func TestSteadyLinkOfAnyRateIsUsedWithoutAQueue(t *testing.T) {
	for _, rate := range []float64{150e3, 300e3, 1e6, 2e6, 5e6, 20e6, 50e6} {
		t.Run(fmt.Sprintf("%.0f", rate), func(t *testing.T) {
			p := path{rate: []step{{0, rate}}, queue: 500 * ms, delay: 40 * ms}
			course(t, scenario{path: p, wanted: 1.5 * rate, length: 40 * second}, func(t *testing.T, s trace, _ *Estimator) {
				if d := s.within(0, 20*second, rate, 0.2); d < 0 || d > 4*second {
					t.Errorf("there after %v", d)
				}
				if m := s.mean(5*second, 40*second); m < 0.8*rate || m > 1.05*rate {
					t.Errorf("mean %.0f", m)
				}
				// Up to two packets are half of it at the lowest rate.
				if q := s.queue(15*second, 40*second); q > 80*ms+time.Duration(20e3/rate*1e9) {
					t.Errorf("queue %v", q)
				}
			})
		})
	}
}

func TestJitterInOrderDoesNotCollapseTheEstimate(t *testing.T) {
	for _, jitter := range []time.Duration{20 * ms, 50 * ms, 100 * ms} {
		t.Run(jitter.String(), func(t *testing.T) {
			p := path{rate: []step{{0, 2e6}}, queue: 300 * ms, delay: 25 * ms, jitter: jitter}
			course(t, scenario{path: p, length: 60 * second}, func(t *testing.T, s trace, _ *Estimator) {
				if m := s.mean(5*second, 60*second); m < 1.4e6 || m > 2.2e6 {
					t.Errorf("mean %.0f", m)
				}
				if low, _ := s.span(5*second, 60*second); low < 3e5 {
					t.Errorf("fell to %.0f", low)
				}
			})
		})
	}
}

func TestJitterThatReordersDoesNotCollapseTheEstimate(t *testing.T) {
	p := path{rate: []step{{0, 2e6}}, queue: 300 * ms, delay: 25 * ms, jitter: 100 * ms, reorder: true}
	course(t, scenario{path: p, length: 60 * second}, func(t *testing.T, s trace, e *Estimator) {
		if m := s.mean(20*second, 60*second); m < 2.5e5 || m > 2.4e6 {
			t.Errorf("mean %.0f", m)
		}
		if e.loss.average > 0.02 {
			t.Errorf("%.0f %% lost: late packets count as lost", 100*e.loss.average)
		}
	})
}

func TestPolicerIsStayedBelow(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		bucket time.Duration
		lost   float64
	}{
		{1e6, 50 * ms, 0.05}, {1e6, 200 * ms, 0.05}, {3e5, 100 * ms, 0.08}, {3e5, 500 * ms, 0.08}, {3e6, 100 * ms, 0.05},
	} {
		t.Run(fmt.Sprintf("%.0f, %v", c.rate, c.bucket), func(t *testing.T) {
			p := path{police: []step{{0, c.rate}}, bucket: c.bucket, delay: 25 * ms}
			course(t, scenario{path: p, wanted: 5e6, length: 90 * second}, func(t *testing.T, s trace, _ *Estimator) {
				if m := s.mean(15*second, 90*second); m < 0.7*c.rate || m > 1.08*c.rate {
					t.Errorf("mean %.0f", m)
				}
				if lost := s.lost(15*second, 90*second); lost > c.lost {
					t.Errorf("%.1f %% lost", 100*lost)
				}
			})
		})
	}
}

func TestPolicerThatIsLiftedIsNoticed(t *testing.T) {
	p := path{police: []step{{0, 5e5}, {30 * second, 4e6}}, bucket: 50 * ms, delay: 25 * ms}
	course(t, scenario{path: p, length: 120 * second}, func(t *testing.T, s trace, _ *Estimator) {
		if m := s.mean(90*second, 120*second); m < 1.5e6 {
			t.Errorf("mean %.0f a minute later", m)
		}
	})
}

func TestRandomLossDoesNotCollapseTheEstimate(t *testing.T) {
	for _, c := range []struct {
		name string
		path path
		low  float64 // share of what is wanted
	}{
		{"10 %", path{loss: 0.1}, 0.9},
		{"20 %", path{loss: 0.2}, 0.8},
		{"10 % in bursts of 4", path{loss: 0.1, burst: 4}, 0.7},
		{"20 %, and of the feedback", path{loss: 0.2, lostRTC: 0.2}, 0.8},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.path.rate, c.path.queue, c.path.delay = []step{{0, 20e6}}, 300*ms, 50*ms
			course(t, scenario{path: c.path, wanted: 3e6, length: 60 * second}, func(t *testing.T, s trace, _ *Estimator) {
				if m := s.mean(10*second, 60*second); m < c.low*3e6 {
					t.Errorf("mean %.0f", m)
				}
			})
		})
	}
}

func TestRandomLossThatBeginsInTheMiddleCostsAMomentOnly(t *testing.T) {
	l := path{rate: []step{{0, 20e6}}, queue: 300 * ms, delay: 50 * ms}
	for seed := uint64(1); seed <= seeds; seed++ {
		o := newOurs(Config{}, 3e6)
		at := newLink(l, seed)
		f := newFlow(o, at, seed)
		f.demand, f.obeys = []step{{0, 3e6}}, true
		s := simulate(60*second, func(now mono.Time) {
			if now.Sub(simStart) == 20*second {
				at.loss = 0.15
			}
		}, f)
		if m := s.mean(30*second, 60*second); m < 2.5e6 {
			t.Errorf("seed %d: mean %.0f", seed, m)
		}
	}
}

func TestRandomLossHidesNoBottleneck(t *testing.T) {
	p := path{rate: []step{{0, 2e6}}, queue: 300 * ms, delay: 50 * ms, loss: 0.1}
	course(t, scenario{path: p, length: 60 * second}, func(t *testing.T, s trace, _ *Estimator) {
		if m := s.mean(5*second, 60*second); m < 1.5e6 || m > 2.4e6 {
			t.Errorf("mean %.0f", m)
		}
	})
}

// What is sent says nothing about what could be.
func TestLimitedSourceNeitherRaisesNorLowersTheEstimate(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		o := newOurs(Config{Start: 1e6}, 0) // nothing more is wanted: no probes
		l := newLink(path{rate: []step{{0, 50e6}}, queue: 300 * ms, delay: 25 * ms}, seed)
		f := newFlow(o, l, seed)
		f.demand, f.obeys = []step{{0, 2e5}}, true
		s := simulate(60*second, nil, f)
		low, high := s.span(2*second, 60*second)
		if low != high || high > 1.2e6 || low < 0.8e6 {
			t.Errorf("seed %d: from %.0f to %.0f", seed, low, high)
		}
	}
}

func TestLimitedSourceGetsMoreAtOnceWhenItWantsIt(t *testing.T) {
	p := path{rate: []step{{0, 3e6}}, queue: 300 * ms, delay: 25 * ms}
	c := scenario{path: p, demand: []step{{0, 2e5}, {30 * second, 2e6}}, length: 60 * second}
	course(t, c, func(t *testing.T, s trace, _ *Estimator) {
		for _, x := range s {
			if x.at > 31*second && x.sent > 0 && x.target < 1.8e6 {
				t.Fatalf("%.0f at %v", x.target, x.at)
			}
		}
		if q := s.queue(30*second, 60*second); q > 100*ms {
			t.Errorf("queue %v", q)
		}
	})
}

// Nothing obeys the estimate yet: media is sent whatever it says.
func TestSourceThatDoesNotObeyIsEstimatedAllTheSame(t *testing.T) {
	p := path{rate: []step{{0, 1e6}}, queue: 300 * ms, delay: 25 * ms}
	c := scenario{path: p, demand: []step{{0, 2e6}}, free: true, length: 60 * second}
	course(t, c, func(t *testing.T, s trace, _ *Estimator) {
		if m := s.mean(5*second, 60*second); m < 8e5 || m > 1.2e6 {
			t.Errorf("mean %.0f of a link of 1 M", m)
		}
	})
}

func TestTCPBesideItTakesItsShareOnly(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		o := newOurs(Config{}, 4e6)
		l := newLink(path{rate: []step{{0, 4e6}}, queue: 200 * ms, delay: 25 * ms}, seed)
		f := newFlow(o, l, seed)
		f.demand, f.obeys = []step{{0, 4e6}}, true
		other := newTCP(l, 10*second, 60*second)
		s := simulate(90*second, other.drive, f)
		rate := other.bits / 50
		m := s.mean(15*second, 60*second)
		t.Logf("seed %d: estimate %.0f, TCP %.0f", seed, m, rate)
		if m < 8e5 || rate < 1e6 {
			t.Errorf("seed %d: estimate %.0f beside TCP at %.0f", seed, m, rate)
		}
		if low, _ := s.span(15*second, 60*second); low < 2e5 {
			t.Errorf("seed %d: fell to %.0f", seed, low)
		}
		if d := s.within(60*second, 90*second, 4e6, 0.2); d < 0 || d > 15*second {
			t.Errorf("seed %d: back in %v after it", seed, d)
		}
	}
}

func TestTwoOfThemShareALink(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		l := newLink(path{rate: []step{{0, 4e6}}, queue: 300 * ms, delay: 25 * ms}, seed)
		var flows []*flow
		var sums [2]float64
		for i := range 2 {
			f := newFlow(newOurs(Config{}, 4e6), l, seed+uint64(100*i))
			f.demand, f.obeys, f.begins = []step{{0, 4e6}}, true, time.Duration(i)*10*second
			flows = append(flows, f)
		}
		n := 0.0
		simulate(120*second, func(now mono.Time) {
			if now.Sub(simStart) > 40*second {
				n++
				for i, f := range flows {
					sums[i] += f.subject.target()
				}
			}
		}, flows...)
		a, b := sums[0]/n, sums[1]/n
		fair := (a + b) * (a + b) / (2 * (a*a + b*b)) // Jain's index
		t.Logf("seed %d: %.0f and %.0f, index %.2f", seed, a, b, fair)
		if fair < 0.8 || a+b < 3e6 || a+b > 4.6e6 {
			t.Errorf("seed %d: %.0f and %.0f, index %.2f", seed, a, b, fair)
		}
	}
}

// blackout loses everything for a time, in both directions.
func blackout(seed uint64, length time.Duration) trace {
	o := newOurs(Config{}, 2.5e6)
	l := newLink(path{rate: []step{{0, 2e6}}, queue: 300 * ms, delay: 40 * ms}, seed)
	f := newFlow(o, l, seed)
	f.demand, f.obeys = []step{{0, 2.5e6}}, true
	return simulate(60*second, func(now mono.Time) {
		switch now.Sub(simStart) {
		case 20 * second:
			l.loss, l.lostRTC = 1, 1
		case 20*second + length:
			l.loss, l.lostRTC = 0, 0
		}
	}, f)
}

func TestBlackoutLowersTheEstimateAndIsOvercomeSoon(t *testing.T) {
	for seed := uint64(1); seed <= seeds; seed++ {
		s := blackout(seed, 5*second)
		if low, _ := s.span(24*second, 25*second); low > 1.4e6 {
			t.Errorf("seed %d: still %.0f after 5 s without feedback", seed, low)
		}
		if d := s.within(25*second, 60*second, 2e6, 0.2); d < 0 || d > 5*second {
			t.Errorf("seed %d: back in %v", seed, d)
		}
		if d := s.above(25*second, 60*second, 2.4e6); d > second {
			t.Errorf("seed %d: above for %v", seed, d)
		}
	}
}

func TestEstimateStaysWithinItsBounds(t *testing.T) {
	for _, cfg := range []Config{
		{Min: 1e5, Start: 3e5, Max: 4e5},
		{Min: 8e5, Start: 1, Max: 5e6},
		{Min: 1e6, Max: 1}, // the lower bound counts
	} {
		o := newOurs(cfg, math.MaxUint64)
		l := newLink(path{rate: []step{{0, 5e5}}, queue: 100 * ms, delay: 25 * ms}, 1)
		f := newFlow(o, l, 1)
		f.demand, f.obeys = []step{{0, 2e6}}, true
		low, high := simulate(30*second, nil, f).span(0, 30*second)
		if low < float64(cfg.Min) || high > float64(max(cfg.Max, cfg.Min)) {
			t.Errorf("%+v: from %.0f to %.0f", cfg, low, high)
		}
	}
}
