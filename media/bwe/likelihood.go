package bwe

import "math"

// window is the last observations, weighted, and the second model of lossBound for one limit:
// at a rate above it, of what is sent the share limit/rate gets past the limit, and of that again
// what is not always lost. Without a limit it is the first model.
//
// With p always lost, what arrives of an observation has the probability (1-p)*past, so that the
// likelihood needs only sums over what arrived, and a loop over what was lost above the limit.
type window struct {
	n          int
	rates      [observations]float64
	arrivals   [observations]float64 // packets, by weight
	losses     [observations]float64
	kept, gone float64 // their sums

	above int                   // observations above the limit that lost something:
	past  [observations]float64 // the share that gets past the limit,
	lost  [observations]float64 // and what was lost
	below float64               // what was lost in the others
	fixed float64               // the part of the likelihood that does not depend on p
}

// load takes the last n observations.
func (w *window) load(l *lossBound, n int) {
	w.n, w.kept, w.gone = n, 0, 0
	weight := 1.0
	for i := range n {
		o := l.back(i)
		w.rates[i] = float64(o.rate)
		w.losses[i] = weight * float64(o.lost)
		w.arrivals[i] = weight * (float64(o.packets) - float64(o.lost))
		w.gone += w.losses[i]
		w.kept += w.arrivals[i]
		weight *= observationWeight
	}
	w.limit(math.Inf(1))
}

// limit sets the limit in bit/s.
func (w *window) limit(b float64) {
	w.above, w.below, w.fixed = 0, 0, 0
	for i := range w.n {
		if w.rates[i] <= b {
			w.below += w.losses[i]
			continue
		}
		past := b / w.rates[i]
		w.fixed += w.arrivals[i] * math.Log(past)
		if w.losses[i] > 0 {
			w.past[w.above], w.lost[w.above] = past, w.losses[i]
			w.above++
		}
	}
}

// likelihood is the logarithm of it, with p always lost; 0 < p < 1.
func (w *window) likelihood(p float64) float64 {
	sum := w.fixed + w.kept*math.Log1p(-p) + w.below*math.Log(p)
	for i := range w.above {
		sum += w.lost[i] * math.Log(1-(1-p)*w.past[i])
	}
	return sum
}

// solve returns the share always lost, at most so much, that makes it greatest. It is concave.
func (w *window) solve(most float64) float64 {
	low, high := inherentTiny, most
	for range 6 {
		p := (low + high) / 2
		slope := w.below/p - w.kept/(1-p)
		for i := range w.above {
			slope += w.lost[i] * w.past[i] / (1 - (1-p)*w.past[i])
		}
		if slope > 0 {
			low = p
		} else {
			high = p
		}
	}
	return (low + high) / 2
}

// arrived is the mean rate that arrived where at least such a share was lost; 0: nowhere.
func (w *window) arrived(share float64) float64 {
	var sum, weights float64
	for i := range w.n {
		all := w.arrivals[i] + w.losses[i]
		if w.losses[i] > 0 && w.losses[i] >= share*all {
			sum += w.rates[i] * w.arrivals[i]
			weights += all
		}
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}
