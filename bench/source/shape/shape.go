// Package shape writes the first bytes of RTP payloads that look like those of a codec as far
// as a server looks: payload descriptors, parameter sets and the bits that tell a key frame.
// What comes behind them is up to the caller; nobody can decode it. Functions are pure, write
// into the caller's buffer only and may be called from any goroutine.
package shape

import (
	"encoding/binary"

	"tsubame/media/param"
)

// Video is what a payload's descriptor says of its packet.
type Video struct {
	Start     bool // the first packet of a frame
	Second    bool // the one behind it, which matters for a key frame of H.264 or H.265
	End       bool // the last one; VP8 does not tell
	Key       bool // of a key frame
	PictureID uint16
	TL0       uint8
}

// Max is the longest head, in bytes, of any codec.
const Max = 64

// Put writes the head of a payload that is all of b, which has Max bytes or more, and returns
// how long it is. An H.264 or H.265 aggregation packet's last unit takes all of the rest of b.
// It returns 0 for what is no video codec.
func Put(c param.Codec, b []byte, v Video) int {
	switch c {
	case param.VP8:
		return putVP8(b, v)
	case param.VP9:
		return putVP9(b, v)
	case param.AV1:
		return putAV1(b, v)
	case param.H264:
		return putH264(b, v)
	case param.H265:
		return putH265(b, v)
	}
	return 0
}

// OpusTOC begins an Opus packet (RFC 6716 section 3.1): CELT, full band, 20 ms, stereo, one
// frame.
const OpusTOC = 0xfc

// Sizes of VP8's parts.
const (
	VP8Descriptor = 6  // RFC 7741 section 4.2 with 15-bit picture id, TL0PICIDX, TID
	VP8FrameTag   = 3  // RFC 6386 section 9.1
	VP8KeyHeader  = 10 // the tag, the start code, width and height
)

// PutPictureID writes a picture id in the form of 15 bits that VP8 and VP9 share.
func PutPictureID(b []byte, id uint16) { binary.BigEndian.PutUint16(b, 0x8000|id) }

// PutVP8Descriptor writes the payload descriptor alone and returns how long it is. Key and End
// are not in it.
func PutVP8Descriptor(b []byte, v Video) int {
	b[0] = 0x80 // X; partition 0
	if v.Start {
		b[0] |= 0x10
	}
	b[1] = 0x80 | 0x40 | 0x20 // I, L, T
	PutPictureID(b[2:], v.PictureID)
	b[4] = v.TL0
	b[5] = 0x20 // TID 0, Y
	return VP8Descriptor
}

func putVP8(b []byte, v Video) int {
	PutVP8Descriptor(b, v)
	if !v.Start {
		return VP8Descriptor
	}
	f := b[VP8Descriptor:]
	// The tag: inverse key frame bit, version 0, shown, size of the first partition.
	f[0], f[1], f[2] = 0x11, 0x02, 0x00
	if !v.Key {
		return VP8Descriptor + VP8FrameTag
	}
	f[0] = 0x10
	copy(f[3:], []byte{0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}) // 640 by 480
	return VP8Descriptor + VP8KeyHeader
}

// The first byte of a VP9 frame: frame marker, profile 0, shown; a key frame or another.
const (
	VP9Key   = 0x82
	VP9Delta = 0x86
)

// PutVP9Descriptor writes the payload descriptor alone, without flexible mode, with the
// structure at a key frame's start (RFC 9628 section 4.2): one layer of a size in pixels. It
// returns how long it is.
func PutVP9Descriptor(b []byte, v Video, width, height uint16) int {
	b[0] = 0x80 | 0x20 // I, L
	if !v.Key {
		b[0] |= 0x40 // P
	}
	if v.Start {
		b[0] |= 0x08 // B
	}
	if v.End {
		b[0] |= 0x04 // E
	}
	PutPictureID(b[1:], v.PictureID)
	b[3], b[4] = 0x00, v.TL0 // TID 0, SID 0
	n := 5
	if v.Start && v.Key {
		b[0] |= 0x02 // V: one layer, each picture refers to the one before
		b[n] = 0x18
		binary.BigEndian.PutUint16(b[n+1:], width)
		binary.BigEndian.PutUint16(b[n+3:], height)
		n += 5 + copy(b[n+5:], []byte{1, 0x04, 1})
	}
	return n
}

