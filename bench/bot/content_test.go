package bot

import (
	"testing"
	"time"

	"tsubame/media/codec"
	"tsubame/media/param"
)

func TestPayloadsAreVerifiedToTheLastBit(t *testing.T) {
	s := stamp{source: 1, counter: 2, sent: 3}
	for _, size := range []int{minVP8Payload, minVP8Payload + 1, minVP8Payload + 7, 1100} {
		for _, shape := range []vp8Shape{{start: true, key: true, pictureID: 5, tl0: 6}, {start: true, pictureID: 0x7fff}, {}} {
			b := make([]byte, size)
			putVP8(b, shape, s)
			v, got, ok := readVP8(b)
			if !ok || got != s || v != shape {
				t.Fatalf("%d bytes: %+v %+v %v", size, v, got, ok)
			}
			header := vp8DescriptorSize
			if shape.start {
				header += vp8FrameTag
			}
			if shape.key {
				header += vp8KeyHeader - vp8FrameTag
			}
			for i := header; i < size; i++ {
				b[i] ^= 1
				if _, got, ok := readVP8(b); ok {
					t.Fatalf("byte %d changed, and it reads as %+v", i, got)
				}
				b[i] ^= 1
			}
			for n := range b {
				if _, _, ok := readVP8(b[:n]); ok && n < header+stampSize {
					t.Fatalf("%d of %d bytes read as whole", n, size)
				}
			}
		}
	}
}

func TestOpusPayloads(t *testing.T) {
	s := stamp{source: 1, counter: 2, sent: time.Now().UnixNano()}
	b := make([]byte, audioPayload)
	putOpus(b, s)
	if got, ok := readOpus(b); !ok || got != s {
		t.Fatalf("%+v %v", got, ok)
	}
	b[40] ^= 1
	if _, ok := readOpus(b); ok {
		t.Fatal("a changed payload passes")
	}
	if _, ok := readOpus(b[:10]); ok {
		t.Fatal("a short payload passes")
	}
}

// The server sees in these payloads what it sees in real ones.
func TestPayloadsLookLikeVP8ToTheServer(t *testing.T) {
	b := make([]byte, 500)
	for _, shape := range []vp8Shape{{start: true, key: true, pictureID: 77, tl0: 9}, {start: true, pictureID: 78}, {pictureID: 78}} {
		putVP8(b, shape, stamp{})
		var d codec.Descriptor
		d, err := codec.Peek(param.VP8, b)
		if err != nil || d.KeyFrame != shape.key || d.FrameStart != shape.start || d.PictureID != shape.pictureID || d.TL0PicIdx != shape.tl0 {
			t.Errorf("%+v: %+v, %v", shape, d, err)
		}
	}
}

func FuzzReadPayload(f *testing.F) {
	b := make([]byte, 100)
	putVP8(b, vp8Shape{start: true, key: true}, stamp{source: 1})
	f.Add(b)
	f.Add([]byte{0x90, 0xff, 0xff})
	f.Add([]byte{0x10, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		readVP8(b)
		readOpus(b)
	})
}
