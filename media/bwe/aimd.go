package bwe

import (
	"math"
	"time"

	"tsubame/netio/mono"
)

// Additive increase and multiplicative decrease, draft-ietf-rmcat-gcc-02 section 5.5, and what
// libwebrtc does about the capacity of the link (aimd_rate_control.cc, link_capacity_estimator.cc).
const (
	backoff     = 0.85
	rampUp      = 1.08   // a second, while the capacity is not known
	rampLeast   = 1000.0 // bit/s for a step
	beyondAcked = 1.5    // the estimate may be that many times what arrives,
	beyondLossy = 1.1    // or that many while packets are lost,
	beyondExtra = 10_000 // and a little more
	// What a probe found that filled the path is known for fullTime, three regular probes. It
	// was less than that if more than fullPassed times of it arrives.
	beyondFull  = 1.15
	fullTime    = 15 * time.Second
	fullPassed  = 1.25
	stepMost    = time.Second
	reduceLeast = 10 * time.Millisecond // between two decreases: a round trip, within these
	reduceMost  = 200 * time.Millisecond
	// What a probe found counts as arriving until what arrives has had time to follow.
	learntTime     = 600 * time.Millisecond
	drains         = 0.95                   // of what arrives: so little lets a queue drain,
	ackedNoise     = 0.12                   // how far what arrives may be below what the link takes
	drainTime      = 2 * time.Second        // which has that much time to show
	reactionTime   = 100 * time.Millisecond // of the detector
	frameRate      = 30                     // of a typical video
	packetBits     = 1200 * 8
	additiveLeast  = 4000.0 // bit/s a second
	capacityWeight = 0.05
	capacityLow    = 0.4 // variance over the mean, in kbit/s
	capacityHigh   = 2.5
)

// capacity is the mean and the deviation of what arrived when the link was overused. It is
// forgotten when what arrives is out of three deviations.
type capacity struct {
	kbps     float64 // 0: not known
	variance float64 // over the mean
}

func (c *capacity) sample(rate float64) {
	kbps := max(rate/1000, 1)
	if c.kbps == 0 {
		*c = capacity{kbps: kbps, variance: capacityLow}
		return
	}
	c.kbps += capacityWeight * (kbps - c.kbps)
	off := c.kbps - kbps
	c.variance += capacityWeight * (off*off/max(c.kbps, 1) - c.variance)
	c.variance = min(max(c.variance, capacityLow), capacityHigh)
}

func (c *capacity) spread() float64 { return 3 * math.Sqrt(c.variance*c.kbps) }

// above and below report whether a rate is out of the known capacity.
func (c *capacity) above(rate float64) bool {
	return c.kbps != 0 && rate/1000 > c.kbps+c.spread()
}

func (c *capacity) below(rate float64) bool {
	return c.kbps != 0 && rate/1000 < c.kbps-c.spread()
}

// phase is what the rate does: section 5.5, figure 2.
type phase uint8

const (
	hold phase = iota
	increase
	decrease
)

// aimd is the estimate by delay.
type aimd struct {
	rate     float64 // bit/s
	capacity capacity
	changed  mono.Time // when the rate was last changed or looked at
	phase    phase
	full     float32   // what a probe found that filled the path; 0: not known
	found    float64   // what a probe found last,
	learnt   mono.Time // and when
	filled   mono.Time // when one filled the path
}

// measured is what a step goes by.
type measured struct {
	state   State
	acked   float64 // bit/s, as it was sent: with what is always lost; 0: not known
	arrives float64 // the same without what is lost no more
	limited bool    // what is sent is far from the target
	lossy   bool
	losing  bool    // more than usual
	passes  float64 // bit/s that are known to pass; 0: none are
	rtt     time.Duration
}

