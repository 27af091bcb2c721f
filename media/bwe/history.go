package bwe

import (
	"time"

	"tsubame/netio/mono"
)

// The bounds of what is remembered of sent packets.
const (
	// minHistory and maxHistory are the sizes of the tables, in packets. The smallest is
	// enough for what most viewers have under way (1 KiB); the largest for 100 Mbit/s in
	// packets of 1,200 bytes whose feedback takes 0.4 s. Beyond it the oldest is forgotten,
	// and feedback on it ignored.
	minHistory = 128
	maxHistory = 4096
	classes    = 6 // 128, 256, ... 4096

	// historyAge is how old a packet may be when it is reported. What is older is
	// forgotten as room is needed.
	historyAge = 3 * time.Second

	// historyLate is how far behind the newest reported packet, in packets, one is still
	// remembered for a late report when room is needed.
	historyLate = 32

	// silence is after how long without a packet the table is given back.
	silence = 5 * time.Second
)

// The fates of a packet.
const (
	underway uint8 = iota
	lost           // so the receiver said; it may say otherwise later
	received
)

// entry is one sent packet.
type entry struct {
	at      uint32 // when it was sent, in units of tick
	size    uint16
	cluster uint8 // of a probe; 0: none
	fate    uint8
}

// tick is the unit of entry.at, as a shift: 1,024 ns. It wraps after 73 minutes. A packet can be
// remembered for longer if very little is sent; who reports it then gets a wrong send time for it,
// which does no more than any other lie.
const tick = 10

// Tables lends the estimators of one shard the memory for what is under way. The zero value is
// ready. It belongs to the shard's goroutine and is not copied. It never gives memory back:
// there are as many tables as were needed at one time.
type Tables struct {
	free [classes][][]entry
}

// take lends a table of minHistory<<class entries, with anything in it.
func (t *Tables) take(class int) []entry {
	if t == nil {
		return make([]entry, minHistory<<class)
	}
	n := len(t.free[class])
	if n == 0 {
		return make([]entry, minHistory<<class)
	}
	e := t.free[class][n-1]
	t.free[class] = t.free[class][:n-1]
	return e
}

func (t *Tables) put(class int, e []entry) {
	if t != nil && e != nil {
		t.free[class] = append(t.free[class], e)
	}
}

// history is what was sent lately, by transport-wide sequence number.
type history struct {
	entries []entry // a ring of a power of two; nil while nothing is remembered
	tables  *Tables
	next    uint16 // the number of the next packet
	n       uint16 // entries in use: the numbers before next
	class   uint8  // of the table
	probing uint8  // the cluster that every packet belongs to for now; 0: none
	// reported is one above the newest number that was reported; what is not reported is
	// from there to next.
	reported uint16
}

// find returns the packet of that number; nil if it is not remembered.
func (h *history) find(seq uint16) *entry {
	if d := h.next - 1 - seq; d >= h.n || len(h.entries) == 0 {
		return nil
	}
	return &h.entries[int(seq)&(len(h.entries)-1)]
}

// clear forgets everything, and gives the table back.
func (h *history) clear() {
	h.tables.put(int(h.class), h.entries)
	h.entries, h.n, h.class = nil, 0, 0
}

// room makes sure that packet seq has an entry.
func (h *history) room(now mono.Time, seq uint16) {
	if seq != h.next || h.n == 0 {
		h.n, h.next, h.reported = 0, seq, seq
	}
	if h.entries == nil {
		h.entries = h.tables.take(0)
		h.class = 0
	}
	if int(h.n) < len(h.entries) {
		return
	}
	h.settle(now)
	switch size := len(h.entries); {
	case int(h.n) > size*3/4 && size < maxHistory:
		h.move(h.class + 1)
	case int(h.n) < size/8 && size > minHistory:
		h.move(h.class - 1)
	case int(h.n) == size:
		h.n -= uint16(size / 4) // not one at a time: this is a walk
	}
}

// settle forgets the oldest packets as far as nothing more is to be learnt of them.
func (h *history) settle(now mono.Time) {
	for h.n > 0 {
		seq := h.next - h.n
		e := h.find(seq)
		behind := h.reported - seq
		if e.fate != received && (behind < historyLate || behind >= 1<<15) && now.Sub(e.sent(now)) < historyAge {
			return
		}
		h.n--
	}
}

// move exchanges the table for one of another size, which has room for all entries.
func (h *history) move(class uint8) {
	table := h.tables.take(int(class))
	for seq := h.next - h.n; seq != h.next; seq++ {
		table[int(seq)&(len(table)-1)] = *h.find(seq)
	}
	h.tables.put(int(h.class), h.entries)
	h.entries, h.class = table, class
}

// sent is when the packet was sent.
func (e *entry) sent(now mono.Time) mono.Time {
	age := uint32(uint64(now)>>tick) - e.at
	return now - mono.Time(age)<<tick
}
