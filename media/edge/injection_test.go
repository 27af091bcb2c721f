package edge

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
)

// namedVideo is video whose SSRCs the packets themselves tie to it.
func namedVideo() param.Publish {
	v := videoIn
	v.SSRC, v.RTXSSRC = 0, 0
	v.Extensions.MID = 4
	return v
}

// named seals a packet that names its m-section, with a payload of pt.
func (p *peer) named(mid string, pt uint8, ssrc uint32, seq uint16, st *srtp.Stream) []byte {
	p.r.t.Helper()
	var slot [mmsg.SlotSize]byte
	slot[0], slot[1] = 0x90, pt
	binary.BigEndian.PutUint16(slot[2:], seq)
	binary.BigEndian.PutUint32(slot[8:], ssrc)
	words := (1 + len(mid) + 3) / 4
	copy(slot[12:], []byte{0xbe, 0xde, 0, byte(words), 4<<4 | byte(len(mid)-1)})
	copy(slot[17:], mid)
	n, err := p.session.SealRTP(slot[:], 16+4*words, vp8(true, byte(seq)), st, uint64(seq))
	if err != nil {
		p.r.t.Fatal(err)
	}
	return slices.Clone(slot[:n])
}

// Whoever forges the publisher's address, and knows the names of its m-sections, but has no
// key, can neither use up its SSRCs nor have feedback sent to others.
//
// Row RTP-01.
func TestForgedPacketsBindNoSSRC(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	spec := namedVideo()
	id := p.publish(spec)
	p.establish()
	const genuine, late = 7000, 7001
	r.deliver(0, pathA, p.named(spec.MID, 96, genuine, 1, p.session.AddStream(genuine)))
	for i := range uint32(2 * param.MaxSSRC) {
		for _, pt := range []uint8{96, 97} {
			forged := p.named(spec.MID, pt, genuine+100+2*i+uint32(pt&1), 1, p.session.AddStream(genuine+100+2*i+uint32(pt&1)))
			forged[len(forged)-1] ^= 1
			r.deliver(0, pathA, forged)
		}
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropAuth.Load() }); n != 4*param.MaxSSRC {
		t.Errorf("drop_auth is %d, want %d", n, 4*param.MaxSSRC)
	}
	plis := func() (media []uint32) {
		p.c.RequestKeyFrame(id)
		r.settle()
		r.advance(time.Second)
		for _, d := range r.take() {
			var b [mmsg.SlotSize]byte
			if d.bytes[1] < 192 || d.bytes[1] > 223 {
				continue
			}
			n, err := p.session.OpenRTCP(b[:], d.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if n >= 12 && b[1] == 206 { // payload-specific feedback
				media = append(media, binary.BigEndian.Uint32(b[8:]))
			}
		}
		return media
	}
	if got := plis(); !slices.Contains(got, genuine) || slices.ContainsFunc(got, func(s uint32) bool { return s != genuine }) {
		t.Errorf("key frames are asked for under %v, want %d", got, genuine)
	}
	// There is room for another SSRC of the publisher's own.
	r.deliver(0, pathA, p.named(spec.MID, 96, late, 1, p.session.AddStream(late)))
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropSSRC.Load() }); n != 0 {
		t.Errorf("drop_ssrc is %d", n)
	}
	r.finish()
}

// A publisher that sends under a new SSRC in every packet gets as many as one may have.
//
// Row RTP-04.
func TestSSRCsOfOneConnectionAreBounded(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	spec := namedVideo()
	p.publish(spec)
	p.establish()
	const more = 100
	for i := range uint32(param.MaxSSRC + more) {
		r.deliver(0, pathA, p.named(spec.MID, 96, 7000+i, 1, p.session.AddStream(7000+i)))
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropSSRC.Load() }); n != more {
		t.Errorf("drop_ssrc is %d, want %d", n, more)
	}
	r.finish()
}
