package recv

import (
	"time"

	"tsubame/netio/mono"
)

// The loss controller of REMB, in the manner of the loss-based part of Google congestion
// control (draft-ietf-rmcat-gcc-02 section 6): hold between 2 % and 10 %.
const (
	rembInterval = time.Second            // between two messages that say nothing new
	rembHold     = 300 * time.Millisecond // between two reductions: let one take effect
	rembCeiling  = 1 << 40                // bits per second: keeps the products in range
	rembFloor    = 50_000                 // bits per second: a voice and a slide show
	rembLossHigh = 26                     // of 256: 10 %
	rembLossLow  = 5                      // of 256: 2 %
)

// REMB estimates what a publisher may send, for those who do not take transport-wide
// feedback (draft-alvestrand-rmcat-remb-03). It begins with all that signaling asked for,
// backs off when much is lost and recovers gradually. The zero value is ready.
type REMB struct {
	target  uint64 // bits per second; 0: not started
	reduced mono.Time
	raised  mono.Time
	next    mono.Time
}

// Estimate takes the loss since the last call as a fraction of 256 (as in a report block),
// the bitrate received and the most that the publisher may be asked for, both in bits per
// second (a limit of 0 stands for DefaultBitrate), and returns what to ask for: never more
// than the limit, nor less than 50 kbit/s unless the limit is. Call it about once a second.
func (r *REMB) Estimate(now mono.Time, lossFraction uint8, received, limit uint64) uint64 {
	if limit == 0 {
		limit = DefaultBitrate
	}
	limit = min(limit, rembCeiling)
	if r.target == 0 {
		r.target, r.raised = limit, now
	}
	switch {
	case lossFraction > rembLossHigh:
		if r.reduced == mono.Never || now.Sub(r.reduced) >= rembHold {
			r.reduce(now, lossFraction, received)
		}
	case lossFraction < rembLossLow:
		// Eight per cent a second; a long silence is no credit for more.
		d := min(max(now.Sub(r.raised), 0), time.Second)
		r.target += r.target / 100 * 8 * uint64(d/time.Millisecond) / 1000
	}
	r.raised = now
	r.target = min(max(r.target, rembFloor), limit)
	r.next = now.Add(rembInterval)
	return r.target
}

// reduce takes half of the loss off what actually arrives: the last target may have been
// far more than the publisher ever sent.
func (r *REMB) reduce(now mono.Time, lossFraction uint8, received uint64) {
	from := r.target
	if received > 0 {
		from = min(from, received)
	}
	r.target = from * (512 - uint64(lossFraction)) / 512
	r.reduced = now
}

// Deadline returns when the estimate should be sent again; Never before the first one.
func (r *REMB) Deadline() mono.Time { return r.next }
