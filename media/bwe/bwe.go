// Package bwe estimates how many bits a second the way to one receiver takes, from what the
// receiver says about the packets it got: transport-wide congestion control feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01), receiver reports and REMB. It has the
// shape of Google Congestion Control (draft-ietf-rmcat-gcc-02) with what libwebrtc added to it
// since: the trendline of one-way delay, a memory of the link's capacity, a bound by loss that
// tells loss which the rate causes from loss which is always there, and probes.
//
// It never sends, waits or reads a clock: it is told what was sent and heard, and asked for the
// target and for probes to send. An Estimator belongs to the goroutine of its connection's
// shard, and so do the Tables that lend it memory. Nothing it returns points into it.
package bwe

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// Config are the bounds of an estimator in bit/s. What is 0 is the default.
type Config struct {
	Min   uint64 // the target never falls below; default 50 kbit/s
	Start uint64 // the target before anything is known; default 600 kbit/s
	Max   uint64 // the target never rises above; default 100 Mbit/s
}

// The defaults of Config.
const (
	DefaultMin   = 50_000
	DefaultStart = 600_000
	DefaultMax   = 100_000_000
)

// State is what the one-way delay says about the path.
type State uint8

// The states: the queue on the path stays as it is, grows, drains.
const (
	Normal State = iota
	Overuse
	Underuse
)

// Probe is a cluster of packets to send at a rate above the target, in order to learn whether
// the path takes it.
type Probe struct {
	Cluster uint8  // to name in SentProbe; never 0
	Rate    uint64 // bit/s to send it at
	Bytes   int    // at least this many, on the wire,
	Packets int    // in at least this many packets
}

// Stats is what an estimator knows. Rates are in bit/s.
type Stats struct {
	Target uint64
	Acked  uint64        // what arrived lately; 0: not known
	Loss   uint8         // share of packets lost lately, in 1/256
	RTT    time.Duration // the shortest of the last feedback, or from the last report; 0: not known
	State  State
	Trend  float64 // of the one-way delay, in ms as compared with the threshold of overuse
	// Limited says that much less is sent than the target, so that it cannot grow but by probes.
	Limited bool
	// Probe clusters handed out, and those that gave a rate.
	Probes, Probed uint32
	// Feedback messages taken, and packets that feedback said were lost.
	Feedbacks, Lost uint32
}

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

	// planEvery is how often probes are thought of without feedback.
	planEvery = time.Second

	rttMost   = 10 * time.Second
	rttWeight = 0.25
)

// Estimator is the estimate for one connection. It must not be copied after Init.
type Estimator struct {
	// What every sent packet touches.
	history  history
	lastSent mono.Time
	waiting  mono.Time // since when feedback is waited for; Never: not
	bytes    int       // sent since limited was told

	cfg     Config
	target  float64
	prober  prober
	limited limited

	clock    peerClock
	grouping grouping
	trend    trend
	acked    acked
	aimd     aimd
	loss     lossBound

	heard    mono.Time // the last feedback; Never: none
	reduced  mono.Time // the last reduction for want of feedback or by a report
	rtt      time.Duration
	remb     float64
	rembEnds mono.Time
	planned  mono.Time // when it was last thought of probing
	said     uint8     // the loss of the last report

	feedbacks, lost uint32
}

// Init begins afresh. The tables lend memory from the first packet on until Close; nil means
// that every estimator has its own. Call Close before a second Init.
func (e *Estimator) Init(now mono.Time, cfg Config, t *Tables) {
	*e = Estimator{}
	if cfg.Min == 0 {
		cfg.Min = DefaultMin
	}
	if cfg.Max == 0 {
		cfg.Max = DefaultMax
	}
	if cfg.Start == 0 {
		cfg.Start = DefaultStart
	}
	cfg.Max = max(cfg.Max, cfg.Min)
	cfg.Start = min(max(cfg.Start, cfg.Min), cfg.Max)
	e.cfg = cfg
	e.history.tables = t
	e.aimd = aimd{rate: float64(cfg.Start), changed: now}
	e.target = e.aimd.rate
	e.limited.at = now
	e.trend.reset()
	e.acked.reset()
}

// Close gives the lent memory back. The zero Estimator may be closed, and a closed one again.
func (e *Estimator) Close() { e.history.clear() }

// Sent notes that the packet with transport-wide sequence number seq and size bytes (all of the
// UDP payload) was sent. Numbers increase by one with each call; when they do not, what was
// sent before is forgotten. While a probe cluster is being sent the packet counts as one of it.
func (e *Estimator) Sent(now mono.Time, seq uint16, size int) {
	var cluster uint8
	if e.prober.open != 0 {
		if c := e.prober.find(e.prober.open); c != nil && c.packets > 0 {
			cluster = e.prober.sent(now, seq, size, e.prober.open)
		}
	}
	e.note(now, seq, size, cluster)
}

