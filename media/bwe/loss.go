package bwe

import (
	"math"
	"time"

	"tsubame/netio/mono"
)

// Loss says less than delay, because there are two kinds of it. A link that is too slow and has
// no queue to speak of (a policer) loses what is above its rate; a radio link loses its share
// whatever the rate. The first is to be answered with a lower rate, the second with
// retransmission, and a lower rate would only hurt.
//
// They are told apart by looking at the last observations (loss at a rate) with two models: that
// a constant share is lost; and that besides, all above a limit is lost. When the second one
// explains the observations much better, the estimate is bounded by its limit. That is an
// experiment, too: if loss goes on as it was at the lower rate, the second model explains nothing
// any more and the bound goes. The models and the likelihood are those of libwebrtc's
// loss_based_bwe_v2.cc; comparing them as hypotheses, instead of following the best candidate
// step by step, is not.
const (
	observations    = 20
	observationTime = 250 * time.Millisecond // of sending, at least
	observationMany = 10                     // packets in it, at least,
	observationMost = time.Second            // unless it is as long as that

	observationWeight = 0.9 // of each observation, as compared with the one after it

	// inherentMost is the share that may be always lost. What is more has to do with the
	// rate, or is a path on which less should be sent anyway.
	inherentMost = 0.3
	inherentTiny = 0.001

	// evidence is how much better the second model has to be, in units of log-likelihood.
	// Chance alone gives 7 once in a thousand windows; losses that come in bursts of three
	// or four give the rest.
	evidence = 10.0

	// lossNoticed is the loss from which on the estimate does not run ahead of what arrives.
	lossNoticed = 0.03

	// The bound is a little below the limit that was found, stays there for a while (the
	// longer the more often it was found), and then rises until there is loss again.
	belowLimit   = 0.95
	holdFirst    = 2 * time.Second
	holdMost     = 16 * time.Second
	boundRamp    = 1.08 // a second
	doubtAfter   = 4    // observations with loss below it, after which it is given up
	boundNear    = 1.02 // a second, up to the last limit
	boundDone    = 1.5  // times the last limit: it is not there any more
	limitForgets = 30 * time.Second
)

// observation is what became of the packets of about a quarter of a second.
type observation struct {
	rate    float32 // bit/s that was sent
	packets uint16
	lost    uint16
}

// share is how much was lost.
func (o observation) share() float64 { return float64(o.lost) / float64(o.packets) }

// lossBound is the bound by loss.
type lossBound struct {
	seen [observations]observation // a ring, at is the next one
	at   uint8
	n    uint8

	// the observation that is being made
	packets, lost int
	bytes         int
	from, to      mono.Time // first and last sending

	average  float64 // share lost lately
	inherent float64 // the part of it that does not depend on the rate

	bound   float64   // bit/s; 0: none
	limit   float64   // bit/s that were found last; 0: none
	limitAt mono.Time // when,
	rising  mono.Time // and until when the bound stays; then when it was raised last
	holding time.Duration
}

// sent counts a packet whose fate has become known.
func (l *lossBound) reported(sent mono.Time, size int, arrived bool) {
	if l.packets == 0 {
		l.from, l.to = sent, sent
	}
	l.from, l.to = min(l.from, sent), max(l.to, sent)
	l.packets++
	l.bytes += size
	if !arrived {
		l.lost++
	}
}

// late takes back that a packet was lost.
func (l *lossBound) late() {
	if l.lost > 0 {
		l.lost--
		return
	}
	if o := &l.seen[(l.at+observations-1)%observations]; l.n > 0 && o.lost > 0 {
		o.lost--
	}
}

// close ends the observation if it is long enough.
func (l *lossBound) close() bool {
	took := l.to.Sub(l.from)
	if took < observationTime || l.packets < observationMany && took < observationMost {
		return false
	}
	l.seen[l.at] = observation{
		rate:    float32(float64(l.bytes) * 8 / took.Seconds()),
		packets: uint16(min(l.packets, math.MaxUint16)),
		lost:    uint16(min(l.lost, math.MaxUint16)),
	}
	l.at = (l.at + 1) % observations
	l.n = min(l.n+1, observations)
	l.packets, l.lost, l.bytes = 0, 0, 0
	return true
}

// back returns the observation i before the newest one.
func (l *lossBound) back(i int) observation {
	return l.seen[(int(l.at)+2*observations-1-i)%observations]
}

// update looks at the observations, if there is a new one, and moves the bound. target is what
// the estimate would be without it.
func (l *lossBound) update(now mono.Time, target float64) {
	if l.close() {
		l.judge(now, target)
	}
	l.rise(now, target)
}

