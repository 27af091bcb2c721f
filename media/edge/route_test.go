package edge

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

func TestViewersOnEveryShardGetTheSamePayload(t *testing.T) {
	c := newCall(t, 3, []int{0, 1, 2, 2}, nil)
	c.frame(true)
	c.frame(false)
	c.settle()
	sent := c.take()
	for i, v := range c.viewers {
		got := v.received(sent)
		if len(got) != 2 {
			t.Fatalf("viewer %d got %d packets, want 2", i, len(got))
		}
		for n, b := range got {
			if want := vp8(n == 0, byte(n+1)); !bytes.HasSuffix(b, want) {
				t.Errorf("viewer %d, packet %d: payload %x, want %x at the end", i, n, b, want)
			}
			if ssrc := binary.BigEndian.Uint32(b[8:]); ssrc != 5000 {
				t.Errorf("viewer %d got SSRC %d", i, ssrc)
			}
		}
	}
	c.finish()
}

// Row RTP-08.
func TestThousandWishesMakeOneKeyFrameRequest(t *testing.T) {
	c := newCall(t, 2, []int{1, 1, 0}, nil)
	c.advance(2 * time.Millisecond) // the joins ask, once for all three
	plis := func() (n int) {
		for _, d := range c.take() {
			if d.key != c.pub.key || d.bytes[1] < 192 {
				continue
			}
			var buf [mmsg.SlotSize]byte
			size, err := c.pub.session.OpenRTCP(buf[:], d.bytes)
			if err != nil {
				continue
			}
			r := rtcp.NewReader(buf[:size])
			for p, ok := r.Next(); ok; p, ok = r.Next() {
				if p.Kind() == rtcp.KindPLI {
					n++
				}
			}
		}
		return n
	}
	if n := plis(); n != 1 {
		t.Fatalf("%d PLIs for three joins, want 1", n)
	}
	c.frame(true)
	c.settle()
	c.take()
	c.advance(time.Second)
	c.take()
	for range 1000 {
		for _, v := range c.viewers {
			c.deliver(v.shard, v.key, v.rtcp(rtcp.AppendPLI(nil, 1, 5000)))
		}
	}
	c.settle()
	c.advance(100 * time.Millisecond)
	if n := plis(); n != 1 {
		t.Fatalf("%d PLIs for 3,000 wishes within 100 ms, want 1", n)
	}
	c.finish()
}

func TestNACKIsServedFromAnotherShardsRing(t *testing.T) {
	c := newCall(t, 2, []int{1}, nil)
	v := c.viewers[0]
	for range 20 { // retransmissions are a share of what was sent
		c.frame(c.seq == 0)
	}
	c.settle()
	got := v.received(c.take())
	if len(got) != 20 {
		t.Fatalf("%d packets, want 20", len(got))
	}
	lost := binary.BigEndian.Uint16(got[1][2:])
	c.advance(50 * time.Millisecond)
	c.take()
	c.deliver(1, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{lost})))
	again := v.received(c.take())
	if len(again) != 1 {
		t.Fatalf("%d retransmissions, want 1", len(again))
	}
	b := again[0]
	if ssrc := binary.BigEndian.Uint32(b[8:]); ssrc != 5001 || b[1]&0x7f != 97 {
		t.Fatalf("resent under SSRC %d, type %d", ssrc, b[1]&0x7f)
	}
	if want := append(binary.BigEndian.AppendUint16(nil, lost), vp8(false, 2)...); !bytes.HasSuffix(b, want) {
		t.Fatalf("resent %x, want %x at the end", b, want)
	}
	c.finish()
}

func TestFullMediaLaneLosesTheRunAndAsksForKeyFrame(t *testing.T) {
	c := newCall(t, 2, []int{1}, func(c *Config) { c.MediaLane = 2 })
	c.frame(true)
	c.settle()
	for range 5 {
		c.frame(false)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.DropRingMedia.Load() }); n != 3 {
		t.Fatalf("drop_ring_media %d, want 3", n)
	}
	c.take()
	c.advance(600 * time.Millisecond)
	if n := c.p.shards[0].count.Conn.PLIOut.Load(); n < 2 { // one for the join, one for the loss
		t.Fatalf("%d key frame requests, want one for the loss", n)
	}
	c.finish()
}

