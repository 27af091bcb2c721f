package bot

import (
	"encoding/binary"
	"time"

	"tsubame/bench/source/shape"
)

// What a bot sends is shaped like VP8 or Opus as far as an SFU looks, and carries a stamp
// by which a receiver can tell that the payload is what was sent, whose it was, in which
// order and when. The rest is filler that the stamp determines.

const (
	stampMagic = 0x54534d42
	stampSize  = 4 + 4 + 8 + 8 // checksum, source, counter, time

	// minimum sizes of payloads that hold all of it
	minVP8Payload  = shape.VP8Descriptor + shape.VP8KeyHeader + stampSize
	minOpusPayload = 1 + stampSize
)

// stamp is what a payload says of itself.
type stamp struct {
	source  uint32 // the SSRC under which it was first sent
	counter uint64 // of packets of that source
	sent    int64  // Unix nanoseconds; comparable on one machine
}

// put writes the stamp and the filler over all of b.
func (s stamp) put(b []byte) {
	binary.BigEndian.PutUint32(b, s.check())
	binary.BigEndian.PutUint32(b[4:], s.source)
	binary.BigEndian.PutUint64(b[8:], s.counter)
	binary.BigEndian.PutUint64(b[16:], uint64(s.sent))
	b = b[stampSize:]
	x := s.seed()
	for len(b) >= 8 {
		x = shuffle(x)
		binary.LittleEndian.PutUint64(b, x)
		b = b[8:]
	}
	x = shuffle(x)
	for i := range b {
		b[i] = byte(x >> (8 * i))
	}
}

// readStamp checks b, which put has written, or has not.
func readStamp(b []byte) (s stamp, ok bool) {
	if len(b) < stampSize {
		return s, false
	}
	s.source = binary.BigEndian.Uint32(b[4:])
	s.counter = binary.BigEndian.Uint64(b[8:])
	s.sent = int64(binary.BigEndian.Uint64(b[16:]))
	if binary.BigEndian.Uint32(b) != s.check() {
		return s, false
	}
	b = b[stampSize:]
	x := s.seed()
	for len(b) >= 8 {
		x = shuffle(x)
		if binary.LittleEndian.Uint64(b) != x {
			return s, false
		}
		b = b[8:]
	}
	x = shuffle(x)
	for i := range b {
		if b[i] != byte(x>>(8*i)) {
			return s, false
		}
	}
	return s, true
}

// seed starts the filler.
func (s stamp) seed() uint64 { return shuffle(shuffle(uint64(s.source))^s.counter) ^ uint64(s.sent) }

// check is the stamp's first word.
func (s stamp) check() uint32 { return uint32(shuffle(s.seed()+stampMagic) >> 32) }

// shuffle is one step of splitmix64.
func shuffle(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// latency is how long ago s was sent.
func (s stamp) latency(now time.Time) time.Duration { return time.Duration(now.UnixNano() - s.sent) }

// putOpus writes an Opus-shaped payload over all of b.
func putOpus(b []byte, s stamp) {
	b[0] = shape.OpusTOC
	s.put(b[1:])
}

// readOpus reads one.
func readOpus(b []byte) (stamp, bool) {
	if len(b) < minOpusPayload || b[0] != shape.OpusTOC {
		return stamp{}, false
	}
	return readStamp(b[1:])
}

// readVP8 takes descriptors in any form, since an SFU may rewrite them.
func (v *videoShape) readVP8(b []byte) ([]byte, error) {
	rest, ok := v.readDescriptor(b)
	if !ok {
		return nil, errShape
	}
	if v.Start {
		if len(rest) < shape.VP8FrameTag {
			return nil, errShape
		}
		size := shape.VP8FrameTag
		if v.Key = rest[0]&1 == 0; v.Key {
			size = shape.VP8KeyHeader
		}
		if len(rest) < size {
			return nil, errShape
		}
		rest = rest[size:]
	}
	return rest, nil
}

// readDescriptor reads the payload descriptor and returns what is behind it.
func (v *videoShape) readDescriptor(b []byte) (rest []byte, ok bool) {
	next := func() (c byte) {
		if ok = len(b) > 0; ok {
			c, b = b[0], b[1:]
		}
		return c
	}
	first := next()
	if !ok {
		return nil, false
	}
	v.Start = first&0x10 != 0 && first&0x07 == 0
	if first&0x80 == 0 {
		return b, true
	}
	x := next()
	if x&0x80 != 0 { // I
		c := next()
		v.PictureID = uint16(c & 0x7f)
		if c&0x80 != 0 {
			v.PictureID = v.PictureID<<8 | uint16(next())
		}
	}
	if x&0x40 != 0 { // L
		v.TL0 = next()
	}
	if x&0x30 != 0 { // T or K
		next()
	}
	return b, ok
}
