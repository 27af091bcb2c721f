package recv

import (
	"time"

	"tsubame/netio/mono"
)

// The NACK schedule. A browser keeps what it sent for about a second, and a picture that
// is later than that has frozen anyway, so there is no use in asking for longer.
const (
	// MaxOutstanding bounds the missing packets that are asked for at once: 5 Mbps of which a
	// fifth is lost, twice on average, over a round trip of 400 ms, are some 75. Beyond it the
	// oldest is given up; of video all are, since it then takes a key frame anyway, which would
	// have to wait behind the retransmissions.
	MaxOutstanding = 256
	// MaxNACK bounds what is asked for at one time: some may be missing behind the newest.
	MaxNACK = MaxOutstanding + maxTail

	nackTries      = 10                    // rounds, that is how often one packet is asked for, repeats apart
	nackSteady     = 4                     // the first ones, evenly spaced: most pictures wait for one of these
	nackOldTries   = 2                     // if the publisher may have it no more
	nackAge        = 2 * time.Second       // how long one packet is asked for
	nackMinSpacing = 20 * time.Millisecond // between two rounds, however short the RTT
	nackMaxSpacing = time.Second
)

// A gap may be reordering: it is asked for when it has lasted for as long as reordering lasts on
// this path, or is overtaken by a few newer packets. What is missing is learned from what comes:
// an original that is late makes the hold longer than that, a retransmission, which says that
// the packet was lost indeed, makes it a little shorter.
const (
	nackHold      = 10 * time.Millisecond // to begin with
	nackHoldLeast = 2 * time.Millisecond  // packets of one moment may come by two turns of the shard
	nackHoldMost  = 40 * time.Millisecond // beyond it, to ask in vain is the lesser evil
	nackHoldCount = 3                     // newer packets, unless the path reorders for longer than to begin with
)

// missingPacket is one gap in the sequence, one packet wide: 16 bytes, so that a list takes
// a page. Its times are in microseconds modulo 1<<32, which is more than an hour.
type missingPacket struct {
	seq   uint32 // extended number, modulo 1<<32
	since uint32 // when it was noticed
	at    uint32 // when to ask (again)
	seen  uint16 // packets accepted when it was noticed, modulo 1<<16
	tries uint8
	old   bool // it may have been sent longer ago than its publisher remembers
}

// missingTable is the memory of one list.
type missingTable [MaxOutstanding]missingPacket

// Tables lends the streams of one shard the tables in which they note missing packets: a
// stream has one only while it misses any, which is seldom, so that a few serve all. It
// never gives memory back: there are as many tables as streams have missed something at one
// time. The zero value is ready and allocates as it has to lend more than ever before. It
// belongs to the shard's goroutine and is not copied.
type Tables struct {
	free []*missingTable
	lent int
}

// Lent returns how many tables are lent now: one for each stream that misses something.
func (t *Tables) Lent() int { return t.lent }

// take lends a table, from the heap if there is none or t is nil.
func (t *Tables) take() *missingTable {
	if t == nil {
		return new(missingTable)
	}
	t.lent++
	if len(t.free) == 0 {
		return new(missingTable)
	}
	last := len(t.free) - 1
	e := t.free[last]
	t.free = t.free[:last]
	return e
}

// put takes a table back.
func (t *Tables) put(e *missingTable) {
	if t != nil {
		t.free = append(t.free, e)
		t.lent--
	}
}

// missingList has the missing packets in order of their sequence numbers. Those at and
// after held have not been asked for yet and may be a matter of reordering.
type missingList struct {
	next    mono.Time     // no entry is due earlier; Never when there is none
	entries *missingTable // nil while there is none
	tables  *Tables
	n       int32
	held    int32
	hold    uint32 // microseconds
}

// micros is the scale of missingPacket.
func micros(t mono.Time) uint32 { return uint32(uint64(t) / uint64(time.Microsecond)) }

// due reports whether the instant at, in microseconds, has come by now.
func due(at, now uint32) bool { return int32(now-at) >= 0 }

// add notes [from, to) as missing, of which t has asked for some. If there is no room the oldest
// entries make place; it returns how many were given up, those of the new ones included that never
// got in.
func (l *missingList) add(now mono.Time, from, to, accepted uint64, old bool, t *tail) (dropped int) {
	if to-from > MaxOutstanding {
		dropped = int(to - from - MaxOutstanding)
		from = to - MaxOutstanding
	}
	if excess := int(l.n) + int(to-from) - MaxOutstanding; excess > 0 {
		l.cut(0, excess)
		dropped += excess
	}
	if l.entries == nil {
		l.entries = l.tables.take()
	}
	hold := l.hold
	if l.n > 0 {
		// Those that are held stay in the order in which they are due, for newer to find.
		if last := &l.entries[l.n-1]; last.tries == 0 && !due(last.at, micros(now)+hold) {
			hold = last.at - micros(now)
		}
	}
	e := missingPacket{since: micros(now), at: micros(now) + hold, seen: uint16(accepted), old: old}
	for ; from < to; from++ {
		e.seq = uint32(from)
		l.entries[l.n] = e
		if from <= t.asked {
			l.entries[l.n].tries, l.entries[l.n].at = 1, t.again
		}
		l.n++
	}
	l.next = mono.Earliest(l.next, now.Add(time.Duration(hold)*time.Microsecond))
	return dropped
}

