package conn

import (
	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// publisher is one track that the peer sends to us.
type publisher struct {
	spec   param.Publish
	track  param.TrackID
	shared *router.Track
	stream recv.Stream
	keys   recv.KeyFrames
	ring   *rtx.Ring // nil: nothing is kept for retransmission
	fir    uint8     // number of the last FIR
}

// bind ties one SSRC of the peer to the stream that it belongs to.
type bind struct {
	ssrc uint32
	slot int
	rtx  bool
}

func (p *publisher) deadline() mono.Time {
	if p.spec.SSRC == 0 { // nothing has come: there is nobody to ask
		return mono.Never
	}
	return mono.Earliest(p.stream.Deadline(), p.keys.Deadline())
}

func (p *publisher) priority() packet.Priority {
	if p.spec.Kind == param.Audio {
		return packet.Audio
	}
	return packet.Video
}

// Publish opens a track that the peer is about to send. It returns false when there is no
// room: the caller then gives the reserved track back.
func (c *Conn) Publish(env *Env, now mono.Time, id param.TrackID, spec *param.Publish) bool {
	slot := -1
	for i, p := range c.pubs {
		if p == nil {
			slot = i
			break
		}
	}
	if slot < 0 {
		if len(c.pubs) >= param.MaxPublish {
			return false
		}
		c.pubs = append(c.pubs, nil)
		slot = len(c.pubs) - 1
	}
	p := &publisher{spec: *spec, track: id}
	p.stream.Init(recv.Config{
		SSRC: spec.SSRC, ClockRate: spec.ClockRate,
		NACK: spec.Feedback.NACK, Video: spec.Kind == param.Video,
	})
	info := router.Info{
		Owner: env.Shard, Conn: c.Index, Slot: slot, Kind: spec.Kind, Codec: spec.Codec,
	}
	if rid, ok := env.RTX.Open(); ok {
		p.ring = env.RTX.Writer(rid)
		info.RTX, info.HasRTX = rid, true
	}
	p.shared = env.Tracks.Open(id, info)
	c.pubs[slot] = p
	if spec.SSRC != 0 {
		c.bind(bind{ssrc: spec.SSRC, slot: slot})
	}
	if spec.RTXSSRC != 0 {
		c.bind(bind{ssrc: spec.RTXSSRC, slot: slot, rtx: true})
	}
	if spec.Feedback.TransportCC && spec.Extensions.TransportCC != 0 {
		c.cc = true
	} else if spec.Feedback.REMB {
		c.rembs = true
	}
	c.reduced = c.reduced || spec.ReducedSize
	return true
}

// Unpublish takes a track off the connection. The shard then closes it in the router.
func (c *Conn) Unpublish(id param.TrackID) bool {
	for slot, p := range c.pubs {
		if p == nil || p.track != id {
			continue
		}
		c.pubs[slot] = nil
		kept := c.binds[:0]
		for _, b := range c.binds {
			if b.slot != slot {
				kept = append(kept, b)
			}
		}
		c.binds = kept
		return true
	}
	return false
}

// KeyFrameWanted notes that a viewer of the track in slot needs a key frame; Tick asks the
// publisher for one as soon as its window allows (one request serves everybody in it). It
// returns when Tick is due for it.
func (c *Conn) KeyFrameWanted(id param.TrackID, slot int, now mono.Time) mono.Time {
	if slot >= len(c.pubs) || c.pubs[slot] == nil || c.pubs[slot].track != id {
		return mono.Never
	}
	p := c.pubs[slot]
	if p.spec.Kind != param.Video {
		return mono.Never
	}
	p.shared.ClearLossy()
	p.keys.Request(now)
	return p.keys.Deadline()
}

func (c *Conn) bind(b bind) bool {
	if len(c.binds) >= param.MaxSSRC {
		return false
	}
	c.binds = append(c.binds, b)
	return true
}

func (c *Conn) lookup(ssrc uint32) (bind, bool) {
	for i := range c.binds {
		if c.binds[i].ssrc == ssrc {
			return c.binds[i], true
		}
	}
	return bind{}, false
}

// byMID returns what an SSRC that signaling did not name would be bound to: the m-section
// that the packet names in the clear (RFC 8843 section 9.2). It binds nothing: anybody who
// can forge the peer's address may have written that, so bindLate does, once the packet has
// proven to be the peer's. False: no m-section, or no room for another SSRC.
func (c *Conn) byMID(v *rtp.View) (bind, bool) {
	if len(c.binds) >= param.MaxSSRC {
		return bind{}, false
	}
	for slot, p := range c.pubs {
		if p == nil || p.spec.Extensions.MID == 0 {
			continue
		}
		if mid := v.Extension(p.spec.Extensions.MID); string(mid) != p.spec.MID || len(mid) == 0 {
			continue
		}
		switch {
		case v.PayloadType == p.spec.PayloadType:
			return bind{ssrc: v.SSRC, slot: slot}, true
		case p.spec.RTXType != 0 && v.PayloadType == p.spec.RTXType:
			return bind{ssrc: v.SSRC, slot: slot, rtx: true}, true
		}
	}
	return bind{}, false
}

// bindLate binds an SSRC that byMID found. The number of SSRCs is bounded for the life of
// the connection, because the decrypting context cannot forget one.
func (c *Conn) bindLate(b bind) {
	if !c.bind(b) || b.rtx {
		return
	}
	p := c.pubs[b.slot]
	p.spec.SSRC = b.ssrc
	p.stream.SetSSRC(b.ssrc)
}

// HandleRTP takes one SRTP datagram that came by a validated path: decrypts it into a
// buffer of its own (the one copy on the way in), accounts for it and appends it to
// env.Routed. It returns when Tick is due because of it.
func (c *Conn) HandleRTP(env *Env, now mono.Time, datagram []byte) mono.Time {
	n := env.Count
	n.RTPIn.Inc()
	n.RTPInBytes.Add(uint64(len(datagram)))
	if c.session == nil {
		n.DropNoKeys.Inc()
		return mono.Never
	}
	v, err := rtp.ParseHeader(datagram)
	if err != nil {
		n.DropHeader.Inc()
		return mono.Never
	}
	b, bound := c.lookup(v.SSRC)
	if !bound {
		var ok bool
		if b, ok = c.byMID(&v); !ok {
			n.DropSSRC.Inc()
			return mono.Never
		}
	}
	if !c.policer.Allow(now, len(datagram), c.pubs[b.slot].spec.Kind) {
		n.DropPolicer.Inc()
		return mono.Never
	}
	p := c.pubs[b.slot]
	ref, ok := env.Mag.Get(len(datagram), p.priority())
	if !ok {
		n.DropArena.Inc()
		return mono.Never
	}
	size, err := c.session.OpenRTP(env.Arena.Bytes(ref), datagram)
	if err != nil {
		env.Mag.Release(ref)
		n.refused(err)
		return mono.Never
	}
	if !bound {
		c.bindLate(b)
	}
	env.Arena.SetLen(ref, size)
	return c.receive(env, now, p, b, ref)
}

// receive accounts for one decrypted packet and passes it on. It owns ref.
func (c *Conn) receive(env *Env, now mono.Time, p *publisher, b bind, ref packet.Ref) mono.Time {
	n := env.Count
	data := env.Arena.Data(ref)
	v, err := rtp.Parse(data)
	if err != nil {
		env.Mag.Release(ref)
		n.DropPayload.Inc()
		return mono.Never
	}
	due := mono.Never
	x := v.Known(&p.spec.Extensions)
	if c.cc && x.HasTransportSeq {
		c.twcc.Record(now, x.TransportSeq)
		due = c.twcc.Deadline()
	}
	m := env.Arena.Meta(ref)
	m.Arrival, m.Timestamp = now, v.Timestamp
	m.HeaderLen, m.Padding = uint16(v.HeaderLen), uint8(v.Padding)
	payload := data[v.HeaderLen : len(data)-v.Padding]
	seq := v.Seq
	if b.rtx {
		if len(payload) == 0 { // bandwidth probes of libwebrtc are RTX packets of padding only
			env.Mag.Release(ref)
			n.PaddingOnly.Inc()
			return due
		}
		seq, payload, err = rtx.ParsePayload(payload)
		if err != nil {
			env.Mag.Release(ref)
			n.RTXMalformed.Inc()
			return due
		}
		m.HeaderLen += 2
		m.Flags |= packet.FlagRecovered
	}
	ext, verdict := p.stream.Receive(now, seq, v.Timestamp, len(data), b.rtx)
	if verdict != recv.Accept {
		env.Mag.Release(ref)
		n.DropDup.Inc()
		return due
	}
	if b.rtx {
		n.Recovered.Inc()
	}
	m.Seq = ext
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
	c.describe(now, p, m, payload)
	if p.ring != nil {
		env.Arena.Retain(ref, 1)
		p.ring.Insert(ext, ref, now, env.Mag)
	}
	env.Routed = append(env.Routed, Routed{Track: p.track, Ref: ref})
	return mono.Earliest(due, p.deadline())
}

// describe looks at the payload's descriptor for what routing and rewriting need to know.
func (c *Conn) describe(now mono.Time, p *publisher, m *packet.Meta, payload []byte) {
	d, err := codec.Peek(p.spec.Codec, payload)
	if err != nil {
		return // an end-to-end encrypted payload, or a probe: it still passes
	}
	if d.FrameStart {
		m.Flags |= packet.FlagFrameStart
	}
	m.PictureID, m.TL0PicIdx, m.TID = d.PictureID, d.TL0PicIdx, d.TID
	if d.KeyFrame {
		m.Flags |= packet.FlagKeyFrame
		p.stream.KeyFrame(m.Seq)
		p.keys.Arrived(now)
	}
}
