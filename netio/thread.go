package netio

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"

	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

// thread runs the shards that it carries, one after the other, and sleeps for all of them at
// once. There are as many threads as shards. Each begins with the shard of its own number;
// which it carries later is the balancer's decision. A shard is carried by one thread at any
// time, and what moves is only who calls it: its sockets, rings and numbers stay what they are.
//
// All fields belong to the thread's goroutine, but those that say otherwise.
type thread struct {
	index   int
	cpu     int // to run on, or -1
	log     *slog.Logger
	poller  poller
	fine    bool     // the poller's word at start: its sleeps end at the microsecond
	wakerID int      // in the poller
	carried []*shard // room for all, so that it never grows
	breath  breath

	// What others write. Whoever does wakes the thread afterwards.
	waker    *ring.Waker
	order    atomic.Pointer[order] // the balancer's; nil again when it was carried out
	arriving atomic.Pointer[shard] // a list, linked by shard.behind
	stop     *atomic.Bool          // the group's

	times atomic.Pointer[os.File] // what the kernel tells of its time; nil: not running, or unknown
}

// order is to hand a shard to another thread.
type order struct {
	shard *shard
	to    *thread
}

// newThread makes a thread that can carry each of the shards.
func newThread(index, cpu int, plain bool, log *slog.Logger, shards []*shard, stop *atomic.Bool) (*thread, error) {
	t := &thread{index: index, cpu: cpu, log: log, stop: stop, carried: make([]*shard, 0, len(shards))}
	if err := t.open(plain, shards); err != nil {
		t.close()
		return nil, fmt.Errorf("thread %d: %w", index, err)
	}
	return t, nil
}

// open makes the waker and the poller, which knows the descriptors of all shards.
func (t *thread) open(plain bool, shards []*shard) (err error) {
	if t.waker, err = ring.NewWaker(); err != nil {
		return err
	}
	open := newPoller
	if plain {
		open = newPortablePoller
	}
	if t.poller, err = open(); err != nil {
		return err
	}
	t.fine = t.poller.fine()
	for _, s := range shards {
		if err := s.watch(t.poller); err != nil {
			return err
		}
		t.wakerID = s.base + 1 + len(s.ports)
	}
	if err := t.poller.watch(t.waker.FD()); err != nil {
		return err
	}
	t.poller.want(t.wakerID, wantInput)
	return nil
}

// close gives back the descriptors. The goroutine must have ended.
func (t *thread) close() {
	if t.poller != nil {
		t.poller.close()
	}
	if t.waker != nil {
		t.waker.Close()
	}
	if f := t.times.Load(); f != nil {
		f.Close()
	}
}

// run is the thread's goroutine. It stays locked to its thread until it ends, and the thread
// ends with it, so that what is set here (CPU, timer slack) is inherited by nobody. Profiles
// carry the label shard=N for what is done for a shard.
func (t *thread) run(first *shard) {
	runtime.LockOSThread()
	slots.enter()
	defer slots.leave()
	t.times.Store(openThreadTimes())
	if err := sharpenTimers(); err != nil {
		t.log.Warn("the timers of a shard are as coarse as the system's default", "shard", t.index, "error", err)
	}
	if t.cpu >= 0 {
		if err := pin(t.cpu); err != nil {
			t.log.Warn("a shard could not be bound to its CPU and runs on any", "shard", t.index, "cpu", t.cpu, "error", err)
		}
	}
	t.take(first)
	for !t.stop.Load() {
		t.obey()
		if busy := t.turn(); !busy {
			t.sleep()
		}
	}
	for _, s := range t.carried {
		s.finish()
	}
}

// turn runs an iteration of each shard that has a reason for one. busy means that one of them
// has more to do: then there is no sleep to tell which sockets have something, and all look.
func (t *thread) turn() (busy bool) {
	now := Now()
	for _, s := range t.carried {
		if !s.due(now) {
			continue
		}
		if len(t.carried) > 1 {
			pprof.SetGoroutineLabels(s.labels)
		}
		s.turn()
		busy = busy || s.busy
	}
	if busy {
		for _, s := range t.carried {
			s.readAll()
		}
	}
	if !t.keepsSlot() && t.breath.due(now) {
		runtime.Gosched()
	}
	return busy
}

