package bot

import (
	"testing"
	"time"

	"tsubame/bench/source/shape"
	"tsubame/media/codec"
	"tsubame/media/param"
)

func TestPayloadsAreVerifiedToTheLastBit(t *testing.T) {
	s := stamp{source: 1, counter: 2, sent: 3}
	for _, size := range []int{minVP8Payload, minVP8Payload + 1, minVP8Payload + 7, 1100} {
		for _, want := range []shape.Video{{Start: true, Key: true, PictureID: 5, TL0: 6}, {Start: true, PictureID: 0x7fff}, {}} {
			b := make([]byte, size)
			putVideo(param.VP8, b, videoShape{want}, s)
			v, got, ok := readVideo(param.VP8, b)
			if !ok || got != s || v.Video != want {
				t.Fatalf("%d bytes: %+v %+v %v", size, v, got, ok)
			}
			header := shape.VP8Descriptor
			if want.Start {
				header += shape.VP8FrameTag
			}
			if want.Key {
				header += shape.VP8KeyHeader - shape.VP8FrameTag
			}
			for i := header; i < size; i++ {
				b[i] ^= 1
				if _, got, ok := readVideo(param.VP8, b); ok {
					t.Fatalf("byte %d changed, and it reads as %+v", i, got)
				}
				b[i] ^= 1
			}
			for n := range b {
				if _, _, ok := readVideo(param.VP8, b[:n]); ok && n < header+stampSize {
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

// frames returns the shapes of a key frame's packets and of another frame's, with as many
// packets as given.
func frames(packets int) (out []videoShape) {
	for _, key := range []bool{true, false} {
		for i := range packets {
			out = append(out, videoShape{shape.Video{
				Start: i == 0, Second: i == 1, End: i == packets-1, Key: key, PictureID: 0x1234, TL0: 9,
			}})
		}
	}
	return out
}

func TestPayloadsOfEveryVideoCodecAreVerified(t *testing.T) {
	s := stamp{source: 1, counter: 2, sent: 3}
	for _, c := range videoCodecs {
		for _, packets := range []int{1, 2, 3, 4} {
			for _, want := range frames(packets) {
				for _, size := range []int{minVideoPayload, 1100} {
					b := make([]byte, size)
					putVideo(c, b, want, s)
					v, got, ok := readVideo(c, b)
					if !ok || got != s || v.Start != want.Start || v.Start && v.Key != want.Key {
						t.Fatalf("%v %+v: %+v %+v %v", c, want, v, got, ok)
					}
					if c != param.VP8 && v.End != want.End {
						t.Errorf("%v %+v: %+v", c, want, v)
					}
					b[size-1] ^= 1
					if _, _, ok := readVideo(c, b); ok {
						t.Errorf("%v: a changed payload passes", c)
					}
					b[size-1] ^= 1
					for n := range stampSize {
						if _, _, ok := readVideo(c, b[:n]); ok {
							t.Errorf("%v: %d bytes pass", c, n)
						}
					}
				}
			}
		}
	}
	if _, _, ok := readVideo(param.Opus, make([]byte, 100)); ok {
		t.Error("audio passes for video")
	}
}

func TestPayloadsOfOneCodecAreNoneOfAnother(t *testing.T) {
	for _, c := range videoCodecs {
		for _, other := range videoCodecs {
			for _, want := range frames(3) {
				b := make([]byte, 500)
				putVideo(c, b, want, stamp{source: 1})
				if _, _, ok := readVideo(other, b); ok != (c == other) {
					t.Errorf("%v %+v read as %v: %v", c, want, other, ok)
				}
			}
		}
	}
}

// The server sees in these payloads what it sees in real ones.
func TestPayloadsLookLikeTheirCodecToTheServer(t *testing.T) {
	for _, c := range videoCodecs {
		for _, packets := range []int{1, 2, 3, 4} {
			for _, want := range frames(packets) {
				b := make([]byte, 500)
				putVideo(c, b, want, stamp{})
				d, err := codec.Peek(c, b)
				if err != nil || d.KeyFrame != (want.Key && want.Start) {
					t.Errorf("%v %+v: %+v, %v", c, want, d, err)
				}
				if (c == param.VP8 || c == param.VP9) && (d.FrameStart != want.Start || d.PictureID != 0x1234 || d.TL0PicIdx != 9) {
					t.Errorf("%v %+v: %+v, %v", c, want, d, err)
				}
			}
		}
	}
}

func FuzzReadPayload(f *testing.F) {
	for _, c := range videoCodecs {
		for _, want := range frames(3) {
			b := make([]byte, 100)
			putVideo(c, b, want, stamp{source: 1})
			f.Add(b)
		}
	}
	f.Add([]byte{0x90, 0xff, 0xff})
	f.Add([]byte{0x10, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range videoCodecs {
			readVideo(c, b)
		}
		readOpus(b)
	})
}
