package main

import (
	"math"
	"sync/atomic"
	"time"

	"tsubame/netio"
)

// loadInterval is the time that the load of the shards is taken over: long enough that one
// burst is none, short enough that a storm of joins is seen while it is one.
const loadInterval = 500 * time.Millisecond

// loadWatch keeps the latest load of the busiest shard, for whoever asks.
type loadWatch struct {
	latest atomic.Uint64 // bits of a float64
	stop   chan struct{}
	done   chan struct{}
}

// watchLoad samples in a goroutine of its own until end.
func watchLoad(m *netio.LoadMeter) *loadWatch {
	l := &loadWatch{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(loadInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.latest.Store(math.Float64bits(m.Sample()))
			case <-l.stop:
				return
			}
		}
	}()
	return l
}

// share returns the load, 0 to 1.
func (l *loadWatch) share() float64 { return math.Float64frombits(l.latest.Load()) }

// end stops sampling and waits for it: the meter must not outlive the sockets.
func (l *loadWatch) end() {
	close(l.stop)
	<-l.done
}
