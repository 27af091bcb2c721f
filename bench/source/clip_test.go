package source

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"tsubame/media/codec"
	"tsubame/media/param"
)

// encoded returns the frames of a clip's file as pion's depacketizers give them back.
func encoded(t *testing.T, name string, c param.Codec) (frames [][]byte) {
	t.Helper()
	kind := map[param.Codec]string{param.Opus: ".ogg", param.H264: ".h264"}[c]
	if kind == "" {
		kind = ".ivf"
	}
	b, err := clipFiles.ReadFile("clips/" + name + kind)
	if err != nil {
		t.Fatal(err)
	}
	switch c {
	case param.Opus:
		return must[[][]byte](t)(readOgg(b))
	case param.H264:
		for _, unit := range must[[][][]byte](t)(readAnnexB(b)) {
			var frame []byte
			for _, nal := range unit {
				frame = append(append(frame, 0, 0, 0, 1), nal...)
			}
			frames = append(frames, frame)
		}
		return frames
	}
	for _, f := range must[ivf](t)(readIVF(b)).frames {
		frames = append(frames, bytes.TrimPrefix(f, []byte{0x12, 0x00})) // AV1's temporal delimiter
	}
	return frames
}

func depacketizer(c param.Codec) rtp.Depacketizer {
	switch c {
	case param.VP8:
		return &codecs.VP8Packet{}
	case param.VP9:
		return &codecs.VP9Packet{}
	case param.AV1:
		return &codecs.AV1Depacketizer{}
	case param.H264:
		return &codecs.H264Packet{}
	}
	return &codecs.OpusPacket{}
}

func TestClipsAreWholeAgainBehindAnotherDepacketizer(t *testing.T) {
	for _, name := range Clips() {
		s := must[Source](t)(OpenClip(name))
		frames := encoded(t, name, s.Codec())
		d := depacketizer(s.Codec())
		var p Packet
		for i := range 2*len(frames) + 3 { // with two seams
			var got []byte
			for first := true; first || !p.Marker && s.Codec() != param.Opus; first = false {
				s.Next(&p)
				if len(p.Payload) > chromiumPayload {
					t.Fatalf("%s: a payload of %d bytes", name, len(p.Payload))
				}
				part, err := d.Unmarshal(bytes.Clone(p.Payload))
				if err != nil {
					t.Fatalf("%s: frame %d: %v", name, i, err)
				}
				got = append(got, part...)
			}
			if want := frames[i%len(frames)]; !bytes.Equal(got, want) {
				t.Fatalf("%s: frame %d of %d bytes comes out as %d", name, i, len(want), len(got))
			}
		}
	}
}

func TestClipsAreReadByCodec(t *testing.T) {
	for _, name := range Clips() {
		s := must[Source](t)(OpenClip(name))
		var p Packet
		start, number := true, -1
		for i := range 5000 {
			s.Next(&p)
			d, err := codec.Peek(s.Codec(), p.Payload)
			if err != nil {
				t.Fatalf("%s: packet %d: %v", name, i, err)
			}
			if s.Codec() == param.Opus {
				continue
			}
			if start {
				number++
			}
			if d.KeyFrame != (start && p.KeyFrame) {
				t.Fatalf("%s: packet %d: key frame %v, first of it %v", name, i, p.KeyFrame, d.KeyFrame)
			}
			if numbered := s.Codec() == param.VP8 || s.Codec() == param.VP9; numbered &&
				(d.FrameStart != start || int(d.PictureID) != number&0x7fff || int(d.TL0PicIdx) != number&0xff) {
				t.Fatalf("%s: packet %d of frame %d: %+v", name, i, number, d)
			}
			start = p.Marker
		}
	}
}

// keyFrames returns the numbers of the first n frames that are key frames; at the frame of a
// number one is asked for.
func keyFrames(s Source, n, ask int) (keys []int) {
	var p Packet
	for i := range n {
		if i == ask {
			s.KeyFrame()
		}
		for first := true; first || !p.Marker; first = false {
			s.Next(&p)
		}
		if p.KeyFrame {
			keys = append(keys, i)
		}
	}
	return keys
}

