package codec

import "encoding/binary"

// Bits of the VP9 payload descriptor (RFC 9628 section 4.2).
const (
	vp9I = 0x80 // first byte: picture id follows
	vp9P = 0x40 // inter-picture predicted
	vp9L = 0x20 // layer indices follow
	vp9F = 0x10 // flexible mode
	vp9B = 0x08 // start of a layer frame
	vp9E = 0x04 // end of a layer frame
	vp9V = 0x02 // scalability structure follows

	vp9M = 0x80 // picture id: 15 bits instead of 7
	vp9U = 0x10 // layer indices: switching up point
	vp9D = 0x01 // layer indices: inter-layer dependency used

	vp9More = 0x01 // reference index: another one follows

	vp9Y = 0x10 // scalability structure: each layer's resolution
	vp9G = 0x08 // scalability structure: the picture group

	// maxVP9References is how many pictures a frame may refer to (section 4.2: "up to 3").
	maxVP9References = 3
)

// readVP9 reads the descriptor. At least one byte of the frame has to follow it.
//
// A picture is one frame, or one for each spatial layer, the lowest first. It starts with
// the layer frame that depends on none below it, and is a key frame if that depends on no
// earlier picture either. Which layer that is cannot be fixed at 0: encoders switch layers
// off from below, too.
func (d *Descriptor) readVP9(b []byte) error {
	if len(b) == 0 {
		return ErrShort
	}
	flags := b[0]
	if flags&vp9F != 0 && flags&vp9I == 0 {
		return ErrMalformed // reference indices are differences of picture ids
	}
	n, ok := 1, true
	if flags&vp9I != 0 {
		if n, ok = d.readVP9PictureID(b, n); !ok {
			return ErrShort
		}
	}
	if flags&vp9L != 0 {
		if n, ok = d.readVP9Layers(b, n, flags&vp9F != 0); !ok {
			return ErrShort
		}
	}
	if flags&vp9F != 0 && flags&vp9P != 0 {
		var err error
		if n, err = skipVP9References(b, n); err != nil {
			return err
		}
	}
	if flags&vp9V != 0 {
		if n, ok = d.readVP9Structure(b, n); !ok {
			return ErrShort
		}
	}
	if n >= len(b) {
		return ErrShort
	}
	d.Size = uint16(n)
	d.InterPicture = flags&vp9P != 0
	d.LayerStart, d.LayerEnd = flags&vp9B != 0, flags&vp9E != 0
	d.FrameStart = d.LayerStart && !d.InterLayer
	d.KeyFrame = d.FrameStart && !d.InterPicture
	return nil
}

// readVP9PictureID reads the picture id at n and returns where it ends.
func (d *Descriptor) readVP9PictureID(b []byte, n int) (int, bool) {
	if len(b) <= n {
		return 0, false
	}
	d.HasPictureID, d.PictureIDAt = true, uint8(n)
	if b[n]&vp9M == 0 {
		d.PictureID = uint16(b[n])
		return n + 1, true
	}
	if len(b) < n+2 {
		return 0, false
	}
	d.LongPictureID = true
	d.PictureID = binary.BigEndian.Uint16(b[n:]) & 0x7fff
	return n + 2, true
}

// readVP9Layers reads the layer indices at n, and TL0PICIDX, which flexible mode does not
// have, and returns where they end.
func (d *Descriptor) readVP9Layers(b []byte, n int, flexible bool) (int, bool) {
	if len(b) <= n {
		return 0, false
	}
	d.HasTID, d.TID, d.SwitchUp = true, b[n]>>5, b[n]&vp9U != 0
	d.HasSID, d.SID, d.InterLayer = true, b[n]>>1&0x07, b[n]&vp9D != 0
	n++
	if flexible {
		return n, true
	}
	if len(b) <= n {
		return 0, false
	}
	d.HasTL0PicIdx, d.TL0PicIdxAt, d.TL0PicIdx = true, uint8(n), b[n]
	return n + 1, true
}

// skipVP9References returns where the reference indices at n end.
func skipVP9References(b []byte, n int) (int, error) {
	for range maxVP9References {
		if len(b) <= n {
			return 0, ErrShort
		}
		more := b[n]&vp9More != 0
		n++
		if !more {
			return n, nil
		}
	}
	return 0, ErrMalformed
}

// readVP9Structure reads the scalability structure at n (section 4.2.1) and returns where
// it ends: after 8 resolutions and 255 pictures of 3 references each at most.
func (d *Descriptor) readVP9Structure(b []byte, n int) (int, bool) {
	if len(b) <= n {
		return 0, false
	}
	head := b[n]
	n++
	d.SpatialLayers = head>>5 + 1
	if head&vp9Y != 0 {
		n += 4 * int(d.SpatialLayers) // width and height, 16 bits each
	}
	if head&vp9G == 0 {
		return n, true
	}
	if len(b) <= n {
		return 0, false
	}
	pictures := int(b[n])
	n++
	for range pictures {
		if len(b) <= n {
			return 0, false
		}
		n += 1 + int(b[n]>>2&0x03) // TID and U; R differences follow
	}
	return n, true
}
