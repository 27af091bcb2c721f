package conn

import (
	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// HandleRTP takes one SRTP datagram that came by a validated path: decrypts it into a
// buffer of its own (the one copy on the way in), accounts for it and appends it to
// env.Routed. It returns when Tick is due because of it.
//
// What is cheap to refuse is refused first: an SSRC nobody named, a payload type that was
// not negotiated, more than the peer may send. Nothing but the policer remembers a packet
// that does not authenticate.
func (c *Conn) HandleRTP(env *Env, now mono.Time, datagram []byte) mono.Time {
	n := env.Count
	n.RTPIn.Inc()
	n.RTPInBytes.Add(uint64(len(datagram)))
	c.rtpIn.add(len(datagram))
	if c.session == nil {
		n.DropNoKeys.Inc()
		return c.undecrypted(datagram)
	}
	v, err := rtp.ParseHeader(datagram)
	if err != nil {
		n.DropHeader.Inc()
		return c.undecrypted(datagram)
	}
	var b bind
	known := c.lookup(v.SSRC)
	if known != nil {
		b = *known
	} else if claimed, ok := c.claim(now, &v); ok {
		b = claimed
	} else {
		n.DropSSRC.Inc()
		return c.undecrypted(datagram)
	}
	p := c.pubs[b.slot]
	if !p.takes(v.PayloadType, b.rtx) {
		n.DropPayloadType.Inc()
		return c.undecrypted(datagram)
	}
	if !c.policer.Allow(now, len(datagram), p.spec.Kind) {
		n.DropPolicer.Inc()
		return c.undecrypted(datagram)
	}
	ref, ok := env.Mag.Get(len(datagram), p.priority())
	if !ok {
		n.DropArena.Inc()
		return c.undecrypted(datagram)
	}
	size, err := c.session.OpenRTP(env.Arena.Bytes(ref), datagram)
	if err != nil {
		env.Mag.Release(ref)
		n.refused(err)
		return c.undecrypted(datagram)
	}
	c.Heard = true
	env.Arena.SetLen(ref, size)
	if known == nil {
		c.settle(env, now, b)
	}
	return c.receive(env, now, p, &v, b.rtx, ref)
}

// receive accounts for one decrypted packet and passes it on. It owns ref. The header that v
// has of the datagram is the packet's too, since it was in the clear and authenticated; only
// the padding count was not to be seen before.
func (c *Conn) receive(env *Env, now mono.Time, p *publisher, v *rtp.View, isRTX bool, ref packet.Ref) mono.Time {
	n := env.Count
	data := env.Arena.Data(ref)
	padding, ok := padding(v, data)
	if !ok {
		env.Mag.Release(ref)
		n.DropPayload.Inc()
		return mono.Never
	}
	if padding > 0 {
		c.tallies.padded.add(padding)
	}
	due := mono.Never
	x := v.Known(&p.spec.Extensions)
	p.arrived.extensions(&x)
	if c.cc && x.HasTransportSeq {
		if skipped := c.twcc.Record(now, x.TransportSeq); skipped > 0 {
			due = c.suspect(now, p, v, isRTX, skipped)
		}
		c.behind = p
		if isRTX {
			c.behind = nil
		}
		due = mono.Earliest(due, c.twcc.Deadline())
	}
	m := env.Arena.Meta(ref)
	m.Arrival, m.Timestamp = now, v.Timestamp
	m.HeaderLen, m.Padding = uint16(v.HeaderLen), uint8(padding)
	payload := data[v.HeaderLen : len(data)-padding]
	seq := v.Seq
	if isRTX {
		p.arrived.rtx++
		if len(payload) == 0 { // bandwidth probes of libwebrtc are RTX packets of padding only
			env.Mag.Release(ref)
			n.PaddingOnly.Inc()
			return due
		}
		var err error
		seq, payload, err = rtx.ParsePayload(payload)
		if err != nil {
			env.Mag.Release(ref)
			n.RTXMalformed.Inc()
			return due
		}
		if highest, ok := p.stream.Highest(); !ok || int16(seq-uint16(highest)) > 0 && !p.stream.Suspected(seq) {
			// Nobody has asked for what is so far ahead of the stream: it is a probe that has overtaken
			// its original, or of a source that has given way to this one, whose numbers mean
			// other packets.
			env.Mag.Release(ref)
			n.DropLate.Inc()
			return due
		}
		m.HeaderLen += 2
		m.Flags |= packet.FlagRecovered
	}
	if !isRTX && len(payload) != 0 && p.isRED(v.PayloadType) {
		if payload, ok = c.receiveRED(env, now, p, v, &x, m, payload); !ok {
			env.Mag.Release(ref)
			return due
		}
	}
	ext, verdict := p.stream.Receive(now, seq, v.Timestamp, len(data), isRTX)
	if verdict != recv.Accept {
		env.Mag.Release(ref)
		if verdict == recv.Duplicate {
			n.DropDup.Inc()
		} else {
			n.DropLate.Inc()
		}
		return due
	}
	m.Seq = p.number(ext)
	if p.red != nil {
		p.red.note(p.ssrc, ext, v.Timestamp, len(payload) == 0)
	}
	if isRTX {
		n.Recovered.Inc()
	}
	if len(payload) == 0 {
		n.PaddingOnly.Inc()
	}
	if v.Marker {
		m.Flags |= packet.FlagMarker | packet.FlagFrameEnd
	}
	if x.HasAudioLevel {
		m.AudioLevel = x.AudioLevel
		m.Flags |= packet.FlagAudioLevel
	}
	if x.HasVideoOrientation {
		m.VideoOrientation = x.VideoOrientation
		m.Flags |= packet.FlagVideoOrientation
	}
	if p.describe(n, m, ext, payload) {
		p.stream.KeyFrame(ext)
		p.keys.Arrived(now)
	}
	if p.ring != nil {
		env.Arena.Retain(ref, 1)
		p.ring.Insert(m.Seq, ref, now, env.Mag)
		if env.CacheAge > 0 && p.spec.Kind == param.Video {
			p.cached(env, now, m)
		}
	}
	env.Routed = append(env.Routed, Routed{Track: p.track, Ref: ref, Video: p.spec.Kind == param.Video})
	return mono.Earliest(due, p.deadline())
}

// suspect looks for the stream of which the numbers are that were skipped, out of those for all
// streams, ahead of a packet: what its own stream does not miss, that of the packet before it may,
// or any video. It returns when Tick is due because of it.
func (c *Conn) suspect(now mono.Time, p *publisher, v *rtp.View, isRTX bool, skipped int) mono.Time {
	if isRTX {
		p = nil
	} else if highest, ok := p.stream.Highest(); ok {
		skipped -= max(int(int16(v.Seq-uint16(highest)))-1, 0)
	}
	if skipped <= 0 || c.behind == p && p != nil && p.spec.Kind == param.Video {
		return mono.Never
	}
	due := mono.Never
	for _, other := range c.pubs {
		switch {
		case other == nil || other == p || other.ssrc == 0:
			continue
		case other == c.behind:
			other.stream.Suspect(now, skipped)
		case c.behind == nil || c.behind.spec.Kind != param.Video:
			other.stream.Suspect(now, 1)
		}
		due = mono.Earliest(due, other.deadline())
	}
	return due
}

// padding returns how many bytes of a decrypted packet are padding (RFC 3550 section 5.1);
// false if the count is 0 or more than there is behind the header.
func padding(v *rtp.View, data []byte) (int, bool) {
	if !v.Padded {
		return 0, true
	}
	rest := len(data) - v.HeaderLen
	if rest == 0 {
		return 0, false
	}
	count := int(data[len(data)-1])
	return count, count != 0 && count <= rest
}

// describe looks at the payload's descriptor for what routing and rewriting need to know. It
// reports whether the packet, which the stream knows by ext, begins a key frame: once for
// each.
func (p *publisher) describe(n *Counters, m *packet.Meta, ext uint64, payload []byte) (keyFrame bool) {
	d, err := codec.Peek(p.spec.Codec, payload)
	if err != nil {
		return false // an end-to-end encrypted payload, or a probe: it still passes
	}
	if d.FrameStart {
		m.Flags |= packet.FlagFrameStart
	}
	keyFrame = d.KeyFrame && p.keyFrame(n, ext, m.Timestamp)
	if keyFrame {
		m.Flags |= packet.FlagKeyFrame
	}
	m.PictureID, m.TL0PicIdx, m.TID = d.PictureID, d.TL0PicIdx, d.TID
	return keyFrame
}
