package source

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"tsubame/bench/source/shape"
	"tsubame/media/param"
)

//go:embed clips/*
var clipFiles embed.FS

// clip is an encoded stream in RTP payloads. It is shared and only to be read.
type clip struct {
	codec  param.Codec
	fps    int64
	frames []clipFrame
	most   int // packets of a frame
}

type clipFrame struct {
	payloads [][]byte
	key      bool
}

var clips struct {
	sync.Mutex
	names map[string]*clip
}

// Clips lists the names that OpenClip takes: a codec, the picture's height in lines and its
// frame rate, and the bitrate, as in vp8-240p20-150k or opus-32k.
func Clips() (names []string) {
	entries, err := clipFiles.ReadDir("clips")
	if err != nil {
		panic(err) // it is a part of the binary
	}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		names = append(names, name)
	}
	return names
}

// OpenClip returns a small stream of real encoded media, which is repeated without end and can
// be decoded from each key frame on: each clip has one at its start and one in its middle.
// KeyFrame goes on with the next of them. Frames come when and their packets as Chromium would
// send them; see Video.
func OpenClip(name string) (Source, error) { return OpenClipAt(name, 0) }

// OpenClipAt is OpenClip with packets at times of its own by a seed.
func OpenClipAt(name string, seed uint64) (Source, error) {
	c, err := openClip(name)
	if err != nil {
		return nil, err
	}
	s := &clipStream{clip: c, random: newFiller(seed), frame: len(c.frames) - 1}
	s.interval = time.Second / time.Duration(c.fps)
	s.base = phase(seed, s.interval)
	s.packets = make([]wire, 0, c.most)
	if c.codec != param.Opus {
		if s.pattern, err = patternOf(c.codec); err != nil {
			return nil, err
		}
	}
	s.i = len(c.frames[s.frame].payloads)
	return s, nil
}

func openClip(name string) (*clip, error) {
	clips.Lock()
	defer clips.Unlock()
	if c := clips.names[name]; c != nil {
		return c, nil
	}
	c, err := readClip(name)
	if err != nil {
		return nil, err
	}
	if clips.names == nil {
		clips.names = make(map[string]*clip)
	}
	clips.names[name] = c
	return c, nil
}

// rateOf finds the frame rate in a clip's name.
var rateOf = regexp.MustCompile(`^[a-z0-9]+-\d+p(\d+)-`)

func readClip(name string) (*clip, error) {
	codec, err := codecOf(name)
	if err != nil {
		return nil, err
	}
	c := &clip{codec: codec, fps: 50}
	if m := rateOf.FindStringSubmatch(name); m != nil {
		c.fps, _ = strconv.ParseInt(m[1], 10, 64) // digits
	}
	kind := map[param.Codec]string{param.Opus: ".ogg", param.H264: ".h264"}[codec]
	if kind == "" {
		kind = ".ivf"
	}
	b, err := clipFiles.ReadFile("clips/" + name + kind)
	if err != nil {
		return nil, fmt.Errorf("source: no clip %q; there are %s", name, strings.Join(Clips(), ", "))
	}
	if err := c.read(b); err != nil {
		return nil, fmt.Errorf("%w: %s", err, name)
	}
	if c.fps < 1 || len(c.frames) == 0 || codec != param.Opus && !c.frames[0].key {
		return nil, fmt.Errorf("%w: %s", errContainer, name)
	}
	return c, nil
}

// read fills in the frames from a file.
func (c *clip) read(b []byte) error {
	switch c.codec {
	case param.Opus: // RFC 7587: a packet is a payload
		packets, err := readOgg(b)
		for _, p := range packets {
			c.add([][]byte{p}, false)
		}
		return err
	case param.H264:
		units, err := readAnnexB(b)
		for i := 0; i < len(units) && err == nil; i++ {
			var payloads [][]byte
			var key bool
			payloads, key, err = packetizeH264(units[i])
			c.add(payloads, key)
		}
		return err
	}
	f, err := readIVF(b)
	if err == nil && int64(f.fps) != c.fps {
		err = errContainer
	}
	for i := 0; i < len(f.frames) && err == nil; i++ {
		var payloads [][]byte
		var key bool
		switch c.codec {
		case param.VP8:
			payloads, key, err = packetizeVP8(f.frames[i])
		case param.VP9:
			payloads, key, err = packetizeVP9(f.frames[i], f.width, f.height)
		default:
			payloads, key, err = packetizeAV1(f.frames[i])
		}
		c.add(payloads, key)
	}
	return err
}

func (c *clip) add(payloads [][]byte, key bool) {
	c.frames = append(c.frames, clipFrame{payloads: payloads, key: key})
	c.most = max(c.most, len(payloads))
}

// clipStream plays a clip.
type clipStream struct {
	*clip
	pattern  *pattern // nil: at even times
	random   filler
	interval time.Duration
	base     time.Duration

	frame   int // of the clip
	i       int // of the payload that is next
	count   int64
	at      time.Duration // of the frame
	wantKey bool
	packets []wire
	buf     [maxPayload]byte
}

// Codec is what the payloads are.
func (s *clipStream) Codec() param.Codec { return s.codec }

// KeyFrame goes on with the clip's next key frame when the next frame begins.
func (s *clipStream) KeyFrame() { s.wantKey = s.codec != param.Opus }

// begin turns to the frame that is next.
func (s *clipStream) begin() {
	s.frame = (s.frame + 1) % len(s.frames)
	for s.wantKey && !s.frames[s.frame].key {
		s.frame = (s.frame + 1) % len(s.frames)
	}
	s.wantKey = false
	n := s.count
	s.count++
	s.at = s.base + time.Duration(n/s.fps)*time.Second + time.Duration(n%s.fps*int64(time.Second)/s.fps)
	if s.pattern != nil {
		s.at += min(s.pattern.late[n%int64(len(s.pattern.late))], s.interval/2)
	}
	s.packets = s.packets[:len(s.frames[s.frame].payloads)]
	spread(s.packets, s.interval/2, &s.random)
	s.i = 0
}

// Next fills p in.
func (s *clipStream) Next(p *Packet) {
	if s.i == len(s.frames[s.frame].payloads) {
		s.begin()
	}
	f := &s.frames[s.frame]
	p.At, p.Payload, p.KeyFrame = s.at+s.packets[s.i].at, f.payloads[s.i], f.key
	s.i++
	if s.codec == param.Opus {
		p.Timestamp, p.Marker = uint32(s.count-1)*opusRate/50, s.count == 1
		return
	}
	p.Timestamp, p.Marker = uint32(int64(s.at)*9/100_000), s.i == len(f.payloads)
	if s.codec == param.VP8 || s.codec == param.VP9 {
		p.Payload = s.numbered(p.Payload)
	}
}

// numbered is a copy of a payload with the picture's numbers in its descriptor, which go on
// when the clip begins anew. Both descriptors have them at the same place.
func (s *clipStream) numbered(payload []byte) []byte {
	b := s.buf[:copy(s.buf[:], payload)]
	at := 1 // VP9: behind the first byte
	if s.codec == param.VP8 {
		at = 2
	}
	shape.PutPictureID(b[at:], uint16(s.count-1))
	b[4] = uint8(s.count - 1) // TL0PICIDX
	return b
}
