package edge

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/mmsg"
)

// Row ICE-09.
func TestFlappingAddressLosesNextToNothing(t *testing.T) {
	c := newCall(t, 2, []int{0}, nil)
	v := c.viewers[0]
	c.frame(true)
	v.received(c.take())
	sent, got := 0, 0
	for flip := range 60 * 20 { // every 50 ms for a minute
		v.key.Port = uint16(20000 + flip)
		v.shard = flip % 2
		c.deliver(v.shard, v.key, v.check(true))
		c.settle()
		for range 5 {
			c.frame(false)
			c.settle()
			sent++
			for _, d := range c.take() {
				if d.key.Port == v.key.Port && d.bytes[0]>>6 == 2 && d.bytes[1] < 192 {
					got++
				}
			}
			c.advance(10 * time.Millisecond)
		}
		if flip%10 == 0 {
			c.deliver(0, c.pub.key, c.pub.check(true))
		}
	}
	if got < sent*99/100 {
		t.Fatalf("%d of %d packets reached the latest address", got, sent)
	}
	c.finish()
}

// Row DTLS-02.
func TestRecordsOfLaterEpochsBeginNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	record := func(contentType byte, epoch byte) []byte {
		return []byte{contentType, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 1, 1}
	}
	r.deliver(0, pathA, record(22, 0), record(22, 1), record(23, 1))
	if n := r.sum(func(c *Counters) uint64 { return c.DropPath.Load() }); n != 3 {
		t.Fatalf("drop_path %d, want 3", n)
	}
	p.establish()
	l := r.p.shards[0].live[p.c.index]
	for _, b := range [][]byte{record(22, 5), record(23, 1), record(20, 0), record(24, 0)} {
		r.deliver(0, pathA, b)
	}
	if n := r.sum(func(c *Counters) uint64 { return c.DropRecords.Load() }); n != 4 {
		t.Fatalf("drop_records %d, want 4", n)
	}
	if !l.Established() || len(p.events) != 1 {
		t.Fatalf("events %v", p.events)
	}
	r.finish()
}

// Row DTLS-09.
func TestNothingPassesAfterCloseNotify(t *testing.T) {
	c := newCall(t, 2, []int{1}, nil)
	c.frame(true)
	c.settle()
	c.take()
	c.pub.c.Closed(0) // what the endpoint says when close_notify comes
	c.settle()
	if e := c.pub.events[len(c.pub.events)-1]; e != (Event{Kind: Closed, Reason: ReasonDTLSClosed}) {
		t.Fatalf("events %v", c.pub.events)
	}
	c.frame(true)
	c.deliver(0, c.pub.key, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	c.pub.secure() // another handshake, with another certificate for all that matters
	c.settle()
	for _, d := range c.take() {
		if d.key != c.pub.key && d.bytes[0]>>6 == 2 && d.bytes[1] < 192 {
			t.Fatal("media was sent on after close_notify")
		}
	}
	c.advance(2 * lingerTime)
	if n := len(c.pub.events); n != 2 {
		t.Fatalf("events %v", c.pub.events)
	}
	if c.p.shards[0].flows.len() != 0 {
		t.Fatal("flows are left of the connection")
	}
	c.finish()
}

// Row RTP-02.
func TestMalformedInsideOfValidAuthentication(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	c.frame(true)
	c.take()
	seq := uint16(100)
	send := func(name string, first byte, extra, payload []byte) int {
		t.Helper()
		var slot [mmsg.SlotSize]byte
		seq++
		copy(slot[:], []byte{first, 96, byte(seq >> 8), byte(seq), 0, 0, 0, 1, 0, 0, 3, 232})
		copy(slot[12:], extra)
		b := c.pub.seal(slot[:], 12+len(extra), payload)
		c.deliver(0, c.pub.key, b)
		return len(c.viewers[0].received(c.take()))
	}
	for name, k := range map[string]struct {
		first          byte
		extra, payload []byte
		passes         int
	}{
		"padding of 0":              {0xa0, nil, []byte{0x10, 1, 2, 0}, 0},
		"padding beyond the header": {0xa0, nil, []byte{0x10, 1, 2, 5}, 0},
		"padding and no payload":    {0xa0, nil, nil, 0},
		"padding only":              {0xa0, nil, []byte{0, 0, 3}, 0}, // its gap is closed
		"descriptor cut short":      {0x80, nil, []byte{0x90}, 1},    // end-to-end encrypted, say
		"good":                      {0x80, nil, vp8(false, 1), 1},
		"extension with lies":       {0x90, []byte{0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3}, vp8(false, 1), 1},
		"contributing sources":      {0x82, make([]byte, 8), vp8(false, 1), 1},
	} {
		if n := send(name, k.first, k.extra, k.payload); n != k.passes {
			t.Errorf("%s: %d packets were sent on, want %d", name, n, k.passes)
		}
	}
	// Lengths past the end do not even get to be opened.
	for _, b := range [][]byte{
		append([]byte{0x8f, 96, 1, 1, 0, 0, 0, 1, 0, 0, 3, 232}, make([]byte, 20)...),
		append([]byte{0x90, 96, 1, 1, 0, 0, 0, 1, 0, 0, 3, 232, 0xbe, 0xde, 0xff, 0xff}, make([]byte, 20)...),
	} {
		c.deliver(0, c.pub.key, b)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropHeader.Load() }); n != 2 {
		t.Errorf("drop_header %d, want 2", n)
	}
	c.finish()
}

