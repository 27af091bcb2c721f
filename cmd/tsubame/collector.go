package main

import (
	"os"
	"runtime/debug"
	"time"
)

// How the garbage collector is set, by whether clients join. A join makes some 150 kB of
// garbage (SDP, JSON, certificates), and collecting at little of it takes a third of the
// processor time of a storm of joins. Calls that go on make next to none: then the memory is
// worth more, and what a storm has left goes back to the system.
const (
	percentJoining = 100
	percentQuiet   = 20
	quietAfter     = 5 * time.Second // without anybody joining
	lookInterval   = time.Second
)

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
				switch p.look(now, joining()) {
				case startJoining:
					debug.SetGCPercent(percentJoining)
				case startQuiet:
					debug.SetGCPercent(percentQuiet)
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
	joining bool
	last    time.Time // when somebody joined
}

type garbageChange uint8

const (
	noChange garbageChange = iota
	startJoining
	startQuiet
)

// look takes how many clients join at now and says what changes by that.
func (p *garbagePolicy) look(now time.Time, joining int) garbageChange {
	switch {
	case joining > 0:
		p.last = now
		if !p.joining {
			p.joining = true
			return startJoining
		}
	case p.joining && now.Sub(p.last) >= quietAfter:
		p.joining = false
		return startQuiet
	}
	return noChange
}
