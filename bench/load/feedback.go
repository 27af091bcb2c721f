package load

import (
	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// maxBlocks is how many report blocks one packet has (RFC 3550 section 6.4.1).
const maxBlocks = 31

// compound seals and queues the RTCP in a slot.
func (p *peer) compound(s *shard, slot []byte, n int) {
	sealed, err := p.secured.sealRTCP(&s.scratch, slot, n)
	if err != nil {
		s.total.malformed++
		return
	}
	s.commit(p, slot, sealed, mmsg.Control)
	s.sentControl++
}

// feedbacks sends what the batch has made due.
func (s *shard) feedbacks() {
	for i, p := range s.feeding {
		if i+warmKeys < len(s.feeding) {
			s.feeding[i+warmKeys].secured.control.warm()
		}
		p.feeding = false
		p.feedback(s)
	}
	clear(s.feeding)
	s.feeding = s.feeding[:0]
}

// feedback sends the transport-wide feedback that there is.
func (p *peer) feedback(s *shard) {
	p.feedbackAt = max(p.feedbackAt, s.now.Add(-feedbackInterval)).Add(feedbackInterval)
	for p.twcc.Deadline() != mono.Never {
		slot := s.queue.Slot()
		if slot == nil {
			return
		}
		if n := len(p.twcc.AppendFeedback(slot[:0], s.now, p.us, p.heard)); n > 0 {
			p.compound(s, slot, n)
		}
		if !p.twcc.Deadline().Due(s.now) {
			return
		}
	}
}

// reports sends a sender report for each track that the peer sends, and reports on all that
// it receives, as one compound packet each with its description (RFC 3550 section 6.1).
func (p *peer) reports(s *shard) {
	for _, one := range p.sends {
		if one == nil || one.packets == 0 {
			continue
		}
		slot := s.queue.Slot()
		if slot == nil {
			return
		}
		b := rtcp.AppendSR(slot[:0], one.report(s.now), nil)
		b = rtcp.AppendSDES(b, one.ssrc, p.cname)
		p.compound(s, slot, len(b))
	}
	n := 0
	for i, one := range p.streams {
		if one.packets > 0 {
			s.blocks[n] = one.report(s.now)
			n++
		}
		if n > 0 && (n == maxBlocks || i == len(p.streams)-1) {
			slot := s.queue.Slot()
			if slot == nil {
				return
			}
			b := rtcp.AppendRR(slot[:0], p.us, s.blocks[:n])
			b = rtcp.AppendSDES(b, p.us, p.cname)
			p.compound(s, slot, len(b))
			n = 0
		}
	}
}

// requests sends the NACKs and key frame requests that are due, and reports whether packets
// are still missing.
func (p *peer) requests(s *shard) (more bool) {
	for _, one := range p.streams {
		wants := one.wantsKey(s.now)
		s.seqs = s.seqs[:0]
		if len(one.missing) > 0 {
			if s.asks() {
				s.seqs = one.due(s.now, s.seqs, s.budget)
				s.budget -= len(s.seqs)
			}
			more = more || len(one.missing) > 0
		}
		if !wants && len(s.seqs) == 0 {
			continue
		}
		slot := s.queue.Slot()
		if slot == nil {
			return more
		}
		b := slot[:0]
		if !one.reduced { // RFC 5506 was not negotiated: a report goes first
			b = rtcp.AppendRR(b, p.us, nil)
			b = rtcp.AppendSDES(b, p.us, p.cname)
		}
		b = rtcp.AppendNACK(b, p.us, one.ssrc, s.seqs)
		if wants {
			b = rtcp.AppendPLI(b, p.us, one.ssrc)
			s.total.plis++
		}
		s.total.nacks += uint64(len(s.seqs))
		p.compound(s, slot, len(b))
	}
	return more
}

// visit does what is due for a peer and says when to come again: for its next report, or sooner
// while it wants a key frame. Feedback about the last packets before a pause waits for that.
func (p *peer) visit(s *shard) {
	if p.secured == nil {
		s.wake[p.at] = s.now.Add(reportInterval)
		return
	}
	if s.now >= p.ice.next {
		s.check(p)
	}
	if p.ice.lost(s.now) {
		p.client.fail(errConsent)
		s.wake[p.at] = s.now.Add(reportInterval)
		return
	}
	if p.relay != nil {
		s.drive(p)
	}
	if s.now >= p.feedbackAt {
		p.feedback(s)
	}
	if p.reportAt.Due(s.now) {
		p.reportAt = s.now.Add(reportInterval)
		p.reports(s)
	}
	p.requests(s)
	next := min(p.reportAt, p.ice.next)
	for _, one := range p.streams {
		if one.pli && !one.key {
			next = min(next, s.now.Add(visitInterval))
		}
	}
	s.wake[p.at] = next
}
