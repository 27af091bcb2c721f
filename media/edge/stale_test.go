package edge

import (
	"testing"
	"time"

	"tsubame/media/ice"
	"tsubame/netio/flow"
)

// A port may be used again by another client, or by the same one for its next call, before
// the connection that used it last has gone.
func TestEndOfAConnectionLeavesTheFlowOfItsSuccessor(t *testing.T) {
	r := newRig(t, 1, nil)
	before := r.open(0, pathA)
	before.establish()
	after := r.open(0, pathA)
	after.publish(videoIn)
	after.establish()
	before.c.Close()
	r.settle()
	r.advance(2 * lingerTime)
	r.deliver(0, pathA, after.rtp(1000, 1, 3000, vp8(true, 1)))
	if n := r.sum(func(c *Counters) uint64 { return c.RunPackets.Load() }); n != 1 {
		t.Fatalf("%d packets of the live connection were taken, want 1", n)
	}
	r.finish()
}

func TestEvictedPathStaysWithItsLatestConnection(t *testing.T) {
	r := newRig(t, 1, nil)
	before := r.open(0, pathA)
	before.establish()
	elsewhere := pathB
	r.advance(time.Second)
	r.deliver(0, elsewhere, before.check(true)) // media has left pathA, which is now the oldest
	after := r.open(0, pathA)
	after.publish(videoIn)
	after.establish()
	for range ice.MaxPaths {
		r.advance(time.Millisecond)
		elsewhere.Port++
		r.deliver(0, elsewhere, before.check(false))
	}
	if r.p.shards[0].live[before.c.index].ICE.Validated(pathA) {
		t.Fatal("the old connection has kept its oldest path")
	}
	r.deliver(0, pathA, after.rtp(1000, 1, 3000, vp8(true, 1)))
	if n := r.sum(func(c *Counters) uint64 { return c.RunPackets.Load() }); n != 1 {
		t.Fatalf("%d packets of the live connection were taken, want 1", n)
	}
	r.finish()
}

func TestPathThatChangesHandsIsNoStrangersAnyMore(t *testing.T) {
	r := newRig(t, 1, nil)
	early, owned := r.open(0, pathA), r.open(0, pathB)
	r.deliver(0, pathA, early.check(false))
	owned.establish()
	r.deliver(0, pathA, owned.check(false))
	if n := held(t, r.p.shards[0]); n != 0 {
		t.Fatalf("%d paths of a connection that has none", n)
	}
	r.finish()
}

// A datagram is on its way from one shard to another while its connection ends there and
// the next one takes the same place.
func TestForwardedDatagramIsForOneConnectionOnly(t *testing.T) {
	r := newRig(t, 2, func(c *Config) { c.MaxConnections = 1 })
	before := r.open(0, pathA)
	before.publish(videoIn)
	before.establish()
	r.deliver(1, pathB, before.check(false))
	r.settle()
	last := before.rtp(1000, 1, 3000, vp8(true, 1))
	before.c.Close()
	r.settle()
	r.deliver(1, pathB, last) // into shard 0's lane
	r.now = r.now.Add(2 * lingerTime)
	s := r.p.shards[0]
	s.HandleTimers(r.now, r.outs[0])
	for i, ok := r.p.events.Next(); ok; i, ok = r.p.events.Next() {
		r.p.slots[i].conn.Load().deliver()
	}
	after := r.open(0, pathA)
	r.deliver(0, pathA, after.check(true)) // adopted, and the lane not looked at yet
	l := s.live[after.c.index]
	if l == nil || l.handle != after.c || s.media.Empty() {
		t.Fatal("the test has not brought about what it is about")
	}
	r.settle()
	if l.ICE.Validated(pathB) {
		t.Fatal("a path of the connection before was taken over without a check")
	}
	if n := s.count.DropPath.Load(); n != 1 {
		t.Fatalf("drop_path %d, want 1", n)
	}
	r.finish()
}

// What another shard has validated counts from when the check came, not from when the first
// packet makes the owner hear of it.
func TestForwardedPathHasTheConsentOfItsCheck(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	p.publish(videoIn)
	r.deliver(1, pathB, p.check(false)) // before anybody owns it
	r.advance(20 * time.Second)
	p.establish()
	r.advance(9 * time.Second)
	r.deliver(1, pathB, p.rtp(1000, 1, 3000, vp8(true, 1)))
	r.settle()
	if n := r.sum(func(c *Counters) uint64 { return c.RunPackets.Load() }); n != 1 {
		t.Fatalf("%d packets by a path validated 29 s ago, want 1", n)
	}
	r.advance(2 * time.Second)
	r.deliver(1, pathB, p.rtp(1000, 2, 6000, vp8(true, 1)))
	r.settle()
	if n := r.sum(func(c *Counters) uint64 { return c.RunPackets.Load() }); n != 1 {
		t.Fatal("a path without a check for 31 s still leads to its connection")
	}
	r.finish()
}

// paths returns n flows that differ by their port.
func paths(n int) []flow.Key {
	all := make([]flow.Key, n)
	for i := range all {
		all[i] = pathB
		all[i].Port = uint16(10000 + i)
	}
	return all
}
