package edge

import (
	"testing"

	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
)

// watching is how many viewers the crowd has.
const watching = 8 * aheadPaths

// crowd is a call with more viewers than are served without asking ahead, the first of which
// are nothing but adopted.
func crowd(t testing.TB, unsecured, secured int) *call {
	c := newCall(t, 1, nil, func(c *Config) { c.MaxConnections = 2048 })
	for i := range unsecured + secured {
		v := c.open(0, pathOf(i))
		v.c.Subscribe(videoOut(c.track, 5000))
		if i >= unsecured {
			v.establish()
		} else {
			c.deliver(0, v.key, v.check(true))
		}
		c.viewers = append(c.viewers, v)
	}
	c.settle()
	c.take()
	return c
}

// Whatever a batch has in it, it is handled as if nobody looked ahead: feedback, media, checks
// of paths that are new in this batch and what comes by them, garbage, connections without keys,
// and one that has ended.
func TestLookingAheadChangesNothing(t *testing.T) {
	c := crowd(t, 8, watching)
	report := func(p *peer) []byte { return p.rtcp(rtcp.AppendRR(nil, 1, nil)) }
	ended := c.viewers[len(c.viewers)-1]
	ended.c.Close()
	c.settle()
	in := mmsg.NewRxBatch(64)
	moved := *c.viewers[100]
	moved.key = pathOf(5000)
	for i := range 12 {
		v := c.viewers[20+i]
		in.Append(v.key, report(v))
		in.Append(pathOf(6000+i), report(v)) // a path without a check
		in.Append(c.viewers[i%8].key, []byte{0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
	}
	in.Append(moved.key, moved.check(false))
	in.Append(moved.key, report(&moved))
	in.Append(ended.key, report(ended))
	in.Append(pathOf(7000), []byte{5})
	in.Append(c.pub.key, c.pub.rtp(1000, 1, 3000, vp8(true, 1)))
	in.Append(c.pub.key, []byte{0x80})
	s := c.p.shards[0]
	n := &s.count
	before := n.DropPath.Load()
	s.HandleBatch(c.now, in, c.outs[0])
	if got := n.Conn.RTCPIn.Load() - n.Conn.DropNoKeys.Load(); got != 13 {
		t.Errorf("%d reports were read, want 12 and the one by the new path", got)
	}
	if got := n.Conn.DropNoKeys.Load(); got != 12 {
		t.Errorf("drop_no_keys %d, want 12", got)
	}
	if got := n.DropPath.Load() - before; got != 13 {
		t.Errorf("drop_path %d, want 12 and the one of the connection that has ended", got)
	}
	if got := n.DropUnknown.Load(); got != 1 {
		t.Errorf("drop_unknown %d, want 1", got)
	}
	if got := n.Conn.RTPOut.Load(); got != watching-1 {
		t.Errorf("%d viewers were sent the packet, want %d", got, watching-1)
	}
	c.collect(0)
	c.finish()
}

func TestFeedbackOfManyAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations cannot be told under the race detector")
		return
	}
	c := crowd(t, 0, watching)
	const runs = 20
	var batches []*mmsg.RxBatch
	for range runs + 1 {
		in := mmsg.NewRxBatch(64)
		for _, v := range c.viewers[:64] {
			in.Append(v.key, v.rtcp(rtcp.AppendRR(nil, 1, nil)))
		}
		batches = append(batches, in)
	}
	next := 0
	if n := testing.AllocsPerRun(runs, func() {
		c.p.shards[0].HandleBatch(c.now, batches[next], c.outs[0])
		next++
	}); n != 0 {
		t.Fatalf("%v allocations a batch", n)
	}
}
