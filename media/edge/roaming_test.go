package edge

import (
	"testing"
	"time"

	"tsubame/netio/flow"
)

// A client that reaches us through TURN alone and goes from network to network leaves allocations
// behind on both shards, more than it may have. In the last one it gets one all the same, and its
// media goes through it; what is left of the ones that have given way is gone everywhere.
func TestRoamingClientGetsARelayInItsLastNetwork(t *testing.T) {
	c := newCall(t, 2, []int{0}, watchful)
	v := c.viewers[0]
	var used *relay
	for i := range flow.MaxAllocations {
		on := v.over(key("192.0.2.1", c.remoteOn(i%2, 10+i)), i%2, i, 0)
		on.bind(0x4000)
		if i == 3 {
			used = on
		}
	}
	v.via(used)
	v.nominate()
	for range 7 { // 70 s
		c.pubAlive(10 * time.Second)
		v.nominate()
	}
	last := v.over(key("192.0.2.1", c.remoteOn(1, 40)), 1, 0, 0)
	last.bind(0x4001)
	v.via(last)
	v.nominate()
	c.frame(true)
	c.settle()
	if n := len(v.received(c.take())); n != 1 {
		t.Errorf("%d packets through the last relay, want 1", n)
	}
	counters := c.p.Counters()
	if counters["turn_evicted"] != 1 || counters["turn_allocations"] != flow.MaxAllocations {
		t.Errorf("turn_evicted %d, turn_allocations %d", counters["turn_evicted"], counters["turn_allocations"])
	}
	c.finish()
}
