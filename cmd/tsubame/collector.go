package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How the garbage collector is set, by whether clients join. A join makes some 150 kB of
// garbage (SDP, JSON, certificates), and collecting at little of it takes a third of the
// processor time of a storm of joins. Calls that go on make next to none: then the memory is
// worth more, and what a storm has left goes back to the system.
const (
	percentQuiet = 20
	quietAfter   = 5 * time.Second // without anybody joining
	lookInterval = 200 * time.Millisecond
	// While clients join, garbage is collected at garbageJoining of it, within these bounds:
	// a server of few clients has little that lives, and would collect at each handful of them.
	garbageJoining     = 128 << 20
	leastJoining       = 100
	mostJoining        = 400
	worthwhilePercents = 25 // setting it stops the world
)

// percentJoining returns the percentage for a heap of which live bytes live.
func percentJoining(live uint64) int {
	return int(min(max(garbageJoining*100/max(live, 1), leastJoining), mostJoining))
}

// liveHeap returns what the last collection has left, in bytes.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// collector follows that in a goroutine of its own.
type collector struct {
	stop, done chan struct{}
}

// watchGarbage begins; the environment's GOGC goes before all of it, and nothing runs then.
// joining returns how many clients join now.
func watchGarbage(joining func() int) *collector {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	c := &collector{stop: make(chan struct{}), done: make(chan struct{})}
	debug.SetGCPercent(percentQuiet)
	go func() {
		defer close(c.done)
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		var p garbagePolicy
		for {
			select {
			case now := <-tick.C:
				percent, free := p.look(now, joining(), liveHeap)
				if percent != 0 {
					debug.SetGCPercent(percent)
				}
				if free {
					debug.FreeOSMemory()
				}
			case <-c.stop:
				return
			}
		}
	}()
	return c
}

// end ends it and waits.
func (c *collector) end() {
	if c != nil {
		close(c.stop)
		<-c.done
	}
}

// garbagePolicy decides when to change.
type garbagePolicy struct {
	percent int       // 0: quiet
	last    time.Time // when somebody joined
}

// look takes how many clients join at now. It returns what to set the percentage to, 0 for
// what it is, and whether to give memory back.
func (p *garbagePolicy) look(now time.Time, joining int, live func() uint64) (percent int, free bool) {
	switch {
	case joining > 0:
		p.last = now
	case p.percent == 0:
		return 0, false
	case now.Sub(p.last) >= quietAfter:
		p.percent = 0
		return percentQuiet, true
	}
	n := percentJoining(live())
	if d := n - p.percent; -worthwhilePercents < d && d < worthwhilePercents {
		return 0, false
	}
	p.percent = n
	return n, false
}