// mayReduce reports whether the last decrease has had time to show.
func (a *aimd) mayReduce(now mono.Time, m measured) bool {
	took := now.Sub(a.changed)
	takes := m.acked
	if known := a.capacity.kbps * 1000; known < takes*(1+ackedNoise) {
		takes = max(takes, known)
	}
	if took < drainTime && a.rate < drains*takes {
		return false // less is sent than the link takes already
	}
	return took >= min(max(m.rtt, reduceLeast), reduceMost) || m.acked != 0 && m.acked < a.rate/2
}

// step moves the rate. It reports whether it was decreased.
func (a *aimd) step(now mono.Time, m measured) (reduced bool) {
	switch {
	case m.state == Overuse:
		if !a.mayReduce(now, m) {
			return false
		}
		return a.reduce(now, m)
	case m.state == Underuse:
		a.phase = hold // the queue drains, and shall
	case a.phase != increase:
		a.phase, a.changed = increase, now
	}
	if a.phase == increase {
		a.raise(now, m)
	}
	return false
}

// reduce goes below what arrives, so that the queue that was built drains.
func (a *aimd) reduce(now mono.Time, m measured) bool {
	was := a.rate
	a.phase, a.changed = hold, now
	if m.acked == 0 {
		a.rate /= 2 // nothing is known yet but that this is too much
		return true
	}
	if now.Sub(a.learnt) < learntTime+m.rtt && a.found > m.acked {
		a.rate = min(a.rate, a.found*backoff)
		a.found = 0 // once
		return a.rate < was
	}
	lower := m.acked * backoff
	if lower > a.rate && a.capacity.kbps != 0 {
		lower = a.capacity.kbps * 1000 * backoff
	}
	a.rate = min(a.rate, lower)
	if a.capacity.below(m.acked) {
		a.capacity = capacity{}
	}
	a.capacity.sample(m.acked)
	return a.rate < was
}

// raise goes up, by steps that the link's capacity makes small where it is known.
func (a *aimd) raise(now mono.Time, m measured) {
	took := min(now.Sub(a.changed), stepMost).Seconds()
	a.changed = now
	if a.capacity.above(m.acked) {
		a.capacity = capacity{}
	}
	// More is sent than was to be, as by a source that is not bound to the estimate.
	a.rate = max(a.rate, m.passes)
	if m.limited || m.losing || m.acked == 0 {
		return // nothing shows that there is more
	}
	limit := beyondAcked*m.acked + beyondExtra
	if m.lossy {
		limit = beyondLossy*m.acked + beyondExtra
	}
	limit = min(limit, a.ceiling(now, m.arrives))
	if a.rate >= limit {
		return
	}
	step := max(a.rate*(math.Pow(rampUp, took)-1), rampLeast)
	if a.capacity.kbps != 0 {
		step = a.additive(m.rtt) * took
	}
	a.rate = min(a.rate+step, limit)
}

// additive is half a packet a response time, in bit/s a second.
func (a *aimd) additive(rtt time.Duration) float64 {
	frame := a.rate / frameRate
	packet := frame / max(math.Ceil(frame/packetBits), 1)
	response := 2 * (rtt + reactionTime).Seconds()
	return max(packet/response, additiveLeast)
}

// fill notes what a probe found: full says that it was sent at more than the path took. That
// holds the rate back where less is sent than the path takes, so that no queue tells.
func (a *aimd) fill(now mono.Time, rate float64, full bool) {
	switch {
	case full:
		a.full, a.filled = float32(rate), now
	case rate > float64(a.full):
		a.full = 0
	}
}

// ceiling is what the rate may be raised to by what is known of the path, while so much arrives.
func (a *aimd) ceiling(now mono.Time, arrives float64) float64 {
	full := float64(a.full)
	if now.Sub(a.filled) > fullTime || arrives > fullPassed*full {
		a.full = 0
	}
	if a.full == 0 {
		return math.Inf(1)
	}
	return beyondFull * max(full, arrives)
}

// learn sets the rate to what a probe found.
func (a *aimd) learn(now mono.Time, rate float64) {
	a.rate, a.changed = rate, now
	a.found, a.learnt = rate, now
	if a.capacity.above(rate) {
		a.capacity = capacity{}
	}
}
