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
	observations    = 32
	observationTime = 250 * time.Millisecond // of sending, at least
	observationMany = 10                     // packets in it, at least,
	observationMost = time.Second            // unless it is as long as that

	observationsShort = 8

	observationWeight = 0.96 // of each observation, as compared with the one after it
	averageWeight     = 0.9  // the same for what counts as lost lately

	// inherentMost is the share that may be always lost. What is more has to do with the
	// rate, or is a path on which less should be sent anyway.
	inherentMost = 0.3
	inherentTiny = 0.001
	inherentStep = 0.1 // of the difference, that it rises by with each observation

	// evidence is how much better the second model has to be, in units of log-likelihood.
	// Independent losses would hardly ever give a third of it by chance (twice it is about a
	// chi-squared variable), but losses come in bursts. Less is enough for a limit that was
	// found before.
	evidence      = 10.0
	evidenceAgain = 4.0

	// lossNoticed is the loss from which on the estimate does not run ahead of what arrives.
	lossNoticed = 0.03

	// clearAfter is after how many observations without loss what was lost before them is over.
	clearAfter = 3

	// The bound is a little below the limit that was found, stays there for a while (the
	// longer the more often it was found), and then rises until there is loss again.
	belowLimit   = 0.90
	holdFirst    = 2 * time.Second
	holdMost     = 8 * time.Second
	boundRamp    = 1.08 // a second
	boundNear    = 1.01 // a second, up to the last limit
	boundDone    = 1.5  // times the last limit: it is not there any more
	limitForgets = 30 * time.Second

	// Meanwhile a probe that finds refutes times the limit does away with the bound. A policer
	// lets a short one pass: if the limit is found again within refuteFails, the next probe
	// has to wait, the longer the more often it was so.
	holdProbe   = 4 * time.Second
	refutes     = 1.25
	refuteFails = 5 * time.Second
	refuteWait  = 15 * time.Second
	refuteMost  = 60 * time.Second

	// Loss in the last trialAfter observations, or in more, that is trialLoss above what was
	// confirmed, and not by chance (so many deviations), is answered with the experiment at
	// once: what arrives is the limit. If in doubtAfter observations below the limit nearly
	// as much is lost, it was no limit.
	trialAfter  = 3
	trialLoss   = 0.08
	trialAgain  = 0.05 // the same where a limit is known
	trialChance = 2.0
	trialEvery  = 10 * time.Second
	doubtAfter  = 4
	doubtShare  = 0.7 // of what was lost when it was found
	// A limit that was found too high is corrected after so many.
	correctAfter = 6
	doubtAbove   = 1.05 // times the limit is not below it,
	doubtBelow   = 0.6  // and so little is far below
)

// observation is what became of the packets of about a quarter of a second. Of a full queue small
// packets find room more often than large ones: beside video, the share of packets that are lost
// is less than that of the rate. So lost is the packets that the bytes lost would be, if all were
// of one size.
type observation struct {
	rate    float32 // bit/s that was sent
	packets uint16
	lost    uint16
}

// lossBound is the bound by loss.
type lossBound struct {
	seen [observations]observation // a ring, at is the next one
	at   uint8
	n    uint8

	// the observation that is being made
	packets, lost int
	bytes, gone   int       // of them
	from, to      mono.Time // first and last sending

	average   float64 // share lost lately
	inherent  float64 // the part of it that does not seem to depend on the rate
	confirmed float64 // the part of it that an experiment showed not to

	overflow float64   // bit/s at which a queue overflows, as just found; 0: none
	bound    float64   // bit/s; 0: none
	limit    float64   // bit/s that were found last; 0: none
	limitAt  mono.Time // when,
	rising   mono.Time // and until when the bound stays; then when it was raised last
	holding  time.Duration

	probeFrom mono.Time     // when the bound may be probed
	refuted   mono.Time     // when a probe did away with it
	wait      time.Duration // until the next one may, because the last one was wrong

	after     uint8     // observations since the limit was found
	tried     mono.Time // when the last experiment began
	limitLoss float64   // what was lost when the limit was found
}

// reported counts a packet whose fate has become known.
func (l *lossBound) reported(sent mono.Time, size int, arrived bool) {
	if l.packets == 0 {
		l.from, l.to = sent, sent
	}
	l.from, l.to = min(l.from, sent), max(l.to, sent)
	l.packets++
	l.bytes += size
	if !arrived {
		l.lost++
		l.gone += size
	}
}

