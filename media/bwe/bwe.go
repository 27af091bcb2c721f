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

	"tsubame/netio/mono"
)

// Config are the bounds of an estimator in bit/s. What is 0 is the default.
type Config struct {
	Min   uint64 // the target never falls below; default 50 kbit/s
	Start uint64 // the target before anything is known; default 300 kbit/s
	Max   uint64 // the target never rises above; default 100 Mbit/s
}

// The defaults of Config.
const (
	DefaultMin   = 50_000
	DefaultStart = 300_000
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
// the path takes it. Packets that are sent anyway count for it until there are enough, so that the
// rate is that of everything that is sent meanwhile.
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
	RTT    time.Duration // smoothed, until the feedback comes; 0: not known
	State  State
	Trend  float64 // of the one-way delay, in ms as compared with the threshold of overuse
	// Limited says that much less is sent than the target, so that it cannot grow but by probes.
	Limited bool
	// Probe clusters handed out, and those that gave a rate.
	Probes, Probed uint32
	// Feedback messages taken, and packets that feedback said were lost.
	Feedbacks, Lost uint32
}

// Estimator is the estimate for one connection. It must not be copied after Init.
type Estimator struct {
	// What every sent packet touches: one cache line, as far as it begins with one.
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
	lowered  mono.Time // the last reduction by delay, or for a queue that overflows
	full     mono.Time // when a queue that overflows was seen last; Never: it was not
	rtt      time.Duration
	remb     float64
	rembEnds mono.Time
	planned  mono.Time // when it was last thought of probing
	said     uint8     // the loss of the last report

	feedbacks, lost uint32

	intake intake
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
	cluster := e.history.probing
	if cluster != 0 {
		cluster = e.probe(seq, size, cluster)
	}
	e.note(now, seq, size, cluster)
}

// SentProbe is Sent for a packet that belongs to a probe cluster.
func (e *Estimator) SentProbe(now mono.Time, seq uint16, size int, cluster uint8) {
	cluster = e.probe(seq, size, cluster)
	e.note(now, seq, size, cluster)
}

// probe counts a packet for a cluster that is being sent. It returns 0 if that is not known.
func (e *Estimator) probe(seq uint16, size int, cluster uint8) uint8 {
	cluster, more := e.prober.sent(seq, size, cluster)
	e.history.probing = 0
	if more {
		e.history.probing = cluster
	}
	return cluster
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

// missing reports whether feedback is overdue. On a few packets it may be lost.
func (e *Estimator) missing(now mono.Time) bool {
	return e.waiting != mono.Never && e.lastSent.Sub(e.waiting) > missingAfter/2 && now >= e.overdue()
}

// overdue is when feedback on what is sent is overdue.
func (e *Estimator) overdue() mono.Time { return e.waiting.Add(missingAfter + 2*e.rtt) }

// SetWanted says how many bit/s there would be to send at most. Probes are not sent much above
// what is wanted, and none if it is 0, as it is at first, or less than the target.
func (e *Estimator) SetWanted(bitrate uint64) {
	p := &e.prober
	p.wanted = float64(min(bitrate, e.cfg.Max))
	if p.wanted > probeWanted*p.asked && p.wanted > e.target {
		p.retry = true
	}
}

// Moved says that packets take another path now. What was learnt of the delay and of the loss on
// the old one is forgotten; of its rate no more is believed than arrived, or Config.Start.
func (e *Estimator) Moved(now mono.Time) {
	e.aimd = aimd{rate: min(e.target, max(e.acked.rate(), float64(e.cfg.Start))), changed: now}
	e.loss = lossBound{}
	e.full = mono.Never
	e.restart()
	e.prober.retry = true
	e.settle(now)
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

// used reports whether what was found last is made use of, as far as there is anything to send.
func (e *Estimator) used() bool { return e.limited.is || e.acked.rate() > probeUsed*e.target }

// plan decides whether to probe.
func (e *Estimator) plan(now mono.Time) {
	p := &e.prober
	e.planned = now
	p.expire(now)
	if p.open == 0 {
		e.history.probing = 0
	}
	if p.busy() || !e.mayProbe(now) || e.missing(now) {
		return
	}
	ceiling := float64(e.cfg.Max)
	since := now.Sub(p.lastAt)
	switch {
	case !p.begun:
		p.begun, p.retry, p.lastAt, p.asked = true, false, now, p.wanted
		p.plan(e.target, ceiling, probeFirst*e.target, probeSecond*e.target)
	case p.from != 0 && e.aimd.phase == increase:
		if e.target < dropShare*p.from && now.Sub(p.dropped) <= dropSoon {
			p.lastAt = now
			p.plan(e.target, ceiling, dropProbe*p.from)
		}
		p.from = 0
	case since >= probeEvery, p.retry && since >= probeSooner && e.used():
		p.retry, p.lastAt, p.asked = false, now, p.wanted
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
		at = min(at, max(e.overdue(), e.reduced.Add(missingStep), e.planned.Add(planEvery)))
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
// sent, or given up for want of time: after a second, as is one that is not asked for.
func (e *Estimator) Probe(now mono.Time) (Probe, bool) {
	p, ok := e.prober.hand(now)
	if ok {
		e.history.probing = p.Cluster
	}
	return p, ok
}

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
