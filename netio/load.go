package netio

import (
	"time"

	"tsubame/netio/mono"
)

// LoadMeter tells how much of their time the shards need. One goroutine may use it; it never
// touches a shard.
type LoadMeter struct {
	group *Group
	last  []loadSample
	loads []float64 // of each thread, at the last Sample
}

// loadSample is what was read of one thread, and of the shard of the same number.
type loadSample struct {
	at       mono.Time
	wanted   time.Duration
	overflow uint64
	known    bool
}

// NewLoadMeter returns a meter whose first Sample measures from now on.
func NewLoadMeter(g *Group) *LoadMeter {
	m := &LoadMeter{group: g, last: make([]loadSample, len(g.shards)), loads: make([]float64, len(g.shards))}
	for i := range m.last {
		m.last[i] = g.sample(i)
	}
	return m
}

// Sample returns the load of the busiest thread since the call before: the share of time, 0
// to 1, in which it ran or waited for a processor. What it waits is counted because
// that is how other work, joins above all, hurts media. If the kernel had to drop
// datagrams for a shard, the load is 1. Where the system does not tell (anything but Linux) only the
// drops count.
func (m *LoadMeter) Sample() (load float64) {
	for i := range m.last {
		now := m.group.sample(i)
		m.loads[i] = now.since(m.last[i])
		load = max(load, m.loads[i])
		m.last[i] = now
	}
	return load
}

func (s loadSample) since(last loadSample) float64 {
	if s.overflow > last.overflow {
		return 1
	}
	passed := s.at.Sub(last.at)
	if !s.known || !last.known || passed <= 0 {
		return 0
	}
	return min(1, max(0, float64(s.wanted-last.wanted)/float64(passed)))
}

func (g *Group) sample(i int) loadSample {
	out := loadSample{at: Now(), overflow: g.shards[i].stats().RxOverflow}
	if tid := g.threads[i].id.Load(); tid != 0 {
		out.wanted, out.known = wanted(int(tid))
	}
	return out
}
