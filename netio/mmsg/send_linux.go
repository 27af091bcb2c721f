package mmsg

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// txRaw is what one sendmmsg says to the kernel.
type txRaw struct {
	headers  [maxMessages]mmsghdr
	iovecs   [maxHand]unix.Iovec
	names    [maxMessages][nameSize]byte
	controls [maxMessages]controlBuffer
	runs     [maxMessages]run

	source, sourceAndSegment int // lengths of control, for one datagram and for a run
}

// init writes what stays the same from one call to the next.
func (t *txRaw) init(v6 bool) {
	family, length := uint16(unix.AF_INET), uint32(nameSize4)
	if v6 {
		family, length = unix.AF_INET6, nameSize
	}
	for i := range t.headers {
		binary.NativeEndian.PutUint16(t.names[i][:], family)
		t.source = len(initSource(&t.controls[i], v6))
		t.sourceAndSegment = len(initSegment(&t.controls[i], t.source))
		h := &t.headers[i].header
		h.Name = &t.names[i][0]
		h.Namelen = length
		h.Control = &t.controls[i].bytes()[0]
	}
}

func (s *batched) Send(q *TxQueue) (sent int, blocked bool) { return q.flush(s, s.v6) }

// send hands slots to the kernel in as few messages as it takes. The kernel takes a run whole
// or not at all. One that it refuses is sent datagram by datagram, whatever the reason: so an
// error costs only what it is about, as it would without runs, and nothing leaves twice.
func (s *batched) send(q *TxQueue, slots []uint16) (done, sent int) {
	single := 0 // datagrams ahead that were a refused run's
	for done < len(slots) {
		rest, longest := slots[done:], s.longest
		if single > 0 {
			rest, longest = rest[:single], 1
		}
		runs := buildRuns(s.tx.runs[:0], q.entries, rest, longest, &s.alone)
		s.describe(q, rest, runs)
		left, took, refused := s.transmit(runs)
		for _, r := range runs[:len(runs)-left] {
			done += int(r.n)
			single = max(0, single-int(r.n))
		}
		sent += took
		switch {
		case left == 0:
		case refused == 0: // the socket is full
			return done, sent
		default:
			culprit := runs[len(runs)-left]
			s.refused(&q.entries[rest[culprit.first]], refused)
			single = int(culprit.n)
		}
	}
	return done, sent
}

// transmit sends the described runs in order and returns how many are left, and how many
// datagrams the kernel took. What ends it early is a full socket, or a run that was refused for
// the reason returned. A single datagram that is refused is counted and done with.
//
// sendmmsg stops at the first message that fails and reports the error only if none went
// before; the next call, which begins with the culprit, then gets it.
func (s *batched) transmit(runs []run) (left, took int, refused unix.Errno) {
	for next := 0; next < len(runs); {
		n, errno := s.sendmmsg(s.fd, s.tx.headers[next:len(runs)])
		switch {
		case errno == 0 && n > 0:
			took += s.counters.sentRuns(runs[next : next+n])
			next += n
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			s.counters.TxBlocked.Inc()
			return len(runs) - next, took, 0
		case runs[next].n > 1:
			return len(runs) - next, took, errno
		default:
			s.counters.TxErrors[txReason(errno)].Inc()
			next++
		}
	}
	return 0, took, 0
}

// refused draws the conclusions from a run that the kernel did not take. EIO says that the
// device or the route cannot do it (no checksum offload, IPsec; udp_send_skb): this socket
// sends no more runs. EINVAL and EMSGSIZE are about one way: a segment that does not fit its
// link has to be fragmented, which only single datagrams are. Other reasons are none to send
// differently the next time.
func (s *batched) refused(e *txEntry, errno unix.Errno) {
	switch errno {
	case unix.EIO:
		s.longest = 1
		s.counters.GSOErrors[GSODevice].Inc()
		s.counters.GSOOff.Set(1)
	case unix.EINVAL:
		s.alone.add(&e.to)
		s.counters.GSOErrors[GSOInvalid].Inc()
	case unix.EMSGSIZE:
		s.alone.add(&e.to)
		s.counters.GSOErrors[GSOTooBig].Inc()
	default:
		s.counters.GSOErrors[GSOOther].Inc()
	}
}

// describe makes the headers say: these slots, to there, from here, cut like this.
func (s *batched) describe(q *TxQueue, slots []uint16, runs []run) {
	for i, r := range runs {
		s.gather(q, slots[r.first:r.first+r.n], int(r.first))
		e := &q.entries[slots[r.first]]
		name, control := &s.tx.names[i], &s.tx.controls[i]
		binary.BigEndian.PutUint16(name[2:], e.to.Port)
		if s.v6 {
			copy(name[name6Addr:], e.to.Remote[:])
		} else {
			copy(name[name4Addr:nameAddr4s], e.to.Remote[12:])
		}
		setSource(control, e.to.Local, s.v6)
		h := &s.tx.headers[i].header
		h.Iov = &s.tx.iovecs[r.first]
		h.SetIovlen(int(r.n))
		if r.n == 1 {
			h.SetControllen(s.tx.source)
			continue
		}
		setSegment(control, s.tx.source, e.size)
		h.SetControllen(s.tx.sourceAndSegment)
	}
}

// gather points the iovecs from at on to the slots of one run. Lengths that the kernel would
// cut elsewhere are a bug of ours that would turn every datagram behind into garbage without
// an error: it ends the program here.
func (s *batched) gather(q *TxQueue, slots []uint16, at int) {
	size := q.entries[slots[0]].size
	for i, slot := range slots {
		n := q.entries[slot].size
		if n != size && (n > size || i != len(slots)-1) {
			panic(fmt.Sprintf("mmsg: datagram %d of a run of %d has %d bytes, the first has %d", i, len(slots), n, size))
		}
		v := &s.tx.iovecs[at+i]
		v.Base = &q.slab[int(slot)*SlotSize]
		v.SetLen(int(n))
	}
}
