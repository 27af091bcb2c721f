package codec

import "encoding/binary"

// NAL unit types of H.265 (ITU-T H.265 table 7-1), and those that are ways to packetise
// them (RFC 7798 section 4.4).
const (
	h265IRAP     = 16 // from here to h265LastIRAP: pictures at which decoding can begin
	h265LastIRAP = 23
	h265LastVCL  = 31 // what is above has no picture in it
	h265VPS      = 32
	h265SPS      = 33

	h265AP   = 48
	h265FU   = 49
	h265PACI = 50

	h265FUType = 0x3f // in the FU header
)

// readH265 reads the NAL unit types of a payload: single, aggregated or fragmented. As in
// H.264, a key frame starts with its parameter sets. Decoding order numbers (DONL, DOND)
// are not expected: no WebRTC client negotiates sprop-max-don-diff. PACI packets are not
// looked into.
func (d *Descriptor) readH265(b []byte) error {
	if len(b) < 2 {
		return ErrShort
	}
	if tid := b[1] & 0x07; tid != 0 { // the temporal id plus 1
		d.HasTID, d.TID = true, tid-1
	}
	d.Size = 2
	key := false
	switch kind := h265Type(b[0]); kind {
	case h265AP:
		return d.aggregateH265(b)
	case h265FU:
		d.Size = 3
		if len(b) <= 3 {
			return ErrShort
		}
		key = b[2]&fuStart != 0 && h265Parameters(b[2]&h265FUType)
	default:
		if len(b) == 2 {
			return ErrShort
		}
		key = h265Parameters(kind)
	}
	d.FrameStart, d.KeyFrame = key, key
	return nil
}

// h265Type reads the type from the first byte of a NAL unit header.
func h265Type(b byte) uint8 { return b >> 1 & 0x3f }

// h265Parameters reports whether a key frame begins with a NAL unit of that type: with the
// VPS, or the SPS for those who send no other.
func h265Parameters(kind uint8) bool { return kind == h265VPS || kind == h265SPS }

// aggregateH265 looks at the NAL units of an aggregation packet (section 4.4.2).
func (d *Descriptor) aggregateH265(b []byte) error {
	n := 2
	if len(b) <= n {
		return ErrShort
	}
	var parameters, irap, other bool
	for n < len(b) {
		if len(b) < n+2 {
			return ErrShort
		}
		size := int(binary.BigEndian.Uint16(b[n:]))
		n += 2
		if size < 2 { // less than its header
			return ErrMalformed
		}
		if size > len(b)-n {
			return ErrShort
		}
		switch kind := h265Type(b[n]); {
		case h265Parameters(kind):
			parameters = true
		case kind >= h265IRAP && kind <= h265LastIRAP:
			irap = true
		case kind <= h265LastVCL:
			other = true
		case kind >= h265AP && kind <= h265PACI:
			return ErrMalformed
		}
		n += size
	}
	key := parameters && (irap || !other)
	d.FrameStart, d.KeyFrame = key, key
	return nil
}
