package conn

import (
	"math"
	"time"

	"tsubame/media/pace"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtx"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// How many sequence numbers are looked for in the rings for one peer, for all that it is sent. A
// loss of a fifth of 40 Mbps is some 1,000 in a second; a whole second of 8 Mbps may be missing
// at once. What it asks for beyond that is not looked for (row RTP-07).
const (
	askRate  = 2000 // a second
	askBurst = 1024
)

// twiceLoss is from which loss on, of 256, what was sent again in vain is sent two times: 6 %.
const twiceLoss = 16

// asks is what is left of that. The zero value is full.
type asks struct {
	used int
	last mono.Time // up to when it has been given back
}

// left returns how many numbers may be looked for at now.
func (a *asks) left(now mono.Time) int {
	const each = time.Second / askRate
	n := int64(now.Sub(a.last) / each)
	if n >= int64(a.used) {
		a.used, a.last = 0, now
	} else if n > 0 {
		a.used -= int(n)
		a.last = a.last.Add(time.Duration(n) * each)
	}
	return askBurst - a.used
}

// nacked serves a NACK from the track's retransmission ring. What the ring has no more cannot
// be repaired: it costs a comparison for each number, and the viewer gets a key frame if none
// was sent to it since, at most one for all that is missing, as seldom as send.Stream allows.
// A viewer that is seconds behind, because it or the server has too much to do, asks for
// nothing but such packets, and for a great many of them.
func (c *Conn) nacked(env *Env, now mono.Time, s *subscriber, nack *rtcp.NACK) {
	oldest := uint64(math.MaxUint64) // without RTX nothing can be sent again: see retransmit
	if s.rtx != nil && s.info.HasRTX {
		oldest = env.RTX.Oldest(s.info.RTX)
	}
	var asked, refused, awaited, old, missed, over uint64
	newest := uint64(0) // of what is missed
	left := c.asks.left(now)
	for seq, ok := nack.Next(); ok; seq, ok = nack.Next() {
		asked++
		orig, ok := s.stream.Original(seq)
		if !ok || !s.waiting {
			refused++
			continue
		}
		if orig >= oldest {
			if left == 0 {
				over++
				continue
			}
			left--
			if c.resend(env, now, s, seq, orig) {
				continue
			}
		}
		switch {
		case s.info.Repairs && s.stream.Awaits(seq):
			// It was lost on its way to us, where it has been asked for already, and is sent
			// on when it comes.
			awaited++
		default:
			if missed++; orig < oldest {
				old++
			}
			newest = max(newest, orig)
		}
	}
	c.asks.used = askBurst - left
	n := env.Count
	n.NACKIn.Add(asked)
	c.asked.nacksIn += uint32(asked)
	n.NACKRefused.Add(refused)
	n.NACKAwaited.Add(awaited)
	n.NACKMiss.Add(missed)
	n.NACKOld.Add(old)
	n.NACKOver.Add(over)
	if missed+over == 0 || s.spec.Kind != param.Video {
		return
	}
	if over == 0 && newest < s.keyed {
		n.NACKCovered.Inc()
		return
	}
	if s.mayAsk(now) && s.stream.KeyFrameRequest(now) {
		env.wantKeyFrame(s.spec.Track)
	}
}

// resend serves one sequence number of a NACK, of the source's packet orig. It returns false
// when the ring has it no more.
func (c *Conn) resend(env *Env, now mono.Time, s *subscriber, seq uint16, orig uint64) bool {
	ref, ok := env.RTX.Get(s.info.RTX, orig)
	if ok {
		c.retransmit(env, now, s, seq, ref)
		env.Mag.Release(ref)
	}
	return ok
}

// retransmit sends a packet that the viewer knows by seq once more, as RTX, if it may have it.
// Under GCM nothing may be sealed again under its own SSRC and index, so that without RTX there
// is no resending.
func (c *Conn) retransmit(env *Env, now mono.Time, s *subscriber, seq uint16, ref packet.Ref) {
	to, f, ok := c.way(env)
	if !ok {
		return
	}
	if env.Out.Slot() == nil {
		env.Count.DropTxFull.Inc()
		return
	}
	size := len(env.Arena.Data(ref))
	crowded := c.out != nil && c.out.est.Congested(now)
	if !s.stream.AllowResend(now, seq, size, c.rtt.Smoothed(), crowded) {
		env.Count.NACKRefused.Inc()
		return
	}
	if c.waits(s.class) && !c.out.pace.Free(now) {
		before := c.out.pace.Len()
		it := pace.Item{Ref: ref, Slot: uint16(c.bySSRC[s.spec.SSRC]), Seq: seq, Size: uint16(size + sealedSize)}
		if c.queue(env, now, pace.Resend, it) {
			c.queued(env, now, before)
			return
		}
	}
	c.sendAgain(env, now, s, seq, ref, to, f)
	if c.quality.loss >= twiceLoss && !crowded && s.stream.AllowTwice(seq, size) {
		c.sendAgain(env, now, s, seq, ref, to, f)
	}
}

// sendAgain sends a packet as RTX now. It must not have been sent under that number of the RTX
// stream before, which PutRTXHeader sees to.
func (c *Conn) sendAgain(env *Env, now mono.Time, s *subscriber, seq uint16, ref packet.Ref, to flow.Key, f Frame) {
	n := env.Count
	slot := env.Out.Slot()
	if slot == nil {
		n.DropTxFull.Inc()
		return
	}
	buf := slot[f.head:]
	h, index := s.stream.PutRTXHeader(buf, env.Arena.Meta(ref), now, env.NTP, c.twccOut)
	body := rtx.AppendPayload(buf[h:h], seq, env.Arena.Payload(ref))
	size, err := c.session.SealRTP(buf, h, body, s.rtx, index)
	if err != nil {
		n.DropSeal.Inc()
		return
	}
	if s.wide {
		c.numbered(now, size)
	}
	if !env.Commit(f.Close(slot, size), to, s.class) {
		c.tallies.unsent.add(size)
		return
	}
	n.RTXOut.Inc()
	c.tallies.rtxOut++
	c.relayedBy(&f, 1)
}