func putVP9(b []byte, v Video) int {
	n := PutVP9Descriptor(b, v, 640, 480)
	if v.Start {
		b[n] = VP9Delta
		if v.Key {
			b[n] = VP9Key
		}
		n++
	}
	return n
}

// AV1Sequence is a sequence header OBU without its size field, as libaom begins 640 by 480.
var AV1Sequence = []byte{0x08, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xff, 0xbc, 0xef, 0xc0, 0x10}

// AV1Frame is the header of a frame OBU without size field.
const AV1Frame = 0x30

// putAV1 writes the aggregation header (RTP Payload Format For AV1, section 4.4), the
// sequence header before a key frame, and the header of the frame's OBU at its start.
func putAV1(b []byte, v Video) int {
	b[0] = 0x10 // W=1
	if !v.Start {
		b[0] |= 0x80 // Z
	}
	if !v.End {
		b[0] |= 0x40 // Y
	}
	n := 1
	if v.Start && v.Key {
		b[0] = b[0]&^0x30 | 0x20 | 0x08 // W=2, N
		b[1] = byte(len(AV1Sequence))
		n = 2 + copy(b[2:], AV1Sequence)
	}
	if v.Start {
		b[n] = AV1Frame
		n++
	}
	return n
}

// Parameter sets, those of H.264 in the constrained baseline profile, those of H.265 in
// Main.
var (
	H264Sets = [][]byte{
		{0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50},
		{0x68, 0xce, 0x3c, 0x80},
	}
	H265Sets = [][]byte{
		{0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60},
		{0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03},
		{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40},
	}
)

// putAggregate writes NAL units, each behind its size, and the head of a last one that takes
// the rest of b, and returns where that goes on.
func putAggregate(b []byte, n int, units [][]byte, last ...byte) int {
	for _, u := range units {
		binary.BigEndian.PutUint16(b[n:], uint16(len(u)))
		n += 2 + copy(b[n+2:], u)
	}
	binary.BigEndian.PutUint16(b[n:], uint16(len(b)-n-2))
	return n + 2 + copy(b[n+2:], last)
}

// putH264 writes a payload header (RFC 6184): a key frame is a STAP-A of its parameter sets
// and SEI, then an IDR picture in FU-A; other frames are a slice in FU-A. What needs one
// packet only is a single NAL unit, or the last one of the STAP-A.
func putH264(b []byte, v Video) int {
	kind, first := byte(1), v.Start
	if v.Key {
		kind, first = 5, v.Second
	}
	switch {
	case v.Key && v.Start:
		b[0] = 0x78
		if v.End {
			return putAggregate(b, 1, H264Sets, 0x65)
		}
		return putAggregate(b, 1, H264Sets, 0x06)
	case first && v.End:
		b[0] = 0x40 | kind
		return 1
	}
	b[0], b[1] = 0x5c, fuHeader(first, v.End, kind)
	return 2
}

// fuHeader is that of RFC 6184 section 5.8 and of RFC 7798 section 4.4.3.
func fuHeader(first, last bool, kind byte) byte {
	if first {
		kind |= 0x80
	}
	if last {
		kind |= 0x40
	}
	return kind
}

// putH265 does the same for H.265 (RFC 7798): VPS, SPS, PPS and SEI in an aggregation packet,
// IDR_W_RADL and TRAIL_R in fragmentation units.
func putH265(b []byte, v Video) int {
	kind, first := byte(1), v.Start
	if v.Key {
		kind, first = 19, v.Second
	}
	b[1] = 0x01 // layer 0, temporal id 0
	switch {
	case v.Key && v.Start:
		b[0] = 48 << 1
		if v.End {
			return putAggregate(b, 2, H265Sets, 19<<1, 0x01)
		}
		return putAggregate(b, 2, H265Sets, 39<<1, 0x01)
	case first && v.End:
		b[0] = kind << 1
		return 2
	}
	b[0], b[2] = 49<<1, fuHeader(first, v.End, kind)
	return 3
}
