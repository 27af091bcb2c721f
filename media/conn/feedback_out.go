package conn

import (
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// senderSSRC is under which we send feedback while we send no media. Like libwebrtc's.
const senderSSRC = 1

// cname is the same for all that we send: who sent it first is in the SDP's msid.
const cname = "tsubame"

// maxCompound is how long a compound may grow before it goes out: what fits any path with
// an MTU of 1,200 once protected.
const maxCompound = 1100

// compound gathers RTCP for one peer in a slot of the transmit queue, and goes on in
// another when it is full.
type compound struct {
	c    *Conn
	env  *Env
	now  mono.Time
	to   flow.Key
	slot []byte
	buf  []byte
}

// compose begins a compound; false when there is no path or no room to send it.
func (c *Conn) compose(env *Env, now mono.Time) (compound, bool) {
	to, ok := c.SendPath()
	if !ok {
		env.Count.DropNoPath.Inc()
		return compound{}, false
	}
	return compound{c: c, env: env, now: now, to: to}, true
}

// begin returns the buffer to append to; nil when the transmit queue is full. Without
// reduced size (RFC 5506) every compound has to begin with a report.
func (w *compound) begin(reduced bool) []byte {
	if w.buf != nil && len(w.buf) > maxCompound {
		w.flush()
	}
	if w.buf == nil {
		w.slot = w.env.Out.Slot()
		if w.slot == nil {
			w.env.Count.DropTxFull.Inc()
			return nil
		}
		w.buf = w.slot[:0]
		if !reduced {
			w.buf = rtcp.AppendRR(w.buf, senderSSRC, nil)
		}
	}
	return w.buf
}

// flush seals and queues what was gathered.
func (w *compound) flush() {
	if len(w.buf) == 0 {
		w.buf = nil
		return
	}
	n, err := w.c.session.SealRTCP(w.slot, len(w.buf))
	w.buf = nil
	if err != nil {
		w.env.Count.DropSeal.Inc()
		return
	}
	w.env.Out.Commit(n, w.to, mmsg.Control)
	w.env.Count.RTCPOut.Inc()
}

// sendFeedback sends what publishers have to be told now: transport-wide feedback, NACKs,
// key frame requests.
func (c *Conn) sendFeedback(env *Env, now mono.Time) {
	w, ok := c.compose(env, now)
	if !ok {
		return
	}
	for c.cc && c.twcc.Deadline().Due(now) {
		buf := w.begin(c.reduced)
		if buf == nil {
			return
		}
		w.buf = c.twcc.AppendFeedback(buf, now, senderSSRC, c.anySSRC())
		w.flush()
	}
	for _, p := range c.pubs {
		if p == nil {
			continue
		}
		if p.stream.Deadline().Due(now) {
			env.seqs = p.stream.AppendNACK(now, c.rtt, env.seqs[:0])
			if len(env.seqs) > 0 {
				if buf := w.begin(c.reduced); buf != nil {
					w.buf = rtcp.AppendNACK(buf, senderSSRC, p.spec.SSRC, env.seqs)
					env.Count.NACKOut.Add(uint64(len(env.seqs)))
				}
			}
		}
		if p.stream.TakeLost() {
			p.keys.Request(now)
		}
		if p.spec.SSRC != 0 && p.keys.Due(now) {
			buf := w.begin(c.reduced)
			if buf == nil {
				continue
			}
			if p.spec.Feedback.PLI || !p.spec.Feedback.FIR {
				w.buf = rtcp.AppendPLI(buf, senderSSRC, p.spec.SSRC)
			} else {
				p.fir++
				w.buf = rtcp.AppendFIR(buf, senderSSRC, p.spec.SSRC, p.fir)
			}
			env.Count.PLIOut.Inc()
		}
	}
	w.flush()
}

// sendReports sends a receiver report about what the peer publishes, a sender report of
// each stream that we send it, and REMB where that is how it is told its bandwidth.
func (c *Conn) sendReports(env *Env, now mono.Time) {
	w, ok := c.compose(env, now)
	if !ok {
		return
	}
	env.blocks = env.blocks[:0]
	var received, limit uint64
	var lost uint8
	for _, p := range c.pubs {
		if p == nil {
			continue
		}
		if b, ok := p.stream.Report(now); ok {
			env.blocks = append(env.blocks, b)
			lost = max(lost, b.FractionLost)
		}
		if p.ring != nil {
			p.ring.Expire(now, env.Mag)
		}
		received += p.stream.Bitrate(now)
		limit += p.spec.MaxBitrate
	}
	if len(env.blocks) > 0 {
		if buf := w.begin(true); buf != nil {
			buf = rtcp.AppendRR(buf, senderSSRC, env.blocks)
			w.buf = rtcp.AppendSDES(buf, senderSSRC, cname)
		}
	}
	if c.rembs && !c.cc {
		if buf := w.begin(c.reduced); buf != nil {
			env.ssrcs = c.appendSSRCs(env.ssrcs[:0])
			w.buf = rtcp.AppendREMB(buf, senderSSRC, c.remb.Estimate(now, lost, received, limit), env.ssrcs)
		}
	}
	for _, s := range c.subs {
		if s == nil || !s.waiting {
			continue
		}
		buf := w.begin(true)
		if buf == nil {
			return
		}
		n := len(buf)
		buf = s.stream.AppendSR(buf, now, env.NTP, s.shared.Clock.Load())
		if len(buf) > n {
			buf = rtcp.AppendSDES(buf, s.spec.SSRC, s.spec.CNAME)
		}
		w.buf = buf
	}
	w.flush()
}

// anySSRC is what transport-wide feedback names as its media source: any of the peer's.
func (c *Conn) anySSRC() uint32 {
	for _, p := range c.pubs {
		if p != nil && p.spec.SSRC != 0 {
			return p.spec.SSRC
		}
	}
	return 0
}

func (c *Conn) appendSSRCs(dst []uint32) []uint32 {
	for _, p := range c.pubs {
		if p != nil && p.spec.Kind == param.Video && p.spec.SSRC != 0 {
			dst = append(dst, p.spec.SSRC)
		}
	}
	return dst
}