// SentProbe is Sent for a packet that belongs to a probe cluster.
func (e *Estimator) SentProbe(now mono.Time, seq uint16, size int, cluster uint8) {
	e.note(now, seq, size, e.prober.sent(now, seq, size, cluster))
}

func (e *Estimator) note(now mono.Time, seq uint16, size int, cluster uint8) {
	h := &e.history
	if seq != h.next || int(h.n) >= len(h.entries) {
		h.room(now, seq)
	}
	h.entries[int(seq)&(len(h.entries)-1)] = entry{
		at: uint32(uint64(now) >> tick), size: uint16(size), cluster: cluster,
	}
	h.next = seq + 1
	h.n++
	e.bytes += size
	e.lastSent = now
	if e.waiting == mono.Never {
		e.waiting = now
	}
}

// Feedback takes a feedback message, of which t has not been iterated yet. What it says about
// packets that are unknown, reported before or older than what is remembered is ignored.
func (e *Estimator) Feedback(now mono.Time, t *rtcp.TWCC) {
	e.feedbacks++
	if e.heard == mono.Never || now.Sub(e.heard) > restartAfter {
		e.restart()
	}
	resumed := e.heard != mono.Never && e.missing(now)
	if e.read(now, t) {
		e.heard = now
		e.waiting = mono.Never
		if resumed {
			e.prober.dropped = now
		}
	}
	e.flow(now)
	e.loss.update(now, e.aimd.rate, e.trend.queued())
	e.control(now)
	e.plan(now)
}

// restart measures the delay and the rate of arrival afresh.
func (e *Estimator) restart() {
	e.grouping = grouping{}
	e.trend.reset()
	e.acked.reset()
	e.clock = peerClock{}
}

// read takes the statuses. It reports whether a packet arrived that was not known to have.
func (e *Estimator) read(now mono.Time, t *rtcp.TWCC) (news bool) {
	offset := e.clock.offset(t.ReferenceTime)
	var newest mono.Time
	for {
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
		arrived := instant(s.Arrival + offset)
		if p.fate == lost {
			e.loss.late()
			e.prober.late(p.cluster)
			e.lost--
		} else {
			e.loss.reported(sent, int(p.size), s.Received)
		}
		e.prober.reported(p.cluster, sent, arrived, int(p.size), s.Received)
		if !s.Received {
			p.fate = lost
			e.lost++
			continue
		}
		p.fate = received
		news = true
		newest = max(newest, sent)
		e.arrived(now, sent, arrived, p)
	}
	if news {
		e.measureRTT(now.Sub(newest))
	}
	return news
}

