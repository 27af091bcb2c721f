package send

import (
	"time"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// What reports are made of and believed.
const (
	// DefaultRTT is assumed until a report has told the round-trip time.
	DefaultRTT = 100 * time.Millisecond

	// clockPatience is how long a stream waits for its publisher's first sender report
	// before it goes by the arrival of packets. Browsers send one within 2.5 seconds. To
	// begin with arrivals and correct them later would tear the viewer's audio and video
	// apart for as long as it averages reports.
	clockPatience = 6 * time.Second

	// idleAfter is how long after its last packet a stream is still a sender (RFC 3550
	// section 6.4: one that has sent since the report before the last).
	idleAfter = 5 * time.Second

	// maxClockError is how far the publisher's clock may put the newest packet from when
	// it arrived: beyond it the timestamps have jumped since the last sender report.
	maxClockError = 10 * time.Second

	// sentReports is how many of our sender reports a report block may refer to.
	sentReports = 8
)

// sentReport is one sender report of ours.
type sentReport struct {
	ntp uint32 // middle 32 bits of its NTP timestamp; 0, which no report block names: none
	at  uint32 // in microseconds modulo 1<<32, so that it tells the last half hour
}

// reports is what sender and receiver reports need.
type reports struct {
	firstAt mono.Time // first packet sent; Never: none
	rtt     time.Duration
	log     [sentReports]sentReport
	logNext uint8
	sampled bool
	told    bool   // highest is known
	highest uint32 // extended sequence number that the last report block was up to
}

func micros(t mono.Time) uint32 { return uint32(uint64(t) / uint64(time.Microsecond)) }

func (r *reports) init() { r.rtt = DefaultRTT }

// AppendSR appends a sender report (RFC 3550 section 6.4.1) for now, whose wall clock is
// the 64-bit NTP timestamp ntp. clock is the source's, from its SharedClock. Nothing is
// appended while the stream has not sent, is idle, or its clock is not known yet. The caller
// asks about once a second, also because tables that are not needed any more are given back
// here.
func (s *Stream) AppendSR(dst []byte, now mono.Time, ntp uint64, clock recv.Clock) []byte {
	s.munger.trim()
	s.resends.trim(now, s.tables)
	r := &s.reports
	if r.firstAt == mono.Never || now.Sub(s.traffic.lastAt) > idleAfter || !s.munger.begun {
		return dst
	}
	ts, ok := s.timestamp(now, clock)
	if !ok {
		return dst
	}
	r.log[r.logNext%sentReports] = sentReport{ntp: uint32(ntp >> 16), at: micros(now)}
	r.logNext++
	return rtcp.AppendSR(dst, rtcp.SR{
		SSRC:    s.ssrc,
		NTP:     ntp,
		RTPTime: ts,
		Packets: s.traffic.packets,
		// Payload only; the authentication tag is in it, whose length is not our affair.
		Octets: s.traffic.bytes - s.traffic.packets*uint32(s.header.Len()),
	}, nil)
}

// timestamp returns what the output's RTP clock shows at now.
func (s *Stream) timestamp(now mono.Time, clock recv.Clock) (uint32, bool) {
	g := &s.munger
	arrival := g.lastTS + elapsed(g.lastAt, now, g.rate)
	if clock.Known() && g.n > 0 {
		ts := clock.RTP(now) + g.ts
		off := int64(int32(ts - arrival))
		if max(off, -off) <= int64(g.rate)*int64(maxClockError/time.Second) {
			return ts, true
		}
		return arrival, true
	}
	return arrival, now.Sub(s.reports.firstAt) >= clockPatience
}

// HandleReport takes a report block about this stream. It returns a sample of the
// round-trip time, 0 if the block gives none, and the loss since the viewer's last report
// as a fraction of 256. A block that names a report we never sent, or a delay longer than
// the time since, gives no sample: the peer may say anything.
func (s *Stream) HandleReport(now mono.Time, b rtcp.ReportBlock) (rtt time.Duration, loss uint8) {
	if b.LastSR == 0 { // it has not had a report of ours
		return 0, b.FractionLost
	}
	for _, sent := range s.reports.log {
		if sent.ntp != b.LastSR {
			continue
		}
		delay := time.Duration(uint64(b.DelaySinceSR) * uint64(time.Second) >> 16)
		rtt = time.Duration(int32(micros(now)-sent.at))*time.Microsecond - delay
		// The units of the delay are 15 us: a peer next door may seem to be behind us.
		if rtt < -time.Millisecond {
			break
		}
		rtt = max(rtt, time.Microsecond)
		s.reports.sample(rtt)
		return rtt, b.FractionLost
	}
	s.stats.BadReports++
	return 0, b.FractionLost
}

// Expected returns how many packets a report block about this stream is about: those since the
// block before it, none for the first. It is to be called once for each, in order. What the peer
// says is believed up to what may be under way.
func (s *Stream) Expected(b rtcp.ReportBlock) uint64 {
	r := &s.reports
	n := b.HighestSeq - r.highest
	if known := r.told; !known || n > maxExpected {
		n = 0
	}
	r.highest, r.told = b.HighestSeq, true
	return uint64(n)
}

// maxExpected is how many packets a report block may be about: some seconds of all that a
// stream may be.
const maxExpected = 1 << 15

// sample smooths the round-trip time with the weight of RFC 6298.
func (r *reports) sample(rtt time.Duration) {
	if !r.sampled {
		r.rtt, r.sampled = rtt, true
		return
	}
	r.rtt += (rtt - r.rtt) / 8
}

// RTT returns the smoothed round-trip time, DefaultRTT before the first sample.
func (s *Stream) RTT() time.Duration { return s.reports.rtt }