// Row RTP-06.
func TestFloodOfOneParticipantIsCutAndItsVoiceAndOthersStay(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	c.frame(true)
	c.take()
	flooder := c.open(0, pathA)
	flooder.establish()
	flooder.publish(audioIn)
	spec := videoIn
	spec.SSRC, spec.RTXSSRC = 3000, 3001
	flooder.publish(spec)
	c.take()
	payload := make([]byte, 1000)
	seq, reached := uint16(0), 0
	for range 50 {
		for range 400 { // 80,000 packets a second
			seq++
			c.deliver(0, pathA, flooder.rtp(3000, seq, 1, payload))
		}
		voice := header{PayloadType: 111, Seq: seq, Timestamp: uint32(seq), SSRC: 2000}
		before := c.p.shards[0].count.RunPackets.Load()
		c.deliver(0, pathA, flooder.packet(voice, "", []byte{0x78, 1, 2, 3}))
		if c.p.shards[0].count.RunPackets.Load() == before {
			t.Fatal("its voice was cut before its pictures")
		}
		c.frame(false)
		reached += len(c.viewers[0].received(c.take()))
		c.advance(5 * time.Millisecond)
		c.take()
	}
	if reached != 50 {
		t.Fatalf("%d of 50 packets of another publisher reached its viewer", reached)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropPolicer.Load() }); n < 10000 {
		t.Fatalf("drop_policer %d", n)
	}
	c.finish()
}

// Row RTP-12.
func TestHeaderExtensionsOfAPeerStayItsOwn(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	spec := videoIn
	spec.SSRC, spec.RTXSSRC = 3000, 3001
	spec.Extensions = param.Extensions{MID: 4, AudioLevel: 1, VideoOrientation: 1, TransportCC: 1}
	track := c.pub.publish(spec)
	v := c.open(0, pathA)
	v.c.Subscribe(videoOut(track, 7000)) // which negotiated none
	v.establish()
	for i, extra := range [][]byte{
		{0xbe, 0xde, 0, 1, 0x10, 0x80, 0xf0, 1},             // a level; then id 15
		{0x10, 0, 0, 1, 1, 1, 0x80, 0},                      // the two-byte form
		{0xbe, 0xde, 0, 2, 0x10, 1, 0x10, 2, 0x20, 3, 0, 0}, // an id twice, and an unknown one
	} {
		var slot [mmsg.SlotSize]byte
		copy(slot[:], []byte{0x90, 96, 0, byte(i), 0, 0, 0, byte(i), 0, 0, 0x0b, 0xb8})
		copy(slot[12:], extra)
		c.deliver(0, c.pub.key, c.pub.seal(slot[:], 12+len(extra), vp8(true, byte(i))))
		got := v.received(c.take())
		if len(got) != 1 || got[0][0]&0x10 != 0 || !bytes.HasSuffix(got[0], vp8(true, byte(i))) {
			t.Fatalf("packet %d was sent on as %x", i, got)
		}
	}
	c.finish()
}

// Row RTP-05.
func TestWildNumbersLeaveAnOrderlyStream(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	v := c.viewers[0]
	seq, ts := uint16(0), uint32(0)
	var last []byte
	for i, jump := range []struct {
		seq uint16
		ts  uint32
	}{{1, 3000}, {1, 1 << 31}, {32000, 3000}, {20000, 1 << 30}, {1, 1<<32 - 90000*60}, {5000, 7}} {
		seq, ts = seq+jump.seq, ts+jump.ts
		passed := 0
		for n := range 60 { // 32 in a row make a jump back believed
			c.deliver(0, c.pub.key, c.pub.rtp(1000, seq, ts, vp8(n%10 == 0, byte(n))))
			seq, ts = seq+1, ts+3000
			c.advance(33 * time.Millisecond)
			for _, b := range v.received(c.take()) {
				passed++
				if last != nil {
					d := binary.BigEndian.Uint16(b[2:]) - binary.BigEndian.Uint16(last[2:])
					e := int32(binary.BigEndian.Uint32(b[4:]) - binary.BigEndian.Uint32(last[4:]))
					if d == 0 || d > 1000 || e <= 0 || e > 90000*3 {
						t.Fatalf("jump %d: the viewer's numbers go on by %d, timestamps by %d", i, d, e)
					}
				}
				last = b
			}
		}
		if passed < 15 {
			t.Errorf("jump %d: %d packets of 60 reached the viewer", i, passed)
		}
		if i%2 == 0 {
			c.deliver(0, c.pub.key, c.pub.check(true))
			c.deliver(0, v.key, v.check(true))
			c.take()
		}
	}
	c.finish()
}