// sleep waits for a datagram, for room in a full socket, for a timer, or to be woken.
func (t *thread) sleep() {
	next := mono.Never
	for _, s := range t.carried {
		next = mono.Earliest(next, s.prepare(t.poller))
	}
	timeout := longestSleep
	if next != mono.Never {
		if timeout = next.Sub(Now()); timeout <= 0 {
			return
		}
	}
	t.waker.PrepareSleep()
	for _, s := range t.carried {
		s.waker.PrepareSleep()
	}
	slept, n := !t.called(), 0
	if slept {
		n = t.poller.wait(timeout, t.keepsSlot())
	}
	t.waker.CancelSleep()
	for _, s := range t.carried {
		s.waker.CancelSleep()
	}
	if slept {
		t.woken(n)
	}
}

// keepsSlot reports whether the thread sleeps with its processor slot in hand. One that
// carries nothing has no use for it.
func (t *thread) keepsSlot() bool { return t.fine && len(t.carried) > 0 && slots.spare() }

// called reports whether anybody wants something, which is asked after the sleep was announced.
func (t *thread) called() bool {
	if t.stop.Load() || t.order.Load() != nil || t.arriving.Load() != nil {
		return true
	}
	for _, s := range t.carried {
		if s.handler.Pending() {
			return true
		}
	}
	return false
}

// woken learns from a sleep in which n descriptors became ready.
func (t *thread) woken(n int) {
	for i, s := range t.carried {
		s.woken(t.poller)
		if i > 0 {
			continue // one sleep, however many slept
		}
		s.counters.sleeps.Inc()
		if n == 0 {
			s.counters.timers.Inc()
		}
	}
	if t.poller.ready(t.wakerID) {
		t.waker.Drain()
	}
}

// obey takes what was handed to the thread, and hands over what the balancer wants handed over.
// The order is read first: what it is about has arrived by then.
func (t *thread) obey() {
	o := t.order.Load()
	if t.arriving.Load() != nil {
		for s := t.arriving.Swap(nil); s != nil; {
			next := s.behind
			s.behind = nil
			t.take(s)
			s = next
		}
	}
	if o != nil {
		t.give(o)
		t.order.Store(nil)
	}
}

// take begins to carry a shard.
func (t *thread) take(s *shard) {
	t.carried = append(t.carried, s)
	pprof.SetGoroutineLabels(s.labels)
}

// give hands a shard over. A shard that it does not carry is a bug of the balancer's.
func (t *thread) give(o *order) {
	for i, s := range t.carried {
		if s != o.shard {
			continue
		}
		s.forget(t.poller)
		last := len(t.carried) - 1
		t.carried[i] = t.carried[last]
		t.carried[last] = nil
		t.carried = t.carried[:last]
		s.carrier.Store(int32(o.to.index))
		o.to.arrive(s)
		if last == 1 {
			pprof.SetGoroutineLabels(t.carried[0].labels)
		}
		return
	}
	panic(fmt.Sprintf("netio: thread %d does not carry shard %d", t.index, o.shard.index))
}

// arrive puts a shard that nobody carries into the thread's hands.
func (t *thread) arrive(s *shard) {
	for {
		s.behind = t.arriving.Load()
		if t.arriving.CompareAndSwap(s.behind, s) {
			break
		}
	}
	t.waker.Wake()
}

// slots knows whether the Go scheduler has processor slots to spare beside those that the
// threads hold.
var slots processorSlots

// processorSlots counts the threads of all groups of the process.
//
// A thread that sleeps by an ordinary system call lends its slot to the runtime's monitor: that
// takes it after some time, looks every 20 us for some milliseconds, and the way back from the
// sleep has to find another slot. A raw system call keeps the slot, which saves 10 to 20 % of
// what a broadcast costs and a little of a conference (bench/LOG.md), and is fair where there
// are slots for everybody else: the slot of a sleeping thread is of no use to anyone. The
// runtime can still stop such a thread when it collects garbage: its signal ends the sleep
// (EINTR), and it sends it again every 100 us for as long as it waits.
type processorSlots struct {
	threads atomic.Int64
	all     atomic.Int64 // GOMAXPROCS when a thread last came or went: asking takes a lock
}

func (p *processorSlots) enter() { p.count(1) }
func (p *processorSlots) leave() { p.count(-1) }

func (p *processorSlots) count(d int64) {
	p.threads.Add(d)
	p.all.Store(int64(runtime.GOMAXPROCS(0)))
}

// spare reports whether threads may sleep with their slots in hand. It compares counts rather
// than read a verdict, which of two threads that come at once the earlier might write last.
func (p *processorSlots) spare() bool { return preemptible && p.all.Load() > p.threads.Load() }

// preemptible: the runtime interrupts threads by signals. GODEBUG can forbid it, and then it
// would wait for a thread in a raw system call until that wakes by itself.
var preemptible = !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1")
