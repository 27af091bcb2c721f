package bot

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtp/codecs"

	"tsubame/bench/source/shape"
	"tsubame/media/param"
)

// videoCodecs are those that a bot speaks.
var videoCodecs = []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265}

// errShape is a payload that is not of a bot's.
var errShape = errors.New("bot: not the payload of a bot")

// videoShape is what a payload's descriptor says of its packet; whether it is of a key frame
// is known for first packets only.
type videoShape struct{ shape.Video }

// minVideoPayload holds the longest descriptor, parameter sets and the stamp, of any codec.
const minVideoPayload = shape.Max + stampSize

// putVideo writes a payload in the shape of a codec over all of b, which has minVideoPayload
// bytes or more.
func putVideo(c param.Codec, b []byte, v videoShape, s stamp) {
	s.put(b[shape.Put(c, b, v.Video):])
}

// readVideo reads one.
func readVideo(c param.Codec, b []byte) (v videoShape, s stamp, ok bool) {
	var err error
	switch c {
	case param.VP8:
		b, err = v.readVP8(b)
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
	v.Start, v.End, v.Key = p.B, p.E, p.B && !p.P
	v.PictureID, v.TL0 = p.PictureID, p.TL0PICIDX
	if !v.Start {
		return rest, nil
	}
	if len(rest) == 0 || rest[0] == shape.VP9Key != v.Key {
		return nil, errShape
	}
	return rest[1:], nil
}

func (v *videoShape) readAV1(b []byte) ([]byte, error) {
	if len(b) < 2 {
		return nil, errShape
	}
	head := b[0]
	v.Start, v.End, v.Key = head&0x80 == 0, head&0x40 == 0, head&0x08 != 0
	b = b[1:]
	if !v.Start {
		return b, nil
	}
	if v.Key {
		n := 1 + int(b[0])
		if head&0x30 != 0x20 || len(b) <= n || string(b[1:n]) != string(shape.AV1Sequence) {
			return nil, errShape
		}
		b = b[n:]
	}
	if b[0] != shape.AV1Frame {
		return nil, errShape
	}
	return b[1:], nil
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

// fragment takes what a NAL unit, or a part of one, says of its place in the frame.
func (v *videoShape) fragment(first, last, key bool) {
	v.Start, v.Second, v.End = first && !key, first && key, last
}

func (v *videoShape) readH264(b []byte) ([]byte, error) {
	if len(b) < 3 {
		return nil, errShape
	}
	switch b[0] {
	case 0x78:
		last, err := readAggregate(b[1:], shape.H264Sets)
		if err != nil || len(last) < 1 || last[0] != 0x65 && last[0] != 0x06 {
			return nil, errShape
		}
		v.Start, v.Key, v.End = true, true, last[0] == 0x65
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

func (v *videoShape) readH265(b []byte) ([]byte, error) {
	if len(b) < 4 || b[1] != 0x01 {
		return nil, errShape
	}
	switch kind := b[0] >> 1; kind {
	case 48:
		last, err := readAggregate(b[2:], shape.H265Sets)
		if err != nil || len(last) < 2 || last[0] != 19<<1 && last[0] != 39<<1 || last[1] != 0x01 {
			return nil, errShape
		}
		v.Start, v.Key, v.End = true, true, last[0] == 19<<1
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
