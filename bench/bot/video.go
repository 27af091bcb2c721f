package bot

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtp/codecs"

	"tsubame/media/param"
)

// videoCodecs are those that a bot speaks.
var videoCodecs = []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265}

// errShape is a payload that is not of a bot's.
var errShape = errors.New("bot: not the payload of a bot")

// videoShape is what a payload's descriptor says of its packet.
type videoShape struct {
	start     bool // the first packet of a frame
	second    bool // the one behind it, of a key frame of H.264 or H.265
	end       bool // the last one; VP8 does not tell
	key       bool // known for first packets only
	pictureID uint16
	tl0       uint8
}

// minVideoPayload holds the longest descriptor, parameter sets and the stamp, of any codec.
const minVideoPayload = 64 + stampSize

// putVideo writes a payload in the shape of a codec over all of b, which has minVideoPayload
// bytes or more.
func putVideo(c param.Codec, b []byte, v videoShape, s stamp) {
	switch c {
	case param.VP8:
		putVP8(b, vp8Shape{start: v.start, key: v.key, pictureID: v.pictureID, tl0: v.tl0}, s)
	case param.VP9:
		s.put(b[putVP9(b, v):])
	case param.AV1:
		s.put(b[putAV1(b, v):])
	case param.H264:
		s.put(b[putH264(b, v):])
	case param.H265:
		s.put(b[putH265(b, v):])
	}
}

// readVideo reads one.
func readVideo(c param.Codec, b []byte) (v videoShape, s stamp, ok bool) {
	var err error
	switch c {
	case param.VP8:
		shape, s, ok := readVP8(b)
		return videoShape{start: shape.start, key: shape.key, pictureID: shape.pictureID, tl0: shape.tl0}, s, ok
	case param.VP9:
		b, err = v.readVP9(b)
	case param.AV1:
		b, err = v.readAV1(b)
	case param.H264:
		b, err = v.readH264(b)
	case param.H265:
		b, err = v.readH265(b)
	default:
		err = errShape
	}
	if err != nil {
		return v, s, false
	}
	s, ok = readStamp(b)
	return v, s, ok
}

// The first byte of a VP9 frame: frame marker, profile 0, shown; a key frame or another.
const (
	vp9Key   = 0x82
	vp9Delta = 0x86
)

// putVP9 writes a descriptor without flexible mode, with the structure at a key frame's start
// (RFC 9628 section 4.2), and returns how long it is.
func putVP9(b []byte, v videoShape) int {
	b[0] = 0x80 | 0x20 // I, L
	if !v.key {
		b[0] |= 0x40 // P
	}
	if v.start {
		b[0] |= 0x08 // B
	}
	if v.end {
		b[0] |= 0x04 // E
	}
	binary.BigEndian.PutUint16(b[1:], 0x8000|v.pictureID)
	b[3], b[4] = 0x00, v.tl0 // TID 0, SID 0
	n := 5
	if v.start && v.key {
		b[0] |= 0x02 // V: one layer of 640 by 480, each picture refers to the one before
		n += copy(b[n:], []byte{0x18, 0x02, 0x80, 0x01, 0xe0, 1, 0x04, 1})
	}
	if v.start {
		b[n] = vp9Delta
		if v.key {
			b[n] = vp9Key
		}
		n++
	}
	return n
}

// readVP9 takes descriptors in any form.
func (v *videoShape) readVP9(b []byte) ([]byte, error) {
	var p codecs.VP9Packet
	rest, err := p.Unmarshal(b)
	if err != nil {
		return nil, err
	}
	if p.F && !p.I {
		return nil, errShape // references to pictures without numbers
	}
	v.start, v.end, v.key = p.B, p.E, p.B && !p.P
	v.pictureID, v.tl0 = p.PictureID, p.TL0PICIDX
	if !v.start {
		return rest, nil
	}
	if len(rest) == 0 || rest[0] == vp9Key != v.key {
		return nil, errShape
	}
	return rest[1:], nil
}

// An AV1 sequence header OBU without its size field, as libaom begins 640 by 480.
var av1Sequence = []byte{0x08, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xff, 0xbc, 0xef, 0xc0, 0x10}

// av1Frame is the header of a frame OBU without size field.
const av1Frame = 0x30

// putAV1 writes the aggregation header (RTP Payload Format For AV1, section 4.4), the
// sequence header before a key frame, and the header of the frame's OBU at its start.
func putAV1(b []byte, v videoShape) int {
	b[0] = 0x10 // W=1
	if !v.start {
		b[0] |= 0x80 // Z
	}
	if !v.end {
		b[0] |= 0x40 // Y
	}
	n := 1
	if v.start && v.key {
		b[0] = b[0]&^0x30 | 0x20 | 0x08 // W=2, N
		b[1] = byte(len(av1Sequence))
		n = 2 + copy(b[2:], av1Sequence)
	}
	if v.start {
		b[n] = av1Frame
		n++
	}
	return n
}

