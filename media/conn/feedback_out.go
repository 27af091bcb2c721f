package conn

import (
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// senderSSRC is under which we send feedback while we send no media. Like libwebrtc's.
const senderSSRC = 1

// cname is the same for all that we send: who sent it first is in the SDP's msid.
const cname = "tsubame"

// maxCompound is how long a compound may grow: what fits any path with an MTU of 1,200 once
// it is protected. The parts below are all shorter, each by itself.
const maxCompound = 1100

// The most that each part of a compound takes, in bytes.
const (
	nackSize     = 24 + 4*recv.MaxNACK     // no two sequence numbers near each other, in two messages
	keyFrameSize = 12 + 20                 // PLI, FIR
	reportsSize  = 8 + 24*param.MaxPublish // RR
	rembSize     = 20 + 4*param.MaxPublish
	senderSize   = 28 // SR
	sdesSize     = 14 // and the CNAME
	extendedSize = 24 + 12*maxReferences
)

// compound gathers RTCP for one peer in a slot of the transmit queue, and goes on in
// another when it is full.
type compound struct {
	c    *Conn
	env  *Env
	to   flow.Key
	f    Frame
	slot []byte
	buf  []byte
	head int // of buf: what begin has put there, which is nothing to send by itself
}

// compose begins a compound; false when there is no path to send it on.
func (c *Conn) compose(env *Env) (compound, bool) {
	to, f, ok := c.way(env)
	return compound{c: c, env: env, to: to, f: f}, ok
}

// begin returns the buffer to append a part of at most so many bytes to; nil when the
// transmit queue is full. Without reduced size (RFC 5506) every compound has to begin with a
// report: reduced says that the part is one, or that it need not be.
func (w *compound) begin(reduced bool, size int) []byte {
	if w.buf != nil && len(w.buf)+size > maxCompound {
		w.flush()
	}
	if w.buf == nil {
		w.slot = w.env.Out.Slot()
		if w.slot == nil {
			w.env.Count.DropTxFull.Inc()
			return nil
		}
		w.buf = w.slot[w.f.head:w.f.head]
		if !reduced {
			w.buf = rtcp.AppendRR(w.buf, senderSSRC, nil)
		}
		w.head = len(w.buf)
	}
	return w.buf
}

// flush seals and queues what was gathered.
func (w *compound) flush() {
	size, plain := len(w.buf), w.buf
	if w.buf = nil; size <= w.head {
		return
	}
	kinds := kindsOf(plain) // sealing leaves nothing to see
	n, err := w.c.session.SealRTCP(w.slot[w.f.head:], size)
	if err != nil {
		w.env.Count.DropSeal.Inc()
		return
	}
	if w.env.Commit(w.f.Close(w.slot, n), w.to, mmsg.Control) {
		w.env.Count.RTCPOut.Inc()
		w.c.tallies.rtcpSent(n, &kinds)
		w.c.relayedBy(&w.f, 1)
	}
}

// sendFeedback sends what publishers have to be told now: transport-wide feedback, NACKs,
// key frame requests. What finds no room in the transmit queue stays due.
func (c *Conn) sendFeedback(env *Env, now mono.Time) {
	w, ok := c.compose(env)
	if !ok {
		return
	}
	for c.cc && c.twcc.Deadline().Due(now) {
		buf := w.begin(c.reduced, rtcp.MaxTWCCSize)
		if buf == nil {
			return
		}
		w.buf = c.twcc.AppendFeedback(buf, now, senderSSRC, c.anySSRC())
		w.flush()
	}
	for _, p := range c.pubs {
		if p != nil && p.ssrc != 0 && !c.askPublisher(&w, now, p) {
			return
		}
	}
	w.flush()
}

// askPublisher appends what the publisher of one track is asked for. It returns false when
// the transmit queue is full.
func (c *Conn) askPublisher(w *compound, now mono.Time, p *publisher) bool {
	env := w.env
	if p.stream.Deadline().Due(now) {
		buf := w.begin(c.reduced, nackSize)
		if buf == nil {
			return false
		}
		env.seqs = p.stream.AppendNACK(now, c.rtt.Answer(), env.seqs[:0])
		w.buf = rtcp.AppendNACK(buf, senderSSRC, p.ssrc, env.seqs)
		env.Count.NACKOut.Add(uint64(len(env.seqs)))
		c.asked.nacksOut += uint32(len(env.seqs))
	}
	if p.stream.TakeLost() && p.shared.NextReader(0) >= 0 { // who comes later needs one anyway
		p.ask(now)
	}
	if !p.keys.Deadline().Due(now) {
		return true
	}
	if p.forgotten(now) {
		p.keys.Forget()
		return true
	}
	buf := w.begin(c.reduced, keyFrameSize)
	if buf == nil {
		return false
	}
	p.keys.Due(now)
	if p.keys.Ignored(now) {
		env.Count.KeyFramesIgnored.Inc()
	}
	w.buf = p.appendRequest(buf)
	env.Count.PLIOut.Inc()
	c.asked.plisOut++
	return true
}

// appendRequest appends a request for a key frame: a PLI; a FIR where there is no PLI, and beside
// it when PLIs alone were not answered.
func (p *publisher) appendRequest(buf []byte) []byte {
	f := &p.spec.Feedback
	if f.PLI || !f.FIR {
		buf = rtcp.AppendPLI(buf, senderSSRC, p.ssrc)
	}
	if f.FIR && (!f.PLI || p.keys.Escalates()) {
		p.fir++ // each is a new request: repetitions under an old number are not heard
		buf = rtcp.AppendFIR(buf, senderSSRC, p.ssrc, p.fir)
	}
	return buf
}

// IgnoresRequests reports whether the peer publishes a video of which it has sent no key frame
// for recv.KeyFrameIgnored, although viewers wait for one and it was asked all that time.
func (c *Conn) IgnoresRequests() bool {
	for _, p := range c.pubs {
		if p != nil && p.keys.Ignoring() {
			return true
		}
	}
	return false
}

// sendReports sends a receiver report about what the peer publishes, a sender report of
// each stream that we send it, and REMB where that is how it is told its bandwidth.
func (c *Conn) sendReports(env *Env, now mono.Time) {
	w, ok := c.compose(env)
	if !ok {
		return
	}
	c.reportReceived(&w, now)
	for _, s := range c.subs {
		if s == nil || s.shared == nil {
			continue
		}
		buf := w.begin(true, senderSize+sdesSize+len(s.spec.CNAME))
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

// reportReceived appends the receiver report, and REMB.
func (c *Conn) reportReceived(w *compound, now mono.Time) {
	env := w.env
	env.blocks = env.blocks[:0]
	var received, limit uint64
	var lost uint8
	for _, p := range c.pubs {
		if p == nil {
			continue
		}
		p.count(env.Count, &c.tallies)
		if b, ok := p.stream.Report(now); ok {
			env.blocks = append(env.blocks, b)
			lost = max(lost, b.FractionLost)
		}
		received += p.stream.Bitrate(now)
		limit += p.spec.MaxBitrate
	}
	c.quality.receivedLoss = lost
	if len(env.blocks) > 0 {
		if buf := w.begin(true, reportsSize+sdesSize+len(cname)); buf != nil {
			buf = rtcp.AppendRR(buf, senderSSRC, env.blocks)
			w.buf = rtcp.AppendSDES(buf, senderSSRC, cname)
		}
	}
	c.extendReport(w, now, len(env.blocks) > 0)
	if c.rembs && !c.cc {
		if buf := w.begin(c.reduced, rembSize); buf != nil {
			env.ssrcs = c.appendSSRCs(env.ssrcs[:0])
			w.buf = rtcp.AppendREMB(buf, senderSSRC, c.remb.Estimate(now, lost, received, limit), env.ssrcs)
		}
	}
}

// anySSRC is what transport-wide feedback names as its media source: any of the peer's.
func (c *Conn) anySSRC() uint32 {
	for _, p := range c.pubs {
		if p != nil && p.ssrc != 0 {
			return p.ssrc
		}
	}
	return 0
}

func (c *Conn) appendSSRCs(dst []uint32) []uint32 {
	for _, p := range c.pubs {
		if p != nil && p.spec.Kind == param.Video && p.ssrc != 0 {
			dst = append(dst, p.ssrc)
		}
	}
	return dst
}
