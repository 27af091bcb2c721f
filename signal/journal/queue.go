package journal

import (
	"bytes"
	"sync"
)

// queue is what waits for the writer: two batches, of which one is filled by Write and the
// other one is written. Its mutex is held for a copy of a line, never for a system call.
type queue struct {
	mu                 sync.Mutex
	filling            batch
	maxBytes, maxLines int
	closed             bool
}

// batch is lines one behind the other, each with its newline.
type batch struct {
	data  []byte
	lines []entry
}

type entry struct {
	kind Kind
	size int // with the newline
}

// keepBytes is what an empty batch may hold on to. A burst that filled the whole queue
// should not cost its memory for ever: it goes with the first batch that uses less than a
// quarter of it.
const keepBytes = 1 << 20

func (b *batch) reset() {
	if cap(b.data) > keepBytes && len(b.data) < cap(b.data)/4 {
		*b = batch{}
		return
	}
	b.data, b.lines = b.data[:0], b.lines[:0]
}

type putResult uint8

const (
	full     putResult = iota // there is no room
	ended                     // the queue is closed
	put                       // the line is in the queue
	putFirst                  // it is, and the writer does not know yet
)

// reserved reports whether the last quarter of the queue is for lines of this kind too. Of
// the others clients decide how many there are and how long: every connect that is refused
// makes some. They do not push out what is to be looked at first, nor the one line of a
// connection or a session.
func reserved(k Kind) bool {
	switch k {
	case Server, Cluster, API, Connection, SessionLog:
		return true
	}
	return false
}

func (q *queue) put(k Kind, line []byte) putResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := &q.filling
	if q.closed {
		return ended
	}
	maxBytes, maxLines := q.maxBytes, q.maxLines
	if !reserved(k) {
		maxBytes, maxLines = maxBytes-maxBytes/4, maxLines-maxLines/4
	}
	if len(b.data)+len(line)+1 > maxBytes || len(b.lines) >= maxLines {
		return full
	}
	start := len(b.data)
	b.data = append(b.data, line...)
	for text := b.data[start:]; ; {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		text[i] = ' ' // between tokens, where JSON may have it, it means the same
		text = text[i+1:]
	}
	b.data = append(b.data, '\n')
	b.lines = append(b.lines, entry{k, len(line) + 1})
	if len(b.lines) == 1 {
		return putFirst
	}
	return put
}

// take hands out what waits; spare, which is empty, is filled next. ended says that
// nothing comes after this.
func (q *queue) take(spare batch) (b batch, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, q.filling = q.filling, spare
	return b, q.closed
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.filling.data)
}
