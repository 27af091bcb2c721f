package netio

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"strconv"
	"sync/atomic"

	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

const (
	// rxSlots is the receive budget: what one socket may take from one iteration. It is small
	// enough that the now of an iteration is the arrival time of everything in it, and an
	// iteration is cheap enough to run for a single datagram.
	rxSlots = 64

	// txSlots is what an iteration can queue before it has to send in between, and the most
	// that waits for a full socket: at 10 Mbit/s to one client half a second's worth.
	txSlots = 512

	// lastRounds bounds the calls of HandleMessages that Stop makes, so that a producer who
	// does not stop cannot keep the shard from it.
	lastRounds = 64
)

// shard is what belongs together whoever runs it: sockets, a batch, a queue, a Handler. All of
// it is touched by the thread that carries the shard only (see thread); carrier, counters, the
// waker and started are what others see of it.
type shard struct {
	index   int
	log     *slog.Logger
	handler Handler
	ports   []port
	batch   *mmsg.RxBatch
	tx      *mmsg.TxQueue
	labels  context.Context // shard=N, for profiles
	now     mono.Time       // of this iteration
	next    mono.Time       // when to come back at the latest
	busy    bool            // the last iteration left work that it knew of
	base    int             // of the waker and the ports, in that order, in every poller

	counters loopCounters
	waker    *ring.Waker
	carrier  atomic.Int32 // the thread that has it, or is about to take it
	started  atomic.Bool
	behind   *shard // in a thread's list of arrivals
}

// newShard takes over the sockets, also if it fails.
func newShard(index int, log *slog.Logger, sockets []mmsg.Socket) (*shard, error) {
	s := &shard{
		index: index, log: log,
		batch:  mmsg.NewRxBatch(rxSlots),
		tx:     mmsg.NewTxQueue(txSlots),
		labels: pprof.WithLabels(context.Background(), pprof.Labels("shard", strconv.Itoa(index))),
		base:   index * (1 + len(sockets)),
	}
	s.carrier.Store(int32(index))
	s.tx.SetFlusher(func() { s.flush() })
	for i, socket := range sockets {
		s.ports = append(s.ports, port{socket: socket, id: s.base + 1 + i, input: true})
	}
	var err error
	if s.waker, err = ring.NewWaker(); err != nil {
		s.close()
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	return s, nil
}

// watch makes the shard's descriptors known to a poller. Shards come in order, so that the
// numbers are those of base.
func (s *shard) watch(p poller) error {
	if err := p.watch(s.waker.FD()); err != nil {
		return err
	}
	for i := range s.ports {
		if err := p.watch(s.ports[i].socket.FD()); err != nil {
			return err
		}
	}
	return nil
}

// close gives back all descriptors. Nobody may carry the shard any more.
func (s *shard) close() {
	if s.waker != nil {
		s.waker.Close()
	}
	for i := range s.ports {
		if err := s.ports[i].socket.Close(); err != nil {
			s.log.Warn("closing a UDP socket failed", "shard", s.index, "error", err)
		}
	}
}

// due reports whether there is a reason for an iteration.
func (s *shard) due(now mono.Time) bool {
	if s.busy || s.next.Due(now) || s.handler.Pending() {
		return true
	}
	for i := range s.ports {
		if s.ports[i].input {
			return true
		}
	}
	return false
}

// turn is one iteration. busy means that it left work that it knew of, for want of room in the
// batch or of the Handler's budget, or that a full socket has room again, which the Handler may
// have waited for. What has come since shows in the thread's sleep, which then does not. next is
// the Handler's next timer.
func (s *shard) turn() {
	s.now = Now()
	full := s.receive()
	more := s.handler.HandleMessages(s.now, s.tx)
	s.next = s.handler.HandleTimers(s.now, s.tx)
	resumed := s.flush()
	s.counters.loops.Inc()
	if s.busy = full || more || resumed; s.busy {
		s.readAll() // there was no sleep to tell which of them have something
	}
}

// receive gives the datagrams of each socket that may have some to the Handler. full means
// that a socket filled the batch.
func (s *shard) receive() (full bool) {
	for i := range s.ports {
		p := &s.ports[i]
		if !p.input {
			continue
		}
		n, rested := p.recv(s.now, s.batch)
		if rested {
			s.counters.rests.Inc()
		}
		if s.batch.Len() > 0 {
			s.handler.HandleBatch(s.now, s.batch, s.tx)
		}
		full = full || n == rxSlots
	}
	return full
}

// readAll has the next iteration look into every socket.
func (s *shard) readAll() {
	for i := range s.ports {
		s.ports[i].input = true
	}
}

// flush sends what is queued. What a full socket does not take stays queued; when the queue
// is full of that, its oldest Video goes (see mmsg.TxQueue). An empty queue goes to the sockets
// too: one that was blocked has to learn that its tail was dropped. resumed means that one that
// was full took something.
func (s *shard) flush() (resumed bool) {
	for i := range s.ports {
		was := s.ports[i].blocked
		n, rested := s.ports[i].send(s.now, s.tx)
		if rested {
			s.counters.rests.Inc()
		}
		resumed = resumed || was && n > 0
	}
	return resumed
}

// prepare tells the poller what to wake up for, and returns the time to wake up at. Until a
// sleep says otherwise every socket is one to look into.
func (s *shard) prepare(p poller) (next mono.Time) {
	s.readAll()
	p.want(s.base, wantInput)
	for i := range s.ports {
		w, wake := s.ports[i].interest(s.now)
		p.want(s.ports[i].id, w)
		s.next = mono.Earliest(s.next, wake)
	}
	return s.next
}

// woken takes from the poller which sockets have something, so that the next iteration asks no
// others.
func (s *shard) woken(p poller) {
	for i := range s.ports {
		s.ports[i].input = p.ready(s.ports[i].id)
	}
	if p.ready(s.base) {
		s.counters.wakes.Inc()
		s.waker.Drain()
		s.busy = true // whoever called, an iteration answers
	}
}

// forget has the poller watch the shard no longer, and the next thread look into everything.
func (s *shard) forget(p poller) {
	p.want(s.base, 0)
	for i := range s.ports {
		p.want(s.ports[i].id, 0)
	}
	s.readAll()
}

// finish handles what was posted before Stop and sends what it leaves behind. A socket that
// is full now does not get another chance: Stop has to end.
func (s *shard) finish() {
	s.now = Now()
	for range lastRounds {
		if !s.handler.HandleMessages(s.now, s.tx) {
			break
		}
	}
	for i := range s.ports {
		s.ports[i].sendAfter = mono.Never
	}
	s.flush()
	s.tx.Drop()
}
