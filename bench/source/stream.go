package source

import (
	"time"

	"tsubame/bench/source/shape"
	"tsubame/media/param"
)

// Bounds of a payload in bytes. A video payload holds a head of any codec and the eight bytes
// that make it the only one of its kind.
const (
	maxPayload      = 1460
	minVideoPayload = shape.Max + 8
)

// Clock rates.
const (
	videoRate = 90_000
	opusRate  = 48_000
	opusFrame = 20 * time.Millisecond
)

// wire is one packet of a frame: when, since the frame's first one, and its payload's size.
type wire struct {
	at   time.Duration
	size int
}

// frame is what one RTP timestamp's packets are on the wire.
type frame struct {
	at      time.Duration
	packets []wire // at least one
}

// schedule yields frames without end, in the order of their times. The packets are valid until
// the next call.
type schedule interface {
	next(f *frame)
}

// stream makes packets of what a schedule says.
type stream struct {
	codec    param.Codec
	schedule schedule
	fill     filler

	frame   frame
	i       int  // of the packet that is next
	key     bool // what frame is
	wantKey bool
	count   uint32 // frames begun
	buf     [maxPayload]byte
}

// newStream makes a stream that begins with a key frame.
func newStream(c param.Codec, s schedule, seed uint64) *stream {
	return &stream{codec: c, schedule: s, fill: newFiller(seed), wantKey: true}
}

// Codec is what the payloads are.
func (s *stream) Codec() param.Codec { return s.codec }

// KeyFrame makes the next frame that begins a key frame. It has the size of any other one.
func (s *stream) KeyFrame() { s.wantKey = true }

// Next fills p in.
func (s *stream) Next(p *Packet) {
	if s.i == len(s.frame.packets) {
		s.schedule.next(&s.frame)
		s.key, s.wantKey = s.wantKey && s.codec != param.Opus, false
		s.i = 0
		s.count++
	}
	w := s.frame.packets[s.i]
	s.i++
	b := s.buf[:w.size]
	s.fill.fill(b)
	p.At, p.Payload, p.KeyFrame = s.frame.at+w.at, b, s.key
	if s.codec == param.Opus {
		b[0] = shape.OpusTOC
		// The timestamp counts sound, whenever it was sent.
		p.Timestamp, p.Marker = (s.count-1)*opusRate/50, s.count == 1
		return
	}
	p.Timestamp = uint32(int64(s.frame.at) * 9 / 100_000)
	p.Marker = s.i == len(s.frame.packets)
	shape.Put(s.codec, b, shape.Video{
		Start: s.i == 1, Second: s.i == 2, End: p.Marker, Key: s.key,
		PictureID: uint16(s.count-1) & 0x7fff, TL0: uint8(s.count - 1),
	})
}

// loop is a schedule that repeats frames.
type loop struct {
	frames []frame // shared, only to be read
	period time.Duration
	base   time.Duration // added to times
	i      int
}

func (l *loop) next(f *frame) {
	if l.i == len(l.frames) {
		l.i = 0
		l.base += l.period
	}
	*f = l.frames[l.i]
	f.at += l.base
	l.i++
}

// from lets l begin at any of its frames by a seed, with a phase of its own. Seed 0 leaves it
// at the first.
func (l *loop) from(seed uint64) *loop {
	if seed == 0 {
		return l
	}
	l.i = int(mix(seed) % uint64(len(l.frames)))
	l.base = phase(seed, l.period/time.Duration(len(l.frames))) - l.frames[l.i].at
	return l
}

// phase is a time below an interval by a seed, so that publishers do not send all at once.
func phase(seed uint64, interval time.Duration) time.Duration {
	if seed == 0 || interval <= 0 {
		return 0
	}
	return time.Duration(mix(seed+1) % uint64(interval))
}
