package edge

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
)

// byMID is a track whose SSRCs the answer does not name.
func byMID() param.Publish {
	spec := videoIn
	spec.SSRC, spec.RTXSSRC = 0, 0
	spec.Extensions.MID = midExtension
	return spec
}

// named returns a packet of a track that is known by its MID alone.
func (p *peer) named(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	return p.packet(header{PayloadType: 96, Seq: seq, Timestamp: ts, SSRC: ssrc}, "video_1", payload)
}

// rtcpTo opens what the peer was sent of RTCP and calls f with each packet.
func (p *peer) rtcpTo(all []datagram, f func(rtcp.Packet)) {
	p.r.t.Helper()
	for _, d := range all {
		if d.key != p.key || d.bytes[0]>>6 != 2 || d.bytes[1] < 192 || d.bytes[1] > 223 {
			continue
		}
		var buf [mmsg.SlotSize]byte
		n, err := p.session.OpenRTCP(buf[:], d.bytes)
		if err != nil {
			p.r.t.Fatalf("the peer cannot open RTCP: %v", err)
		}
		r := rtcp.NewReader(buf[:n])
		for pkt, ok := r.Next(); ok; pkt, ok = r.Next() {
			f(pkt)
		}
		if r.Err() != nil {
			p.r.t.Fatalf("malformed RTCP was sent: %v", r.Err())
		}
	}
}

// plis counts the key frame requests to the peer, by SSRC.
func (p *peer) plis(all []datagram) map[uint32]int {
	n := map[uint32]int{}
	p.rtcpTo(all, func(pkt rtcp.Packet) {
		if f, err := pkt.PLI(); err == nil {
			n[f.Media]++
		}
	})
	return n
}

func TestKeyFrameIsAskedForOnceTheSSRCIsKnown(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	track := c.pub.publish(byMID())
	v := c.open(0, pathA)
	v.c.Subscribe(videoOut(track, 7000))
	v.establish()
	c.advance(100 * time.Millisecond)
	c.take()
	c.deliver(0, c.pub.key, c.pub.named(4000, 100, 3000, vp8(false, 1)))
	c.advance(2 * time.Millisecond)
	if n := c.pub.plis(c.take()); n[4000] != 1 {
		t.Fatalf("key frame requests right after the first packet: %v, want one of 4000", n)
	}
	c.finish()
}

// Row ROOM-07.
func TestEncoderRestartUnderTheSameMIDReachesViewersAtOnce(t *testing.T) {
	// Where the new numbers begin is chance; some of these look like reordering, loss or
	// a duplicate of the old ones.
	for _, first := range []uint16{1000, 1001, 999, 900, 1100, 4000, 60000, 1000 + 1<<15} {
		c := newCall(t, 2, nil, nil)
		track := c.pub.publish(byMID())
		var viewers []*peer
		for i := range 2 {
			v := c.open(i, paths(2)[i])
			v.c.Subscribe(videoOut(track, 7000))
			v.establish()
			viewers = append(viewers, v)
		}
		send := func(ssrc uint32, seq uint16, ts uint32, key bool, fill byte) {
			c.deliver(0, c.pub.key, c.pub.named(ssrc, seq, ts, vp8(key, fill)))
			c.advance(33 * time.Millisecond)
		}
		for i := range 50 {
			send(4000, 951+uint16(i), 3000*uint32(i), i == 0, byte(i))
		}
		for i := range 50 {
			send(4002, first+uint16(i), 1<<31+3000*uint32(i), i == 0, byte(100+i))
		}
		sent := c.take()
		for n, v := range viewers {
			got := v.received(sent)
			if len(got) != 100 {
				t.Fatalf("viewer %d got %d packets of 100 when numbers begin anew at %d", n, len(got), first)
			}
			for i := 1; i < len(got); i++ {
				a, b := got[i-1], got[i]
				if d := binary.BigEndian.Uint16(b[2:]) - binary.BigEndian.Uint16(a[2:]); d != 1 {
					t.Fatalf("sequence numbers jump by %d at packet %d", d, i)
				}
				if d := int32(binary.BigEndian.Uint32(b[4:]) - binary.BigEndian.Uint32(a[4:])); d < 1000 || d > 9000 {
					t.Fatalf("timestamps jump by %d at packet %d", d, i)
				}
			}
			if !bytes.HasSuffix(got[50], vp8(true, 100)) {
				t.Fatal("the first packet of the new source is not the one after the last of the old")
			}
		}
		if n := c.sum(func(c *Counters) uint64 { return c.Conn.SourceSwitches.Load() }); n != 1 {
			t.Fatalf("source_switches %d, want 1", n)
		}
		c.finish()
	}
}

