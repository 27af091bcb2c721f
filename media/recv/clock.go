package recv

import (
	"math/bits"
	"sync/atomic"
	"time"

	"tsubame/netio/mono"
)

// Clock maps a stream's RTP time to ours. The rate is the nominal one, so that the mapping
// is known by the timestamp at the start of our scale alone, and fits one machine word.
// The zero Clock is unknown.
type Clock struct {
	Zero uint32 // RTP timestamp at mono.Time 0
	Rate uint32 // units in a second; 0: the clock is unknown
}

// ClockAt returns the clock of a stream that shows ts at the instant at.
func ClockAt(ts uint32, at mono.Time, rate uint32) Clock {
	return Clock{Zero: ts - units(at, rate), Rate: rate}
}

// Known reports whether there is a mapping.
func (c Clock) Known() bool { return c.Rate != 0 }

// RTP returns what the stream's clock shows at the instant at. An unknown clock shows 0.
func (c Clock) RTP(at mono.Time) uint32 { return c.Zero + units(at, c.Rate) }

// units returns the RTP units in the time since the start of our scale, modulo 1<<32.
func units(at mono.Time, rate uint32) uint32 {
	if at < 0 {
		return -units(-at, rate)
	}
	// Rates above a gigahertz do not exist; the remainder keeps Div64 from overflowing.
	hi, lo := bits.Mul64(uint64(at), uint64(rate))
	q, _ := bits.Div64(hi%uint64(time.Second), lo, uint64(time.Second))
	return uint32(q)
}

// SharedClock is a Clock that its stream's owner publishes and any shard may load, without
// a lock: it is one word.
type SharedClock struct{ word atomic.Uint64 }

// Publish makes c what Load returns from now on. Only the stream's owner may call it.
func (s *SharedClock) Publish(c Clock) { s.word.Store(uint64(c.Zero)<<32 | uint64(c.Rate)) }

// Load returns the latest published clock. Any goroutine may call it.
func (s *SharedClock) Load() Clock {
	w := s.word.Load()
	return Clock{Zero: uint32(w >> 32), Rate: uint32(w)}
}

// Reset makes the clock unknown. Only the stream's owner may call it.
func (s *SharedClock) Reset() { s.word.Store(0) }

// The bounds of Origin.
const (
	originSlew = time.Millisecond // how far one sender report may move the offset
	originStep = time.Second      // beyond this the publisher's clock was set
)

// Origin is the offset between a publisher's wall clock and ours. One value serves all
// streams of a publisher: since audio and video are moved by the same amount, they stay as
// synchronous as the publisher sent them, however wrong the offset is.
//
// The first report sets it, delay of the network included. Later ones move it slowly, to
// follow the drift of the two clocks without tearing apart two streams whose reports come
// at different times. Only two reports in a row that both say the publisher has set its
// clock move it at once.
type Origin struct {
	offset int64 // ours minus the publisher's, nanoseconds
	step   int64 // the offset that a lone report claimed
	known  bool
	steps  bool  // step is set
	begun  uint8 // how often it has begun anew: offsets from before mean nothing any more
}

// Observe takes a publisher's NTP timestamp (RFC 3550 section 4) that arrived at now, and
// returns which instant of ours it means; false when it does not fit the offset and the
// next report has to tell which of the two is right.
func (o *Origin) Observe(now mono.Time, ntp uint64) (mono.Time, bool) {
	theirs := nanoseconds(ntp)
	offset := int64(now) - theirs
	switch d := offset - o.offset; {
	case !o.known:
		*o = Origin{offset: offset, known: true, begun: o.begun + 1}
	case abs(d) > int64(originStep):
		if !o.steps || abs(offset-o.step) > int64(originStep)/2 {
			o.step, o.steps = offset, true
			return mono.Never, false
		}
		*o = Origin{offset: offset, known: true, begun: o.begun + 1}
	default:
		o.steps = false
		o.offset += min(max(d/8, -int64(originSlew)), int64(originSlew))
	}
	return mono.Time(theirs + o.offset), true
}

// nanoseconds converts an NTP timestamp, which is seconds in 32.32 fixed point. It fits:
// 1<<32 seconds are less than half of what an int64 of nanoseconds holds.
func nanoseconds(ntp uint64) int64 {
	return int64(ntp>>32)*int64(time.Second) + int64((ntp&0xffffffff)*uint64(time.Second)>>32)
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
