package recv

import (
	"time"

	"tsubame/netio/mono"
)

// The NACK schedule. A browser keeps what it sent for about a second, and a picture that
// is later than that has frozen anyway, so there is no use in asking for longer.
const (
	// MaxOutstanding bounds the missing packets that are asked for at once. Beyond it
	// the oldest is given up: a loss of this many packets ends in a key frame.
	MaxOutstanding = 256

	nackHold       = 10 * time.Millisecond // a gap may be reordering: wait this long,
	nackHoldCount  = 3                     // or until so many newer packets have come
	nackTries      = 10                    // how often one packet is asked for
	nackAge        = 2 * time.Second       // how long one packet is asked for
	nackMinSpacing = 20 * time.Millisecond // between two tries, however short the RTT
	nackMaxSpacing = time.Second
	nackDefaultRTT = 100 * time.Millisecond
)

// missingPacket is one gap in the sequence, one packet wide.
type missingPacket struct {
	seq   uint64
	since mono.Time // when it was noticed
	at    mono.Time // when to ask (again)
	seen  uint32    // packets accepted when it was noticed, modulo 1<<32
	tries uint8
}

// missingList has the missing packets in order of their sequence numbers. Those at and
// after held have not been asked for yet and may be a matter of reordering.
type missingList struct {
	entries [MaxOutstanding]missingPacket
	n       int32
	held    int32
	next    mono.Time // no entry is due earlier; Never when there is none
}

// add notes [from, to) as missing. If there is no room the oldest entries make place; it
// returns how many were given up, those of the new ones included that never got in.
func (l *missingList) add(now mono.Time, from, to, accepted uint64) (dropped int) {
	if to-from > MaxOutstanding {
		dropped = int(to - from - MaxOutstanding)
		from = to - MaxOutstanding
	}
	if excess := int(l.n) + int(to-from) - MaxOutstanding; excess > 0 {
		l.cut(0, excess)
		dropped += excess
	}
	at := now.Add(nackHold)
	for ; from < to; from++ {
		l.entries[l.n] = missingPacket{seq: from, since: now, at: at, seen: uint32(accepted)}
		l.n++
	}
	l.next = mono.Earliest(l.next, at)
	return dropped
}

// newer notes that another packet has been accepted: those that enough newer packets have
// overtaken need no more holding.
func (l *missingList) newer(now mono.Time, accepted uint64) {
	for l.held < l.n && uint32(accepted)-l.entries[l.held].seen >= nackHoldCount {
		e := &l.entries[l.held]
		if now < e.at {
			e.at = now
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
		if l.entries[mid].seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// remove takes seq off the list if it is there: it has arrived.
func (l *missingList) remove(seq uint64) {
	if l.n == 0 {
		return
	}
	if i := l.find(seq); i < int(l.n) && l.entries[i].seq == seq {
		l.cut(i, 1)
	}
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
		l.next = mono.Never
	}
}

// appendDue appends what is to be asked for at now and sets when to ask again. It returns
// how many entries were given up because of their tries or age.
func (l *missingList) appendDue(now mono.Time, rtt time.Duration, dst []uint16) ([]uint16, int) {
	if !l.next.Due(now) {
		return dst, 0
	}
	if rtt <= 0 {
		rtt = nackDefaultRTT
	}
	dropped, kept, held := 0, int32(0), int32(0)
	next := mono.Never
	for i := int32(0); i < l.n; i++ {
		e := l.entries[i]
		if e.at <= now {
			if e.tries >= nackTries || now.Sub(e.since) >= nackAge {
				dropped++
				continue
			}
			dst = append(dst, uint16(e.seq))
			e.at = now.Add(spacing(rtt, e.tries))
			e.tries++
		}
		if e.tries > 0 || i < l.held {
			held = kept + 1
		}
		next = mono.Earliest(next, e.at)
		l.entries[kept] = e
		kept++
	}
	l.n, l.held, l.next = kept, held, next
	return dst, dropped
}

// spacing is how long to wait for the answer to the given try: a round trip, and a quarter
// more each time, so that a path which is slow because it is full is not asked for more.
func spacing(rtt time.Duration, try uint8) time.Duration {
	d := max(rtt, nackMinSpacing)
	for ; try > 0; try-- {
		d += d / 4
	}
	return min(d, nackMaxSpacing)
}
