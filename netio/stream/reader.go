package stream

import (
	"errors"
	"os"
	"time"
)

// readLoop reads frames into the ring until the stream is over, and returns why.
func (s *Stream) readLoop(first []byte) Reason {
	deadline := time.Now().Add(s.cfg.FirstFrame)
	begun := false
	pending := 0 // bytes of a frame that is not whole yet
	for {
		region, waited := s.space(pending)
		if region == nil {
			return Closed
		}
		if waited && begun {
			// The time that the shard took is not the peer's.
			deadline = time.Now().Add(s.cfg.IdleTimeout)
		}
		var n int
		var err error
		if len(first) > 0 {
			n = copy(region[pending:], first)
			first = first[n:]
		} else if n, err = s.read(region[pending:], deadline); n < 0 {
			return Closed
		} else if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(s.until(deadline)) {
			err = nil // it was the time for the proof, which has come since
		}
		pending += n
		cut := Deframer(s.info.Carrier).cut(region[:pending])
		pending = cut.pending
		s.publish(cut)
		if cut.err != nil {
			return BadFrame
		}
		if begun = begun || cut.frames > 0; begun && cut.frames+cut.empty > 0 {
			deadline = time.Now().Add(s.cfg.IdleTimeout)
		}
		if err != nil {
			return s.why(err, begun)
		}
	}
}

// until returns how long to wait for the next bytes: to deadline, or for the proof.
func (s *Stream) until(deadline time.Time) time.Time {
	if after := s.proof.Load(); after != 0 {
		if proof := s.start.Add(time.Duration(after)); proof.Before(deadline) {
			return proof
		}
	}
	return deadline
}

// space returns room for the rest of a frame of which pending bytes are there, with those,
// and whether it had to wait for it. Where the ring is full it waits until the shard has
// released half of it; nil means that the stream is over.
func (s *Stream) space(pending int) (region []byte, waited bool) {
	for {
		if region = s.in.place(pending, maxWire); region != nil {
			return region, waited
		}
		waited = true
		s.counters.Waits.Inc()
		s.full.Store(1)
		// The shard releases and then looks at full: one of us sees the other.
		if s.in.waiting() <= InBytes/2 {
			s.full.Store(0)
			continue
		}
		select {
		case <-s.room: // or a token that is left from before, and then it is still full
		case <-s.done:
			return nil, true
		}
	}
}

// read reads once. -1 means that the stream is over.
func (s *Stream) read(b []byte, deadline time.Time) (int, error) {
	for {
		until := s.until(deadline)
		if err := s.conn.SetReadDeadline(until); err != nil {
			return 0, err
		}
		if s.over() { // finish may have set its deadline before ours
			return -1, nil
		}
		if s.until(deadline).Equal(until) { // and so may Unprove
			return s.conn.Read(b)
		}
	}
}

// publish shows the shard what was cut, and tells it unless it was told and has yet to come.
func (s *Stream) publish(c cuts) {
	s.counters.EmptyIn.Add(uint64(c.empty))
	s.counters.BytesIn.Add(uint64(c.bytes + c.empty*lengthSize))
	if c.frames == 0 {
		return
	}
	s.counters.FramesIn.Add(uint64(c.frames))
	s.in.advance(c.bytes)
	s.in.publish()
	if s.ready.CompareAndSwap(0, 1) {
		s.sink.Ready(s)
	}
}

// why says what an error of reading means.
func (s *Stream) why(err error, begun bool) Reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		switch {
		case !begun:
			return NoFirstFrame
		case s.proof.Load() != 0:
			return Unproven
		}
		return Idle
	}
	if peerClosed(err) {
		return PeerClosed
	}
	return Failed
}
