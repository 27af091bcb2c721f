package main

import (
	"io/fs"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
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
	// While clients join, garbage may take an eighth of the memory that is available, within
	// these bounds of bytes and percent: a server of few clients has little that lives, and
	// would collect at each handful of them; one of thousands has much that a collection looks at.
	leastGarbage, mostGarbage = 64 << 20, 512 << 20
	leastJoining, mostJoining = 100, 800
	worthwhilePercents        = 25 // setting it stops the world
)

// percentJoining returns the percentage for a heap of which live bytes live, with that much
// memory available; 0: nobody knows.
func percentJoining(live, available uint64) int {
	garbage := min(max(available/8, leastGarbage), mostGarbage)
	return int(min(max(garbage*100/max(live, 1), leastJoining), mostJoining))
}

// availableMemory returns how many bytes the system and the control group (version 2) that we
// are in have for us; 0: they do not say.
func availableMemory(root fs.FS) uint64 {
	var available uint64
	text, _ := fs.ReadFile(root, "proc/meminfo")
	if _, line, ok := strings.Cut(string(text), "\nMemAvailable:"); ok {
		if f := strings.Fields(line); len(f) > 0 {
			kilobytes, _ := strconv.ParseUint(f[0], 10, 54)
			available = kilobytes << 10
		}
	}
	most, err1 := number(root, "sys/fs/cgroup/memory.max") // "max": no bound, and no number
	used, err2 := number(root, "sys/fs/cgroup/memory.current")
	if err1 == nil && err2 == nil {
		available = min(available, most-min(used, most))
	}
	return available
}

func number(root fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
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
				percent, free := p.look(now, joining(), func() int { return percentJoining(liveHeap(), availableMemory(os.DirFS("/"))) })
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

// look takes how many clients join at now, and what the percentage should be while any do. It
// returns what to set the percentage to, 0 for what it is, and whether to give memory back.
func (p *garbagePolicy) look(now time.Time, joining int, wanted func() int) (percent int, free bool) {
	switch {
	case joining > 0:
		p.last = now
	case p.percent == 0:
		return 0, false
	case now.Sub(p.last) >= quietAfter:
		p.percent = 0
		return percentQuiet, true
	}
	n := wanted()
	if d := n - p.percent; -worthwhilePercents < d && d < worthwhilePercents {
		return 0, false
	}
	p.percent = n
	return n, false
}
