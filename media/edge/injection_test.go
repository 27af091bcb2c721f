package edge

import (
	"testing"
	"time"

	"tsubame/media/param"
)

// Whoever forges the publisher's address, and knows the names of its m-sections, but has no
// key, can neither use up its SSRCs nor have feedback sent to others.
//
// Row RTP-01.
func TestForgedPacketsBindNoSSRC(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	spec := byMID()
	id := p.publish(spec)
	p.establish()
	const genuine, late = 7000, 7001
	r.deliver(0, pathA, p.named(genuine, 1, 3000, vp8(true, 1)))
	for i := range uint32(2 * param.MaxSSRC) {
		for _, pt := range []uint8{96, 97} {
			forged := p.packet(header{PayloadType: pt, Seq: 1, SSRC: genuine + 100 + 2*i + uint32(pt&1)}, spec.MID, vp8(true, 1))
			forged[len(forged)-1] ^= 1
			r.deliver(0, pathA, forged)
		}
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropAuth.Load() }); n != 4*param.MaxSSRC {
		t.Errorf("drop_auth is %d, want %d", n, 4*param.MaxSSRC)
	}
	p.c.RequestKeyFrame(id)
	r.settle()
	r.advance(time.Second)
	if n := p.plis(r.take()); n[genuine] == 0 || len(n) != 1 {
		t.Errorf("key frames are asked for under %v, want %d alone", n, genuine)
	}
	// There is room for another SSRC of the publisher's own.
	r.deliver(0, pathA, p.named(late, 1, 3000, vp8(true, 1)))
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropSSRC.Load() }); n != 0 {
		t.Errorf("drop_ssrc is %d", n)
	}
	r.finish()
}
