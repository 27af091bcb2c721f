package netio

import (
	"slices"
	"time"
)

// When all shards together need little, most of what a packet costs between them is waking the
// other one's thread. So the shards share threads while the load is low: one thread, then
// two, four, and so on, up to one for each shard. Shard i rides on thread i modulo their number.
const (
	// spreadAt is the load of the busiest thread beyond which, for hurried looks in a row, there
	// are more of them. What waits in a thread's sockets meanwhile is far below what they hold.
	spreadAt = 0.7
	hurried  = 2

	// awakeAt is the share of time that the busiest ran or waited for a processor beyond which
	// there are more of them too: one that other work keeps from running never gets to spreadAt,
	// and several get more of the machine.
	awakeAt = 0.95

	// gatherAt is what the busiest would have after halving their number, for settled looks in
	// a row. It is below spreadAt, and what is gathered needs less than what was apart, so that
	// no load makes them go back and forth.
	gatherAt = 0.65
	restAt   = 0.9 // the same for the time that it would run or wait
	settled  = 10

	// lookEvery is how often that is looked at.
	lookEvery = 200 * time.Millisecond

	// moveWait is how often a mover looks whether a thread has given its shard away.
	moveWait = 100 * time.Microsecond
)

// spread decides on how many threads the shards ride. It is plain state; one goroutine owns it.
type spread struct {
	shards  int
	threads int
	calm    int // looks in a row that would have allowed for fewer threads
	hurry   int // looks in a row that would have called for more
}

// look takes for each thread the shares of time, 0 to 1, in which it ran, and in which it ran or
// waited for a processor, and returns how many threads there should be from now on.
func (s *spread) look(ran, awake []float64) int {
	busy := slices.Max(ran[:s.threads]) > spreadAt || slices.Max(awake[:s.threads]) > awakeAt
	if busy && s.threads < s.shards {
		s.calm = 0
		if s.hurry++; s.hurry >= hurried {
			s.threads, s.hurry = min(2*s.threads, s.shards), 0
		}
		return s.threads
	}
	s.hurry = 0
	fewer := below(s.threads)
	if fewer == s.threads || s.gathered(ran, fewer) > gatherAt || s.gathered(awake, fewer) > restAt {
		s.calm = 0
		return s.threads
	}
	if s.calm++; s.calm >= settled {
		s.threads, s.calm = fewer, 0
	}
	return s.threads
}

// gathered is the share of the busiest if all shards rode on that many threads.
func (s *spread) gathered(shares []float64, threads int) (busiest float64) {
	for t := range threads {
		sum := 0.0
		for i := t; i < s.threads; i += threads {
			sum += shares[i]
		}
		busiest = max(busiest, sum)
	}
	return busiest
}

// below returns the greatest power of two below n; of 1, 1.
func below(n int) int {
	p := 1
	for 2*p < n {
		p *= 2
	}
	return p
}

// balancer moves shards between threads. It is a goroutine of the control plane.
type balancer struct {
	group *Group
	meter *LoadMeter
	state spread
	stop  chan struct{}
	done  chan struct{}
}

func newBalancer(g *Group) *balancer {
	n := len(g.shards)
	return &balancer{
		group: g, meter: NewLoadMeter(g), state: spread{shards: n, threads: n},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// run looks and moves until end.
func (b *balancer) run() {
	defer close(b.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		before := b.state.threads
		b.meter.Sample()
		if n := b.state.look(b.meter.ran, b.meter.awake); n != before {
			b.group.config.Log.Debug("the shards ride on another number of threads", "threads", n, "before", before)
			b.group.rideOn(n)
		}
	}
}

// end returns when nothing moves any more.
func (b *balancer) end() {
	close(b.stop)
	<-b.done
}

// rideOn moves every shard to its thread of n. One caller at a time; all shards are started,
// and Stop has not been called.
func (g *Group) rideOn(n int) {
	g.riding.Store(int32(n))
	for i, s := range g.shards {
		g.move(s, g.threads[i%n])
	}
}

// move hands a shard to a thread and waits until that is under way: no longer than an
// iteration of the one that has it, which is woken.
func (g *Group) move(s *shard, to *thread) {
	from := g.threads[s.carrier.Load()]
	if from == to {
		return
	}
	from.order.Store(&order{shard: s, to: to})
	from.waker.Wake()
	for from.order.Load() != nil {
		time.Sleep(moveWait)
	}
}

// Threads returns on how many threads the shards ride.
func (g *Group) Threads() int { return int(g.riding.Load()) }
