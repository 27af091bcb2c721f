package ws

import (
	"io"
	"sync"
	"sync/atomic"
)

// Messages of a session are read into room that all share, which is theirs only from their
// first KiB on until they are decoded: a message that is longer than a pong then takes one
// system call more, where a buffer that grows with what arrives takes one at each step.
const (
	inletBytes = 64 << 10
	// maxInlets bounds the rooms in use: 16 MiB for messages that began and do not end. At
	// the bound a buffer grows with what arrives.
	maxInlets = 256
)

// inlets are the rooms.
type inlets struct {
	used atomic.Int64
	idle sync.Pool // of *[]byte
}

// take returns room; nil: there is none. It has to be given back.
func (p *inlets) take() *[]byte {
	if p.used.Add(1) > maxInlets {
		p.used.Add(-1)
		return nil
	}
	if b, ok := p.idle.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, inletBytes)
	return &b
}

func (p *inlets) giveBack(b *[]byte) {
	p.idle.Put(b)
	p.used.Add(-1)
}

// keepBuffer is the largest read buffer that a socket keeps between messages: pongs fit,
// answers need not.
const keepBuffer = 1 << 10

// readAll reads one message, which is valid until recycle. The buffer grows with what
// arrives, never with what a frame header promises.
func (s *socket) readAll(r io.Reader) ([]byte, error) {
	b := s.buffer[:0]
	for {
		if len(b) == cap(b) {
			b = s.grow(b)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			s.buffer = nil
			if cap(b) <= keepBuffer {
				s.buffer = b
			}
			if err == io.EOF {
				err = nil
			}
			return b, err
		}
	}
}

// grow returns more room with the same contents.
func (s *socket) grow(b []byte) []byte {
	if s.peer != nil && s.shared == nil && len(b) >= keepBuffer {
		if s.shared = s.handler.inlets.take(); s.shared != nil {
			return append(*s.shared, b...)
		}
	}
	b = append(make([]byte, 0, max(512, 2*len(b))), b...)
	if s.peer == nil {
		s.handler.room.buffers(s.raw, cap(b))
	}
	return b
}

// recycle says that the last message has been decoded.
func (s *socket) recycle() {
	if s.shared != nil {
		s.handler.inlets.giveBack(s.shared)
		s.shared = nil
	}
}