// judge compares the two models.
func (l *lossBound) judge(now mono.Time, target float64) {
	var packets, gone, weight = 0.0, 0.0, 1.0
	for i := range int(l.n) {
		o := l.back(i)
		packets += weight * float64(o.packets)
		gone += weight * float64(o.lost)
		weight *= observationWeight
	}
	l.average = gone / max(packets, 1)
	constant := l.likelihood(math.Inf(1), clampShare(l.average))
	limit, share, best := l.best()
	if limit == 0 || best-constant < evidence {
		l.inherent = min(l.average, inherentMost)
		if best-constant < evidence/2 {
			l.doubt()
		}
		return
	}
	l.inherent = share
	if l.bound != 0 && l.bound <= limit*belowLimit && l.back(0).rate > float32(1.1*l.bound) {
		return // not what we sent, but what is in the window of before
	}
	l.found(now, limit, target)
}

// doubt gives the bound up if as much is lost below it.
func (l *lossBound) doubt() {
	if l.bound == 0 || l.n < doubtAfter {
		return
	}
	for i := range doubtAfter {
		if o := l.back(i); float64(o.rate) > l.limit || o.share() < lossNoticed {
			return
		}
	}
	l.bound, l.limit = 0, 0
}

// best returns the limit and the share always lost that explain the observations best, of the
// limits that are near to what arrived while more than usual was lost.
func (l *lossBound) best() (limit, share, likelihood float64) {
	var arrived, weights, weight = 0.0, 0.0, 1.0
	for i := range int(l.n) {
		o := l.back(i)
		if lost := o.share(); lost > 0 && lost >= l.average {
			w := weight * float64(o.packets)
			arrived += w * float64(o.rate) * (1 - lost)
			weights += w
		}
		weight *= observationWeight
	}
	if weights == 0 {
		return 0, 0, 0
	}
	arrived /= weights
	likelihood = math.Inf(-1)
	for _, factor := range [...]float64{0.85, 0.93, 1, 1.08, 1.16} {
		b := arrived * factor
		p := l.solve(b)
		if at := l.likelihood(b, p); at > likelihood {
			limit, share, likelihood = b, p, at
		}
	}
	return limit, share, likelihood
}

// probability is the share lost at a rate by the second model.
func probability(rate, limit, share float64) float64 {
	p := share
	if rate > limit {
		p += (1 - share) * (rate - limit) / rate
	}
	return min(max(p, 1e-4), 1-1e-4)
}

func (l *lossBound) likelihood(limit, share float64) float64 {
	var sum, weight = 0.0, 1.0
	for i := range int(l.n) {
		o := l.back(i)
		p := probability(float64(o.rate), limit, share)
		sum += weight * (float64(o.lost)*math.Log(p) + (float64(o.packets)-float64(o.lost))*math.Log1p(-p))
		weight *= observationWeight
	}
	return sum
}

// solve returns the share always lost that fits a limit best. The likelihood is concave in it.
func (l *lossBound) solve(limit float64) float64 {
	low, high := inherentTiny, inherentMost
	for range 7 {
		middle := (low + high) / 2
		var slope, weight = 0.0, 1.0
		for i := range int(l.n) {
			o := l.back(i)
			p := probability(float64(o.rate), limit, middle)
			// of the probability by the share, without the factor that only scales it
			by := min(limit/max(float64(o.rate), 1), 1)
			slope += weight * by * (float64(o.lost)/p - (float64(o.packets)-float64(o.lost))/(1-p))
			weight *= observationWeight
		}
		if slope > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

func clampShare(p float64) float64 { return min(max(p, inherentTiny), inherentMost) }

// found takes a limit.
func (l *lossBound) found(now mono.Time, limit, target float64) {
	bound := limit * belowLimit / (1 - l.inherent)
	if bound >= target {
		return
	}
	if l.bound != 0 && bound >= l.bound {
		return
	}
	if l.limit == 0 || now.Sub(l.limitAt) > limitForgets {
		l.holding = holdFirst
	} else if now.Sub(l.limitAt) > time.Second { // not the same event
		l.holding = min(2*l.holding, holdMost)
	}
	l.bound, l.limit, l.limitAt = bound, limit/(1-l.inherent), now
	l.rising = now.Add(l.holding)
}

// rise raises the bound after it was kept for long enough, and gives it up when it is far above
// what was found to be the limit.
func (l *lossBound) rise(now mono.Time, target float64) {
	if l.bound == 0 || now <= l.rising {
		return
	}
	took := min(now.Sub(l.rising), stepMost).Seconds()
	l.rising = now
	if l.average > l.inherent+lossNoticed {
		return
	}
	ramp := boundRamp
	if l.bound < l.limit {
		ramp = boundNear
	}
	l.bound = min(l.bound*math.Pow(ramp, took), max(target, l.bound))
	if l.bound > boundDone*l.limit {
		l.bound = 0
	}
}

// cap bounds a rate.
func (l *lossBound) cap(rate float64) float64 {
	if l.bound != 0 && l.bound < rate {
		return l.bound
	}
	return rate
}

// forget begins again, with another path maybe.
func (l *lossBound) forget() { *l = lossBound{} }
