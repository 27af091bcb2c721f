// Package wheel is a shard's timers: n of them, known by number, with one deadline each.
//
// It is a hierarchy of wheels with 64 slots: the lowest turns by a millisecond a slot, each
// one above by 64 times that, and a timer moves down as its time comes near. Setting and
// canceling cost the same however many timers run. It has no pointers, reads no clock,
// never allocates after New, never fires early, and fires less than a millisecond late if
// it is asked in time. A Wheel belongs to one goroutine.
package wheel

import (
	"math/bits"
	"time"

	"tsubame/netio/mono"
)

const (
	slotBits = 6
	slots    = 1 << slotBits
	// 8 wheels of 6 bits count 2^48 ms, and a mono.Time ends before 2^44: every deadline
	// has a slot, there is no overflow list and no wheel that wraps.
	levels = 8

	resolution = mono.Time(time.Millisecond)

	idle = levels * slots   // list number of a timer that is not set
	due  = levels*slots + 1 // list number of those whose time has come
	none = ^uint32(0)       // end of a list
	most = 1 << 30          // timers, so that no number is none
)

// timer is a node of a doubly linked list of slot or due timers.
type timer struct {
	at         mono.Time
	prev, next uint32
	list       uint16
}

// Wheel is n timers.
type Wheel struct {
	tick   int64          // everything up to this millisecond has expired or is in the due list
	filled [levels]uint64 // a bit for each slot with timers
	heads  [levels * slots]uint32
	first  uint32 // of the due list, which is a queue: timers fire in order of their milliseconds
	last   uint32
	armed  int
	timers []timer
}

// New makes timers 0 to n-1, none of them set, for a clock that shows now.
func New(now mono.Time, n int) *Wheel {
	if n < 0 || n > most {
		panic("wheel: number of timers out of range")
	}
	w := &Wheel{tick: floor(now), first: none, last: none, timers: make([]timer, n)}
	for i := range w.heads {
		w.heads[i] = none
	}
	for i := range w.timers {
		w.timers[i].list = idle
	}
	return w
}

// floor is the millisecond that t is in. Negative instants do not occur on our clock, and
// count as its start.
func floor(t mono.Time) int64 { return int64(max(t, 0) / resolution) }

// ceil is the first millisecond at whose start t has come.
func ceil(t mono.Time) int64 {
	ms := floor(t)
	if mono.Time(ms)*resolution < t {
		ms++
	}
	return ms
}

// Set sets timer id to fire at the instant at, whatever it was set to before;
// mono.Never cancels it. An instant that has passed fires at the next Expire, also if that
// is the one under way: a handler that sets its timer to now again and again never gets to
// the end of Expire.
func (w *Wheel) Set(id uint32, at mono.Time) {
	w.Cancel(id)
	if at == mono.Never {
		return
	}
	w.timers[id].at = at
	w.armed++
	w.insert(id)
}

// Cancel clears timer id if it is set.
func (w *Wheel) Cancel(id uint32) {
	if w.timers[id].list == idle {
		return
	}
	w.unlink(id)
	w.timers[id].at = mono.Never
	w.armed--
}

// Deadline returns what timer id is set to, or mono.Never.
func (w *Wheel) Deadline(id uint32) mono.Time { return w.timers[id].at }

// Len returns how many timers are set.
func (w *Wheel) Len() int { return w.armed }

// Expire returns one timer whose deadline has come at now, and clears it. To be called
// until it reports false. A now before an earlier one changes nothing.
func (w *Wheel) Expire(now mono.Time) (id uint32, ok bool) {
	for w.first == none {
		if !w.advance(floor(now)) {
			return 0, false
		}
	}
	id = w.first
	w.Cancel(id)
	return id, true
}

// Next returns an instant before which Expire will return nothing, and at which it is worth
// calling: often the next deadline itself, rounded up to a millisecond, otherwise when
// the nearest timers move down a wheel. mono.Never says that no timer is set.
func (w *Wheel) Next() mono.Time {
	if w.first != none {
		// At once. The clock has shown this instant, and 0 would say Never.
		return max(mono.Time(w.tick)*resolution, 1)
	}
	if _, at, ok := w.nearest(); ok {
		return mono.Time(at) * resolution
	}
	return mono.Never
}

// nearest finds the slot that is emptied first, and the millisecond at which it begins.
// A timer stands on the lowest wheel on which its slot differs from the current one, so
// every slot of a lower wheel comes before every slot of a higher one, and all of them
// stand behind the current slot: none is past, and the first bit is the nearest.
func (w *Wheel) nearest() (list uint16, at int64, ok bool) {
	for level := range levels {
		if w.filled[level] == 0 {
			continue
		}
		slot := bits.TrailingZeros64(w.filled[level])
		shift := level * slotBits
		start := w.tick>>(shift+slotBits)<<slotBits | int64(slot)
		return uint16(level*slots + slot), start << shift, true
	}
	return 0, 0, false
}

// advance turns the wheels to the next slot that has timers and begins by the millisecond
// to, and moves these to the due list or down. It reports false when there is none, and
// then stands at to.
func (w *Wheel) advance(to int64) bool {
	list, at, ok := w.nearest()
	if !ok || at > to {
		w.tick = max(w.tick, to)
		return false
	}
	w.tick = at
	id := w.heads[list]
	w.heads[list] = none
	w.filled[list/slots] &^= 1 << (list % slots)
	for id != none {
		next := w.timers[id].next
		w.insert(id)
		id = next
	}
	return true
}

// insert puts a timer that is in no list where its deadline belongs.
func (w *Wheel) insert(id uint32) {
	at := ceil(w.timers[id].at)
	if at <= w.tick {
		w.queue(id)
		return
	}
	level := (bits.Len64(uint64(at^w.tick)) - 1) / slotBits
	slot := at >> (level * slotBits) % slots
	list := uint16(level*slots) + uint16(slot)
	head := w.heads[list]
	w.timers[id].list, w.timers[id].prev, w.timers[id].next = list, none, head
	if head != none {
		w.timers[head].prev = id
	}
	w.heads[list] = id
	w.filled[level] |= 1 << slot
}

// queue appends a timer to the due list.
func (w *Wheel) queue(id uint32) {
	w.timers[id].list, w.timers[id].prev, w.timers[id].next = due, w.last, none
	if w.last == none {
		w.first = id
	} else {
		w.timers[w.last].next = id
	}
	w.last = id
}

// unlink takes a timer out of its list.
func (w *Wheel) unlink(id uint32) {
	t := &w.timers[id]
	if t.next != none {
		w.timers[t.next].prev = t.prev
	} else if t.list == due {
		w.last = t.prev
	}
	switch {
	case t.prev != none:
		w.timers[t.prev].next = t.next
	case t.list == due:
		w.first = t.next
	default:
		w.heads[t.list] = t.next
		if t.next == none {
			w.filled[t.list/slots] &^= 1 << (t.list % slots)
		}
	}
	t.list = idle
}
