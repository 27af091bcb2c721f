package bwe

import (
	"math"
	"testing"
	"time"

	"tsubame/netio/mono"
)

// observe adds observations of 100 packets, a second apart, at a rate and with a share lost.
func observe(l *lossBound, now mono.Time, target, rate, share float64) mono.Time {
	const packets = 100
	size := int(rate / 8 / packets)
	for i := range packets {
		l.reported(now.Add(time.Duration(i)*second/packets), size, float64(i) >= share*packets)
	}
	l.reported(now.Add(second), 0, true)
	now = now.Add(second)
	l.update(now, target, false)
	return now
}

func TestConstantShareIsNotALimit(t *testing.T) {
	var l lossBound
	now := simStart
	for i := range 40 {
		now = observe(&l, now, 5e6, 1e6+float64(i%4)*2e5, 0.05)
		if l.bound != 0 {
			t.Fatalf("bound %.0f after %d observations", l.bound, i+1)
		}
	}
	if math.Abs(l.inherent-0.05) > 0.01 {
		t.Errorf("inherent %.3f", l.inherent)
	}
}

func TestLossAboveARateIsALimit(t *testing.T) {
	var l lossBound
	now := simStart
	for i := range 20 {
		rate := 6e5 + 4e4*float64(i)
		now = observe(&l, now, rate, rate, max(0, (rate-1e6)/rate))
	}
	if l.bound < 0.8e6 || l.bound > 1.05e6 {
		t.Errorf("bound %.0f of a policer at 1e6", l.bound)
	}
	if l.inherent > 0.03 {
		t.Errorf("inherent %.3f", l.inherent)
	}
}

func TestExperimentTellsLossThatIsAlwaysThere(t *testing.T) {
	var l lossBound
	now, rate := simStart, 2e6
	for range 5 {
		now = observe(&l, now, rate, rate, 0)
	}
	tried := false
	for range 12 { // the source obeys; the loss stays
		sent := l.cap(rate)
		tried = tried || sent < rate
		now = observe(&l, now, rate, sent, 0.15)
	}
	if !tried {
		t.Error("no experiment was made")
	}
	if l.bound != 0 || math.Abs(l.confirmed-0.15) > 0.03 {
		t.Errorf("bound %.0f, confirmed %.2f", l.bound, l.confirmed)
	}
}

func TestExperimentTellsALimit(t *testing.T) {
	var l lossBound
	now, rate := simStart, 2e6
	for range 5 {
		now = observe(&l, now, rate, rate, 0)
	}
	for range 12 { // the source obeys; 1.7e6 get through
		sent := l.cap(rate)
		now = observe(&l, now, rate, sent, max(0, (sent-1.7e6)/sent))
	}
	if l.bound == 0 || l.bound > 1.85e6 || l.bound < 1.4e6 {
		t.Errorf("bound %.0f", l.bound)
	}
}

func TestBoundRisesAndGoesWhenNothingIsLostAnyMore(t *testing.T) {
	var l lossBound
	now := simStart
	l.found(now, 1e6, 3e6, false)
	if l.cap(3e6) != belowLimit*1e6 {
		t.Fatalf("bound %.0f", l.bound)
	}
	for range 120 {
		now = observe(&l, now, 3e6, l.cap(3e6), 0)
	}
	if l.bound != 0 {
		t.Errorf("bound %.0f after two minutes without loss", l.bound)
	}
}

// A policer lets short probes pass.
func TestProbeThatWasWrongIsNotRepeatedSoon(t *testing.T) {
	var l lossBound
	now := simStart
	l.found(now, 1e6, 3e6, false)
	now = now.Add(holdProbe)
	if !l.mayProbe(now) {
		t.Fatal("no probe")
	}
	for _, wait := range []int{15, 30, 60, 60} {
		l.refute(now, 2e6)
		if l.bound != 0 {
			t.Fatal("it was not refuted")
		}
		now = now.Add(second)
		l.found(now, 1e6, 3e6, false)
		if got := l.probeFrom.Sub(now); got.Seconds() != float64(wait) {
			t.Errorf("the next probe in %v, want %d s", got, wait)
		}
		now = l.probeFrom
	}
}

func TestLikelihoodIsThatOfTheModel(t *testing.T) {
	var l lossBound
	now := simStart
	rates := []float64{5e5, 8e5, 1.2e6, 2e6}
	for i, rate := range rates {
		now = observe(&l, now, 3e6, rate, 0.05*float64(i))
	}
	for _, limit := range []float64{4e5, 9e5, math.Inf(1)} {
		for _, p := range []float64{0.001, 0.05, 0.29} {
			want, weight := 0.0, 1.0
			for i := range int(l.n) {
				o := l.back(i)
				q := p
				if float64(o.rate) > limit {
					q += (1 - p) * (float64(o.rate) - limit) / float64(o.rate)
				}
				want += weight * (float64(o.lost)*math.Log(q) + float64(o.packets-o.lost)*math.Log(1-q))
				weight *= observationWeight
			}
			var w window
			w.load(&l, int(l.n))
			w.limit(limit)
			if got := w.likelihood(p); math.Abs(got-want) > 1e-6*math.Abs(want) {
				t.Errorf("limit %.0f, share %v: %v, want %v", limit, p, got, want)
			}
		}
	}
}

func TestSolveFindsTheBestShare(t *testing.T) {
	var l lossBound
	now := simStart
	for i := range 10 {
		now = observe(&l, now, 3e6, 1e6+2e5*float64(i), 0.1)
	}
	var w window
	w.load(&l, int(l.n))
	for _, limit := range []float64{math.Inf(1), 2e6} {
		w.limit(limit)
		p := w.solve(inherentMost)
		for _, other := range []float64{p - 0.01, p + 0.01} {
			if other > 0 && other < inherentMost && w.likelihood(other) > w.likelihood(p)+0.05 {
				t.Errorf("limit %.0f: %v is better than %v", limit, other, p)
			}
		}
	}
}