func TestRetransmissionAfterAnEncoderRestart(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	track := c.pub.publish(byMID())
	v := c.open(0, pathA)
	v.c.Subscribe(videoOut(track, 7000))
	v.establish()
	for i := range 40 {
		c.deliver(0, c.pub.key, c.pub.named(4000, uint16(i), 3000*uint32(i), vp8(i == 0, byte(i))))
	}
	for i := range 40 {
		c.deliver(0, c.pub.key, c.pub.named(4002, uint16(i), 3000*uint32(i), vp8(i == 0, byte(100+i))))
	}
	got := v.received(c.take())
	if len(got) != 80 {
		t.Fatalf("%d packets, want 80", len(got))
	}
	c.advance(50 * time.Millisecond)
	c.take()
	lost := binary.BigEndian.Uint16(got[60][2:])
	c.deliver(0, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 7000, []uint16{lost})))
	again := v.received(c.take())
	if len(again) != 1 || !bytes.HasSuffix(again[0], vp8(false, 120)) {
		t.Fatalf("resent %x, want the packet filled with 120", again)
	}
	c.finish()
}

func TestTwoSourcesUnderOneMIDDoNotTakeTurns(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	c.pub.publish(byMID())
	for i := range 100 {
		c.deliver(0, c.pub.key, c.pub.named(4000, uint16(i), 3000*uint32(i), vp8(i == 0, 1)))
		c.deliver(0, c.pub.key, c.pub.named(5000, uint16(i), 3000*uint32(i), vp8(i == 0, 1)))
		c.advance(33 * time.Millisecond)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.SourceSwitches.Load() }); n > 4 {
		t.Fatalf("%d changes of the source in 3.3 s, want one a second at most", n)
	}
	c.finish()
}

func TestPayloadTypeThatWasNotNegotiatedIsDropped(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	c.frame(true)
	c.take()
	other := c.pub.packet(header{PayloadType: 35, Seq: 2, Timestamp: 6000, SSRC: 1000}, "", vp8(false, 1))
	c.deliver(0, c.pub.key, other)
	if n := len(c.take()); n != 0 {
		t.Fatal("a packet of another payload type was sent on as VP8")
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropPayloadType.Load() }); n != 1 {
		t.Fatalf("drop_payload_type %d, want 1", n)
	}
	c.finish()
}

// A retransmission of the source that was is still under way when another one has taken its place:
// its number is none of the new one's.
func TestRetransmissionOfAFormerSourceIsNotTakenForTheNewOnes(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	track := c.pub.publish(byMID())
	v := c.open(0, pathA)
	v.c.Subscribe(videoOut(track, 7000))
	v.establish()
	for i := range 5 {
		c.deliver(0, c.pub.key, c.pub.named(4000, 100+uint16(i), 3000, vp8(i == 0, byte(i))))
	}
	for i := range 5 {
		c.deliver(0, c.pub.key, c.pub.named(4002, 90+uint16(i), 9000, vp8(i == 0, 100)))
	}
	body := append([]byte{0, 101}, vp8(false, 1)...)
	c.deliver(0, c.pub.key, c.pub.packet(header{PayloadType: 97, Seq: 1, Timestamp: 3000, SSRC: 4001}, "video_1", body))
	for i := 5; i < 20; i++ {
		c.deliver(0, c.pub.key, c.pub.named(4002, 90+uint16(i), 9000, vp8(false, 100)))
	}
	got := v.received(c.take())
	if len(got) != 25 {
		t.Errorf("%d packets came, want 25", len(got))
	}
	for i, b := range got {
		if fill := b[len(b)-1]; i >= 5 && fill != 100 {
			t.Errorf("packet %d is of the former source", i)
		}
	}
	c.finish()
}
