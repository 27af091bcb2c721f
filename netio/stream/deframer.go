package stream

import (
	"encoding/binary"
	"errors"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

const (
	// MaxFrame is the longest frame, in bytes: what fits a datagram's slot, which is where
	// frames go. Of TURN its own header counts, of RFC 4571 the length before it does not.
	MaxFrame = mmsg.SlotSize

	// maxWire is the longest frame with what is around it: TURN is at most padded up to
	// MaxFrame, RFC 4571 has two bytes before it. In whole words.
	maxWire = MaxFrame + 4

	lengthSize    = 2  // RFC 4571 section 2
	channelHeader = 4  // RFC 8656 section 12.4
	stunHeader    = 20 // RFC 8489 section 5
	magicCookie   = 0x2112a442

	firstChannel = 0x40 // the first byte of ChannelData: channels 0x4000 to 0x4fff
	lastChannel  = 0x4f // RFC 8656 section 12: higher ones are reserved
)

// What a stream may be closed for. There is no way back into step after any of them.
var (
	ErrNotTURN  = errors.New("stream: neither STUN nor ChannelData")
	ErrTooLong  = errors.New("stream: frame longer than any datagram")
	ErrBadSTUN  = errors.New("stream: STUN without magic cookie or of a length that is not a multiple of 4")
	errNoStream = errors.New("stream: the carrier is not a stream")
)

// Deframer cuts a stream of bytes into frames. It holds nothing but the kind of framing, so
// any goroutine may use it.
type Deframer flow.Carrier

// Peek looks at the frame that b begins with. n is how many bytes of b it takes with
// what is around it, length and padding, or 0 while b does not hold all of it; frame is the
// frame itself, a part of b. A frame of RFC 4571 may be empty, which is a sign of life and
// nothing else. An error says that no frame can come of b, however it goes on, and is
// reported as soon as b shows it: who sends a length that is not allowed is not waited for.
func (d Deframer) Peek(b []byte) (frame []byte, n int, err error) {
	switch flow.Carrier(d) {
	case flow.TURNStream:
		return peekTURN(b)
	case flow.FramedStream:
		return peekFramed(b)
	}
	return nil, 0, errNoStream
}

// peekFramed reads RFC 4571 section 2: two bytes of length, then as many of the frame.
func peekFramed(b []byte) (frame []byte, n int, err error) {
	if len(b) < lengthSize {
		return nil, 0, nil
	}
	size := int(binary.BigEndian.Uint16(b))
	if size > MaxFrame {
		return nil, 0, ErrTooLong
	}
	if len(b) < lengthSize+size {
		return nil, 0, nil
	}
	return b[lengthSize : lengthSize+size], lengthSize + size, nil
}

// peekTURN reads what RFC 8656 section 12.5 has on a stream: STUN messages, whose length is
// in their header, and ChannelData, which is padded to a multiple of 4 that its own length
// does not count.
func peekTURN(b []byte) (frame []byte, n int, err error) {
	if len(b) == 0 {
		return nil, 0, nil
	}
	if b[0] >= firstChannel {
		return peekChannelData(b)
	}
	if len(b) < 4 {
		return nil, 0, nil
	}
	size := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	if size > MaxFrame {
		return nil, 0, ErrTooLong
	}
	if size%4 != 0 || len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return nil, 0, ErrBadSTUN
	}
	if len(b) < size {
		return nil, 0, nil
	}
	return b[:size], size, nil
}

func peekChannelData(b []byte) (frame []byte, n int, err error) {
	if b[0] > lastChannel {
		return nil, 0, ErrNotTURN
	}
	if len(b) < channelHeader {
		return nil, 0, nil
	}
	size := channelHeader + int(binary.BigEndian.Uint16(b[2:]))
	padded := (size + 3) &^ 3
	if padded > MaxFrame {
		return nil, 0, ErrTooLong
	}
	if len(b) < padded {
		return nil, 0, nil
	}
	return b[:size], padded, nil
}

// cuts is what cut found.
type cuts struct {
	frames, bytes int // those that are not empty, and how long they are with what is around them
	empty         int // how many are
	pending       int // bytes after them, of a frame that is not whole
	err           error
}

// cut finds the whole frames that b begins with and takes out the empty ones: the others
// stand in the first bytes of b afterwards, and what is pending behind them. It passes over b
// once, so that a peer which sends nothing but empty frames costs its reader no more than
// any other, and the shard nothing.
func (d Deframer) cut(b []byte) (c cuts) {
	at := 0
	for {
		frame, n, err := d.Peek(b[at:])
		if n == 0 {
			c.err = err
			break
		}
		if len(frame) == 0 {
			c.empty++
		} else {
			if c.empty > 0 {
				copy(b[c.bytes:], b[at:at+n])
			}
			c.frames++
			c.bytes += n
		}
		at += n
	}
	c.pending = len(b) - at
	if c.empty > 0 {
		copy(b[c.bytes:], b[at:])
	}
	return c
}