func TestClipsHaveTwoKeyFramesAndJumpToTheNext(t *testing.T) {
	for _, name := range Clips() {
		c := must[*clip](t)(openClip(name))
		if c.codec == param.Opus {
			continue
		}
		half := len(c.frames) / 2
		for ask, want := range map[int][]int{
			-1:         {0, half, 2 * half, 3 * half},
			10:         {0, 10, 10 + half, 10 + 2*half, 10 + 3*half}, // from 10 to the middle
			half + 5:   {0, half, half + 5, 2*half + 5, 3*half + 5},  // to the start
			half:       {0, half, 2 * half, 3 * half},                // it is one anyway
			3 * half:   {0, half, 2 * half, 3 * half},
			4*half - 1: {0, half, 2 * half, 3 * half, 4*half - 1},
		} {
			got := keyFrames(must[Source](t)(OpenClip(name)), 4*half, ask)
			if len(got) != len(want) {
				t.Fatalf("%s: asked at %d: key frames %v, want %v", name, ask, got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%s: asked at %d: key frames %v, want %v", name, ask, got, want)
				}
			}
		}
	}
}

func TestClipsKeepTheirTime(t *testing.T) {
	for _, name := range Clips() {
		c := must[*clip](t)(openClip(name))
		s := must[Source](t)(OpenClipAt(name, 3))
		var p Packet
		s.Next(&p)
		last, frames := p, 1
		for s.Next(&p); p.At < time.Minute; s.Next(&p) {
			if p.At < last.At {
				t.Fatalf("%s: %v behind %v", name, p.At, last.At)
			}
			if p.Timestamp != last.Timestamp {
				frames++
				if gap := p.At - last.At; gap > 2*time.Second/time.Duration(c.fps) {
					t.Fatalf("%s: nothing for %v", name, gap)
				}
			}
			last = p
		}
		if n := frames - 60*int(c.fps); n < -1 || n > 1 {
			t.Errorf("%s: %d frames a minute", name, frames)
		}
	}
}

func TestNextOfAClipAllocatesNothing(t *testing.T) {
	for _, name := range Clips() {
		s := must[Source](t)(OpenClip(name))
		var p Packet
		if n := testing.AllocsPerRun(5000, func() { s.Next(&p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestClipsThatAreNotThere(t *testing.T) {
	for _, name := range []string{"", "vp8", "vp8-240p20-151k", "opus-33k", "theora-240p20-150k", "../clip"} {
		if s, err := OpenClip(name); err == nil {
			t.Errorf("%q is of %v", name, s.Codec())
		}
	}
}

// Files that end anywhere, or have a wrong bit, are read or refused, no more.
func TestBrokenClipFiles(t *testing.T) {
	for _, name := range []string{"vp8-240p20-150k", "vp9-240p20-150k", "av1-240p20-150k", "h264-240p20-150k", "opus-32k"} {
		codec := must[param.Codec](t)(codecOf(name))
		kind := map[param.Codec]string{param.Opus: ".ogg", param.H264: ".h264"}[codec]
		if kind == "" {
			kind = ".ivf"
		}
		whole := must[[]byte](t)(clipFiles.ReadFile("clips/" + name + kind))[:6000]
		random := newFiller(8)
		for n := range 300 {
			c := &clip{codec: codec, fps: 20}
			if err := c.read(whole[:n]); err == nil && codec != param.H264 && n > 32 && codec != param.Opus {
				t.Fatalf("%s: %d bytes are %d frames", name, n, len(c.frames))
			}
			b := bytes.Clone(whole)
			for range 20 {
				b[random.random()%uint64(len(b))] ^= 1 << (random.random() % 8)
			}
			c = &clip{codec: codec, fps: 20}
			if c.read(b) != nil {
				continue
			}
			for _, f := range c.frames {
				if len(f.payloads) == 0 {
					t.Fatalf("%s: a frame without payloads", name)
				}
			}
		}
	}
}

func BenchmarkNextOfClip(b *testing.B) {
	s := must[Source](b)(OpenClip("vp8-360p25-400k"))
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		s.Next(&p)
	}
}
