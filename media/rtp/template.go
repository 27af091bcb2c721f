package rtp

import (
	"encoding/binary"
	"errors"

	"tsubame/media/param"
)

// MaxMID is the longest MID that a Template takes, in bytes. Ours have 12; the room is
// held once for every stream of every subscriber, so it is not 255.
const MaxMID = 32

// MaxTemplate is the length in bytes of the longest header of a Template: fixed header,
// extension header, and in two-byte form MID, transport-wide sequence, abs-send-time,
// audio level and video orientation, padded to a multiple of four.
const MaxTemplate = (HeaderSize + 4 + (2 + MaxMID) + (2 + 2) + (2 + 3) + (2 + 1) + (2 + 1) + 3) &^ 3

// ErrMID is a MID longer than MaxMID.
var ErrMID = errors.New("rtp: MID too long for a header template")

// Layout says at which offset of a header the value of each extension lies; 0 means that
// the header does not have it.
type Layout struct {
	TransportSeq     uint8 // 2 bytes
	AbsSendTime      uint8 // 3 bytes
	MID              uint8
	AudioLevel       uint8 // 1 byte
	VideoOrientation uint8 // 1 byte
}

// Template is the header of one outgoing stream, laid out once, so that a packet costs a
// copy and a few stores at known offsets. All headers of a template have the same length,
// which keeps the segments of a send run equal: an element that a packet does not have is
// overwritten with zeros, and those are padding (RFC 8285 section 4.1).
type Template struct {
	at      Layout
	n       uint8
	elemHdr uint8 // bytes of header before each element's value: 1 or 2
	buf     [MaxTemplate]byte
}

// Values are the fields that differ from packet to packet. Those of extensions that the
// template does not have are ignored.
type Values struct {
	Marker           bool
	Seq              uint16
	Timestamp        uint32
	AbsSendTime      uint32 // 24 bits; see AbsSendTime
	TransportSeq     uint16
	AudioLevel       uint8 // as on the wire
	VideoOrientation uint8 // as on the wire

	HasAudioLevel       bool
	HasVideoOrientation bool
}

// Init lays out the header of a stream: the extensions in ids that are not 0, and the
// MID unless mid is empty. RID and repaired RID are never sent. The form is the one-byte
// one, and the two-byte one where an id is above 14 or mid is longer than 16 bytes. The
// error is ErrMID; ids that are not distinct are a mistake of the caller and panic.
func (t *Template) Init(payloadType uint8, ssrc uint32, ids *param.Extensions, mid string) error {
	if len(mid) > MaxMID {
		return ErrMID
	}
	*t = Template{elemHdr: 1}
	midID := ids.MID
	if mid == "" {
		midID = 0
	}
	sent := [...]uint8{ids.TransportCC, ids.AbsSendTime, midID, ids.AudioLevel, ids.VideoOrientation}
	twoByte := len(mid) > MaxOneByteValue && midID != 0
	any := false
	for i, id := range sent {
		if id == 0 {
			continue
		}
		any = true
		twoByte = twoByte || id > MaxOneByteID
		for _, other := range sent[:i] {
			if other == id {
				panic("rtp: one id for two header extensions")
			}
		}
	}
	n := PutHeader(t.buf[:], HeaderFields{PayloadType: payloadType, SSRC: ssrc})
	if any {
		if twoByte {
			t.elemHdr = 2
		}
		n = t.layExtensions(n, ids, midID, mid, twoByte)
	}
	t.n = uint8(n)
	return nil
}

// layExtensions writes the elements; those that a packet may lack come last, so that the
// padding in their place is at the end of the block.
func (t *Template) layExtensions(n int, ids *param.Extensions, midID uint8, mid string, twoByte bool) int {
	var w ExtWriter
	w.Begin(t.buf[:], n, twoByte)
	if ids.TransportCC != 0 {
		t.at.TransportSeq = uint8(w.PutTransportSeq(ids.TransportCC, 0))
	}
	if ids.AbsSendTime != 0 {
		t.at.AbsSendTime = uint8(w.PutAbsSendTime(ids.AbsSendTime, 0))
	}
	if midID != 0 {
		t.at.MID = uint8(w.PutString(midID, mid))
	}
	if ids.AudioLevel != 0 {
		t.at.AudioLevel = uint8(w.PutByte(ids.AudioLevel, 0))
	}
	if ids.VideoOrientation != 0 {
		t.at.VideoOrientation = uint8(w.PutByte(ids.VideoOrientation, 0))
	}
	return w.End()
}

// Len returns the length in bytes of every header of this template.
func (t *Template) Len() int { return int(t.n) }

// Layout returns where the extensions' values are.
func (t *Template) Layout() Layout { return t.at }

// Put writes the header of one packet to dst, which must have room for Len bytes, and
// returns Len.
func (t *Template) Put(dst []byte, v *Values) int {
	n := int(t.n)
	dst = dst[:n]
	copy(dst, t.buf[:n])
	if v.Marker {
		dst[OffsetMarker] |= 0x80
	}
	binary.BigEndian.PutUint16(dst[OffsetSeq:], v.Seq)
	binary.BigEndian.PutUint32(dst[OffsetTimestamp:], v.Timestamp)
	t.PatchTransportSeq(dst, v.TransportSeq)
	t.PatchAbsSendTime(dst, v.AbsSendTime)
	t.putOptional(dst, t.at.AudioLevel, v.AudioLevel, v.HasAudioLevel)
	t.putOptional(dst, t.at.VideoOrientation, v.VideoOrientation, v.HasVideoOrientation)
	return n
}

// putOptional stores the value of a one-byte element, or erases the element.
func (t *Template) putOptional(dst []byte, at uint8, value uint8, has bool) {
	switch {
	case at == 0:
	case has:
		dst[at] = value
	default:
		clear(dst[at-t.elemHdr : at+1])
	}
}

// PatchTransportSeq stores the transport-wide sequence number in a header that Put
// wrote and that is not sealed yet; without that extension it does nothing.
func (t *Template) PatchTransportSeq(header []byte, seq uint16) {
	if at := t.at.TransportSeq; at != 0 {
		binary.BigEndian.PutUint16(header[at:], seq)
	}
}

// PatchAbsSendTime stores an abs-send-time in a header that Put wrote and that is not
// sealed yet; without that extension it does nothing.
func (t *Template) PatchAbsSendTime(header []byte, sendTime uint32) {
	if at := t.at.AbsSendTime; at != 0 {
		putUint24(header[at:], sendTime)
	}
}
