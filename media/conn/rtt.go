package conn

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// Reports about what we send tell the round trip to those who receive. One who only sends is
// asked for it by our reference time, which it returns in a DLRR block (RFC 3611 sections 4.4 and
// 4.5): libwebrtc does with its next report, without any word of it in the SDP. It works the other
// way round as well: who only receives, and sends a reference time, is answered.

const (
	sentReferences = 8 // of ours that an answer may be about: the last so many seconds
	maxReferences  = 4 // of the peer's, by SSRC, between two reports of ours; further ones go unanswered
)

// extended is what extended reports need, while a peer sends media or asks for it.
type extended struct {
	sent  [sentReferences]reference
	next  uint8
	n     uint8 // of heard
	heard [maxReferences]rtcp.DLRR
	at    [maxReferences]mono.Time // when those came
	out   [maxReferences]rtcp.DLRR // what extendReport appends
}

// reference is one reference time of ours.
type reference struct {
	ntp uint32 // middle 32 bits; 0, which stands for none in answers: unused
	at  mono.Time
}

// roundTrip takes a sample of the round-trip time.
func (c *Conn) roundTrip(rtt time.Duration) {
	c.rtt.Sample(rtt)
	c.ICE.SetRTT(c.rtt.Smoothed())
}

// extendedReport takes an extended report of the peer's.
func (c *Conn) extendedReport(now mono.Time, p rtcp.Packet) error {
	x, err := p.XR()
	for b, ok := x.Next(); ok; b, ok = x.Next() {
		if ntp, isReference := b.ReferenceTime(); isReference {
			c.referenceHeard(now, x.Sender, uint32(ntp>>16))
		}
		for i := range b.Len() {
			c.referenceReturned(now, b.At(i))
		}
	}
	return err
}

// referenceHeard notes the peer's reference time, to be returned with the next report.
func (c *Conn) referenceHeard(now mono.Time, ssrc, ntp uint32) {
	if c.xr == nil {
		c.xr = new(extended)
	}
	x, i := c.xr, 0
	for i < int(x.n) && x.heard[i].SSRC != ssrc {
		i++
	}
	if i == maxReferences || ntp == 0 {
		return
	}
	x.n = max(x.n, uint8(i+1))
	x.heard[i], x.at[i] = rtcp.DLRR{SSRC: ssrc, LastRR: ntp}, now
}

// referenceReturned takes a sample of the round-trip time from our reference time, if it is one:
// of one that we did not send, or with a delay that is longer than the time since, nothing is
// believed.
func (c *Conn) referenceReturned(now mono.Time, e rtcp.DLRR) {
	if c.xr == nil || e.SSRC != senderSSRC || e.LastRR == 0 {
		return
	}
	for _, sent := range c.xr.sent {
		if sent.ntp != e.LastRR {
			continue
		}
		rtt := now.Sub(sent.at) - time.Duration(uint64(e.Delay)*uint64(time.Second)>>16)
		// The units of the delay are 15 us: a peer next door may seem to be behind us.
		if rtt >= -time.Millisecond {
			c.roundTrip(max(rtt, time.Microsecond))
		}
		return
	}
}

// extendReport appends our reference time, when something was received, and returns the peer's.
func (c *Conn) extendReport(w *compound, now mono.Time, received bool) {
	if c.xr == nil {
		if !received {
			return
		}
		c.xr = new(extended)
	}
	x, ntp := c.xr, uint64(0)
	if received {
		ntp = w.env.NTP
	}
	if ntp == 0 && x.n == 0 {
		return
	}
	buf := w.begin(c.reduced, extendedSize)
	if buf == nil {
		return
	}
	for i := range x.n {
		x.out[i] = x.heard[i]
		x.out[i].Delay = uint32(uint64(now.Sub(x.at[i])) << 16 / uint64(time.Second))
	}
	w.buf = rtcp.AppendXR(buf, senderSSRC, ntp, x.out[:x.n])
	x.n = 0
	if ntp != 0 {
		x.sent[x.next%sentReferences] = reference{ntp: uint32(ntp >> 16), at: now}
		x.next++
	}
}