// reordered notes that an original came so late, in microseconds, after it was missed.
func (l *missingList) reordered(late uint32) {
	l.hold = min(max(l.hold, late+late/4), uint32(nackHoldMost/time.Microsecond))
}

// confirmed notes that a packet that was missed had been lost.
func (l *missingList) confirmed() {
	l.hold = max(l.hold-l.hold/8, uint32(nackHoldLeast/time.Microsecond))
}

// newer notes that another packet has been accepted: those that enough newer packets have
// overtaken need no more holding.
func (l *missingList) newer(now mono.Time, accepted uint64) {
	if l.hold > uint32(nackHold/time.Microsecond) {
		return
	}
	// Entries that are held are looked at with every packet, so that the count of packets
	// since never comes near its modulus.
	for l.held < l.n && uint16(accepted)-l.entries[l.held].seen >= nackHoldCount {
		e := &l.entries[l.held]
		if at := micros(now); e.tries == 0 && !due(e.at, at) {
			e.at = at
			l.next = mono.Earliest(l.next, now)
		}
		l.held++
	}
}

// find returns the place of the first entry not below seq.
func (l *missingList) find(seq uint64) int {
	lo, hi := 0, int(l.n)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if int32(l.entries[mid].seq-uint32(seq)) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// remove takes seq off the list if it is there: it has arrived. It returns since when it was
// missing, in microseconds.
func (l *missingList) remove(seq uint64) (since uint32, ok bool) {
	if l.n == 0 {
		return 0, false
	}
	i := l.find(seq)
	if i == int(l.n) || l.entries[i].seq != uint32(seq) {
		return 0, false
	}
	since = l.entries[i].since
	l.cut(i, 1)
	return since, true
}

// removeBelow takes off everything below seq and returns how many those were.
func (l *missingList) removeBelow(seq uint64) int {
	if l.n == 0 {
		return 0
	}
	n := l.find(seq)
	l.cut(0, n)
	return n
}

// clear takes off everything and returns how many those were.
func (l *missingList) clear() int {
	n := int(l.n)
	l.cut(0, n)
	return n
}

// cut removes count entries from place i on.
func (l *missingList) cut(i, count int) {
	if count == 0 {
		return
	}
	copy(l.entries[i:l.n], l.entries[i+count:l.n])
	l.n -= int32(count)
	switch held := int(l.held); {
	case held >= i+count:
		l.held -= int32(count)
	case held > i:
		l.held = int32(i)
	}
	if l.n == 0 {
		l.empty()
	}
}

// empty gives the table back, when there is nothing in it.
func (l *missingList) empty() {
	l.next, l.held = mono.Never, 0
	if l.entries != nil {
		l.tables.put(l.entries)
		l.entries = nil
	}
}

// appendDue appends what is to be asked for at now and sets when to ask again. It returns
// how many entries were given up because of their tries or age.
func (l *missingList) appendDue(now mono.Time, answer time.Duration, eager bool, dst []uint16) ([]uint16, int) {
	if !l.next.Due(now) {
		return dst, 0
	}
	if answer <= 0 {
		answer = DefaultRTT + answerTime
	}
	tries := uint8(nackTries)
	if eager {
		tries += nackSteady
	}
	dropped, kept, held := 0, int32(0), int32(0)
	at := micros(now)
	wait := uint32(1<<31 - 1) // until the next is due, in microseconds
	for i := int32(0); i < l.n; i++ {
		e := l.entries[i]
		if due(e.at, at) {
			if e.tries >= tries || e.old && e.tries >= nackOldTries || at-e.since >= uint32(nackAge/time.Microsecond) {
				dropped++
				continue
			}
			dst = append(dst, uint16(e.seq))
			e.at = at + uint32(spacing(answer, e.tries, eager)/time.Microsecond)
			e.tries++
		}
		if e.tries > 0 || i < l.held {
			held = kept + 1
		}
		wait = min(wait, e.at-at)
		l.entries[kept] = e
		kept++
	}
	l.n, l.held = kept, held
	if kept == 0 {
		l.empty()
		return dst, dropped
	}
	l.next = (now - now%mono.Time(time.Microsecond)).Add(time.Duration(wait) * time.Microsecond)
	return dst, dropped
}

// spacing is how long to wait behind the given try: for as long as an answer takes, and longer
// after a few rounds without one, so that a path which is slow because it is full, or gone for a
// moment, is not asked for ever more. Who is eager repeats itself once within each of the first
// rounds, in case it was the request that was lost: see Stream.eager.
func spacing(answer time.Duration, try uint8, eager bool) time.Duration {
	d := max(answer, nackMinSpacing)
	if eager {
		if try < 2*nackSteady {
			return min(d, nackMaxSpacing) / 2
		}
		try -= nackSteady
	}
	for ; try >= nackSteady; try-- {
		d += d / 2
	}
	return min(d, nackMaxSpacing)
}
