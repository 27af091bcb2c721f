package edge

import (
	"testing"
	"time"

	"tsubame/media/ice"
)

// Row ICE-08.
func TestOneUfragFromThousandsOfPortsDuringACall(t *testing.T) {
	c := newCall(t, 2, []int{1}, nil)
	c.frame(true)
	c.settle()
	c.take()
	check := c.pub.check(false)
	for i, k := range paths(10000) {
		c.deliver(1, k, check)
		if i%100 == 0 {
			c.settle()
			c.take()
			c.frame(false)
			c.settle()
			if n := len(c.viewers[0].received(c.take())); n != 1 {
				t.Fatalf("%d packets reached the viewer beside the flood, want 1", n)
			}
		}
	}
	if n := len(c.p.shards[1].foreign.paths); n > maxStrange {
		t.Fatalf("%d paths of one connection are remembered, want at most %d", n, maxStrange)
	}
	if n := c.p.shards[0].flows.len(); n > 1+ice.MaxPaths {
		t.Fatalf("%d flows of one connection", n)
	}
	// Nobody else's paths had to give way.
	other := c.open(0, pathA)
	other.establish()
	c.deliver(1, pathB, other.check(true))
	c.advance(time.Second)
	answered(t, c.take()[:1], 0, pathB)
	c.finish()
}

// A peer whose flow landed on another shard may hand over as much as its owner would take
// from it, and may not fill the lane between the shards, which is not its own.
func TestFloodOfARoamedFlowLeavesRoomInTheLane(t *testing.T) {
	r := newRig(t, 2, func(c *Config) { c.MediaLane = 16384 })
	p := r.open(0, pathA)
	p.publish(videoIn)
	p.establish()
	r.deliver(1, pathB, p.check(false))
	r.settle()
	packet := p.rtp(1000, 1, 3000, make([]byte, 600))
	for range 20000 {
		r.deliver(1, pathB, packet)
	}
	if n := r.p.shards[0].media.Len(); n > 5000 {
		t.Fatalf("%d packets of one flow in the lane at once", n)
	}
	if r.p.shards[1].count.Conn.DropPolicer.Load() < 15000 {
		t.Fatal("the flood was not counted")
	}
	r.settle()
	r.finish()

	c := newCall(t, 2, []int{0}, func(c *Config) { c.MediaLane = 64 })
	roamer := c.open(0, pathA)
	roamer.establish()
	roamer.publish(videoIn)
	c.deliver(1, pathB, roamer.check(false))
	c.settle()
	c.take()
	packet = roamer.rtp(1000, 1, 3000, make([]byte, 600))
	for range 200 {
		c.deliver(1, pathB, packet)
	}
	if n := c.p.shards[0].media.Len(); n != 32 {
		t.Fatalf("%d of 64 places in the lane are the roamer's, want half", n)
	}
	c.deliver(1, pathB, roamer.check(false)) // which is no media, and has all of the lane
	c.settle()
	answered(t, c.take(), 0, pathB)
	c.finish()
}

func TestSilentPathsOfOthersAreForgotten(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	r.deliver(1, pathB, p.check(false))
	for range 6 {
		r.advance(5 * time.Second)
		r.deliver(0, pathA, p.check(true))
		r.settle()
	}
	if n := len(r.p.shards[1].foreign.paths); n != 1 {
		t.Fatalf("%d paths after 30 s, want the one", n)
	}
	r.advance(sweepInterval + time.Second)
	g := &r.p.shards[1].foreign
	if len(g.paths) != 0 || len(g.of) != 0 {
		t.Fatal("a path that was checked 35 s ago is still remembered")
	}
	r.finish()
}
