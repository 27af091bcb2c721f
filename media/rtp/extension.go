package rtp

import (
	"encoding/binary"
	"errors"

	"tsubame/media/param"
)

// The profile numbers of RFC 8285: section 4.2, and section 4.3, where the low four
// bits are free for the application.
const (
	profileOneByte = 0xBEDE
	profileTwoByte = 0x1000
	profileMask    = 0xFFF0
)

// Limits of an element's value by form (RFC 8285 sections 4.2 and 4.3). An id above
// MaxOneByteID needs the two-byte form.
const (
	MaxOneByteID    = 14
	MaxOneByteValue = 16
	MaxTwoByteValue = 255
)

// ErrElement is an extension element that reaches past the end of its block.
var ErrElement = errors.New("rtp: header extension element past the end of its block")

// HasExtensions tells whether the packet has a header extension, of whatever profile.
func (v *View) HasExtensions() bool { return v.extAt != 0 }

// Extension returns the value of the first element with the given id, nil if there is
// none. A value in two-byte form may be empty but is not nil then. Elements behind a
// malformed one are not found. For more than one id of a packet, Known walks once.
func (v *View) Extension(id uint8) []byte {
	r := v.Extensions()
	for {
		got, value, ok := r.Next()
		if !ok {
			return nil
		}
		if got == id {
			return value
		}
	}
}

// Extensions returns a reader over the elements. It has none if the packet has no
// extension or one of a profile other than those of RFC 8285: that is to be ignored
// (RFC 3550 section 5.3.1).
func (v *View) Extensions() ExtReader {
	switch {
	case v.extAt == 0:
	case v.profile == profileOneByte:
		return ExtReader{rest: v.raw[v.extAt:v.HeaderLen]}
	case v.profile&profileMask == profileTwoByte:
		return ExtReader{rest: v.raw[v.extAt:v.HeaderLen], twoByte: true}
	}
	return ExtReader{}
}

// ExtReader walks the elements of one header extension, in both forms of RFC 8285. Its
// work is bounded by the length of the block.
type ExtReader struct {
	rest    []byte
	twoByte bool
	err     error
}

// Next returns the next element. After false, Err tells whether the block ended or was
// malformed; the elements returned before that are good in either case.
func (r *ExtReader) Next() (id uint8, value []byte, ok bool) {
	// A zero byte between elements is padding, and has no length (section 4.1).
	for len(r.rest) > 0 && r.rest[0] == 0 {
		r.rest = r.rest[1:]
	}
	if len(r.rest) == 0 {
		return 0, nil, false
	}
	var n, head int
	if r.twoByte {
		if len(r.rest) < 2 {
			return r.fail()
		}
		id, n, head = r.rest[0], int(r.rest[1]), 2
	} else {
		id, n, head = r.rest[0]>>4, int(r.rest[0]&0x0f)+1, 1
		// Section 4.2: id 15 ends the whole extension, whatever its length says. Id 0
		// with a length is not padding and not an id either; nothing behind it can be
		// trusted, so it ends the extension as well.
		if id == 15 || id == 0 {
			r.rest = nil
			return 0, nil, false
		}
	}
	if len(r.rest) < head+n {
		return r.fail()
	}
	value = r.rest[head : head+n : head+n]
	r.rest = r.rest[head+n:]
	return id, value, true
}

func (r *ExtReader) fail() (uint8, []byte, bool) {
	r.rest, r.err = nil, ErrElement
	return 0, nil, false
}

// Err returns ErrElement if the walk ended at a malformed element, else nil.
func (r *ExtReader) Err() error { return r.err }

// Known is what the negotiated extensions of a packet say. Values of the wrong size
// count as absent. Of elements with the same id the first one wins.
type Known struct {
	MID, RID, RepairedRID []byte // nil: absent
	AbsSendTime           uint32 // 6.18 fixed point seconds, modulo 64 s
	TransportSeq          uint16
	AudioLevel            uint8 // as on the wire: voice activity bit, then -dBov (RFC 6464)
	VideoOrientation      uint8 // as on the wire: 0000CFRR (3GPP TS 26.114 section 7.4.5)

	HasAbsSendTime      bool
	HasTransportSeq     bool
	HasAudioLevel       bool
	HasVideoOrientation bool
}

// Known reads all negotiated extensions in one walk. An id of 0 in ids is of an
// extension that was not negotiated and matches nothing, and where ids collide, the
// first in the order of param.Extensions has it: an element never counts as two things.
func (v *View) Known(ids *param.Extensions) (k Known) {
	r := v.Extensions()
	for {
		id, value, ok := r.Next()
		if !ok {
			return k
		}
		switch id {
		case ids.MID:
			setName(&k.MID, value)
		case ids.RID:
			setName(&k.RID, value)
		case ids.RepairedRID:
			setName(&k.RepairedRID, value)
		case ids.AbsSendTime:
			if len(value) == 3 && !k.HasAbsSendTime {
				k.AbsSendTime = uint32(value[0])<<16 | uint32(value[1])<<8 | uint32(value[2])
				k.HasAbsSendTime = true
			}
		case ids.TransportCC:
			if len(value) == 2 && !k.HasTransportSeq {
				k.TransportSeq, k.HasTransportSeq = binary.BigEndian.Uint16(value), true
			}
		case ids.AudioLevel:
			setByte(&k.AudioLevel, &k.HasAudioLevel, value)
		case ids.VideoOrientation:
			setByte(&k.VideoOrientation, &k.HasVideoOrientation, value)
		}
	}
}

// setName stores the first value that is not empty.
func setName(dst *[]byte, value []byte) {
	if *dst == nil && len(value) > 0 {
		*dst = value
	}
}

// setByte stores the first value of one byte.
func setByte(dst *uint8, has *bool, value []byte) {
	if len(value) == 1 && !*has {
		*dst, *has = value[0], true
	}
}

// AudioLevel splits the byte of the ssrc-audio-level extension (RFC 6464 section 3):
// the level is in -dBov, 0 the loudest and 127 silence.
func AudioLevel(b uint8) (level uint8, voice bool) { return b & 0x7f, b&0x80 != 0 }

// AbsSendTime returns the 24 bits of the abs-send-time extension, 6.18 fixed point
// seconds, from a 64-bit NTP timestamp.
func AbsSendTime(ntp uint64) uint32 { return uint32(ntp>>14) & 0xffffff }