// late takes back that a packet was lost.
func (l *lossBound) late(size int) {
	if l.lost > 0 {
		l.lost--
		l.gone = max(l.gone-size, 0)
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
	lost := l.lost
	if l.bytes > 0 {
		lost = (l.packets*l.gone + l.bytes/2) / l.bytes
	}
	l.seen[l.at] = observation{
		rate:    float32(float64(l.bytes) * 8 / took.Seconds()),
		packets: uint16(min(l.packets, math.MaxUint16)),
		lost:    uint16(min(lost, math.MaxUint16)),
	}
	l.at = (l.at + 1) % observations
	l.n = min(l.n+1, observations)
	l.packets, l.lost, l.bytes, l.gone = 0, 0, 0, 0
	return true
}

// back returns the observation i before the newest one.
func (l *lossBound) back(i int) observation {
	return l.seen[(int(l.at)+2*observations-1-i)%observations]
}

// update looks at the observations, if there is a new one, and moves the bound. target is what
// the estimate would be without it; queued says that packets wait on the path, so that loss which
// has not always been there is that of a full queue.
func (l *lossBound) update(now mono.Time, target float64, queued bool) {
	l.overflow = 0
	if l.close() {
		l.judge(now, target, queued)
	}
	l.rise(now, target)
}

// judge compares the two models.
func (l *lossBound) judge(now mono.Time, target float64, queued bool) {
	l.average = l.mean()
	l.after = min(l.after+1, observations)
	most := inherentMost
	if queued {
		most = min(l.confirmed+lossNoticed, inherentMost)
	}
	limit, share, better := 0.0, 0.0, 0.0
	lost, _, _ := l.lately(min(int(l.n), trialAfter))
	if lost > lossNoticed { // nothing is found for less, and comparing is dear
		limit, share, better = l.compare(most)
	}
	enough := evidence
	if l.wary(now) {
		enough = evidenceAgain
	}
	switch {
	case better >= enough:
		l.inherent = share
		// For what is being lost, not for what was lost before the rate was lower.
		if lost > share+lossNoticed && (l.bound == 0 || limit*belowLimit < l.bound) {
			l.found(now, limit, target, queued)
		}
		return
	case better < enough/2 && !queued:
		l.doubt()
	}
	switch {
	case l.average < l.inherent:
		l.inherent = l.average
		l.confirmed = min(l.confirmed, l.average+lossNoticed)
	case !queued:
		l.inherent = min(l.inherent+inherentStep*(l.average-l.inherent), inherentMost)
	}
	l.try(now, target, queued)
}

// mean is the share lost lately.
func (l *lossBound) mean() float64 {
	var packets, gone, weight = 0.0, 0.0, 1.0
	for i := range int(l.n) {
		o := l.back(i)
		packets += weight * float64(o.packets)
		gone += weight * float64(o.lost)
		weight *= averageWeight
	}
	return gone / max(packets, 1)
}

// compare returns the limit and the share always lost of the second model, and how much better it
// is than the first, if at most so much may be always lost. A path that has changed is not
// explained by one limit; then the last observations alone may be.
func (l *lossBound) compare(most float64) (limit, share, better float64) {
	var w window
	for _, n := range [...]int{int(l.n), min(int(l.n), observationsShort)} {
		w.load(l, n)
		arrived := w.arrived(l.average) / (1 - l.inherent) // as it was sent
		if arrived == 0 {
			continue
		}
		p := min(max(w.gone/(w.gone+w.kept), inherentTiny), most)
		constant := w.likelihood(p)
		for _, factor := range [...]float64{0.9, 1, 1.1} {
			b := arrived * factor
			w.limit(b)
			p := w.solve(min(l.confirmed+lossNoticed, inherentMost))
			if gain := w.likelihood(p) - constant; gain > better {
				limit, share, better = b, p, gain
			}
		}
	}
	return limit, share, better
}

// passes is the rate that arrived of what was sent lately if no more was lost than always is;
// 0: more was, or it is not known.
func (l *lossBound) passes() float64 {
	if l.n < clearAfter {
		return 0
	}
	share, rate, _ := l.lately(clearAfter)
	if share > l.inherent+lossNoticed {
		return 0
	}
	return rate * (1 - share)
}

// arrives is the rate that arrived lately of what lost much; 0: little was lost.
func (l *lossBound) arrives() float64 {
	if l.n < clearAfter {
		return 0
	}
	share, rate, _ := l.lately(clearAfter)
	if share < l.inherent+trialLoss {
		return 0
	}
	return rate * (1 - share)
}

// always is the share that is always lost, or less if less was lost lately: what a full queue lost
// is taken for it for some seconds after the queue has gone.
func (l *lossBound) always() float64 {
	if l.n < clearAfter {
		return l.inherent
	}
	share, _, _ := l.lately(clearAfter)
	return min(l.inherent, share)
}

// allow raises the bound to a rate that passes.
func (l *lossBound) allow(rate float64) {
	if l.bound != 0 && rate > l.bound {
		l.bound, l.limit = rate, max(l.limit, rate)
	}
}

// lately is the share lost, the rate and the number of packets of the last observations.
func (l *lossBound) lately(n int) (share, rate, packets float64) {
	var gone float64
	for i := range n {
		o := l.back(i)
		packets += float64(o.packets)
		gone += float64(o.lost)
		rate += float64(o.rate) / float64(n)
	}
	return gone / max(packets, 1), rate, packets
}

// try begins an experiment if much more is lost than was confirmed: what arrives is made the
// bound. Less is enough if a limit was near anyway.
func (l *lossBound) try(now mono.Time, target float64, queued bool) {
	more := trialLoss
	if l.wary(now) {
		more = trialAgain
	}
	if l.bound == 0 && l.tried != mono.Never && now.Sub(l.tried) < trialEvery || l.bound != 0 && l.after < correctAfter {
		return
	}
	if queued && now.Sub(l.tried) > trialEvery {
		l.confirmed = 0 // on a path without a queue, perhaps
	}
	for _, n := range [...]int{trialAfter, observationsShort} {
		if n > int(l.n) {
			return
		}
		share, rate, packets := l.lately(n)
		chance := trialChance * math.Sqrt(share*(1-share)/max(packets, 1))
		if share < l.confirmed+more || share-chance < l.confirmed+more/2 {
			continue
		}
		if limit := rate * (1 - share); l.bound == 0 || limit*belowLimit < l.bound {
			l.tried = now
			l.found(now, limit, target, queued)
			return
		}
	}
}

// doubt gives the bound up if much is lost below it, too: then it always is.
func (l *lossBound) doubt() {
	if l.bound == 0 || l.after < doubtAfter {
		return
	}
	for i := range doubtAfter {
		if rate := float64(l.back(i).rate); rate > doubtAbove*l.limit || rate < doubtBelow*l.limit {
			return // not what the experiment is about
		}
	}
	if share, _, _ := l.lately(doubtAfter); share > lossNoticed && share > doubtShare*l.limitLoss {
		l.bound, l.limit = 0, 0
		l.confirmed = min(share, inherentMost)
		l.inherent = l.confirmed
	}
}

// found takes a limit.
func (l *lossBound) found(now mono.Time, limit, target float64, queued bool) {
	if queued {
		l.overflow = limit
		return
	}
	bound := limit * belowLimit
	if bound >= target {
		return
	}
	if l.limit == 0 || now.Sub(l.limitAt) > limitForgets {
		l.holding = holdFirst
	} else if now.Sub(l.limitAt) > time.Second { // not the same event
		l.holding = min(2*l.holding, holdMost)
	}
	switch {
	case l.refuted != mono.Never && now.Sub(l.refuted) < refuteFails:
		l.wait = min(max(2*l.wait, refuteWait), refuteMost)
	case l.refuted == mono.Never || now.Sub(l.refuted) > limitForgets:
		l.wait = 0
	}
	l.bound, l.limit, l.limitAt, l.after = bound, limit, now, 0
	l.limitLoss, _, _ = l.lately(min(int(l.n), trialAfter))
	l.rising = now.Add(l.holding)
	l.probeFrom = now.Add(max(l.wait, holdProbe))
}

// rise raises the bound after it was kept for long enough, and gives it up when it is far above
// what was found to be the limit.
func (l *lossBound) rise(now mono.Time, target float64) {
	if l.bound == 0 || now <= l.rising {
		return
	}
	if target < l.bound && !l.wary(now) {
		l.bound = 0 // of another time
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

// mayProbe reports whether a probe may show that there is no limit any more.
func (l *lossBound) mayProbe(now mono.Time) bool {
	return l.bound == 0 || now >= l.probeFrom && l.average <= l.inherent+lossNoticed/2
}

// refute gives the bound up for what a probe found above it.
func (l *lossBound) refute(now mono.Time, rate float64) {
	if l.bound != 0 && rate > refutes*l.limit {
		l.bound, l.refuted = 0, now
	}
}

// wary reports whether a limit was found not long ago.
func (l *lossBound) wary(now mono.Time) bool {
	return l.limit != 0 && now.Sub(l.limitAt) < limitForgets
}

// cap bounds a rate.
func (l *lossBound) cap(rate float64) float64 {
	if l.bound != 0 && l.bound < rate {
		return l.bound
	}
	return rate
}
