package hooks

import (
	"slices"
	"strings"
	"sync/atomic"
)

// counters are of one kind of webhook. Any goroutine adds to them.
type counters struct {
	successful   atomic.Uint64 // answered as they should
	failed       atomic.Uint64
	ignored      atomic.Uint64 // not sent, because the configuration says so
	retried      atomic.Uint64 // written again because the server had closed the connection
	microseconds atomic.Uint64 // that calls have taken, in all
	failures     [numFailures]atomic.Uint64
}

// fail counts a failure.
func (c *counters) fail(name string) {
	c.failed.Add(1)
	c.failures[slices.Index(failures[:], name)].Add(1)
}

// add puts the counters into m, by the names of GetStatsReport where it has them. Of the many
// reasons there are those that have occurred.
func (c *counters) add(m map[string]uint64, kind string) {
	m["total_successful_"+kind] = c.successful.Load()
	m["total_failed_"+kind] = c.failed.Load()
	m["total_ignored_"+kind] = c.ignored.Load()
	m["total_retried_"+kind] = c.retried.Load()
	m["total_"+kind+"_us"] = c.microseconds.Load()
	for i, name := range failures {
		if n := c.failures[i].Load(); n > 0 {
			m["total_failed_"+kind+"_"+strings.ReplaceAll(name, "-", "_")] = n
		}
	}
}
