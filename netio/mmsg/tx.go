package mmsg

import (
	"fmt"

	"tsubame/netio/count"
	"tsubame/netio/flow"
)

// TxQueue holds datagrams that wait to be sent, in permanent slots and in the order of their
// Commits. One queue serves the sockets of both families. What goes to a stream (flow.Via) never
// waits here: it is handed on at its Commit. It belongs to one goroutine; only Dropped and
// Refused may be called by others.
type TxQueue struct {
	slab    []byte
	entries []txEntry // by slot
	order   []uint16  // the queued slots, oldest first
	free    []uint16  // a stack: the slot used last is the one still in the cache
	video   int       // queued datagrams of class Video
	open    bool      // Slot handed one out that has not been committed
	flusher func()
	streams func(to flow.Key, c Class, b []byte) bool

	hand, places [maxHand]uint16 // flush's: slots, and where in order they stand

	dropped [Classes]count.Word
	refused count.Word
}

type txEntry struct {
	to    flow.Key
	size  uint16
	class Class
	v6    bool
}

// NewTxQueue returns a queue of the given number of slots. It panics unless 0 < slots <=
// 32768.
func NewTxQueue(slots int) *TxQueue {
	if slots < 1 || slots > maxSlots {
		panic(fmt.Sprintf("mmsg: queue of %d slots", slots))
	}
	q := &TxQueue{
		slab:    make([]byte, slots*SlotSize),
		entries: make([]txEntry, slots),
		order:   make([]uint16, 0, slots),
		free:    make([]uint16, slots),
	}
	for i := range q.free {
		q.free[i] = uint16(slots - 1 - i)
	}
	return q
}

// SetFlusher names the function that Slot calls, at most once a call, when the queue is full:
// it should send. It must not call Slot or Commit.
func (q *TxQueue) SetFlusher(f func()) { q.flusher = f }

// SetStreams names the function that Commit gives datagrams to whose flow is over a stream. It
// reports whether the stream has taken the datagram, keeps no reference to it, and must not call
// Slot or Commit. Without one nothing is taken.
func (q *TxQueue) SetStreams(f func(to flow.Key, c Class, b []byte) bool) { q.streams = f }

// Slot returns the next free slot, SlotSize bytes of arbitrary content, to be filled and
// committed, or not; it is the caller's until its Commit or the next Slot.
//
// At the bound, when all slots are queued and flushing frees none, the oldest Video makes
// room: it is the datagram least worth sending by now, and its receiver asks for it again if
// it still matters. If no Video is queued, Slot returns nil and counts it.
func (q *TxQueue) Slot() []byte {
	if len(q.free) == 0 && q.flusher != nil {
		q.flusher()
	}
	if len(q.free) == 0 && !q.dropOldestVideo() {
		q.open = false
		q.refused.Inc()
		return nil
	}
	q.open = true
	slot := int(q.free[len(q.free)-1])
	return q.slab[slot*SlotSize : (slot+1)*SlotSize : (slot+1)*SlotSize]
}

// Commit queues the first n bytes of the slot that the last Slot returned, to be sent to
// to.Remote from to.Local (the zero Addr: from wherever the routing table says); or hands them
// to the stream that to goes over. It reports whether the datagram was taken, which only a
// stream may refuse. It panics if there is no such slot or n is not in 1..SlotSize.
func (q *TxQueue) Commit(n int, to flow.Key, c Class) bool {
	if !q.open {
		panic("mmsg: Commit without Slot")
	}
	if n < 1 || n > SlotSize || c >= Classes {
		panic(fmt.Sprintf("mmsg: Commit of %d bytes, class %d", n, c))
	}
	q.open = false
	last := len(q.free) - 1
	slot := q.free[last]
	if to.Via.IsStream() {
		start := int(slot) * SlotSize
		return q.streams != nil && q.streams(to, c, q.slab[start:start+n:start+n])
	}
	q.free = q.free[:last]
	q.entries[slot] = txEntry{to: to, size: uint16(n), class: c, v6: !to.Is4()}
	q.order = append(q.order, slot)
	if c == Video {
		q.video++
	}
	return true
}

// Len returns the number of queued datagrams.
func (q *TxQueue) Len() int { return len(q.order) }

// Packet returns queued datagram i, counted from the oldest, and where it goes. The bytes are
// valid until the datagram is sent or dropped.
func (q *TxQueue) Packet(i int) (flow.Key, []byte) {
	slot := q.order[i]
	return q.entries[slot].to, q.bytes(slot)
}

// Class returns the class of queued datagram i.
func (q *TxQueue) Class(i int) Class { return q.entries[q.order[i]].class }

// Reset forgets what is queued, uncounted: for tests.
func (q *TxQueue) Reset() {
	for _, slot := range q.order {
		q.release(slot)
	}
	q.order, q.open = q.order[:0], false
}

// Drop drops what is queued, counted by class.
func (q *TxQueue) Drop() {
	for _, slot := range q.order {
		q.dropped[q.entries[slot].class].Inc()
	}
	q.Reset()
}

// Dropped returns how many datagrams of class c were queued but dropped for want of room. Any
// goroutine may call it.
func (q *TxQueue) Dropped(c Class) uint64 { return q.dropped[c].Load() }

// Refused returns how often Slot had no slot to give. Any goroutine may call it.
func (q *TxQueue) Refused() uint64 { return q.refused.Load() }

func (q *TxQueue) bytes(slot uint16) []byte {
	start := int(slot) * SlotSize
	end := start + int(q.entries[slot].size)
	return q.slab[start:end:end]
}

// release gives a slot back; the caller has taken it out of order.
func (q *TxQueue) release(slot uint16) {
	if q.entries[slot].class == Video {
		q.video--
	}
	q.free = append(q.free, slot)
}

// dropOldestVideo frees one slot if any Video is queued. The search is linear in the audio
// ahead of it: a few hundred bytes, and only while a socket is blocked.
func (q *TxQueue) dropOldestVideo() bool {
	if q.video == 0 {
		return false
	}
	for i, slot := range q.order {
		if q.entries[slot].class == Video {
			q.order = append(q.order[:i], q.order[i+1:]...)
			q.release(slot)
			q.dropped[Video].Inc()
			return true
		}
	}
	panic("mmsg: queue lost count of its Video")
}

// sender sends up to maxHand queued datagrams of its own family, in order. It returns how
// many are done with, sent or refused by the kernel; fewer than given means blocked.
type sender interface {
	send(q *TxQueue, slots []uint16) (done, sent int)
}

// flush hands the queued datagrams of one family to s, in order, until all are done with or s
// is blocked, and keeps the rest in order.
func (q *TxQueue) flush(s sender, v6 bool) (sent int, blocked bool) {
	for next := 0; next < len(q.order) && !blocked; {
		n := 0
		for ; next < len(q.order) && n < maxHand; next++ {
			if slot := q.order[next]; q.entries[slot].v6 == v6 {
				q.hand[n], q.places[n] = slot, uint16(next)
				n++
			}
		}
		if n == 0 {
			break
		}
		done, took := s.send(q, q.hand[:n])
		for i := range done {
			q.release(q.hand[i])
			q.order[q.places[i]] = gone
		}
		sent += took
		blocked = done < n
	}
	q.closeGaps()
	return sent, blocked
}

// gone marks a place in the order whose datagram has left; there is no such slot.
const gone = maxSlots

// closeGaps removes what flush marked.
func (q *TxQueue) closeGaps() {
	keep := 0
	for _, slot := range q.order {
		if slot != gone {
			q.order[keep] = slot
			keep++
		}
	}
	q.order = q.order[:keep]
}
