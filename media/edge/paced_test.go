package edge

import (
	"testing"
	"time"

	"tsubame/media/pace"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// slowCall is a call whose viewers have said that the way to them takes 300 kbit/s, and are sent
// about as much.
type slowCall struct {
	*call
	twcc []recv.TWCC
	ts   uint32
}

func newSlowCall(t testing.TB, shards int, viewers ...int) *slowCall {
	c := &slowCall{call: newCallOf(t, shards, viewers, frameByFrame, transportWide), twcc: make([]recv.TWCC, len(viewers))}
	c.send(true, 1)
	return c
}

// calm lets them watch for some seconds, so that there is an estimate.
func (c *slowCall) calm() {
	c.t.Helper()
	for range 50 {
		c.send(false, 1)
		c.pass(50 * time.Millisecond)
		for i, v := range c.viewers {
			b := rtcp.AppendREMB(rtcp.AppendRR(nil, 1, nil), 1, 300_000, []uint32{5000})
			c.deliver(v.shard, v.key, v.compound(c.twcc[i].AppendFeedback(b, c.now, 1, 5000)))
		}
		c.settle()
	}
	for _, n := range c.p.networksByIndex() {
		if n.Subscribed > 0 && (n.Target == 0 || n.Target > 300_000) {
			c.t.Fatalf("no viewer that could be slow: %+v", n)
		}
	}
	c.take()
}

// send sends a frame of n full packets.
func (c *slowCall) send(keyFrame bool, n int) {
	c.ts += 3000
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = 1100
	}
	for _, b := range c.frameOf(keyFrame, c.ts, lengths...) {
		c.deliver(0, c.pub.key, b)
		c.settle()
	}
}

// pass lets time pass, with what the viewers got noted for their feedback.
func (c *slowCall) pass(d time.Duration) {
	for end := c.now.Add(d); c.now < end; {
		c.advance(time.Millisecond)
		all := c.take()
		for i, v := range c.viewers {
			for _, b := range v.received(all) {
				if h, err := rtp.Parse(b); err == nil {
					if x := h.Known(&param.Extensions{TransportCC: 3}); x.HasTransportSeq {
						c.twcc[i].Record(c.now, x.TransportSeq)
					}
				}
			}
		}
	}
}

// media counts the packets of video among datagrams, without retransmissions and probes.
func (v *peer) media(all []datagram) (n int) {
	for _, b := range v.received(all) {
		if h, err := rtp.Parse(b); err == nil && h.SSRC == 5000 {
			n++
		}
	}
	return n
}

func TestShardsSpreadAKeyFrameOverTime(t *testing.T) {
	c := newSlowCall(t, 2, 0, 1)
	c.calm()
	c.send(true, 60)
	began, first := c.now, c.take()
	counts, late := make([]int, 2), make([]mono.Time, 2)
	for i, v := range c.viewers {
		if counts[i] = v.media(first); counts[i] < 8 || counts[i] > 16 {
			t.Errorf("viewer %d got %d packets of 60 at once", i, counts[i])
		}
	}
	most := 0
	for range 120 {
		c.advance(time.Millisecond)
		all := c.take()
		for i, v := range c.viewers {
			if n := v.media(all); n > 0 {
				counts[i], late[i], most = counts[i]+n, c.now, max(most, n)
			}
		}
	}
	for i := range c.viewers {
		if took := late[i].Sub(began); counts[i] != 60 || took < 40*time.Millisecond || took > pace.MaxWait+5*time.Millisecond {
			t.Errorf("viewer %d got %d packets, the last after %v", i, counts[i], took)
		}
	}
	if most > 8 {
		t.Errorf("%d packets left at once", most)
	}
	said := 0
	for range 110 { // until after the next report
		c.advance(10 * time.Millisecond)
		for _, n := range c.p.networksByIndex() {
			if n.Queued > 40 && n.Queue > 40*time.Millisecond && n.Queue <= pace.MaxWait {
				said |= 1 << n.Index
			}
		}
	}
	if want := 1<<c.viewers[0].c.index | 1<<c.viewers[1].c.index; said != want {
		t.Errorf("the statistics say it of connections %b, want %b", said, want)
	}
	c.finish()
}

func TestOrdinaryFramesStayRunsForGSO(t *testing.T) {
	c := newSlowCall(t, 1, 0)
	c.calm()
	for range 20 {
		c.send(false, 5)
		if n := c.viewers[0].media(c.take()); n != 5 {
			t.Fatalf("%d packets of a frame of 5 left together", n)
		}
		c.advance(200 * time.Millisecond)
		c.take()
	}
	if n := c.sum(func(n *Counters) uint64 { return n.Conn.Paced.Load() }); n != 0 {
		t.Errorf("%d packets waited", n)
	}
	c.finish()
}

// Whatever ends while packets wait, all buffers are free again.
func TestEndsWithPacketsThatWait(t *testing.T) {
	for name, end := range map[string]func(*slowCall){
		"the viewer":    func(c *slowCall) { c.viewers[0].c.Close() },
		"the stream":    func(c *slowCall) { c.viewers[0].c.Unsubscribe(5000) },
		"the track":     func(c *slowCall) { c.pub.c.Unpublish(c.track) },
		"the publisher": func(c *slowCall) { c.pub.c.Close() },
		"nothing":       func(*slowCall) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSlowCall(t, 2, 1)
			c.calm()
			c.send(true, 60)
			c.advance(10 * time.Millisecond)
			end(c)
			c.settle()
			c.finish()
		})
	}
}

// When a plane is closed and nobody waits for its connections, what they hold is given back.
func TestShutdownWithPacketsThatWait(t *testing.T) {
	c := newSlowCall(t, 1, 0)
	c.calm()
	c.send(true, 60)
	s := c.p.shards[0]
	if n := s.live[c.viewers[0].c.index]; n == nil || s.env.Waiting.Lent() == 0 {
		t.Fatal("nothing waits")
	}
	s.shutdown()
	if n := s.env.Waiting.Lent(); n != 0 {
		t.Errorf("%d blocks are lent after the end", n)
	}
}

// A stream has a queue of its own behind the pacer: what is spread fits it.
func TestKeyFrameOverTCPIsSpreadToo(t *testing.T) {
	c := newSlowCall(t, 1, 0)
	v := c.viewers[0]
	_, k := c.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:10000", false)
	v.to(k, 0)
	c.advance(300 * time.Millisecond)
	c.deliver(v.shard, v.key, v.check(true))
	c.settle()
	c.calm()
	c.send(true, 60)
	n := v.media(c.take())
	if n > 16 {
		t.Errorf("%d packets at once", n)
	}
	for range 120 {
		c.advance(time.Millisecond)
		n += v.media(c.take())
	}
	if n != 60 {
		t.Errorf("%d packets in all", n)
	}
	c.finish()
}
