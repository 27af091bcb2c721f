package conn

import (
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/router"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// publisher is one track that the peer sends to us.
type publisher struct {
	spec   param.Publish
	track  param.TrackID
	shared *router.Track
	ring   *rtx.Ring // nil: nothing is kept for retransmission
	keys   recv.KeyFrames
	fir    uint8 // number of the last FIR

	// The source: it may be another one after the peer has restarted its encoder.
	ssrc     uint32 // 0: not known yet
	stream   recv.Stream
	shift    uint64    // what Meta.Seq has more than the stream's own numbers
	newest   uint64    // the highest Meta.Seq given; 0: none
	fresh    bool      // the next packet is the first one of a new source
	switched mono.Time // when the source changed last
}

// bind ties one SSRC of the peer to the stream that it belongs to.
type bind struct {
	ssrc uint32
	slot int
	rtx  bool
}

func (p *publisher) deadline() mono.Time {
	if p.ssrc == 0 { // nobody could be asked for anything
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

// payloadType returns the one that packets of the track have to have.
func (p *publisher) payloadType(rtx bool) uint8 {
	if rtx {
		return p.spec.RTXType
	}
	return p.spec.PayloadType
}

// listen makes the stream that of the source ssrc, which may be 0 for one not known yet.
func (p *publisher) listen(ssrc uint32) {
	p.ssrc = ssrc
	p.stream.Init(recv.Config{
		SSRC: ssrc, ClockRate: p.spec.ClockRate,
		NACK: p.spec.Feedback.NACK, Video: p.spec.Kind == param.Video,
	})
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
	info := router.Info{
		Owner: env.Shard, Conn: c.Index, Slot: slot, Kind: spec.Kind, Codec: spec.Codec,
		Repairs: spec.Feedback.NACK,
	}
	// Audio is retransmitted only where that was asked for; it would hold buffers for nothing.
	if spec.Kind == param.Video || spec.Feedback.NACK {
		if rid, ok := env.RTX.Open(); ok {
			p.ring = env.RTX.Writer(rid)
			info.RTX, info.HasRTX = rid, true
		}
	}
	p.shared = env.Tracks.Open(id, info)
	c.pubs[slot] = p
	p.listen(0)
	if spec.SSRC != 0 && c.bind(bind{ssrc: spec.SSRC, slot: slot}) {
		p.listen(spec.SSRC)
	}
	if spec.RTXSSRC != 0 && spec.RTXType != 0 {
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
		c.unbind(slot, false)
		c.unbind(slot, true)
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
	p.shared.ClearLossy()
	if p.spec.Kind != param.Video {
		return mono.Never
	}
	p.keys.Request(now)
	return p.deadline()
}

// bind adds b. It refuses an SSRC that is bound already: the first to name it has it. There
// are two for each track at most, fewer than param.MaxSSRC.
func (c *Conn) bind(b bind) bool {
	if c.lookup(b.ssrc) != nil {
		return false
	}
	c.binds = append(c.binds, b)
	return true
}

// unbind takes away what is bound to a slot as its media, or as its retransmissions.
func (c *Conn) unbind(slot int, rtx bool) {
	kept := c.binds[:0]
	for _, b := range c.binds {
		if b.slot != slot || b.rtx != rtx {
			kept = append(kept, b)
		}
	}
	c.binds = kept
}

// lookup returns what is bound to ssrc, or nil.
func (c *Conn) lookup(ssrc uint32) *bind {
	for i := range c.binds {
		if c.binds[i].ssrc == ssrc {
			return &c.binds[i]
		}
	}
	return nil
}
