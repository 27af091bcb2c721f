package bwe

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// What time decides.
const (
	// restartAfter is how long without feedback the delay is measured afresh.
	restartAfter = 2 * time.Second

	// missingAfter is how long, and two round trips, feedback on what is sent may take. Then
	// the target goes down by missingDrop every missingStep.
	missingAfter = 1500 * time.Millisecond
	missingStep  = time.Second
	missingDrop  = 0.8

	// reportAfter is how long without feedback receiver reports count instead. Their loss is
	// judged as in draft-ietf-rmcat-gcc-02 section 6.
	reportAfter = 5 * time.Second
	reportHigh  = 26 // of 256: 10 %
	reportLow   = 5  // 2 %
	reportRamp  = 1.05

	// rembValid is how long a receiver estimated maximum bitrate holds.
	rembValid = 5 * time.Second

	// overflowed is what is left of what a link takes whose queue overflows, so that it drains.
	overflowed = 0.9

	// passing is what is believed at once of a rate that arrives without loss or a queue.
	passing = 0.9

	// aboveBound is how many times the bound by loss the estimate by delay may be.
	aboveBound = 1.5

	// congestedTime is how long a path is congested for after its queue was seen to overflow, or
	// to stand, if it overflowed just before.
	congestedTime = time.Second

	// planEvery is how often probes are thought of without feedback.
	planEvery = time.Second

	rttMost   = 10 * time.Second
	rttWeight = 0.25
)

// Feedback takes a feedback message, of which t has not been iterated yet. What it says about
// packets that are unknown, reported before or older than what is remembered is ignored, and all
// of it if there are more than MaxStatuses. Whoever calls it asks Allow first.
func (e *Estimator) Feedback(now mono.Time, t *rtcp.TWCC) {
	e.feedbacks++
	if e.heard == mono.Never || now.Sub(e.heard) > restartAfter {
		e.restart()
	}
	resumed := e.heard != mono.Never && e.missing(now)
	arrived, news := e.read(now, t)
	if arrived {
		e.heard = now
		e.waiting = mono.Never
		if resumed {
			e.prober.dropped = now
		}
	}
	e.flow(now)
	if !news {
		return
	}
	e.loss.update(now, e.aimd.rate, e.trend.queued())
	e.control(now)
	e.plan(now)
}

// Report takes a reception report of the receiver: the fraction lost (RFC 3550 section 6.4.1)
// and the round trip that it gave, 0 if none. It counts only while there is no feedback.
func (e *Estimator) Report(now mono.Time, loss uint8, rtt time.Duration) {
	if e.heard != mono.Never && now.Sub(e.heard) < reportAfter {
		return
	}
	e.said = loss
	if rtt > 0 {
		e.measureRTT(rtt)
	}
	e.flow(now)
	switch {
	case now.Sub(e.reduced) < missingStep:
		return
	case loss > reportHigh:
		e.aimd.rate *= 1 - 0.5*float64(loss)/256
	case loss < reportLow && !e.limited.is && e.waiting != mono.Never:
		e.aimd.rate *= reportRamp
	default:
		return
	}
	e.reduced = now
	e.settle(now)
}

// REMB takes a receiver estimated maximum bitrate, which bounds the target for a few seconds
// (draft-alvestrand-rmcat-remb-03).
func (e *Estimator) REMB(now mono.Time, bitrate uint64) {
	e.remb = float64(min(max(bitrate, e.cfg.Min), e.cfg.Max))
	e.rembEnds = now.Add(rembValid)
	e.settle(now)
}

// restart measures the delay and the rate of arrival afresh.
func (e *Estimator) restart() {
	e.grouping = grouping{}
	e.trend.reset()
	e.acked.reset()
}

// read takes the statuses. It reports whether packets arrived that were not known to have, and
// whether it learnt anything.
func (e *Estimator) read(now mono.Time, t *rtcp.TWCC) (arrived, news bool) {
	known := e.history.known(t)
	if known == 0 {
		return false, false
	}
	offset := e.clock.offset(t.ReferenceTime)
	var newest mono.Time
	for range known {
		s, ok := t.Next()
		if !ok {
			break
		}
		p := e.history.find(s.Seq)
		if p == nil || p.fate == received || p.fate == lost && !s.Received {
			continue
		}
		sent := p.sent(now)
		if int16(s.Seq+1-e.history.reported) > 0 {
			e.history.reported = s.Seq + 1
		}
		at := instant(s.Arrival + offset)
		if p.fate == lost {
			e.loss.late(int(p.size))
			e.prober.late(p.cluster)
			e.lost--
		} else {
			e.loss.reported(sent, int(p.size), s.Received)
		}
		e.prober.reported(p.cluster, sent, at, int(p.size), s.Received)
		news = true
		if !s.Received {
			p.fate = lost
			e.lost++
			continue
		}
		p.fate = received
		arrived = true
		newest = max(newest, sent)
		e.arrived(now, sent, at, p)
	}
	if arrived {
		e.measureRTT(now.Sub(newest))
	}
	return arrived, news
}