func (v *videoShape) readAV1(b []byte) ([]byte, error) {
	if len(b) < 2 {
		return nil, errShape
	}
	head := b[0]
	v.start, v.end, v.key = head&0x80 == 0, head&0x40 == 0, head&0x08 != 0
	b = b[1:]
	if !v.start {
		return b, nil
	}
	if v.key {
		n := 1 + int(b[0])
		if head&0x30 != 0x20 || len(b) <= n || string(b[1:n]) != string(av1Sequence) {
			return nil, errShape
		}
		b = b[n:]
	}
	if b[0] != av1Frame {
		return nil, errShape
	}
	return b[1:], nil
}

// Parameter sets, those of H.264 in the constrained baseline profile, those of H.265 in
// Main.
var (
	h264Sets = [][]byte{
		{0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50},
		{0x68, 0xce, 0x3c, 0x80},
	}
	h265Sets = [][]byte{
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

// readAggregate compares the NAL units of an aggregate with those that putAggregate writes
// and returns the last one.
func readAggregate(b []byte, units [][]byte) ([]byte, error) {
	for i := 0; ; i++ {
		if len(b) < 2 {
			return nil, errShape
		}
		size := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		switch {
		case size > len(b):
			return nil, errShape
		case i == len(units) && size == len(b):
			return b, nil
		case i == len(units) || string(b[:size]) != string(units[i]):
			return nil, errShape
		}
		b = b[size:]
	}
}

// putH264 writes a payload header (RFC 6184): a key frame is a STAP-A of its parameter sets
// and SEI, then an IDR picture in FU-A; other frames are a slice in FU-A. What needs one
// packet only is a single NAL unit, or the last one of the STAP-A.
func putH264(b []byte, v videoShape) int {
	kind, first := byte(1), v.start
	if v.key {
		kind, first = 5, v.second
	}
	switch {
	case v.key && v.start:
		b[0] = 0x78
		if v.end {
			return putAggregate(b, 1, h264Sets, 0x65)
		}
		return putAggregate(b, 1, h264Sets, 0x06)
	case first && v.end:
		b[0] = 0x40 | kind
		return 1
	}
	b[0], b[1] = 0x5c, fuHeader(first, v.end, kind)
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

// fragment takes what a NAL unit, or a part of one, says of its place in the frame.
func (v *videoShape) fragment(first, last, key bool) {
	v.start, v.second, v.end = first && !key, first && key, last
}

func (v *videoShape) readH264(b []byte) ([]byte, error) {
	if len(b) < 3 {
		return nil, errShape
	}
	switch b[0] {
	case 0x78:
		last, err := readAggregate(b[1:], h264Sets)
		if err != nil || len(last) < 1 || last[0] != 0x65 && last[0] != 0x06 {
			return nil, errShape
		}
		v.start, v.key, v.end = true, true, last[0] == 0x65
		return last[1:], nil
	case 0x41, 0x45:
		v.fragment(true, true, b[0] == 0x45)
		return b[1:], nil
	case 0x5c:
		if kind := b[1] & 0x3f; kind != 1 && kind != 5 {
			return nil, errShape
		}
		v.fragment(b[1]&0x80 != 0, b[1]&0x40 != 0, b[1]&0x3f == 5)
		return b[2:], nil
	}
	return nil, errShape
}

// putH265 does the same for H.265 (RFC 7798): VPS, SPS, PPS and SEI in an aggregation packet,
// IDR_W_RADL and TRAIL_R in fragmentation units.
func putH265(b []byte, v videoShape) int {
	kind, first := byte(1), v.start
	if v.key {
		kind, first = 19, v.second
	}
	b[1] = 0x01 // layer 0, temporal id 0
	switch {
	case v.key && v.start:
		b[0] = 48 << 1
		if v.end {
			return putAggregate(b, 2, h265Sets, 19<<1, 0x01)
		}
		return putAggregate(b, 2, h265Sets, 39<<1, 0x01)
	case first && v.end:
		b[0] = kind << 1
		return 2
	}
	b[0], b[2] = 49<<1, fuHeader(first, v.end, kind)
	return 3
}

func (v *videoShape) readH265(b []byte) ([]byte, error) {
	if len(b) < 4 || b[1] != 0x01 {
		return nil, errShape
	}
	switch kind := b[0] >> 1; kind {
	case 48:
		last, err := readAggregate(b[2:], h265Sets)
		if err != nil || len(last) < 2 || last[0] != 19<<1 && last[0] != 39<<1 || last[1] != 0x01 {
			return nil, errShape
		}
		v.start, v.key, v.end = true, true, last[0] == 19<<1
		return last[2:], nil
	case 1, 19:
		v.fragment(true, true, kind == 19)
		return b[2:], nil
	case 49:
		if kind := b[2] & 0x3f; kind != 1 && kind != 19 {
			return nil, errShape
		}
		v.fragment(b[2]&0x80 != 0, b[2]&0x40 != 0, b[2]&0x3f == 19)
		return b[3:], nil
	}
	return nil, errShape
}
