// Package ring is how goroutines hand work to a shard: a bounded queue with many
// producers and one consumer (MPSC), a mailbox of bits in which the latest state wins
// (Flags), a free list of indices (IndexPool), and the Waker that gets a sleeping consumer
// out of the kernel.
//
// Nothing here locks, grows or drops silently: a full ring says so, and the caller decides
// and counts. Any goroutine may produce; Pop, Next, Drain, PrepareSleep, CancelSleep and
// Wait are for the one consumer. An entry that was popped is the consumer's alone, the ring
// keeps no copy of it.
package ring

import (
	"runtime"
	"sync/atomic"
	"time"
)

// line keeps what producers write and what the consumer writes apart: two cache lines,
// because amd64 fetches them in pairs.
const line = 128

// closedBit stands in the tail, so that closing and reserving a place are decided by the
// same word: after Close nobody can slip in another entry.
const closedBit = 1 << 63

// MPSC is a bounded queue for many producers and one consumer, after Dmitry Vyukov's
// bounded queue: each cell carries a sequence number that says whose turn it is. Entries
// of one producer keep their order.
//
// A producer that was interrupted between reserving a cell and filling it hides the
// entries behind it until it goes on. Empty then says true, which is right as long as
// every producer calls Wake after pushing.
type MPSC[T any] struct {
	mask  uint64
	cells []cell[T]
	waker *Waker

	_    [line]byte
	tail atomic.Uint64 // next position to fill, and closedBit; written by producers
	_    [line]byte
	head atomic.Uint64 // next position to take; written by the consumer
	_    [line]byte
}

// cell is free for position p when turn is p, and filled for it when turn is p+1.
type cell[T any] struct {
	turn  atomic.Uint64
	value T
}

// NewMPSC makes a ring for capacity entries, rounded up to a power of two, at least 2: with
// one cell "filled for p" and "free for p+1" would be the same number.
func NewMPSC[T any](capacity int) *MPSC[T] {
	if capacity < 1 || capacity > 1<<30 {
		panic("ring: capacity out of range")
	}
	n := 2
	for n < capacity {
		n *= 2
	}
	r := &MPSC[T]{mask: uint64(n - 1), cells: make([]cell[T], n)}
	for i := range r.cells {
		r.cells[i].turn.Store(uint64(i))
	}
	return r
}

// Attach names the consumer's waker, for Push alone: it wakes the consumer while it waits
// for room. To be called before the ring is shared.
func (r *MPSC[T]) Attach(w *Waker) { r.waker = w }

// Cap returns how many entries there is room for.
func (r *MPSC[T]) Cap() int { return len(r.cells) }

// TryPush appends v. It reports false when the ring is full or closed. Any goroutine may
// call it; it never waits. It does not wake the consumer: that is the Waker's, once for
// many entries.
func (r *MPSC[T]) TryPush(v T) bool {
	for {
		p := r.tail.Load()
		if p&closedBit != 0 {
			return false
		}
		c := &r.cells[p&r.mask]
		switch lag := int64(c.turn.Load() - p); {
		case lag < 0:
			return false // the entry of one round ago is still there
		case lag == 0:
			if r.tail.CompareAndSwap(p, p+1) {
				c.value = v
				c.turn.Store(p + 1)
				return true
			}
		}
		// Somebody else got position p: look again.
	}
}

// Push appends v, waiting for room with a growing back-off. It reports false once the ring
// is closed. It is for control goroutines, whose entries must not be lost; a shard never
// waits for another one.
func (r *MPSC[T]) Push(v T) bool {
	for round := 0; ; round++ {
		if r.TryPush(v) {
			return true
		}
		if r.Closed() {
			return false
		}
		if r.waker != nil {
			// A producer that wakes once after many pushes would wait here for a
			// consumer that nobody told.
			r.waker.Wake()
		}
		backOff(round)
	}
}

// backOff first gives way to other goroutines, then sleeps: 20 us, doubling, to 1 ms.
func backOff(round int) {
	const polite = 8
	if round < polite {
		runtime.Gosched()
		return
	}
	time.Sleep(min(20*time.Microsecond<<min(round-polite, 8), time.Millisecond))
}

// Pop takes the oldest entry. Only the consumer may call it. After Close it goes on to
// return what was pushed before.
func (r *MPSC[T]) Pop() (T, bool) {
	var zero T
	p := r.head.Load()
	c := &r.cells[p&r.mask]
	if c.turn.Load() != p+1 {
		return zero, false
	}
	v := c.value
	c.value = zero // or the ring would keep alive what v points at
	c.turn.Store(p + r.mask + 1)
	r.head.Store(p + 1)
	return v, true
}

// Empty reports whether Pop would find nothing at the moment. Only the consumer gets an
// answer that lasts: true stays true until somebody pushes.
func (r *MPSC[T]) Empty() bool {
	p := r.head.Load()
	return r.cells[p&r.mask].turn.Load() != p+1
}

// Len returns how many entries there are, those that are just being pushed included. Any
// goroutine may call it; it is a figure for statistics.
func (r *MPSC[T]) Len() int {
	head := r.head.Load() // first, so that it cannot be ahead of the tail
	return int(min(r.tail.Load()&^closedBit-head, uint64(len(r.cells))))
}

// Close refuses all further pushes. Entries that are in the ring stay for Pop; when Drained
// says true, none is left and none can come. Any goroutine may call it, more than once.
func (r *MPSC[T]) Close() { r.tail.Or(closedBit) }

// Closed reports whether Close was called.
func (r *MPSC[T]) Closed() bool { return r.tail.Load()&closedBit != 0 }

// Drained reports whether the ring is closed and every entry was popped. A consumer that
// has to account for each entry pops until then, since Pop can find nothing for a moment
// while a producer that came before Close fills its cell.
func (r *MPSC[T]) Drained() bool { return r.tail.Load() == r.head.Load()|closedBit }