// arrived takes a packet that was received. Probes do not count for the delay: the queue that
// they make is meant.
func (e *Estimator) arrived(now, sent mono.Time, at instant, p *entry) {
	e.acked.add(at, int(p.size))
	if p.cluster != 0 {
		return
	}
	apart, arrivedApart, group, complete, jumped := e.grouping.add(now, sent, at)
	switch {
	case jumped:
		e.restart()
	case complete:
		e.trend.update(apart, arrivedApart, group)
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
	before := e.target
	m := measured{
		state:   e.trend.state,
		acked:   e.acked.rate() / (1 - e.loss.inherent),
		limited: e.limited.is,
		lossy:   e.loss.average > lossNoticed,
		losing:  e.loss.average > e.loss.inherent+lossNoticed,
		rtt:     e.rtt,
	}
	if over := e.loss.overflow; over != 0 {
		// Without a bound that stays: when the queue is gone the delay tells of the next.
		e.aimd.rate = min(e.aimd.rate, overflowed*max(over, e.acked.rate()))
	}
	rate, probed := e.prober.result(e.history.reported)
	if e.aimd.step(now, m) {
		e.prober.pending = [clusterCapacity]float64{}
		if now.Sub(e.prober.dropped) > dropSoon {
			e.prober.from = before
		}
	}
	if rate > 0 {
		e.probed(now, rate/(1-e.loss.inherent), probed)
	}
	e.settle(now)
	if e.target < before {
		e.prober.dropped = now
	}
}

// probed takes the result of a probe. It never lowers the target: that is what the delay is for.
func (e *Estimator) probed(now mono.Time, rate, probed float64) {
	e.prober.found++
	if e.trend.state == Overuse {
		return
	}
	high := min(probeWanted*e.prober.wanted, float64(e.cfg.Max))
	if e.trend.queued() {
		// Into a queue that is there anyway a burst gets more than its share.
		high = min(high, beyondAcked*e.acked.rate())
	}
	if rate = min(rate, high); rate > e.aimd.rate || rate > e.target {
		e.aimd.learn(now, rate)
		e.loss.refute(now, rate)
	}
	if rate >= probeAlmost*probed {
		if e.loss.wary(now) {
			e.prober.retry = true // when loss has had time to show
			return
		}
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

// missing reports whether feedback is overdue.
func (e *Estimator) missing(now mono.Time) bool {
	return e.waiting != mono.Never && now >= e.overdue()
}

// overdue is when feedback on what is sent is overdue.
func (e *Estimator) overdue() mono.Time { return e.waiting.Add(missingAfter + 2*e.rtt) }

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

// SetWanted says how many bit/s there would be to send at most. Probes are not sent much above
// what is wanted, and none if it is 0, as it is at first, or less than the target.
func (e *Estimator) SetWanted(bitrate uint64) {
	wanted := float64(min(bitrate, e.cfg.Max))
	if wanted > e.prober.wanted && wanted > e.target {
		e.prober.retry = true
	}
	e.prober.wanted = wanted
}

// Tick does what time asks for. It may be called at any time.
func (e *Estimator) Tick(now mono.Time) {
	if e.history.entries != nil && now.Sub(e.lastSent) >= silence {
		e.history.clear()
		e.waiting = mono.Never
	}
	e.flow(now)
	if e.heard != mono.Never && e.missing(now) && now.Sub(e.reduced) >= missingStep {
		if now.Sub(e.prober.dropped) > dropSoon {
			e.prober.from = e.target
		}
		e.reduced, e.prober.dropped = now, now
		e.aimd.rate = min(e.aimd.rate, e.target) * missingDrop
	}
	e.settle(now)
	e.plan(now)
}

// mayProbe reports whether a probe would be answered, could show something, and would not make
// bad things worse.
func (e *Estimator) mayProbe(now mono.Time) bool {
	return e.heard != mono.Never && e.prober.wanted > e.target && e.history.entries != nil &&
		e.trend.state == Normal && e.loss.mayProbe(now)
}

// plan decides whether to probe.
func (e *Estimator) plan(now mono.Time) {
	p := &e.prober
	e.planned = now
	p.expire(now)
	if p.busy() || !e.mayProbe(now) || e.missing(now) {
		return
	}
	ceiling := float64(e.cfg.Max)
	since := now.Sub(p.lastAt)
	switch {
	case !p.begun:
		p.begun, p.retry = true, false
		p.plan(e.target, ceiling, probeFirst*e.target, probeSecond*e.target)
	case p.from != 0 && e.aimd.phase == increase:
		if e.target < dropShare*p.from && now.Sub(p.dropped) <= dropSoon {
			p.plan(e.target, ceiling, dropProbe*p.from)
		}
		p.from = 0
	case since >= probeEvery, p.retry && since >= probeSooner:
		p.retry = false
		p.lastAt = now
		p.plan(e.target, ceiling, probeRegular*e.target)
	}
}

// Deadline is when Tick has to be called, and Probe after it; mono.Never while there is nothing
// to wait for.
func (e *Estimator) Deadline() mono.Time {
	if e.history.entries == nil {
		return mono.Never
	}
	at := e.lastSent.Add(silence)
	if e.heard == mono.Never {
		return at
	}
	if e.waiting != mono.Never {
		at = min(at, max(e.overdue(), e.reduced.Add(missingStep)))
	}
	p := &e.prober
	for i := range p.clusters {
		at = mono.Earliest(at, p.clusters[i].deadline())
	}
	if p.wanted > e.target && !p.busy() {
		at = min(at, max(p.lastAt.Add(probeEvery), e.planned.Add(planEvery)))
	}
	return at
}

// Target is the estimate in bit/s.
func (e *Estimator) Target() uint64 { return uint64(e.target) }

// Probe returns a cluster to send now, each one once. The next one is due when that one has been
// sent, or given up for want of time.
func (e *Estimator) Probe(now mono.Time) (Probe, bool) { return e.prober.hand(now) }

// Stats returns what is known.
func (e *Estimator) Stats() Stats {
	loss := uint8(min(e.loss.average*256, 255))
	if e.feedbacks == 0 {
		loss = e.said
	}
	return Stats{
		Target:    e.Target(),
		Acked:     uint64(e.acked.rate()),
		Loss:      loss,
		RTT:       e.rtt,
		State:     e.trend.state,
		Trend:     e.trend.scaled,
		Limited:   e.limited.is,
		Probes:    e.prober.handed,
		Probed:    e.prober.found,
		Feedbacks: e.feedbacks,
		Lost:      e.lost,
	}
}
