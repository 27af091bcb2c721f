package codec

import (
	"bytes"
	"testing"

	"tsubame/media/param"
)

// FuzzVP8 reads arbitrary payloads and checks that the descriptor is consistent with
// the bytes that it names.
func FuzzVP8(f *testing.F) {
	for _, c := range vp8Payloads {
		f.Add(unhex(f, c.payload))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		d, err := Peek(param.VP8, b)
		if !bytes.Equal(b, before) {
			t.Fatal("peeking wrote to the payload")
		}
		if err != nil {
			if d != (Descriptor{}) || len(b) > 6 {
				t.Fatalf("%+v of %d bytes: %v", d, len(b), err)
			}
			return
		}
		if d.Size == 0 || int(d.Size) >= len(b) || d.Size > 6 {
			t.Fatalf("descriptor of %d in %d bytes", d.Size, len(b))
		}
		if d.KeyFrame && !d.FrameStart {
			t.Fatal("key frame that does not start")
		}
		checkPictureID(t, d, b)
		if d.HasTL0PicIdx != (d.TL0PicIdxAt != 0) || (d.HasTL0PicIdx && b[d.TL0PicIdxAt] != d.TL0PicIdx) {
			t.Fatalf("%+v", d)
		}
		if d.TL0PicIdxAt >= d.Size || d.PictureIDAt >= d.Size || d.TID > 3 || d.KeyIdx > 31 {
			t.Fatalf("%+v", d)
		}
		// The descriptor alone decides, but for the key frame bit.
		cut, err := Peek(param.VP8, b[:d.Size+1])
		if err != nil || cut != d {
			t.Fatalf("%+v, of the descriptor alone %+v, %v", d, cut, err)
		}
	})
}

func checkPictureID(t *testing.T, d Descriptor, b []byte) {
	if !d.HasPictureID {
		if d.PictureIDAt != 0 || d.PictureID != 0 || d.LongPictureID {
			t.Fatalf("%+v", d)
		}
		return
	}
	at := b[d.PictureIDAt:]
	if d.LongPictureID {
		if got := uint16(at[0]&0x7f)<<8 | uint16(at[1]); got != d.PictureID || at[0]&0x80 == 0 {
			t.Fatalf("%+v", d)
		}
	} else if uint16(at[0]) != d.PictureID || d.PictureID > 127 {
		t.Fatalf("%+v", d)
	}
}

// FuzzOpus reads arbitrary payloads: none is refused.
func FuzzOpus(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x78})
	f.Add([]byte{0xFC, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Peek(param.Opus, b)
		if err != nil || !d.FrameStart || d.KeyFrame || d.DTX != (len(b) < 2) || int(d.Size) > len(b) {
			t.Fatalf("%+v, %v", d, err)
		}
		if len(b) == 0 {
			return
		}
		toc := ParseTOC(b[0])
		if toc.Config > 31 || toc.Code > 3 || toc.FrameDuration <= 0 {
			t.Fatalf("%+v", toc)
		}
		if back := toc.Config<<3 | toc.Code; back != b[0]&^0x04 {
			t.Fatalf("%#02x became %#02x", b[0], back)
		}
	})
}
