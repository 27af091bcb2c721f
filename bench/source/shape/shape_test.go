package shape

import (
	"testing"

	"tsubame/media/codec"
	"tsubame/media/param"
)

func TestCodecsReadTheShapes(t *testing.T) {
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		for _, packets := range []int{1, 2, 3} {
			for i := range 2 * packets {
				v := Video{Start: i%packets == 0, Second: i%packets == 1, End: i%packets == packets-1, Key: i < packets, PictureID: 0x1234, TL0: 9}
				b := make([]byte, 200)
				n := Put(c, b, v)
				d, err := codec.Peek(c, b)
				if err != nil || d.KeyFrame != (v.Start && v.Key) || n < 1 || n > Max {
					t.Fatalf("%v %+v: %d bytes, %+v, %v", c, v, n, d, err)
				}
				switch c {
				case param.VP9:
					if d.LayerEnd != v.End {
						t.Errorf("VP9 %+v: %+v", v, d)
					}
					fallthrough
				case param.VP8:
					if d.FrameStart != v.Start || d.PictureID != v.PictureID || d.TL0PicIdx != v.TL0 {
						t.Errorf("%v %+v: %+v", c, v, d)
					}
				}
			}
		}
	}
}

func TestSoundHasNoVideoShape(t *testing.T) {
	if n := Put(param.Opus, make([]byte, Max), Video{Start: true}); n != 0 {
		t.Fatal(n)
	}
}

func TestHeadsAreTheLongestForKeyFrames(t *testing.T) {
	for c, want := range map[param.Codec]int{param.VP8: 16, param.VP9: 14, param.AV1: 14, param.H264: 20, param.H265: 35} {
		if n := Put(c, make([]byte, 200), Video{Start: true, Key: true}); n != want {
			t.Errorf("%v: %d bytes, want %d", c, n, want)
		}
	}
}

// The room for a head is enough, to the byte: nothing is written behind it.
func TestNothingIsWrittenBehindTheHead(t *testing.T) {
	for _, c := range []param.Codec{param.VP8, param.VP9, param.AV1, param.H264, param.H265} {
		for _, v := range []Video{{Start: true, Key: true}, {Start: true, Key: true, End: true}, {Second: true, Key: true}, {Start: true}, {End: true}, {}} {
			b := make([]byte, Max)
			for i := range b {
				b[i] = 0xaa
			}
			n := Put(c, b, v)
			for i := n; i < len(b); i++ {
				if b[i] != 0xaa {
					t.Fatalf("%v %+v: byte %d behind a head of %d is written", c, v, i, n)
				}
			}
		}
	}
}
