package edge

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
)

// Sixteen tracks lose every other packet at once: what has to be asked for is many times
// what one packet holds.
func TestFeedbackAboutManyTracksIsCutToPackets(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	want := map[uint32]int{}
	for i := range uint32(param.MaxPublish) {
		spec := videoIn
		spec.SSRC, spec.RTXSSRC = 1000+2*i, 1001+2*i
		spec.ReducedSize = false
		p.publish(spec)
	}
	for n := range uint16(recv.MaxOutstanding + 1) { // one more, and a key frame is asked for
		for i := range uint32(param.MaxPublish) {
			r.deliver(0, p.key, p.rtp(1000+2*i, 2*n, 3000, vp8(n == 0, 1)))
		}
		r.now = r.now.Add(5 * time.Millisecond) // and nobody serves the timers
	}
	r.take()
	r.advance(30 * time.Millisecond)
	sent := r.take()
	for _, d := range sent {
		if len(d.bytes) > 1200 {
			t.Fatalf("a datagram of %d bytes", len(d.bytes))
		}
	}
	p.rtcpTo(sent, func(pkt rtcp.Packet) {
		nack, err := pkt.NACK()
		if err != nil {
			return
		}
		for _, ok := nack.Next(); ok; _, ok = nack.Next() {
			want[nack.Media]++
		}
	})
	for i := range uint32(param.MaxPublish) {
		if n := want[1000+2*i]; n < 250 {
			t.Errorf("track %d: %d of 256 missing packets were asked for", i, n)
		}
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropSeal.Load() }); n != 0 {
		t.Errorf("drop_seal %d", n)
	}
	r.finish()
}

func TestFullTransmitQueueOnlyDelaysFeedback(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	c.frame(true)
	c.take()
	c.p.shards[0].env.KeyFrames = append(c.p.shards[0].env.KeyFrames, c.track)
	out := c.outs[0]
	for range 512 {
		out.Slot()
		out.Commit(1, pathB, mmsg.Control)
	}
	c.now = c.now.Add(time.Second)
	s := c.p.shards[0]
	s.HandleMessages(c.now, out)
	s.HandleTimers(c.now, out)
	if n := s.count.Conn.DropTxFull.Load(); n == 0 {
		t.Fatal("the queue was not full")
	}
	if n := s.count.Conn.PLIOut.Load(); n != 0 {
		t.Fatal("a request was counted as sent that found no room")
	}
	out.Reset()
	c.advance(3 * time.Millisecond)
	if n := c.pub.plis(c.take()); n[1000] != 1 {
		t.Fatalf("key frame requests once there is room: %v, want one", n)
	}
	c.finish()
}

func TestNothingIsSentOnceConsentIsLost(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(false))
	r.deliver(0, pathA, []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	if _, owned := p.c.owner(); !owned {
		t.Fatal("a record on a validated path made no owner")
	}
	p.c.Records(0, []byte{22, 1})
	r.settle()
	if n := len(r.take()); n != 2 {
		t.Fatalf("%d datagrams before, want the answer and the record", n)
	}
	r.advance(param.ConsentTimeout)
	p.c.Records(0, []byte{21, 1}) // what a closing endpoint says
	r.settle()
	if n := len(r.take()); n != 0 {
		t.Fatal("something was sent to a peer whose consent is lost")
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.DropNoPath.Load() }); n != 1 {
		t.Fatalf("drop_no_path %d, want 1", n)
	}
	r.finish()
}

func TestAudioIsNotKeptForNobody(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	p.publish(audioIn)
	for i := range uint16(100) {
		b := p.packet(header{PayloadType: 111, Seq: i, Timestamp: 960 * uint32(i), SSRC: 2000}, "", []byte{0x78, 1, 2, 3})
		r.deliver(0, p.key, b)
	}
	if n := r.sum(func(c *Counters) uint64 { return c.RunPackets.Load() }); n != 100 {
		t.Fatalf("%d packets were routed, want 100", n)
	}
	if n := r.p.arena.Outstanding(); n != 0 {
		t.Fatalf("%d buffers of audio are held that cannot be asked for", n)
	}
	r.finish()
}
