package conn

import (
	"time"

	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
)

// sourceGap is how far above the old numbers those of a new source begin: further than a
// viewer is shown as a gap, so that each viewer's stream begins anew, without a jump in its
// own numbers, and nothing of the old source can be taken for the new one's.
const sourceGap = 4096

// sourceHold is the least time between two changes of a track's source. Two sources that
// send under one MID at once would otherwise take turns with every packet.
const sourceHold = time.Second

// claim returns what an SSRC that is not bound says it is: by the MID that its header names
// in the clear (RFC 8843 section 9.2), the payload type and, where a track is one of several
// layers, the RID (RFC 8852 section 3). It changes nothing, since anybody can have written that;
// settle does once the packet has proven to be the peer's.
func (c *Conn) claim(now mono.Time, v *rtp.View) (bind, bool) {
	var id uint8
	var mid []byte
	for slot, p := range c.pubs {
		if p == nil || p.spec.Extensions.MID == 0 || p.spec.MID == "" {
			continue
		}
		if p.spec.Extensions.MID != id { // the same in all m-sections, as a rule
			id = p.spec.Extensions.MID
			mid = v.Extension(id)
		}
		if string(mid) != p.spec.MID {
			continue
		}
		switch {
		case !p.isLayer(v):
		case p.takes(v.PayloadType, false):
			held := p.switched != mono.Never && now.Sub(p.switched) < sourceHold
			return bind{ssrc: v.SSRC, slot: slot}, !held
		case p.spec.RTXType != 0 && v.PayloadType == p.spec.RTXType:
			return bind{ssrc: v.SSRC, slot: slot, rtx: true}, true
		}
	}
	return bind{}, false
}

// isLayer reports whether a packet is of the track's layer, or of its retransmissions, which name
// the layer by an extension of their own. One that names no layer may be of any: it is of none.
func (p *publisher) isLayer(v *rtp.View) bool {
	if p.spec.RID == "" {
		return true
	}
	id := p.spec.Extensions.RID
	if p.spec.RTXType != 0 && v.PayloadType == p.spec.RTXType {
		id = p.spec.Extensions.RepairedRID
	}
	return id != 0 && string(v.Extension(id)) == p.spec.RID
}

// settle binds an SSRC whose packet has been authenticated, in place of what was bound for
// the same purpose before: a peer that restarts its encoder sends on under a new SSRC, with
// numbers and timestamps of a new beginning.
func (c *Conn) settle(env *Env, now mono.Time, b bind) {
	c.unbind(b.slot, b.rtx)
	c.bind(b)
	if b.rtx {
		return
	}
	p := c.pubs[b.slot]
	began := p.newest != 0
	p.count(env.Count, &c.tallies)
	p.listen(env, b.ssrc)
	if !began {
		return
	}
	env.Count.SourceSwitches.Inc()
	c.unbind(b.slot, true) // it would repeat the old source's packets
	p.fresh, p.switched = true, now
	p.shared.Clock.Reset()
	if p.spec.Kind == param.Video {
		p.ask(now)
	}
}

// number returns the Seq that viewers and the retransmission ring know a packet by, from the
// extended number that its stream gave it.
func (p *publisher) number(ext uint64) uint64 {
	if p.fresh {
		p.fresh = false
		p.shift = p.newest + sourceGap - ext
	}
	seq := ext + p.shift
	p.newest = max(p.newest, seq)
	return seq
}
