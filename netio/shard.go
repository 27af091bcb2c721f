package netio

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
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

	wakerID = 0 // in the poller
)

// shard is one thread and what it owns. Its ports, batch and queue are touched by that thread
// only; stop, counters and the waker are what others see of it.
type shard struct {
	index   int
	cpu     int  // to run on, or -1
	fine    bool // the poller's word at start: its sleeps end at the microsecond
	log     *slog.Logger
	handler Handler
	poller  poller
	ports   []port
	batch   *mmsg.RxBatch
	tx      *mmsg.TxQueue
	now     mono.Time // of this iteration
	breath  breath

	counters loopCounters
	waker    *ring.Waker
	thread   atomic.Int64 // its id in the kernel; 0: not running, or unknown
	started  atomic.Bool
	stop     atomic.Bool
}

// newShard takes over the sockets, also if it fails.
func newShard(index, cpu int, plain bool, log *slog.Logger, sockets []mmsg.Socket) (*shard, error) {
	s := &shard{
		index: index, cpu: cpu, log: log,
		batch: mmsg.NewRxBatch(rxSlots),
		tx:    mmsg.NewTxQueue(txSlots),
	}
	s.tx.SetFlusher(func() { s.flush() })
	for i, socket := range sockets {
		s.ports = append(s.ports, port{socket: socket, id: wakerID + 1 + i, input: true})
	}
	if err := s.openWaiting(plain); err != nil {
		s.close()
		return nil, fmt.Errorf("shard %d: %w", index, err)
	}
	return s, nil
}

// openWaiting makes the waker and the poller, which watches it and all sockets.
func (s *shard) openWaiting(plain bool) (err error) {
	if s.waker, err = ring.NewWaker(); err != nil {
		return err
	}
	open := newPoller
	if plain {
		open = newPortablePoller
	}
	if s.poller, err = open(); err != nil {
		return err
	}
	s.fine = s.poller.fine()
	if err := s.poller.watch(s.waker.FD()); err != nil {
		return err
	}
	s.poller.want(wakerID, wantInput)
	for i := range s.ports {
		if err := s.poller.watch(s.ports[i].socket.FD()); err != nil {
			return err
		}
	}
	return nil
}

// close gives back all descriptors. The thread must have ended.
func (s *shard) close() {
	if s.poller != nil {
		s.poller.close()
	}
	if s.waker != nil {
		s.waker.Close()
	}
	for i := range s.ports {
		if err := s.ports[i].socket.Close(); err != nil {
			s.log.Warn("closing a UDP socket failed", "shard", s.index, "error", err)
		}
	}
}

// run is the shard's thread. The goroutine stays locked to it until it ends, and the thread
// ends with it, so that what is set here (CPU, timer slack) is inherited by nobody. Profiles
// carry the label shard=N for what the goroutine does.
func (s *shard) run(h Handler) {
	runtime.LockOSThread()
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("shard", strconv.Itoa(s.index))))
	s.thread.Store(int64(threadID()))
	if err := sharpenTimers(); err != nil {
		s.log.Warn("the timers of a shard are as coarse as the system's default", "shard", s.index, "error", err)
	}
	if s.cpu >= 0 {
		if err := pin(s.cpu); err != nil {
			s.log.Warn("a shard could not be bound to its CPU and runs on any", "shard", s.index, "cpu", s.cpu, "error", err)
		}
	}
	s.handler = h
	for !s.stop.Load() {
		next, busy := s.turn()
		if s.breath.due(s.now) {
			runtime.Gosched()
		}
		if !busy {
			s.sleep(next)
		}
	}
	s.finish()
}

// turn is one iteration. busy means that it left work that it knew of, for want of room in the
// batch or of the Handler's budget, or that a full socket has room again, which the Handler may
// have waited for. What has come since shows in sleep, which then does not. next is the
// Handler's next timer.
func (s *shard) turn() (next mono.Time, busy bool) {
	s.now = Now()
	full := s.receive()
	more := s.handler.HandleMessages(s.now, s.tx)
	next = s.handler.HandleTimers(s.now, s.tx)
	resumed := s.flush()
	s.counters.loops.Inc()
	if busy = full || more || resumed; busy {
		s.readAll() // there was no sleep to tell which of them have something
	}
	return next, busy
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

// sleep waits for a datagram, for room in a full socket, for a timer, or to be woken. It learns
// which sockets have something, so that the next iteration asks no others.
func (s *shard) sleep(next mono.Time) {
	s.readAll()
	for i := range s.ports {
		p := &s.ports[i]
		w, wake := p.interest(s.now)
		s.poller.want(p.id, w)
		next = mono.Earliest(next, wake)
	}
	timeout := longestSleep
	if next != mono.Never {
		if timeout = next.Sub(Now()); timeout <= 0 {
			return
		}
	}
	s.waker.PrepareSleep()
	if s.stop.Load() || s.handler.Pending() {
		s.waker.CancelSleep()
		return
	}
	n := s.poller.wait(timeout)
	s.waker.CancelSleep()
	for i := range s.ports {
		s.ports[i].input = s.poller.ready(s.ports[i].id)
	}
	s.counters.sleeps.Inc()
	if n == 0 {
		s.counters.timers.Inc()
	}
	if s.poller.ready(wakerID) {
		s.counters.wakes.Inc()
		s.waker.Drain()
	}
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
