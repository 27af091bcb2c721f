package edge

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/rtcp"
)

// rtxPacket seals a retransmission of the peer's (RFC 4588).
func (p *peer) rtxPacket(seq, original uint16, ts uint32, payload []byte) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, original), payload...)
	return p.packet(header{PayloadType: 97, Seq: seq, Timestamp: ts, SSRC: 1001}, "", body)
}

func TestLossOnTheWayInCostsNoKeyFrame(t *testing.T) {
	c := newCall(t, 2, []int{1}, nil)
	v := c.viewers[0]
	for range 10 {
		c.frame(c.seq == 0)
	}
	c.seq++ // lost on its way to us
	lost := c.seq
	for range 3 {
		c.frame(false)
	}
	c.settle()
	got := v.received(c.take())
	if len(got) != 13 {
		t.Fatalf("%d packets, want 13", len(got))
	}
	missing := binary.BigEndian.Uint16(got[9][2:]) + 1
	for range 5 {
		c.advance(20 * time.Millisecond)
		c.deliver(1, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{missing})))
	}
	c.settle()
	if n := c.pub.plis(c.take()); len(n) != 0 {
		t.Fatalf("key frames were asked for: %v", n)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.NACKAwaited.Load() }); n != 5 {
		t.Fatalf("nack_awaited %d, want 5", n)
	}
	c.deliver(0, c.pub.key, c.pub.rtxPacket(1, lost, 3000*uint32(lost), vp8(false, byte(lost))))
	c.settle()
	again := v.received(c.take())
	if len(again) != 1 || binary.BigEndian.Uint16(again[0][2:]) != missing || !bytes.HasSuffix(again[0], vp8(false, byte(lost))) {
		t.Fatalf("the repaired packet came as %x", again)
	}
	c.finish()
}

// What a full lane between the shards has cost a viewer is in the publisher's ring.
func TestLossBetweenShardsIsServedFromTheRing(t *testing.T) {
	c := newCall(t, 2, []int{1}, func(c *Config) { c.MediaLane = 2 })
	v := c.viewers[0]
	for range 20 {
		c.frame(c.seq == 0)
		c.settle()
	}
	for range 3 {
		c.frame(false) // the third finds the lane full
	}
	c.settle()
	c.frame(false)
	c.settle()
	got := v.received(c.take())
	if len(got) != 23 {
		t.Fatalf("%d packets of 24, want one lost", len(got))
	}
	c.deliver(1, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{binary.BigEndian.Uint16(got[21][2:]) + 1})))
	again := v.received(c.take())
	if len(again) != 1 || !bytes.HasSuffix(again[0], vp8(false, 23)) {
		t.Fatalf("served %x, want packet 23", again)
	}
	c.finish()
}

func TestViewerWithoutRTXCannotAskForKeyFramesAllTheTime(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	v := c.open(0, pathA)
	spec := videoOut(c.track, 5000)
	spec.RTXSSRC, spec.RTXType = 0, 0
	v.c.Subscribe(spec)
	v.establish()
	c.frame(true)
	got := v.received(c.take())
	requests := 0
	for range 100 {
		c.frame(c.seq%5 == 0) // answered within half a second
		seq := binary.BigEndian.Uint16(got[0][2:])
		c.deliver(0, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{seq})))
		c.advance(100 * time.Millisecond)
		if n := c.pub.plis(c.take())[1000]; n > 0 {
			requests += n
		}
	}
	if requests == 0 || requests > 8 {
		t.Fatalf("%d key frame requests in 10 s of losses, want a few", requests)
	}
	c.finish()
}

// Row RTP-17.
func TestRetransmissionsThatFitNothingAreDropped(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	for range 10 {
		c.frame(c.seq == 0)
	}
	c.take()
	short := c.pub.packet(header{PayloadType: 97, Seq: 1, Timestamp: 1, SSRC: 1001}, "", []byte{7})
	unknown := c.pub.rtxPacket(2, 30000, 1, vp8(false, 1))
	known := c.pub.rtxPacket(3, c.seq, 1, vp8(false, 1))
	ofRTX := c.pub.rtxPacket(4, 3, 1, vp8(false, 1)) // its own number 3, which is also the media's
	c.deliver(0, c.pub.key, short, unknown, known, ofRTX)
	if n := len(c.take()); n != 0 {
		t.Fatalf("%d packets were sent on", n)
	}
	n := &c.p.shards[0].count.Conn
	if n.RTXMalformed.Load() != 1 || n.DropLate.Load() != 1 || n.DropDup.Load() != 2 || n.Recovered.Load() != 0 {
		t.Fatalf("rtx_malformed %d, drop_late %d, drop_dup %d, recovered %d",
			n.RTXMalformed.Load(), n.DropLate.Load(), n.DropDup.Load(), n.Recovered.Load())
	}
	// Nor does a viewer's NACK of a retransmission draw one.
	v := c.viewers[0]
	c.deliver(0, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5001, []uint16{1, 2, 3})))
	if len(c.take()) != 0 || n.NACKIn.Load() != 0 {
		t.Fatal("a NACK about the RTX stream was served")
	}
	c.finish()
}

// Row RTP-07.
func TestNACKsDrawHalfOfTheStreamAtMost(t *testing.T) {
	c := newCall(t, 2, []int{1, 0}, nil)
	v, other := c.viewers[0], c.viewers[1]
	sum := func(all []datagram, p *peer) (n int) {
		for _, d := range all {
			if d.key == p.key {
				n += len(d.bytes)
			}
		}
		return n
	}
	payload := make([]byte, 1000)
	plain, total, toOther := 0, 0, 0
	for i := range 500 {
		c.seq++
		copy(payload, vp8(i == 0, byte(i)))
		c.deliver(0, c.pub.key, c.pub.rtp(1000, c.seq, 3000*uint32(c.seq), payload))
		c.settle()
		sent := c.take()
		got := v.received(sent)
		if len(got) != 1 {
			t.Fatalf("%d packets of one", len(got))
		}
		plain += sum(sent, v)
		total += sum(sent, v)
		toOther += sum(sent, other)
		// Every number there is, 16 times for each packet; also of an SSRC that is not
		// its own, and of packets never sent.
		newest := binary.BigEndian.Uint16(got[0][2:])
		var seqs []uint16
		for n := range uint16(400) {
			seqs = append(seqs, newest-399+n)
		}
		for n := range uint16(400) {
			seqs = append(seqs, newest+1000+n)
		}
		for range 16 {
			c.deliver(1, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, seqs)),
				v.rtcp(rtcp.AppendNACK(nil, 1, 1000, seqs)), v.rtcp(rtcp.AppendNACK(nil, 1, 77, seqs)))
		}
		c.advance(10 * time.Millisecond)
		sent = c.take()
		total += sum(sent, v)
		toOther += sum(sent, other)
	}
	if total > plain*3/2 {
		t.Fatalf("%d bytes sent for a stream of %d", total, plain)
	}
	if total < plain*11/10 {
		t.Fatal("no NACK was served at all")
	}
	if toOther > plain*11/10 {
		t.Fatalf("the other viewer was sent %d bytes for a stream of %d", toOther, plain)
	}
	c.finish()
}
