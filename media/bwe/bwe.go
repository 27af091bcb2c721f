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
	Start uint64 // the target before anything is known; default 1 Mbit/s
	Max   uint64 // the target never rises above; default 100 Mbit/s
}

// The defaults of Config.
const (
	DefaultMin   = 50_000
	DefaultStart = 1_000_000
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

// Tables lends the estimators of one shard the memory for what is under way. The zero value is
// ready. It belongs to the shard's goroutine and is not copied.
type Tables struct{}

// Estimator is the estimate for one connection. It must not be copied after Init.
type Estimator struct {
	cfg    Config
	target uint64
}

// Init begins afresh. The tables lend memory from the first packet on until Close; nil means
// that every estimator has its own. Call Close before a second Init.
func (e *Estimator) Init(now mono.Time, cfg Config, t *Tables) {
	e.cfg = cfg
	e.target = cfg.Start
}

// Close gives the lent memory back. The zero Estimator may be closed, and a closed one again.
func (e *Estimator) Close() {}

// Sent notes that the packet with transport-wide sequence number seq and size bytes (all of the
// UDP payload) was sent. Numbers increase by one with each call; when they do not, what was
// sent before is forgotten.
func (e *Estimator) Sent(now mono.Time, seq uint16, size int) {}

// SentProbe is Sent for a packet that belongs to a probe cluster.
func (e *Estimator) SentProbe(now mono.Time, seq uint16, size int, cluster uint8) {}

// Feedback takes a feedback message, of which t has not been iterated yet. What it says about
// packets that are unknown, reported before or older than what is remembered is ignored.
func (e *Estimator) Feedback(now mono.Time, t *rtcp.TWCC) {}

// Report takes a reception report of the receiver: the fraction lost (RFC 3550 section 6.4.1)
// and the round trip that it gave, 0 if none. It counts only while there is no feedback.
func (e *Estimator) Report(now mono.Time, loss uint8, rtt time.Duration) {}

// REMB takes a receiver estimated maximum bitrate, which bounds the target for a few seconds
// (draft-alvestrand-rmcat-remb-03).
func (e *Estimator) REMB(now mono.Time, bitrate uint64) {}

// SetWanted says how many bit/s there would be to send at most. Probes are not sent above what
// is wanted, and none if it is 0, as it is at first.
func (e *Estimator) SetWanted(bitrate uint64) {}

// Tick does what time asks for. It may be called at any time.
func (e *Estimator) Tick(now mono.Time) {}

// Deadline is when Tick has to be called, and Probe after it; mono.Never while there is nothing to wait for.
func (e *Estimator) Deadline() mono.Time { return mono.Never }

// Target is the estimate in bit/s.
func (e *Estimator) Target() uint64 { return e.target }

// Probe returns a cluster to send now, each one once. The next one is due when that one has been
// sent, or given up for want of time.
func (e *Estimator) Probe(now mono.Time) (Probe, bool) { return Probe{}, false }

// Stats returns what is known.
func (e *Estimator) Stats() Stats { return Stats{Target: e.target} }
