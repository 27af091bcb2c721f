// Package codec looks at the payload descriptors of RTP payloads: the few bytes from
// which a server learns where frames start, which of them are key frames, and how
// pictures are numbered. It never decodes, and never looks behind a descriptor but for
// the bits that tell a key frame (VP8: the first bit of the frame header; H.264 and H.265:
// the type of each NAL unit), so that end-to-end encrypted payloads pass, as long as their
// scheme leaves those in the clear. It allocates nothing and keeps no state; any goroutine
// may call it, and results are values that do not point into the payload.
package codec

import (
	"errors"

	"tsubame/media/param"
)

// What is wrong with a payload whose descriptor cannot be read.
var (
	// ErrShort is a payload that ends inside its descriptor.
	ErrShort = errors.New("codec: payload shorter than its descriptor")
	// ErrMalformed is a descriptor that its codec's RFC forbids.
	ErrMalformed = errors.New("codec: malformed payload descriptor")
)

// Descriptor is what a payload says of itself. Fields that a codec does not have are
// zero.
type Descriptor struct {
	// KeyFrame is set on the first packet of a video frame that needs no other, from where
	// a viewer can begin: with H.264 and H.265 that is the packet with the parameter sets.
	// Those that are sent in packets of their own (VPS, SPS) each have it: they are of one
	// key frame if they have one RTP timestamp. Always false for audio.
	KeyFrame bool
	// FrameStart is set on the first packet of a frame; every Opus packet is one. A payload
	// of AV1, H.264 or H.265 does not tell, so that with them it is set together with
	// KeyFrame only: others start where the RTP timestamp changes. With VP9 a frame is that
	// of any spatial layer that does not depend on the one below.
	FrameStart bool
	// NonReference: no other frame depends on this one (VP8: N).
	NonReference bool
	// LayerSync: the frame depends on the base layer only (VP8: Y).
	LayerSync bool
	// DTX: the packet carries no sound, only that there is none to be heard.
	DTX bool

	// LayerStart and LayerEnd are set on the first and the last packet of a frame of one
	// spatial layer (VP9: B and E); a picture is made of one or more.
	LayerStart bool
	LayerEnd   bool
	// InterPicture: the frame depends on earlier pictures (VP9: P).
	InterPicture bool
	// InterLayer: it depends on the spatial layer below of the same picture (VP9: D).
	InterLayer bool
	// SwitchUp: from this frame on a higher temporal layer can be received (VP9: U).
	SwitchUp bool

	HasPictureID bool
	// LongPictureID: the picture id has 15 bits on the wire, else 7.
	LongPictureID bool
	HasTL0PicIdx  bool
	HasTID        bool
	HasSID        bool
	HasKeyIdx     bool

	PictureID uint16
	TL0PicIdx uint8
	TID       uint8
	SID       uint8
	KeyIdx    uint8
	// SpatialLayers is how many the stream has, where its scalability structure says so
	// (VP9: V); 0: not said here.
	SpatialLayers uint8

	// Size is the length in bytes of the descriptor. The picture id and TL0PICIDX are
	// at these offsets, for those who rewrite them; 0: not there.
	Size        uint16
	PictureIDAt uint8
	TL0PicIdxAt uint8
}

// Peek reads the descriptor of a payload without its padding. A codec that is not known
// here has the zero Descriptor. The error is ErrShort or ErrMalformed; a packet with it
// cannot be placed in a stream of frames.
func Peek(c param.Codec, payload []byte) (d Descriptor, err error) {
	switch c {
	case param.VP8:
		if !d.readVP8(payload) {
			err = ErrShort
		}
	case param.VP9:
		err = d.readVP9(payload)
	case param.AV1:
		err = d.readAV1(payload)
	case param.H264:
		err = d.readH264(payload)
	case param.H265:
		err = d.readH265(payload)
	case param.Opus:
		d.readOpus(payload)
	}
	if err != nil {
		return Descriptor{}, err
	}
	return d, nil
}
