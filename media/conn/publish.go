package conn

import (
	"time"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/router"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// publisher is one track that the peer sends to us.
type publisher struct {
	spec      param.Publish
	track     param.TrackID
	shared    *router.Track
	ring      *rtx.Ring // nil: nothing is kept for retransmission
	keys      recv.KeyFrames
	wanted    mono.Time // when a key frame was wanted last
	refreshed mono.Time // when the last key frame began, or was asked for in its place: see cache.go
	fir       uint8     // number of the last FIR

	// The source: it may be another one after the peer has restarted its encoder.
	ssrc     uint32 // 0: not known yet
	stream   recv.Stream
	red      *redSource // nil: redundant audio was not negotiated
	shift    uint64     // what Meta.Seq has more than the stream's own numbers
	newest   uint64     // the highest Meta.Seq given; 0: none
	fresh    bool       // the next packet is the first one of a new source
	arrived  arrived    // in the line of these, which every packet changes
	counted  recv.Stats // see count
	switched mono.Time  // when the source changed last

	keyed   bool   // a key frame has come from the source: the last one began with
	keySeq  uint64 // this packet, by its stream's own number,
	keyTime uint32 // of this timestamp
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

// takes reports whether packets of the track may have a payload type. A publisher of redundant
// audio sends what has no redundancy as it is, under the same SSRC.
func (p *publisher) takes(payloadType uint8, rtx bool) bool {
	if rtx {
		return payloadType == p.spec.RTXType
	}
	return payloadType == p.spec.PayloadType || p.isRED(payloadType)
}

// listen makes the stream that of the source ssrc, which may be 0 for one not known yet.
func (p *publisher) listen(env *Env, ssrc uint32) {
	p.ssrc, p.keyed, p.counted = ssrc, false, recv.Stats{}
	p.stream.Init(recv.Config{
		SSRC: ssrc, ClockRate: p.spec.ClockRate,
		NACK: p.spec.Feedback.NACK, Video: p.spec.Kind == param.Video, Tables: &env.Missing,
	})
}

// count adds what the stream has counted since it was called last.
func (p *publisher) count(n *Counters, t *tallies) {
	now, was := p.stream.Stats(), p.counted
	p.counted = now
	t.missing += now.Missing - was.Missing
	t.recovered += now.Recovered - was.Recovered
	t.givenUp += now.GivenUp - was.GivenUp
	n.LostSuspected.Add(now.Suspected - was.Suspected)
	n.LostUnanswered.Add(now.Unanswered - was.Unanswered)
	n.LostOverflowed.Add(now.Overflowed - was.Overflowed)
	n.LostBursts.Add(now.Bursts - was.Bursts)
	n.LostSuperseded.Add(now.Superseded - was.Superseded)
	n.RTXRepeated.Add(now.Repeated - was.Repeated)
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
	if spec.REDType != 0 {
		p.red = new(redSource)
	}
	info := router.Info{
		Owner: env.Shard, Conn: c.Index, Slot: slot, Kind: spec.Kind, Codec: spec.Codec,
		Repairs: spec.Feedback.NACK,
	}
	// Audio is retransmitted only where that was asked for; it would hold buffers for nothing.
	if spec.Kind == param.Video || spec.Feedback.NACK {
		if rid, ok := env.RTX.Open(); ok {
			p.ring = env.RTX.Writer(rid)
			p.ring.SetClockRate(spec.ClockRate)
			info.RTX, info.HasRTX = rid, true
		}
	}
	p.shared = env.Tracks.Open(id, info)
	c.pubs[slot] = p
	p.listen(env, 0)
	if spec.SSRC != 0 && c.bind(bind{ssrc: spec.SSRC, slot: slot}) {
		p.listen(env, spec.SSRC)
	}
	if spec.RTXSSRC != 0 && spec.RTXType != 0 {
		c.bind(bind{ssrc: spec.RTXSSRC, slot: slot, rtx: true})
	}
	if spec.Feedback.TransportCC && spec.Extensions.TransportCC != 0 {
		c.cc = true
		if c.twcc == nil {
			c.twcc = new(recv.TWCC)
		}
	} else if spec.Feedback.REMB {
		c.rembs = true
	}
	c.reduced = c.reduced || spec.ReducedSize
	return true
}

// Unpublish takes a track off the connection. The shard then closes it in the router.
func (c *Conn) Unpublish(env *Env, id param.TrackID) bool {
	for slot, p := range c.pubs {
		if p == nil || p.track != id {
			continue
		}
		c.ended(env, p)
		c.pubs[slot], c.behind = nil, nil
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
	p.ask(now)
	return p.deadline()
}

// requestMemory is for how long a key frame is asked for that nobody has wanted again: as
// long as the longest back-off of media/recv. Viewers that wait want one with every packet,
// so that the asking ends when none is left, be it because the publisher's key frames
// cannot be recognised and the viewers went on without (media/send). Otherwise such a
// publisher would be asked, and send key frames, for ever.
const requestMemory = 4 * time.Second

// ask notes that a key frame is wanted.
func (p *publisher) ask(now mono.Time) {
	p.wanted = now
	p.keys.Request(now)
}

// forgotten reports whether the key frame that is asked for is wanted by nobody any more.
func (p *publisher) forgotten(now mono.Time) bool { return now.Sub(p.wanted) > requestMemory }

// keyFrame takes a packet that looks like the beginning of a key frame and reports whether
// it is. One with a key frame's timestamp that comes behind its first packet is not: a
// publisher of H.265 sends VPS and SPS in packets of their own, and a viewer who begins
// with the second has missed the first. One that comes ahead of it is, and was late; the
// frame is counted once.
func (p *publisher) keyFrame(n *Counters, ext uint64, ts uint32) bool {
	same := p.keyed && ts == p.keyTime
	if same && ext > p.keySeq {
		return false
	}
	if !same {
		n.KeyFrames.Inc()
	}
	if same || !p.keyed || ext > p.keySeq { // else one from before the last was recovered
		p.keyed, p.keySeq, p.keyTime = true, ext, ts
	}
	return true
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
