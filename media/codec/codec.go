// Package codec looks at the payload descriptors of RTP payloads: the few bytes from
// which a server learns where frames start, which of them are key frames, and how
// pictures are numbered. It never decodes, and never looks behind a descriptor but for
// the key frame bit, so that end-to-end encrypted payloads pass. It allocates nothing
// and keeps no state; any goroutine may call it, and results are values that do not
// point into the payload.
package codec

import (
	"errors"

	"tsubame/media/param"
)

// ErrShort is a payload that ends inside its descriptor.
var ErrShort = errors.New("codec: payload shorter than its descriptor")

// Descriptor is what a payload says of itself. Fields that a codec does not have are
// zero.
type Descriptor struct {
	// KeyFrame is set on the first packet of a video frame that needs no other. Always
	// false for audio.
	KeyFrame bool
	// FrameStart is set on the first packet of a frame; every Opus packet is one.
	FrameStart bool
	// NonReference: no other frame depends on this one (VP8: N).
	NonReference bool
	// LayerSync: the frame depends on the base layer only (VP8: Y).
	LayerSync bool
	// DTX: the packet carries no sound, only that there is none to be heard.
	DTX bool

	HasPictureID bool
	// LongPictureID: the picture id has 15 bits on the wire, else 7.
	LongPictureID bool
	HasTL0PicIdx  bool
	HasTID        bool
	HasKeyIdx     bool

	PictureID uint16
	TL0PicIdx uint8
	TID       uint8
	KeyIdx    uint8

	// Size is the length in bytes of the descriptor. The picture id and TL0PICIDX are
	// at these offsets, for those who rewrite them; 0: not there.
	Size        uint8
	PictureIDAt uint8
	TL0PicIdxAt uint8
}

// Peek reads the descriptor of a payload without its padding. Codecs whose descriptors
// are not known here have the zero Descriptor. The error is ErrShort; a packet with it
// cannot be placed in a stream of frames.
func Peek(c param.Codec, payload []byte) (d Descriptor, err error) {
	switch c {
	case param.VP8:
		if !d.readVP8(payload) {
			return Descriptor{}, ErrShort
		}
	case param.Opus:
		d.readOpus(payload)
	}
	return d, nil
}
