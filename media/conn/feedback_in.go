package conn

import (
	"time"

	"tsubame/media/bwe"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// HandleRTCP takes one SRTCP datagram that came by a validated path. It returns when Tick
// is due because of it.
func (c *Conn) HandleRTCP(env *Env, now mono.Time, datagram []byte) mono.Time {
	n := env.Count
	n.RTCPIn.Inc()
	c.rtcpIn.add(len(datagram))
	if c.session == nil {
		n.DropNoKeys.Inc()
		return mono.Never
	}
	if !c.control.Allow(now, len(datagram), param.Audio) {
		n.DropPolicer.Inc()
		return mono.Never
	}
	size, err := c.session.OpenRTCP(env.scratch[:], datagram)
	if err != nil {
		n.refused(err)
		return mono.Never
	}
	c.Heard = true
	r := rtcp.NewReader(env.scratch[:size])
	due := mono.Never
	for {
		p, ok := r.Next()
		if !ok {
			break
		}
		due = mono.Earliest(due, c.handlePacket(env, now, p))
	}
	if r.Err() != nil {
		n.RTCPBad.Inc()
	}
	return due
}

// handlePacket acts on one packet of a compound. What is about an SSRC that is not ours to
// send, or not the peer's, is ignored: nobody speaks for others (row RTP-07).
func (c *Conn) handlePacket(env *Env, now mono.Time, p rtcp.Packet) mono.Time {
	n := env.Count
	var err error
	kind := p.Kind()
	c.rtcpIn.kinds[kind]++
	switch kind {
	case rtcp.KindSR:
		var sr rtcp.SR
		var blocks rtcp.Reports
		if sr, blocks, err = p.SR(); err == nil {
			c.senderReport(now, sr)
			c.reports(now, blocks)
		}
	case rtcp.KindRR:
		var blocks rtcp.Reports
		if _, blocks, err = p.RR(); err == nil {
			c.reports(now, blocks)
		}
	case rtcp.KindNACK:
		var nack rtcp.NACK
		if nack, err = p.NACK(); err == nil {
			if s := c.sending(nack.Media); s != nil {
				c.nacked(env, now, s, &nack)
			}
		}
	case rtcp.KindPLI:
		var f rtcp.Feedback
		if f, err = p.PLI(); err == nil {
			n.PLIIn.Inc()
			c.asked.plisIn++
			if s := c.sending(f.Media); s != nil && s.waiting && s.mayAsk(now) && s.stream.KeyFrameRequest(now) {
				env.wantKeyFrame(s.spec.Track)
			}
		}
	case rtcp.KindFIR:
		var f rtcp.FIR
		if f, err = p.FIR(); err == nil {
			for i := range f.Len() {
				n.PLIIn.Inc()
				c.asked.plisIn++
				s := c.sending(f.At(i).SSRC)
				if s != nil && s.waiting && s.mayAsk(now) && s.stream.FullIntraRequest(now, f.At(i).Seq) {
					env.wantKeyFrame(s.spec.Track)
				}
			}
		}
	case rtcp.KindXR:
		err = c.extendedReport(now, p)
	case rtcp.KindTWCC:
		n.FeedbackIn.Inc()
		if c.out == nil {
			break
		}
		if !c.out.est.Allow(now) {
			n.DropPolicer.Inc()
			break
		}
		var t rtcp.TWCC
		switch t, err = p.TWCC(); {
		case err != nil:
		case t.StatusCount > bwe.MaxStatuses:
			n.RTCPBad.Inc()
		default:
			return c.feedback(env, now, &t)
		}
	case rtcp.KindREMB:
		n.FeedbackIn.Inc()
		var r rtcp.REMB
		if r, err = p.REMB(); err == nil && c.out != nil {
			c.out.est.REMB(now, r.Bitrate)
			c.retune()
		}
	}
	if err != nil {
		n.RTCPBad.Inc()
	}
	return mono.Never
}

// sending returns the subscription that sends under an SSRC of ours, retransmissions
// excepted: nobody has to be sent those again (row RTP-17).
func (c *Conn) sending(ssrc uint32) *subscriber {
	slot, ok := c.bySSRC[ssrc]
	if !ok || c.subs[slot].spec.SSRC != ssrc {
		return nil
	}
	return c.subs[slot]
}

// senderReport moves the clock of a published stream and lets the shards that send it on
// know.
func (c *Conn) senderReport(now mono.Time, sr rtcp.SR) {
	b := c.lookup(sr.SSRC)
	if b == nil || b.rtx {
		return
	}
	p := c.pubs[b.slot]
	if clock, ok := p.stream.SenderReport(now, sr.NTP, sr.RTPTime, &c.origin); ok {
		p.shared.Clock.Publish(clock)
		for _, q := range c.pubs {
			if q == nil || q == p {
				continue
			}
			if clock, ok := q.stream.Follow(&c.origin); ok {
				q.shared.Clock.Publish(clock)
			}
		}
	}
}

// reports takes the reception reports of a compound. What they say of loss counts by how many
// packets they are about.
func (c *Conn) reports(now mono.Time, blocks rtcp.Reports) {
	var lost, expected uint64
	newest := mono.Never // sender report of ours that the peer has
	for i := range blocks.Len() {
		b := blocks.At(i)
		s := c.sending(b.SSRC)
		if s == nil {
			continue
		}
		s.jam.received(now, uint16(b.HighestSeq))
		s.red.reported(b.FractionLost, &s.calm)
		n := s.stream.Expected(b)
		rtt, fraction := s.stream.HandleReport(now, b)
		if rtt > 0 {
			c.roundTrip(rtt)
			kept := time.Duration(uint64(b.DelaySinceSR) * uint64(time.Second) >> 16)
			newest = max(newest, now.Add(-rtt-kept))
		}
		lost, expected = lost+n*uint64(fraction), expected+n
		if c.out != nil && n > 0 {
			c.out.est.Report(now, fraction, rtt)
		}
	}
	for _, s := range c.subs {
		if s != nil && newest != mono.Never {
			s.jam.through(now, newest)
		}
	}
	c.quality.lossReported(lost, expected)
}
