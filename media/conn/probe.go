package conn

import (
	"time"

	"tsubame/media/bwe"
	"tsubame/media/param"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
)

// Probes tell the estimator whether the way to the peer takes more than is sent. They are sent as
// retransmissions, which a receiver takes or drops without harm: of what was sent last, so that a
// packet that got lost may even be repaired, or of nothing but padding. Each is sealed under an
// index of its own of the RTX stream, so that there is none without RTX.
const (
	probeStep = time.Millisecond // between two groups of packets
	probeMost = 64               // packets in a group

	// probeBack is how far behind the newest packet, in packets, probes look for what to repeat.
	// What is shorter than probeShort would only be many packets.
	probeBack  = 64
	probeShort = 300 // bytes

	// Probes look for so many times the rate of the media, and for firstWanted until that is known.
	wantedShare = 3
	firstWanted = 5_000_000 // bit/s

	// Probes may be so many bytes, and a quarter of the media on top, saved up to as many again,
	// whatever the peer's feedback makes the estimator wish for (row RTP-07).
	probeAllowance = 128 << 10
	probeShare     = 4
)

// probing is a cluster that is being sent.
type probing struct {
	bwe.Probe           // of Cluster 0: none
	began     mono.Time // when its first packet left
	next      mono.Time // when the next ones are due
	sent      int       // bytes, and
	packets   int
	slot      uint32 // of the stream that it is sent on
	before    uint64 // the packets from this one on were repeated already
	back      int    // how many more may be looked at
}

// probe begins a cluster, if the estimator wants one and there is a stream to send it on.
func (c *Conn) probe(env *Env, now mono.Time) {
	p := &c.out.probing
	if p.Cluster != 0 || c.out.allowance <= 0 {
		return // the estimator gives up what it has planned, if it may not for long
	}
	want, ok := c.out.est.Probe(now)
	if !ok {
		return
	}
	slot, s := c.prober()
	if s == nil {
		return // the estimator gives it up after a while
	}
	*p = probing{Probe: want, began: now, slot: slot, before: s.stream.Next(), back: probeBack}
	env.Count.Probes.Inc()
	c.goOnProbing(env, now)
}

// prober returns a subscription that probes can be sent on.
func (c *Conn) prober() (uint32, *subscriber) {
	for slot, s := range c.subs {
		if s != nil && s.probes() {
			return uint32(slot), s
		}
	}
	return 0, nil
}

// probes reports whether probes can be sent on the stream.
func (s *subscriber) probes() bool {
	return s.wide && s.rtx != nil && s.waiting && s.spec.Kind == param.Video && !s.stream.Waiting()
}

// goOnProbing sends what is due of the cluster by its rate. What waits in the pacer goes first: it
// is as good a probe as any.
func (c *Conn) goOnProbing(env *Env, now mono.Time) {
	o := c.out
	p := &o.probing
	for range probeMost {
		if p.sent >= p.Bytes && p.packets >= p.Packets {
			*p = probing{}
			return
		}
		p.next = p.began.Add(time.Duration(uint64(p.sent) * 8 * uint64(time.Second) / max(p.Rate, 1)))
		if p.next > now {
			break
		}
		before := c.twccOut
		if it, lane, ok := o.pace.Take(); ok {
			c.leave(env, now, it, lane)
			if c.twccOut == before {
				continue // it was not sent, and the next one may be
			}
			p.sent, p.packets = p.sent+int(it.Size), p.packets+1
			continue
		}
		n := c.sendProbe(env, now)
		if n == 0 {
			*p = probing{} // no path, no room, no stream: the estimator gives it up
			return
		}
		p.sent, p.packets = p.sent+n, p.packets+1
	}
	p.next = max(p.next, now.Add(probeStep))
}

// sendProbe sends one packet of the cluster and returns its size; 0: it could not.
func (c *Conn) sendProbe(env *Env, now mono.Time) int {
	o := c.out
	p := &o.probing
	s := c.subs[p.slot]
	if s == nil || !s.probes() {
		return 0
	}
	to, f, ok := c.way(env)
	if !ok {
		return 0
	}
	slot := env.Out.Slot()
	if slot == nil {
		env.Count.DropTxFull.Inc()
		return 0
	}
	buf := slot[f.head:]
	h, index, body := c.recent(env, now, s, buf)
	if body == nil {
		h, index = s.stream.PutPadding(buf, now, env.NTP, c.twccOut)
		body = buf[h : h+maxPadding]
		clear(body)
		body[maxPadding-1] = maxPadding
	}
	size, err := c.session.SealRTP(buf, h, body, s.rtx, index)
	if err != nil {
		env.Count.DropSeal.Inc()
		return 0
	}
	o.allowance -= size
	o.est.SentProbe(now, c.twccOut, size, p.Cluster)
	c.twccOut++
	s.stream.Extra(size)
	if !env.Commit(f.Close(slot, size), to, s.class) {
		c.tallies.unsent.add(size)
		return size
	}
	c.relayedBy(&f, 1)
	env.Count.ProbePackets.Inc()
	env.Count.ProbeBytes.Add(uint64(size))
	return size
}

// maxPadding is how long the padding of a packet may be (RFC 3550 section 5.1).
const maxPadding = 255

// recent writes the newest packet that the cluster has not repeated yet to buf: its header, and
// behind it the body that is returned; nil if there is none. Nothing is taken off what the peer
// may have sent again.
func (c *Conn) recent(env *Env, now mono.Time, s *subscriber, buf []byte) (h int, index uint64, body []byte) {
	p := &c.out.probing
	for ; s.info.HasRTX && p.back > 0 && p.before > 0; p.back-- {
		p.before--
		seq, ok := s.stream.Number(p.before)
		if !ok {
			continue
		}
		ref, ok := env.RTX.Get(s.info.RTX, p.before)
		if !ok {
			continue
		}
		if payload := env.Arena.Payload(ref); len(payload) >= probeShort {
			h, index = s.stream.PutRTXHeader(buf, env.Arena.Meta(ref), now, env.NTP, c.twccOut)
			body = rtx.AppendPayload(buf[h:h], seq, payload)
			p.back--
		}
		env.Mag.Release(ref)
		if body != nil {
			return h, index, body
		}
	}
	return 0, 0, nil
}

// want tells the estimator how much there would be to send, after played bytes of media were.
func (c *Conn) want(played uint64) {
	o := c.out
	o.allowance = min(o.allowance+int(min(played/probeShare, probeAllowance)), probeAllowance)
	wanted := uint64(0)
	if _, s := c.prober(); s != nil {
		wanted = firstWanted
		if c.quality.rated {
			wanted = wantedShare * c.quality.media
		}
	}
	o.est.SetWanted(wanted)
}
