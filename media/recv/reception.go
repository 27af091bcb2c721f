package recv

import (
	"tsubame/netio/mono"
)

// maxTransitStep is the largest change of transit time, in seconds, that still counts as
// jitter. Beyond it the timestamp has jumped, and the measurement starts again.
const maxTransitStep = 5

// reception is what the report about a stream is computed from (RFC 3550 appendix A.3 and
// A.8).
type reception struct {
	received uint64 // originals since the base of the sequence
	lost     int64  // before the last restart

	expectedPrior uint64 // at the last report
	receivedPrior uint64

	transit uint32 // arrival minus timestamp of the newest packet
	jitter  uint64 // interarrival jitter in 1/16 of a timestamp unit
	lastTS  uint32
	lastAt  mono.Time // Never: nothing has arrived
}

// add accounts for one original. Duplicates never get here: counted as RFC 3550 has it,
// they would hide as many losses. Only the newest packet of the sequence moves the clock.
func (r *reception) add(now mono.Time, ts uint32, newest bool, rate uint32) {
	r.received++
	if !newest {
		return
	}
	transit := units(now, rate) - ts
	if r.lastAt != mono.Never {
		d := int64(int32(transit - r.transit))
		if d < 0 {
			d = -d
		}
		// Appendix A.8, the variant that keeps the fraction. A pause of the sender (DTX,
		// a muted camera) changes nothing: its timestamps go on with the clock.
		if d <= maxTransitStep*int64(rate) {
			r.jitter += uint64(d) - (r.jitter+8)>>4
		}
	}
	r.transit, r.lastTS, r.lastAt = transit, ts, now
}

// restart begins a new sequence after a jump; what was lost before stays lost.
func (r *reception) restart(expected uint64) {
	r.lost += int64(expected) - int64(r.received)
	r.received, r.expectedPrior, r.receivedPrior = 0, 0, 0
	r.lastAt = mono.Never
}

// report returns the cumulative loss, and the loss since the last report as a fraction of
// 256 (RFC 3550 section 6.4.1), given how many packets the sequence says there should be.
func (r *reception) report(expected uint64) (cumulative int32, fraction uint8) {
	lost := r.lost + int64(expected) - int64(r.received)
	expectedNow := int64(expected) - int64(r.expectedPrior)
	lostNow := expectedNow - (int64(r.received) - int64(r.receivedPrior))
	r.expectedPrior, r.receivedPrior = expected, r.received
	if expectedNow > 0 && lostNow > 0 {
		fraction = uint8(min(lostNow<<8/expectedNow, 255))
	}
	// 24 bits, signed: late packets may have made up for more than was lost.
	return int32(min(max(lost, -1<<23), 1<<23-1)), fraction
}
