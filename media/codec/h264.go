package codec

import "encoding/binary"

// NAL unit types of H.264 (ITU-T H.264 table 7-1), and those that are ways to packetise
// them (RFC 6184 section 5.2).
const (
	h264Slice  = 1 // of a picture that is no IDR; 2 to 4 are its data partitions
	h264SliceC = 4
	h264IDR    = 5
	h264SPS    = 7

	h264STAPA  = 24
	h264STAPB  = 25
	h264MTAP16 = 26
	h264MTAP24 = 27
	h264FUA    = 28
	h264FUB    = 29

	h264Type = 0x1f // in the NAL unit header and the FU header
	fuStart  = 0x80 // S bit of the FU header, also that of RFC 7798
)

// readH264 reads the NAL unit types of a payload: single, aggregated or fragmented.
//
// A key frame starts with its sequence parameter set and not with the IDR picture, because
// a viewer who begins there without the parameter sets can decode nothing. Publishers send
// SPS and PPS by themselves, together in one aggregate, or in one with the picture.
func (d *Descriptor) readH264(b []byte) error {
	if len(b) == 0 {
		return ErrShort
	}
	key := false
	switch kind := b[0] & h264Type; kind {
	case h264STAPA:
		d.Size = 1
		return d.aggregateH264(b, 1, 0)
	case h264STAPB:
		d.Size = 3 // with the decoding order number
		return d.aggregateH264(b, 3, 0)
	case h264MTAP16:
		d.Size = 3
		return d.aggregateH264(b, 3, 3) // DOND, 16 bits of time
	case h264MTAP24:
		d.Size = 3
		return d.aggregateH264(b, 3, 4)
	case h264FUA, h264FUB:
		d.Size = 2
		if kind == h264FUB {
			d.Size = 4 // with the decoding order number
		}
		if len(b) <= int(d.Size) {
			return ErrShort
		}
		key = b[1]&fuStart != 0 && b[1]&h264Type == h264SPS
	default:
		d.Size = 1
		if len(b) == 1 {
			return ErrShort
		}
		key = kind == h264SPS
	}
	d.FrameStart, d.KeyFrame = key, key
	return nil
}

// aggregateH264 looks at the NAL units of an aggregate, which begin at n, each behind its
// size and the given number of bytes more. Parameter sets that come with a picture that is
// no IDR are repeated for those who lost them, and no start.
func (d *Descriptor) aggregateH264(b []byte, n, extra int) error {
	if len(b) <= n {
		return ErrShort
	}
	var sps, idr, other bool
	for n < len(b) {
		if len(b) < n+2+extra {
			return ErrShort
		}
		size := int(binary.BigEndian.Uint16(b[n:]))
		n += 2 + extra
		if size == 0 {
			return ErrMalformed
		}
		if size > len(b)-n {
			return ErrShort
		}
		switch kind := b[n] & h264Type; {
		case kind == h264SPS:
			sps = true
		case kind == h264IDR:
			idr = true
		case kind >= h264Slice && kind <= h264SliceC:
			other = true
		case kind >= h264STAPA:
			return ErrMalformed // section 5.7: aggregates hold NAL units, nothing else
		}
		n += size
	}
	key := sps && (idr || !other)
	d.FrameStart, d.KeyFrame = key, key
	return nil
}
