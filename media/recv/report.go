package recv

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// maxClockError is how far a sender report may put the newest packet from the time it
// arrived. More than that is a broken clock, or a timestamp that has jumped since.
const maxClockError = 10 * time.Second

// senderReport is what is kept of a publisher's last sender report.
type senderReport struct {
	lsr   uint32    // middle 32 bits of its NTP timestamp
	at    mono.Time // when it arrived; Never: none yet
	clock Clock
	by    Origin // as it was when the report came
}

// SenderReport takes a publisher's report about this stream: ntp is its wall clock, as a
// 64-bit NTP timestamp, at the instant that the stream's clock showed rtp; o is the offset
// shared by all streams of the publisher. It returns the stream's clock in our time for
// Publish, or false when the report does not tell it.
func (s *Stream) SenderReport(now mono.Time, ntp uint64, rtp uint32, o *Origin) (Clock, bool) {
	s.stats.Reports++
	s.sr.lsr, s.sr.at = uint32(ntp>>16), now
	if ntp == 0 { // RFC 3550 section 6.4.1: the sender has no wall clock
		return Clock{}, false
	}
	at, ok := o.Observe(now, ntp)
	if !ok {
		s.stats.BadReports++
		return Clock{}, false
	}
	c := ClockAt(rtp, at, s.cfg.ClockRate)
	if a := &s.arrivals; a.lastAt != mono.Never {
		off := int64(int32(c.RTP(a.lastAt) - a.lastTS))
		if abs(off) > int64(maxClockError/time.Second)*int64(s.cfg.ClockRate) {
			s.stats.BadReports++
			return Clock{}, false
		}
	}
	s.sr.clock, s.sr.by = c, *o
	return c, true
}

// Follow returns the stream's clock as o has it by now, which a report about another stream of the
// publisher has moved, so that the two are moved by the same; false when there is nothing to follow.
func (s *Stream) Follow(o *Origin) (Clock, bool) {
	c := s.sr.clock
	if !c.Known() || o.begun != s.sr.by.begun {
		return Clock{}, false
	}
	c.Zero -= units(mono.Time(o.offset-s.sr.by.offset), c.Rate)
	return c, true
}

// Clock returns the stream's clock by the last sender report; it is unknown before that.
func (s *Stream) Clock() Clock { return s.sr.clock }

// SetSSRC names a stream whose SSRC was not signalled, once a packet has told it.
func (s *Stream) SetSSRC(ssrc uint32) { s.cfg.SSRC = ssrc }

// Report returns the reception report for the time since the last call (RFC 3550 section
// 6.4.1); false when nothing has arrived that could be reported.
func (s *Stream) Report(now mono.Time) (rtcp.ReportBlock, bool) {
	if !s.started {
		return rtcp.ReportBlock{}, false
	}
	cumulative, fraction := s.arrivals.report(s.expected())
	s.eager.report(fraction, &s.stats)
	b := rtcp.ReportBlock{
		SSRC:           s.cfg.SSRC,
		FractionLost:   fraction,
		CumulativeLost: cumulative,
		// The first packet's cycle count is 0 on the wire and 1 in our numbers.
		HighestSeq: uint32(s.highest - 1<<16),
		Jitter:     uint32(min(s.arrivals.jitter>>4, 1<<32-1)),
	}
	if s.sr.at != mono.Never {
		b.LastSR = s.sr.lsr
		b.DelaySinceSR = delay(now.Sub(s.sr.at))
	}
	return b, true
}

func (s *Stream) expected() uint64 { return s.highest - s.base + 1 }

// delay converts to the units of DLSR, 1/65536 of a second; beyond 18 hours it saturates.
func delay(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min(uint64(d/time.Microsecond)<<16/1e6, 1<<32-1))
}
