package turnsrv

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// roaming makes as many allocations as a connection may have, each on another flow, with a channel.
func roaming(w *world) (c *client, all []*client) {
	c = w.connect(1)
	for i := range flow.MaxAllocations {
		on := c.from(uint16(41000 + i))
		on.allocate()
		on.must(stun.MethodChannelBind, channelNumber(0x4000+uint16(i)), peerAt(ours4))
		all = append(all, on)
	}
	return c, all
}

// pathOf returns the path of what a client sends on its channel; false if it leads nowhere.
func (c *client) pathOf(channel uint16) (flow.Key, bool) {
	path, _, ok := c.w.s.ChannelData(c.k, channelData(channel, "x"))
	return path, ok
}

// A client that has gone from network to network has left allocations behind in all of them. The
// one that no check came through for longest makes room, and whatever still comes by it leads
// nowhere.
//
// Row TURN-06.
func TestStaleAllocationGivesWay(t *testing.T) {
	w := newWorld(t)
	c, all := roaming(w)
	first, _ := all[0].pathOf(0x4000)
	second, _ := all[1].pathOf(0x4001)
	w.pass(StaleAfter - time.Second)
	w.s.Checked(w.now, first)
	last := c.from(50000)
	last.refused(486, stun.MethodAllocate, overUDP)
	w.pass(time.Second)
	last.allocate()
	if w.s.Counters.Evicted.Load() != 1 || w.allocations() != flow.MaxAllocations {
		t.Errorf("%d evicted, %d allocations", w.s.Counters.Evicted.Load(), w.allocations())
	}
	if _, ok := all[1].pathOf(0x4001); ok {
		t.Error("the channel of the stale allocation is still there")
	}
	if r := all[1].indicate(peerAt(ours4), "x"); r.Reason != Unallocated {
		t.Errorf("an indication through the stale allocation: %v", r.Reason)
	}
	if _, _, ok := w.s.Owner(second); ok {
		t.Error("the path through the stale allocation is still the connection's")
	}
	all[1].refused(437, stun.MethodRefresh)
	if _, ok := all[0].pathOf(0x4000); !ok {
		t.Error("the allocation in use is gone")
	}
	// The new one has the number, and begins without a channel.
	if got := c.book().Channel(second.Via); got != 0 {
		t.Errorf("the new allocation has channel %#x", got)
	}
	last.must(stun.MethodChannelBind, channelNumber(0x4abc), peerAt(ours4))
	if path, ok := last.pathOf(0x4abc); !ok || path.Via != second.Via {
		t.Errorf("%v, %v", path, ok)
	}
}

// The stale one may be another shard's: it finds out with the next message, or is told.
func TestStaleAllocationOfAnotherShardGivesWay(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	other.accounts = w.accounts
	c, all := roaming(w)
	w.pass(StaleAfter)
	other.now = w.now
	on := c.from(50000)
	on.w = other
	on.prove()
	if r := on.handle(on.signed(stun.MethodAllocate, overUDP)); r.Reason != Allocated || !r.Evicted {
		t.Fatalf("%+v", r)
	}
	if _, ok := all[0].pathOf(0x4000); ok {
		t.Error("the channel of the stale allocation is still there")
	}
	if w.allocations() != flow.MaxAllocations {
		t.Errorf("%d allocations before the purge", w.allocations())
	}
	w.s.Purge(1, 7)
	if w.allocations() != flow.MaxAllocations-1 || other.allocations() != 1 || c.book().Allocations() != flow.MaxAllocations {
		t.Errorf("%d and %d allocations, %d in the book", w.allocations(), other.allocations(), c.book().Allocations())
	}
	w.s.Purge(1, 7)
	w.s.End(1, 7)
	if w.allocations() != 0 || c.book().Allocations() != 1 {
		t.Errorf("%d allocations, %d in the book", w.allocations(), c.book().Allocations())
	}
	on.must(stun.MethodRefresh, lifetime(0))
}

// Only what is in nobody's way is left behind: one more client of the same network is refused.
//
// Row TURN-06.
func TestAllocationsInUseDoNotGiveWay(t *testing.T) {
	w := newWorld(t)
	c, all := roaming(w)
	for range 5 {
		w.pass(StaleAfter / 2)
		for i, on := range all {
			path, ok := on.pathOf(0x4000 + uint16(i))
			if !ok {
				t.Fatal("a channel is gone")
			}
			w.s.Checked(w.now, path)
		}
		c.from(50000).refused(486, stun.MethodAllocate, overUDP)
	}
}

// However an allocation ends, its flow is named, once.
func TestEndOfEachAllocationIsTold(t *testing.T) {
	for name, end := range map[string]func(w *world, c *client){
		"released":                  func(w *world, c *client) { c.must(stun.MethodRefresh, lifetime(0)) },
		"expired":                   func(w *world, c *client) { w.pass(w.s.cfg.DefaultLifetime) },
		"the end of its connection": func(w *world, c *client) { w.s.End(1, 7) },
		"the end of its stream":     func(w *world, c *client) { w.s.StreamClosed(c.k) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var ended []flow.Key
			w.s.Ended = func(k flow.Key) {
				if _, _, serves := w.s.Serves(k); serves {
					t.Error("told before it has ended")
				}
				ended = append(ended, k)
			}
			c := w.connect(1)
			c.allocate()
			if len(ended) != 0 {
				t.Fatalf("told of %v", ended)
			}
			end(w, c)
			if len(ended) != 1 || ended[0] != c.k {
				t.Errorf("told of %v, want %v", ended, c.k)
			}
		})
	}
}
