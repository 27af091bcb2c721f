package conn

import (
	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// redMemory is how many of a stream's last packets a block of redundancy is held against.
const redMemory = 16

// redSource is what is known of a publisher's stream that may be redundant audio (RFC 2198): which
// timestamps its last packets had. A block has no sequence number, only a timestamp, so that
// this tells what it is a copy of.
type redSource struct {
	ssrc  uint32
	known [redMemory]stamp // in order of arrival, from next on
	next  uint8
	// probes have numbers of the stream's, but neither payloads nor timestamps of their own:
	// libwebrtc has one after the other where it has no video to probe the network with.
	probes probes
}

type stamp struct {
	ext       uint64 // the stream's own number; 0: none
	timestamp uint32
}

// probes remembers which of a stream's last packets were without payload. The zero value knows
// none.
type probes struct {
	top  uint64
	bits uint64 // bit i: packet top-i
}

// mark notes that the packet seq is one.
func (p *probes) mark(seq uint64) {
	if seq > p.top {
		p.bits <<= min(seq-p.top, 64)
		p.top = seq
	}
	p.bits |= 1 << (p.top - seq) // which is nothing if it is too long ago
}

// before returns the number of the packet before seq that is none, as far as is remembered.
func (p *probes) before(seq uint64) uint64 {
	seq--
	for seq <= p.top && p.bits>>(p.top-seq)&1 != 0 {
		seq--
	}
	return seq
}

// note remembers an accepted packet, whatever it came as.
func (r *redSource) note(ssrc uint32, ext uint64, timestamp uint32, empty bool) {
	if r.ssrc != ssrc {
		*r = redSource{ssrc: ssrc}
	}
	if empty {
		r.probes.mark(ext)
		return
	}
	r.known[r.next] = stamp{ext, timestamp}
	r.next = (r.next + 1) % redMemory
}

// at returns the timestamp of the packet ext, if it is one of the last.
func (r *redSource) at(ext uint64) (uint32, bool) {
	for i := range r.known { // what is wanted came just now
		if e := &r.known[(r.next-1-uint8(i))%redMemory]; e.ext == ext {
			return e.timestamp, true
		}
	}
	return 0, false
}

// place returns which packet before ext, which has timestamp ts, a block is a copy of. By its place
// in the payload it is hole, as everybody sends it: unless that, or something else around, has
// come with another timestamp. Then it is the one that even steps of time make it, where a
// packet was left out. False: it is a copy of one that has come, or of none that could have been
// between those that have.
func (r *redSource) place(ssrc uint32, ext uint64, ts uint32, hole uint64, offset uint32) (uint64, bool) {
	if r.ssrc != ssrc || offset == 0 {
		return 0, false
	}
	if r.fits(ext, hole, ts-offset) {
		return hole, true
	}
	step := r.step(ext, ts)
	if step == 0 || offset%step != 0 {
		return 0, false
	}
	hole = ext - uint64(offset/step)
	return hole, r.fits(ext, hole, ts-offset)
}

// fits reports whether the packet hole, before ext, may have been one of timestamp ts, by those
// that have come. After a jump of the publisher's clock nothing fits until they are forgotten.
func (r *redSource) fits(ext, hole uint64, ts uint32) bool {
	for i := range r.known {
		e := &r.known[i]
		if e.ext == 0 {
			continue
		}
		if e.timestamp == ts || e.ext == hole || (e.ext < hole) != (int32(e.timestamp-ts) < 0) {
			return false
		}
	}
	return hole < ext
}

// step returns the time between two packets if it is the same from the last two in a row that
// have come to ext, whatever is missing in between; 0: it is not, or not known.
func (r *redSource) step(ext uint64, ts uint32) uint32 {
	for back := uint64(1); back < redMemory-1; back++ {
		last, ok := r.at(ext - back)
		before, also := r.at(ext - back - 1)
		if !ok || !also {
			continue
		}
		if step := last - before; ts-last == uint32(back)*step {
			return step
		}
		return 0
	}
	return 0
}

// isRED reports whether a payload type is that of redundant audio.
func (p *publisher) isRED(payloadType uint8) bool {
	return p.red != nil && payloadType == p.spec.REDType
}

// receiveRED takes redundant audio apart: what payload, of the packet v in ref, has of packets
// that are missing goes on as packets of their own, ahead of it. It returns the payload that the
// packet would have without redundancy, which stays where it is; false: what the packet itself
// carries is of no use.
func (c *Conn) receiveRED(env *Env, now mono.Time, p *publisher, v *rtp.View, x *rtp.Known, m *packet.Meta, payload []byte) ([]byte, bool) {
	n := env.Count
	n.REDIn.Inc()
	p.arrived.red++
	r, err := codec.ParseRED(payload)
	if err != nil {
		n.DropRED.Inc()
		return nil, false
	}
	if r.PayloadType != p.spec.PayloadType { // RED in RED, FEC, or whatever else was not negotiated
		n.DropREDType.Inc()
		return nil, false
	}
	if ext, ok := p.stream.Extend(v.Seq); ok {
		blocks := r.Blocks()
		var holes [codec.MaxREDBlocks]uint64
		for i, last := len(blocks)-1, ext; i >= 0; i-- {
			last = p.red.probes.before(last)
			holes[i] = last
		}
		for i := range blocks {
			b := &blocks[i]
			ts := v.Timestamp - uint32(b.Offset)
			if b.PayloadType != p.spec.PayloadType {
				n.DropREDType.Inc()
				continue
			}
			if known, ok := p.red.at(holes[i]); b.Len == 0 || ok && known == ts {
				continue // as good as always: nothing was lost
			}
			if hole, ok := p.red.place(p.ssrc, ext, v.Timestamp, holes[i], uint32(b.Offset)); ok && p.stream.Lacks(hole) {
				c.fill(env, now, p, hole, ts, x, payload[b.At:b.At+b.Len])
			}
		}
	}
	m.HeaderLen += r.At
	return payload[r.At:], true
}

// fill makes a packet of a redundant block, in place of the one that is missing, and passes it
// on. It counts as recovered, and towards what the peer may send: a payload may have blocks of
// more packets than any link has lost (row RTP-16).
func (c *Conn) fill(env *Env, now mono.Time, p *publisher, hole uint64, ts uint32, x *rtp.Known, payload []byte) {
	n := env.Count
	if !c.policer.Allow(now, 0, param.Audio) { // its bytes were counted with the packet that it came in
		n.DropPolicer.Inc()
		return
	}
	ref, ok := env.Mag.Get(len(payload), packet.Audio)
	if !ok {
		n.DropArena.Inc()
		return
	}
	ext, verdict := p.stream.Receive(now, uint16(hole), ts, 0, true)
	if verdict != recv.Accept {
		env.Mag.Release(ref)
		n.DropDup.Inc()
		return
	}
	env.Arena.SetLen(ref, copy(env.Arena.Bytes(ref), payload))
	m := env.Arena.Meta(ref)
	m.Arrival, m.Timestamp, m.Seq = now, ts, p.number(ext)
	m.Flags = packet.FlagRecovered
	if x.HasAudioLevel { // its own is lost; 20 ms later it is much the same
		m.AudioLevel = x.AudioLevel
		m.Flags |= packet.FlagAudioLevel
	}
	p.describe(n, m, ext, payload)
	p.red.note(p.ssrc, ext, ts, false)
	n.REDRecovered.Inc()
	if p.ring != nil {
		env.Arena.Retain(ref, 1)
		p.ring.Insert(m.Seq, ref, now, env.Mag)
	}
	env.Routed = append(env.Routed, Routed{Track: p.track, Ref: ref})
}
