package netio

import (
	"time"

	"tsubame/netio/mono"
)

const (
	// The Go runtime's monitor thread takes the processor slot of a goroutine that it saw in
	// one piece for 10 ms (forcePreemptNS in runtime/proc.go) and finds in a system call. A
	// shard is always in one piece, and in its sleep most of the time. Losing the slot costs a
	// slow way back from the sleep, and, which is worse, makes the monitor look again every 20
	// us for some milliseconds: with 5,000 datagrams a second it used half as much of the
	// processor as the shard itself (bench/LOG.md). A shard that lets go by itself, somewhat
	// more often, is left alone, and the monitor looks every 10 ms.
	//
	// That is for threads that cannot keep their slots while they sleep (see processorSlots).
	//
	// While other goroutines keep all slots busy, letting go means to queue behind them. That
	// is no new risk, since the slot is then taken at every sleep anyway, and media waits less
	// for it, not more.
	patienceMonitor = 10 * time.Millisecond
	breathEvery     = 7 * time.Millisecond
)

// breath says when a shard should let go of its processor slot for a moment.
type breath struct {
	last  mono.Time // the iteration before
	taken mono.Time // when the slot was given up, or lost in a long sleep
}

// due is asked once an iteration.
func (b *breath) due(now mono.Time) bool {
	slept := now.Sub(b.last)
	b.last = now
	switch {
	case slept >= patienceMonitor: // the slot is fresh: the monitor took the former one
		b.taken = now
		return false
	case now.Sub(b.taken) < breathEvery:
		return false
	}
	b.taken = now
	return true
}
