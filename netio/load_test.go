package netio

import (
	"sync/atomic"
	"testing"
	"time"

	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// loadUntil samples until the load is as wanted.
func loadUntil(t *testing.T, m *LoadMeter, what string, ok func(float64) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var load float64
	for time.Now().Before(deadline) {
		<-tick.C
		if load = m.Sample(); ok(load) {
			return
		}
	}
	t.Fatalf("the load stays at %v, want %s", load, what)
}

func TestLoadIsThatOfTheBusiestShard(t *testing.T) {
	if f := openThreadTimes(); f == nil {
		t.Log("this system does not tell: only drops count")
		return
	} else {
		f.Close()
	}
	g := open(t, Config{IPv4: true, Shards: defaultShards()})
	m := NewLoadMeter(g)
	if load := m.Sample(); load != 0 {
		t.Errorf("before the shards run the load is %v", load)
	}
	var spin atomic.Bool
	for i := range g.Shards() {
		g.Start(i, &funcs{messages: func(mono.Time, *mmsg.TxQueue) bool { return i == 0 && spin.Load() }})
	}
	loadUntil(t, m, "hardly any", func(l float64) bool { return l < 0.2 })
	spin.Store(true)
	g.Waker(0).Wake()
	loadUntil(t, m, "nearly all", func(l float64) bool { return l > 0.8 })
	spin.Store(false)
	loadUntil(t, m, "hardly any again", func(l float64) bool { return l < 0.2 })
}

func TestLoadBetweenTwoSamples(t *testing.T) {
	at := func(at mono.Time, wanted time.Duration, overflow uint64, known bool) loadSample {
		return loadSample{at: at, ran: wanted / 4, waited: wanted - wanted/4, overflow: overflow, known: known}
	}
	last := at(mono.Time(time.Second), time.Second, 7, true)
	later := mono.Time(2 * time.Second)
	for name, c := range map[string]struct {
		now  loadSample
		want float64
	}{
		"half of the time":              {at(later, 1500*time.Millisecond, 7, true), 0.5},
		"never more than all":           {at(later, 3*time.Second, 7, true), 1},
		"a count that went back":        {at(later, 0, 7, true), 0},
		"the kernel dropped":            {at(later, time.Second, 8, true), 1},
		"dropped, and nothing known":    {at(later, 0, 8, false), 1},
		"nothing known":                 {at(later, 0, 7, false), 0},
		"no time has passed in between": {at(last.at, 2*time.Second, 7, true), 0},
	} {
		wanted, ran := c.now.since(last)
		if wanted != c.want {
			t.Errorf("%s: %v, want %v", name, wanted, c.want)
		}
		if dropped := c.now.overflow > last.overflow; dropped && ran != 1 || !dropped && c.want < 1 && ran != c.want/4 {
			t.Errorf("%s: ran for %v", name, ran)
		}
	}
}
