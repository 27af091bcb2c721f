package codec

import "encoding/binary"

// Bits of the VP8 payload descriptor (RFC 7741 section 4.2).
const (
	vp8X   = 0x80 // first byte: extension byte follows
	vp8N   = 0x20
	vp8S   = 0x10 // start of a partition
	vp8PID = 0x07 // partition index

	vp8I = 0x80 // extension byte: picture id follows
	vp8L = 0x40 // TL0PICIDX follows
	vp8T = 0x20 // TID and Y are valid
	vp8K = 0x10 // KEYIDX is valid

	vp8M = 0x80 // picture id: 15 bits instead of 7
	vp8Y = 0x20 // in the byte of TID, Y and KEYIDX

	vp8P = 0x01 // payload header (section 4.3): inverse key frame flag
)

// readVP8 reads the descriptor, and the first byte of the payload header where that is
// at the start of a frame. False: the payload is too short for that.
func (d *Descriptor) readVP8(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	n := 1
	if b[0]&vp8X != 0 {
		var ok bool
		if n, ok = d.readVP8Extension(b); !ok {
			return false
		}
	}
	// At least one byte of the VP8 frame has to follow: the payload header at a
	// frame's start, anything else later on.
	if n >= len(b) {
		return false
	}
	d.Size = uint16(n)
	d.NonReference = b[0]&vp8N != 0
	d.FrameStart = b[0]&vp8S != 0 && b[0]&vp8PID == 0
	d.KeyFrame = d.FrameStart && b[n]&vp8P == 0
	return true
}

// readVP8Extension reads what follows the first byte and returns the descriptor's length.
func (d *Descriptor) readVP8Extension(b []byte) (n int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	ext, n := b[1], 2
	if ext&vp8I != 0 {
		if len(b) <= n {
			return 0, false
		}
		d.HasPictureID, d.PictureIDAt = true, uint8(n)
		if b[n]&vp8M == 0 {
			d.PictureID = uint16(b[n])
			n++
		} else {
			if len(b) < n+2 {
				return 0, false
			}
			d.LongPictureID = true
			d.PictureID = binary.BigEndian.Uint16(b[n:]) & 0x7fff
			n += 2
		}
	}
	if ext&vp8L != 0 {
		if len(b) <= n {
			return 0, false
		}
		d.HasTL0PicIdx, d.TL0PicIdxAt, d.TL0PicIdx = true, uint8(n), b[n]
		n++
	}
	if ext&(vp8T|vp8K) != 0 {
		// One byte for both; each half counts only with its own bit.
		if len(b) <= n {
			return 0, false
		}
		if ext&vp8T != 0 {
			d.HasTID, d.TID, d.LayerSync = true, b[n]>>6, b[n]&vp8Y != 0
		}
		if ext&vp8K != 0 {
			d.HasKeyIdx, d.KeyIdx = true, b[n]&0x1f
		}
		n++
	}
	return n, true
}
