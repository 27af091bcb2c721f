// Package rtp reads and writes RTP headers (RFC 3550) with their header extensions
// (RFC 8285), tells RTP from the other protocols of the same port (RFC 7983, RFC 5761),
// and extends sequence numbers to 64 bits. It never allocates, never keeps a packet,
// never looks into a payload, and holds no state but that of an Unwrapper or a Template,
// which belong to one goroutine each; everything else any goroutine may call. A View and
// every slice taken from it point into the packet that was parsed and live as long as
// that buffer does.
package rtp

import (
	"encoding/binary"
	"errors"
)

// HeaderSize is the length in bytes of a header without CSRCs and extensions
// (RFC 3550 section 5.1).
const HeaderSize = 12

// Version is the only version of RTP there is on the wire.
const Version = 2

// What can be wrong with a packet. Callers count by these.
var (
	// ErrShort: the packet ends before its header does, CSRCs and extensions included.
	ErrShort = errors.New("rtp: packet shorter than its header")
	// ErrVersion: the version is not 2.
	ErrVersion = errors.New("rtp: not version 2")
	// ErrPadding: the P bit is set, and the count is 0 or more than what follows the
	// header.
	ErrPadding = errors.New("rtp: bad padding")
)

// View is a parsed header over the bytes of a packet that it does not own. The zero
// View is of no packet.
type View struct {
	raw     []byte
	profile uint16 // the extension's first 16 bits
	extAt   uint8  // where the extension's elements start, at most 76; 0: no extension

	PayloadType uint8 // 7 bits
	Marker      bool
	CSRCCount   uint8 // 0..15
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32
	// HeaderLen is the length in bytes of header, CSRCs and extension: the payload
	// starts there.
	HeaderLen int
	// Padding is the number of bytes at the end that are padding, its count byte
	// included; 0 without the P bit, and always 0 from ParseHeader.
	Padding int
	// Padded tells whether the P bit is set.
	Padded bool
}

// Parse reads the header of a decrypted packet. Padding that fills everything behind
// the header is legal: such packets probe for bandwidth. The error is ErrShort,
// ErrVersion or ErrPadding. Header extension elements are bounds-checked when they are
// read; see ExtReader.
func Parse(b []byte) (v View, err error) {
	if err = v.parseHeader(b); err != nil || !v.Padded {
		return v, err
	}
	// RFC 3550 section 5.1: the last byte counts itself, so that 0 is impossible; and
	// without a byte behind the header there is no count at all.
	rest := len(b) - v.HeaderLen
	if rest == 0 {
		return View{}, ErrPadding
	}
	count := int(b[len(b)-1])
	if count == 0 || count > rest {
		return View{}, ErrPadding
	}
	v.Padding = count
	return v, nil
}

// ParseHeader reads the header of a packet that is still encrypted. It does what Parse
// does but for the padding count, which is part of the ciphertext (RFC 3711 section
// 3.1): Padding stays 0, and the payload includes the authentication tag.
func ParseHeader(b []byte) (v View, err error) {
	err = v.parseHeader(b)
	return v, err
}

// parseHeader fills the zero View; on an error it leaves it zero.
func (v *View) parseHeader(b []byte) error {
	if len(b) < HeaderSize {
		return ErrShort
	}
	if b[0]>>6 != Version {
		return ErrVersion
	}
	n := HeaderSize + 4*int(b[0]&0x0f)
	extAt, profile := 0, uint16(0)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return ErrShort
		}
		profile = binary.BigEndian.Uint16(b[n:])
		extAt = n + 4
		n = extAt + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	if len(b) < n {
		return ErrShort
	}
	v.raw = b
	v.profile = profile
	v.extAt = uint8(extAt)
	v.HeaderLen = n
	v.Padded = b[0]&0x20 != 0
	v.CSRCCount = b[0] & 0x0f
	v.Marker = b[1]&0x80 != 0
	v.PayloadType = b[1] & 0x7f
	v.Seq = binary.BigEndian.Uint16(b[2:])
	v.Timestamp = binary.BigEndian.Uint32(b[4:])
	v.SSRC = binary.BigEndian.Uint32(b[8:])
	return nil
}

// Payload returns what lies between header and padding. It may be empty.
func (v *View) Payload() []byte { return v.raw[v.HeaderLen : len(v.raw)-v.Padding] }

// CSRC returns the i-th contributing source; i must be below CSRCCount.
func (v *View) CSRC(i int) uint32 {
	if i < 0 || i >= int(v.CSRCCount) {
		panic("rtp: CSRC index out of range")
	}
	return binary.BigEndian.Uint32(v.raw[HeaderSize+4*i:])
}
