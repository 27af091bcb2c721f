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
	buf   [64]byte  // two numbers, and one that is not looked at
	ran   []float64 // the share of time that each thread ran, at the last Sample
	awake []float64 // or waited for a processor
}

// loadSample is what was read of one thread, and of the shard of the same number.
type loadSample struct {
	at       mono.Time
	ran      time.Duration
	waited   time.Duration
	overflow uint64
	known    bool
}

// NewLoadMeter returns a meter whose first Sample measures from now on.
func NewLoadMeter(g *Group) *LoadMeter {
	m := &LoadMeter{group: g, last: make([]loadSample, len(g.shards)), ran: make([]float64, len(g.shards)), awake: make([]float64, len(g.shards))}
	for i := range m.last {
		m.last[i] = m.sample(i)
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
		now := m.sample(i)
		m.awake[i], m.ran[i] = now.since(m.last[i])
		load = max(load, m.awake[i])
		m.last[i] = now
	}
	return load
}

// since returns the shares of the time since another sample in which the thread ran or waited,
// and ran.
func (s loadSample) since(last loadSample) (wanted, ran float64) {
	if s.overflow > last.overflow {
		return 1, 1
	}
	passed := s.at.Sub(last.at)
	if !s.known || !last.known || passed <= 0 {
		return 0, 0
	}
	share := func(d time.Duration) float64 { return min(1, max(0, float64(d)/float64(passed))) }
	return share(s.ran + s.waited - last.ran - last.waited), share(s.ran - last.ran)
}

func (m *LoadMeter) sample(i int) loadSample {
	out := loadSample{at: Now(), overflow: m.group.shards[i].stats().RxOverflow}
	if f := m.group.threads[i].times.Load(); f != nil {
		out.ran, out.waited, out.known = processorTime(f, m.buf[:])
	}
	return out
}