func TestEmptyArenaRefusesVideoBeforeAudio(t *testing.T) {
	c := newCall(t, 1, []int{0}, func(c *Config) {
		c.Buffers = packet.Config{Classes: []packet.ClassConfig{{Size: 1600, Count: 64}}, Reserve: 0.5, MagazineSize: 4}
	})
	c.pub.publish(audioIn)
	for range 64 { // the ring holds them: nothing comes back
		c.frame(c.seq == 0)
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropArena.Load() }); n == 0 {
		t.Fatal("the arena was never empty for video")
	}
	before := c.sum(func(c *Counters) uint64 { return c.Conn.DropArena.Load() })
	b := c.pub.packet(header{PayloadType: 111, Seq: 1, Timestamp: 960, SSRC: 2000}, "", []byte{0x78, 1, 2, 3})
	c.deliver(0, c.pub.key, b)
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropArena.Load() }); n != before {
		t.Fatal("audio was refused while its reserve was there")
	}
	c.finish()
}

func TestStuckTapLosesOnlyItsOwn(t *testing.T) {
	c := newCall(t, 2, []int{0, 1}, nil)
	tap, err := router.NewTap(4)
	if err != nil {
		t.Fatal(err)
	}
	c.p.OpenTap(c.track, tap)
	c.settle()
	for range 20 {
		c.frame(c.seq == 0)
	}
	c.settle()
	sent := c.take()
	for i, v := range c.viewers {
		if n := len(v.received(sent)); n != 20 {
			t.Fatalf("viewer %d got %d of 20 packets beside a stuck tap", i, n)
		}
	}
	if tap.Dropped() != 16 {
		t.Fatalf("the tap dropped %d, want 16", tap.Dropped())
	}
	c.p.CloseTap(c.track, tap)
	c.settle()
	if !tap.Left() {
		t.Fatal("the tap has not left the fan-out")
	}
	mag := c.p.arena.Magazine()
	tap.Free(mag)
	mag.Drain()
	c.finish()
}

func TestFullControlLaneMakesTheSenderWait(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.ControlLane = 4 })
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	const n = 100
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			p.c.Subscribe(param.Subscribe{Kind: param.Audio, SSRC: uint32(i + 1)})
		}
	}()
	s := r.p.shards[0]
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		if s.commands.Len() > s.commands.Cap() {
			t.Fatal("the lane holds more than its bound")
		}
		s.HandleMessages(r.now, r.outs[0])
	}
	r.settle()
	if got := s.live[p.c.index].Subscriptions(); got != n {
		t.Fatalf("%d of %d commands arrived", got, n)
	}
	r.finish()
}

func TestPublisherLeavesWhileOthersWatch(t *testing.T) {
	c := newCall(t, 3, []int{0, 1, 2}, nil)
	c.frame(true)
	c.settle()
	c.pub.c.Close()
	c.settle()
	c.advance(2 * lingerTime)
	if c.p.tracks.Free() != c.p.tracks.Len() {
		t.Fatal("the track was not reaped after all viewers' shards let go of it")
	}
	for _, v := range c.viewers {
		v.c.Unsubscribe(5000)
	}
	c.finish()
}

func TestVanishedPeerLosesConsent(t *testing.T) {
	c := newCall(t, 2, []int{1}, nil)
	v := c.viewers[0]
	for range 31 {
		c.advance(time.Second)
		c.deliver(0, c.pub.key, c.pub.check(false))
	}
	last := v.events[len(v.events)-1]
	if last != (Event{Kind: Closed, Reason: ReasonConsentLost}) {
		t.Fatalf("events of the vanished viewer: %v", v.events)
	}
	if e := c.pub.events[len(c.pub.events)-1]; e.Kind != Established {
		t.Fatalf("the publisher, who kept checking, got %v", e)
	}
	c.finish()
}

// The whole way of a packet through a shard, from the received datagram to the sealed
// copies for two viewers and the entry for another shard, allocates nothing.
func TestForwardingAllocatesNothing(t *testing.T) {
	c := newCall(t, 2, []int{0, 0, 1}, nil)
	c.frame(true)
	c.settle()
	const n = 400
	batches := make([]*mmsg.RxBatch, n+2)
	for i := range batches {
		batches[i] = mmsg.NewRxBatch(4)
		for range 4 {
			c.seq++
			batches[i].Append(c.pub.key, c.pub.rtp(1000, c.seq, 3000*uint32(c.seq), vp8(false, 9)))
		}
	}
	i := 0
	step := func() {
		c.p.shards[0].HandleBatch(c.now, batches[i], c.outs[0])
		c.p.shards[1].HandleMessages(c.now, c.outs[1])
		c.outs[0].Reset()
		c.outs[1].Reset()
		c.now = c.now.Add(time.Millisecond)
		i++
	}
	step()
	if allocs := testing.AllocsPerRun(n, step); allocs != 0 && !raceEnabled {
		t.Fatalf("%v allocations for each batch of 4 packets to 3 viewers", allocs)
	}
	c.finish()
}
