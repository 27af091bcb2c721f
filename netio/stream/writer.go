package stream

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// writeLoop writes what stands in the ring until the stream is over.
func (s *Stream) writeLoop() {
	defer close(s.written)
	for s.wait() {
		b := s.out.readable()
		b = b[:min(len(b), writeBytes)]
		n, err := s.write(b)
		s.out.take(n)
		s.out.release()
		s.counters.Written.Add(uint64(n))
		s.counters.Writes.Inc()
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.finish(Stalled) // or it has ended, and its last second is over
			return
		case peerClosed(err):
			s.finish(PeerClosed)
			return
		default:
			s.finish(Failed)
			return
		}
	}
}

// wait waits until there is something to write. It reports false when the stream is over
// and nothing is left that should still go out.
func (s *Stream) wait() bool {
	for {
		if why := s.Reason(); why != running && why != Closed {
			return false
		}
		if s.out.ready() {
			return true
		}
		if s.over() {
			return false
		}
		s.asleep.Store(1)
		// The shard publishes and then looks at asleep: one of us sees the other.
		if s.out.ready() {
			s.asleep.Store(0)
			continue
		}
		select {
		case <-s.work:
		case <-s.done:
		}
	}
}

// write writes b within the stall timeout, or what is left of the last second.
func (s *Stream) write(b []byte) (int, error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.cfg.StallTimeout)); err != nil {
		return 0, err
	}
	if s.over() { // finish may have set its deadline before ours
		<-s.done
		if err := s.conn.SetWriteDeadline(s.end); err != nil {
			return 0, err
		}
	}
	return s.conn.Write(b)
}

// peerClosed reports whether an error says that the peer has gone, in one way or another.
func peerClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
