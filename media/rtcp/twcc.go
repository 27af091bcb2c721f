package rtcp

import (
	"encoding/binary"
	"time"
)

// Units of transport-cc feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01
// section 3.1.
const (
	TWCCReference = 64 * time.Millisecond // of the reference time
	TWCCDelta     = 250 * time.Microsecond
)

const (
	twccSize       = feedbackSize + 8 // to where the chunks start
	ticksPerUnit   = int64(TWCCReference / TWCCDelta)
	maxRun         = 1<<13 - 1 // of a run length chunk
	oneBitSymbols  = 14        // of a status vector chunk
	twoBitSymbols  = 7
	maxSmallDelta  = 255
	largeDeltaSize = 2
)

// The packet status symbols; section 3.1.1. The fourth is reserved.
const (
	notReceived = 0
	smallDelta  = 1
	largeDelta  = 2 // or negative
)

// TWCC is a transport-cc feedback message, and iterates over its packet statuses.
type TWCC struct {
	Feedback
	Base          uint16 // transport-wide sequence number of the first status
	StatusCount   uint16
	ReferenceTime int32 // 24 bits signed, in units of TWCCReference on the peer's clock
	FeedbackCount uint8

	chunks statusReader
	deltas []byte
	seq    uint16
	ticks  int64 // of TWCCDelta, on the peer's clock
}

// TWCCStatus is what a feedback message says about one packet.
type TWCCStatus struct {
	Seq      uint16
	Received bool
	Delta    int16         // to the arrival before it, in units of TWCCDelta
	Arrival  time.Duration // on the peer's clock, which wraps with the reference time
}

// TWCC reads a transport-cc feedback message. All of it is checked here, so that the
// iteration cannot fail half way. The errors are ErrType, ErrShort, and ErrMalformed for
// reserved symbols and for a message without a status. Statuses of the last chunk beyond
// the count are ignored, and so is what follows the deltas.
func (p Packet) TWCC() (TWCC, error) {
	f, err := p.feedback(TypeRTPFB, FormatTWCC)
	if err != nil {
		return TWCC{}, err
	}
	if len(p.Body) < twccSize {
		return TWCC{}, ErrShort
	}
	b := p.Body[feedbackSize:]
	t := TWCC{
		Feedback:      f,
		Base:          binary.BigEndian.Uint16(b),
		StatusCount:   binary.BigEndian.Uint16(b[2:]),
		ReferenceTime: int32(binary.BigEndian.Uint32(b[4:])) >> 8,
		FeedbackCount: b[7],
	}
	if t.StatusCount == 0 {
		return TWCC{}, ErrMalformed
	}
	t.chunks = statusReader{chunks: b[8:], left: int(t.StatusCount)}
	chunkBytes, deltaBytes, err := t.chunks.measure()
	if err != nil {
		return TWCC{}, err
	}
	t.deltas = b[8+chunkBytes:]
	if len(t.deltas) < deltaBytes {
		return TWCC{}, ErrShort
	}
	t.seq = t.Base
	t.ticks = int64(t.ReferenceTime) * ticksPerUnit
	return t, nil
}

// Next returns the next status; there are StatusCount of them.
func (t *TWCC) Next() (TWCCStatus, bool) {
	symbol, ok := t.chunks.next()
	if !ok {
		return TWCCStatus{}, false
	}
	s := TWCCStatus{Seq: t.seq}
	t.seq++
	switch symbol {
	case smallDelta:
		s.Delta = int16(t.deltas[0])
		t.deltas = t.deltas[1:]
	case largeDelta:
		s.Delta = int16(binary.BigEndian.Uint16(t.deltas))
		t.deltas = t.deltas[largeDeltaSize:]
	default:
		return s, true
	}
	s.Received = true
	t.ticks += int64(s.Delta)
	s.Arrival = time.Duration(t.ticks) * TWCCDelta
	return s, true
}

// Pass leaves out the next n statuses, or over all that are left. Runs of packets that were not
// received cost no more than one of them.
func (t *TWCC) Pass(n int) {
	for n > 0 {
		k := t.chunks.skipMissing(n)
		t.seq += uint16(k)
		n -= k
		if k > 0 {
			continue
		}
		if _, ok := t.Next(); !ok {
			return
		}
		n--
	}
}

// statusReader walks the symbols of packet chunks (section 3.1.2 to 3.1.4).
type statusReader struct {
	chunks []byte
	left   int // statuses still to come

	run    int    // symbols left of the current chunk
	symbol uint8  // of a run length chunk
	vector uint16 // of a status vector chunk, the next symbol in the top bits
	width  uint8  // bits per symbol of a vector; 0: run length
}

// load takes the next chunk.
func (s *statusReader) load() bool {
	if len(s.chunks) < 2 {
		return false
	}
	c := binary.BigEndian.Uint16(s.chunks)
	s.chunks = s.chunks[2:]
	switch {
	case c&0x8000 == 0:
		s.width, s.symbol, s.run = 0, uint8(c>>13)&3, int(c&maxRun)
	case c&0x4000 == 0:
		s.width, s.vector, s.run = 1, c<<2, oneBitSymbols
	default:
		s.width, s.vector, s.run = 2, c<<2, twoBitSymbols
	}
	return true
}

// next returns the next symbol. A run of length 0 stands for nothing and is skipped.
func (s *statusReader) next() (symbol uint8, ok bool) {
	if s.left == 0 {
		return 0, false
	}
	for s.run == 0 {
		if !s.load() {
			return 0, false
		}
	}
	s.run--
	s.left--
	if s.width == 0 {
		return s.symbol, true
	}
	symbol = uint8(s.vector >> (16 - s.width))
	s.vector <<= s.width
	return symbol, true
}

// skipMissing passes over at most n symbols that are the next of a run of packets that were not
// received, and returns how many; 0: another symbol comes next, or none.
func (s *statusReader) skipMissing(n int) int {
	for s.run == 0 && s.left > 0 {
		if !s.load() {
			return 0
		}
	}
	if s.width != 0 || s.symbol != notReceived {
		return 0
	}
	k := min(s.run, s.left, n)
	s.run -= k
	s.left -= k
	return k
}

// measure walks a copy and returns how many bytes the chunks take, and how many the
// deltas have to. Runs are counted at once, so that the cost is that of the chunks.
func (s statusReader) measure() (chunkBytes, deltaBytes int, err error) {
	total := len(s.chunks)
	for s.left > 0 {
		if !s.load() {
			return 0, 0, ErrShort
		}
		if s.width == 0 {
			n := min(s.run, s.left)
			if s.symbol > largeDelta && n > 0 {
				return 0, 0, ErrMalformed
			}
			deltaBytes += n * int(s.symbol)
			s.left -= n
			s.run = 0
			continue
		}
		for s.run > 0 && s.left > 0 {
			symbol, _ := s.next()
			if symbol > largeDelta {
				return 0, 0, ErrMalformed
			}
			deltaBytes += int(symbol)
		}
		s.run = 0
	}
	return total - len(s.chunks), deltaBytes, nil
}
