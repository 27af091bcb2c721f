package rtp

import "encoding/binary"

// Where the fields of a header are, for those who patch one in place.
const (
	OffsetMarker    = 1 // the byte with marker (0x80) and payload type
	OffsetSeq       = 2
	OffsetTimestamp = 4
	OffsetSSRC      = 8
)

// HeaderFields are the fields of the fixed header.
type HeaderFields struct {
	PayloadType uint8
	Marker      bool
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32
}

// PutHeader writes a header without CSRCs, extension and padding to dst, which must have
// room for HeaderSize bytes, and returns HeaderSize.
func PutHeader(dst []byte, h HeaderFields) int {
	_ = dst[HeaderSize-1]
	dst[0] = Version << 6
	dst[1] = h.PayloadType & 0x7f
	if h.Marker {
		dst[1] |= 0x80
	}
	binary.BigEndian.PutUint16(dst[OffsetSeq:], h.Seq)
	binary.BigEndian.PutUint32(dst[OffsetTimestamp:], h.Timestamp)
	binary.BigEndian.PutUint32(dst[OffsetSSRC:], h.SSRC)
	return HeaderSize
}

// SetPadded sets the P bit of a header that PutHeader or a Template has written and that is
// not sealed yet: the payload ends in padding, whose last byte counts it (RFC 3550 section
// 5.1).
func SetPadded(header []byte) { header[0] |= 0x20 }

// ExtWriter appends extension elements to a header in place. Begin, then Put for each
// element, then End. It writes to the slice that Begin was given and panics if that is
// too short, or if an element does not fit the form: both are mistakes of the caller.
type ExtWriter struct {
	b       []byte
	start   int // of the extension's own 4-byte header
	n       int // end of what has been written
	twoByte bool
}

// Begin starts an extension behind the n bytes of header in b, which PutHeader wrote,
// and sets the header's X bit. The two-byte form must have been negotiated
// (a=extmap-allow-mixed, RFC 8285 section 6).
func (w *ExtWriter) Begin(b []byte, n int, twoByte bool) {
	*w = ExtWriter{b: b, start: n, n: n + 4, twoByte: twoByte}
	b[0] |= 0x10
	profile := uint16(profileOneByte)
	if twoByte {
		profile = profileTwoByte
	}
	binary.BigEndian.PutUint16(b[n:], profile)
	binary.BigEndian.PutUint16(b[n+2:], 0)
}

// reserve writes an element's header and returns the offset of its value.
func (w *ExtWriter) reserve(id uint8, n int) int {
	if !w.twoByte {
		if id == 0 || id > MaxOneByteID || n == 0 || n > MaxOneByteValue {
			panic("rtp: element does not fit the one-byte form")
		}
		w.b[w.n] = id<<4 | uint8(n-1)
		w.n++
	} else {
		if id == 0 || n > MaxTwoByteValue {
			panic("rtp: element does not fit the two-byte form")
		}
		w.b[w.n] = id
		w.b[w.n+1] = uint8(n)
		w.n += 2
	}
	at := w.n
	w.n += n
	return at
}

// Put appends an element and returns the offset of its value in the slice.
func (w *ExtWriter) Put(id uint8, value []byte) int {
	at := w.reserve(id, len(value))
	copy(w.b[at:w.n], value)
	return at
}

// PutString is Put for a name such as a MID.
func (w *ExtWriter) PutString(id uint8, value string) int {
	at := w.reserve(id, len(value))
	copy(w.b[at:w.n], value)
	return at
}

// PutByte appends an element of one byte: audio level, video orientation.
func (w *ExtWriter) PutByte(id uint8, value uint8) int {
	at := w.reserve(id, 1)
	w.b[at] = value
	return at
}

// PutTransportSeq appends a transport-wide sequence number.
func (w *ExtWriter) PutTransportSeq(id uint8, seq uint16) int {
	at := w.reserve(id, 2)
	binary.BigEndian.PutUint16(w.b[at:], seq)
	return at
}

// PutAbsSendTime appends an abs-send-time; see AbsSendTime for t.
func (w *ExtWriter) PutAbsSendTime(id uint8, t uint32) int {
	at := w.reserve(id, 3)
	putUint24(w.b[at:], t)
	return at
}

// End pads to a multiple of four bytes, writes the extension's length and returns that
// of the whole header.
func (w *ExtWriter) End() int {
	for (w.n-w.start)%4 != 0 {
		w.b[w.n] = 0
		w.n++
	}
	binary.BigEndian.PutUint16(w.b[w.start+2:], uint16((w.n-w.start-4)/4))
	return w.n
}

func putUint24(b []byte, v uint32) {
	_ = b[2]
	b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v)
}