// arrived takes a packet that was received. Probes do not count for the delay: the queue that
// they make is meant.
func (e *Estimator) arrived(now, sent mono.Time, at instant, p *entry) {
	e.acked.add(at, int(p.size))
	if p.cluster != 0 {
		return
	}
	first := time.Duration(0)
	if e.trend.n == 0 {
		first = e.grouping.before.own()
	}
	apart, arrivedApart, group, complete, jumped := e.grouping.add(now, sent, at)
	switch {
	case jumped:
		e.restart()
	case complete:
		e.trend.update(apart, arrivedApart, group, e.grouping.before.own(), first)
	}
}

func (e *Estimator) measureRTT(d time.Duration) {
	d = min(max(d, 0), rttMost)
	if e.rtt == 0 {
		e.rtt = d
		return
	}
	e.rtt += time.Duration(rttWeight * float64(d-e.rtt))
}

// flow tells the detector of the application-limited region what was sent.
func (e *Estimator) flow(now mono.Time) {
	was := e.limited.is
	e.limited.update(now, e.bytes, e.target)
	e.bytes = 0
	if was && !e.limited.is {
		e.acked.expectChange()
	}
}

// control moves the target.
func (e *Estimator) control(now mono.Time) {
	before, was := e.target, e.aimd.rate
	m := measured{
		state:   e.trend.state,
		acked:   e.acked.rate() / (1 - e.loss.inherent),
		arrives: e.acked.rate() / (1 - e.loss.always()),
		limited: e.limited.is,
		lossy:   e.loss.average > lossNoticed,
		losing:  e.loss.average > e.loss.inherent+lossNoticed,
		rtt:     e.rtt,
	}
	if e.trend.queued() {
		if m.losing || e.Congested(now) {
			e.full = now
		}
	} else {
		m.passes = passing * min(e.loss.passes(), e.acked.rate())
		e.loss.allow(m.passes)
	}
	if e.loss.bound != 0 {
		// Where the bound goes without anything having been found above it, not much is risked.
		e.aimd.rate = min(e.aimd.rate, aboveBound*e.loss.bound)
	}
	if over := e.loss.overflow; over != 0 {
		// Without a bound that stays: when the queue is gone the delay tells of the next.
		e.aimd.rate = min(e.aimd.rate, overflowed*max(over, e.acked.rate()))
	}
	rate, probed, full := e.prober.result(e.history.reported)
	if e.aimd.step(now, m) {
		e.prober.overused = true
		e.prober.pending = [clusterCapacity]float64{}
		if now.Sub(e.prober.dropped) > dropSoon {
			e.prober.from = before
		}
	}
	if e.aimd.rate < was {
		e.lowered = now
	}
	if now.Sub(e.lowered) > drainTime && m.losing && m.state == Normal && e.trend.queued() {
		// The queue stays full: more goes on being sent, and what arrives is what the link takes.
		e.aimd.rate = max(e.aimd.rate, overflowed*min(e.loss.arrives(), e.acked.rate()))
	}
	if rate > 0 {
		e.probed(now, rate/(1-e.loss.always()), probed, full)
	}
	e.settle(now)
	if e.target < before {
		e.prober.dropped = now
	}
}

// probed takes the result of a probe. It never lowers the target: that is what the delay is for.
func (e *Estimator) probed(now mono.Time, rate, probed float64, full bool) {
	e.prober.found++
	if e.trend.state == Overuse {
		return
	}
	high := min(probeWanted*e.prober.wanted, float64(e.cfg.Max))
	if e.trend.queued() {
		// Into a queue that is there anyway a burst gets more than its share.
		high = min(high, beyondAcked*e.acked.rate())
	} else {
		e.aimd.fill(now, rate, full)
	}
	if rate = min(rate, high); rate > e.aimd.rate || rate > e.target {
		e.aimd.learn(now, rate)
		e.loss.refute(now, rate)
	}
	if rate >= probeAlmost*probed {
		if e.loss.wary(now) || !e.limited.is && e.prober.overused {
			// When there was time for loss and delay to show: on a path shared with others a
			// probe may have found a gap that was theirs.
			e.prober.retry = true
			return
		}
		e.prober.lastAt = now
		e.prober.plan(e.aimd.rate, float64(e.cfg.Max), probeFurther*rate)
	}
}

// settle makes the target of all that bounds it.
func (e *Estimator) settle(now mono.Time) {
	low, high := float64(e.cfg.Min), float64(e.cfg.Max)
	e.aimd.rate = min(max(e.aimd.rate, low), high)
	target := e.loss.cap(e.aimd.rate)
	if e.remb != 0 {
		if e.rembEnds.Due(now) {
			e.remb = 0
		} else {
			target = min(target, e.remb)
		}
	}
	e.target = min(max(target, low), high)
}

// Congested reports whether what is lost is lost because more is sent than the path takes: a queue
// overflowed, and stands or stood a moment ago. What is lost whatever the rate makes no congestion.
func (e *Estimator) Congested(now mono.Time) bool {
	return e.full != mono.Never && now.Sub(e.full) < congestedTime
}
