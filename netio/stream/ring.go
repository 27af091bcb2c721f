package stream

import "sync/atomic"

// line keeps what the two ends write apart: two cache lines, because processors fetch them
// in pairs.
const line = 128

// noSkip is a position that is never reached.
const noSkip = 1<<64 - 1

// ring is a queue of bytes between one producer and one consumer without locks. What is put
// in at once comes to lie in one piece: where an entry does not fit between its place and
// the end of the buffer, the rest of the buffer is skipped. An empty ring begins at the
// front again, so that memory which never fills is never touched behind its first pages.
//
// Positions count bytes since the beginning and never wrap; the place in the buffer is the
// position modulo its size, a power of two. The ring has no clock, makes nothing and never
// waits; it never looks at the bytes.
type ring struct {
	buf []byte

	_ [line]byte
	// The producer's. skip is the position from which it went on at the front. One word is
	// enough: it is only set again when the consumer has come past the former one, because
	// from one skip to the next it is more than the ring holds.
	start uint64 // where the next entry begins
	ended uint64 // where the last one ended: up to here the consumer may be shown
	tail  atomic.Uint64
	skip  atomic.Uint64

	_ [line]byte
	// The consumer's.
	read uint64 // from head to here it has taken, and may still look at
	head atomic.Uint64
	_    [line]byte
}

// init gives the ring its buffer. A length that is not a power of two panics.
func (r *ring) init(buf []byte) {
	if len(buf) == 0 || len(buf)&(len(buf)-1) != 0 {
		panic("stream: a ring's size is a power of two")
	}
	r.buf = buf
	r.skip.Store(noSkip)
}

// front returns the first position after p that is the buffer's front, or p if it is that.
func (r *ring) front(p uint64) uint64 {
	size := uint64(len(r.buf))
	return (p + size - 1) &^ (size - 1)
}

// freedTo returns up to where the producer may overwrite. A consumer that stands before what
// is skipped will go on at the front.
func (r *ring) freedTo() uint64 {
	if h := r.head.Load(); h != r.skip.Load() {
		return h
	} else {
		return r.front(h)
	}
}

// used returns how many bytes of the ring are taken, what is skipped included. For the
// producer.
func (r *ring) used() int {
	return int(r.start - r.freedTo())
}

// place returns the free memory at the next entry's place, in one piece, of at least need
// bytes, or nil while so much is not free. The first pending bytes of it are what the
// producer has already written there, and are kept, also when the place moves to the front.
// need is not less than pending.
func (r *ring) place(pending, need int) []byte {
	size := uint64(len(r.buf))
	freed := r.freedTo()
	at := r.start & (size - 1)
	empty := freed == r.start
	if at != 0 && (empty || size-at < uint64(need)) {
		front := r.front(r.start)
		if !empty && front+uint64(need)-freed > size {
			return nil
		}
		copy(r.buf, r.buf[at:at+uint64(pending)])
		r.skip.Store(r.start)
		r.start, at = front, 0
		if empty {
			freed = front
		}
	}
	free := min(freed+size-r.start, size-at)
	if free < uint64(need) {
		return nil
	}
	return r.buf[at : at+free : at+free]
}

// spare returns the memory that is free, in up to two pieces. For the producer.
func (r *ring) spare() [2][]byte {
	size := uint64(len(r.buf))
	freed := r.freedTo()
	if freed == r.start {
		return [2][]byte{r.buf}
	}
	from, to := r.start&(size-1), freed&(size-1)
	switch {
	case from < to:
		return [2][]byte{r.buf[from:to]}
	case from > to:
		return [2][]byte{r.buf[from:], r.buf[:to]}
	}
	return [2][]byte{} // full
}

// advance ends an entry of n bytes, of those that place returned. The consumer does not see
// it yet.
func (r *ring) advance(n int) {
	r.start += uint64(n)
	r.ended = r.start
}

// publish shows the consumer all entries so far, and reports whether there are new ones.
func (r *ring) publish() bool {
	if r.tail.Load() == r.ended {
		return false
	}
	r.tail.Store(r.ended)
	return true
}

// ready reports whether there is something to read. For the consumer.
func (r *ring) ready() bool { return r.tail.Load() != r.read }

// readable returns the next bytes, as far as they lie in one piece, or nothing. They are the
// consumer's until it releases them.
func (r *ring) readable() []byte {
	tail := r.tail.Load()
	if r.read == tail {
		return nil
	}
	// After the tail: a skip below this tail shows.
	skip := r.skip.Load()
	if r.read == skip {
		r.read = r.front(r.read)
	}
	end := tail
	if r.read < skip && skip < tail {
		end = skip
	}
	size := uint64(len(r.buf))
	at := r.read & (size - 1)
	n := min(end-r.read, size-at)
	return r.buf[at : at+n : at+n]
}

// take moves on by n bytes, of those that readable returned.
func (r *ring) take(n int) { r.read += uint64(n) }

// release gives everything that was taken back to the producer.
func (r *ring) release() { r.head.Store(r.read) }

// waiting returns how many bytes of the ring hold what was published and not released. Any
// goroutine may call it; for the two ends it is exact as far as it is their own doing.
func (r *ring) waiting() int {
	head := r.head.Load() // first: it never passes the tail
	tail := r.tail.Load()
	if head != tail && head == r.skip.Load() {
		head = r.front(head)
	}
	return int(tail - head)
}
