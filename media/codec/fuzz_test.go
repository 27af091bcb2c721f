package codec

import (
	"bytes"
	"slices"
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
		if uint16(d.TL0PicIdxAt) >= d.Size || uint16(d.PictureIDAt) >= d.Size || d.TID > 3 || d.KeyIdx > 31 {
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

// fuzzVideo reads arbitrary payloads of a codec and checks what holds for all of them.
func fuzzVideo(f *testing.F, c param.Codec, check func(*testing.T, []byte, Descriptor), seeds ...[]payloadCase) {
	for _, list := range seeds {
		for _, k := range list {
			f.Add(unhex(f, k.payload))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		d, err := Peek(c, b)
		if !bytes.Equal(b, before) {
			t.Fatal("peeking wrote to the payload")
		}
		if err != nil {
			if d != (Descriptor{}) {
				t.Fatalf("%+v with %v", d, err)
			}
			return
		}
		if d.Size == 0 || int(d.Size) >= len(b) {
			t.Fatalf("descriptor of %d in %d bytes", d.Size, len(b))
		}
		if d.KeyFrame && !d.FrameStart {
			t.Fatal("key frame that does not start")
		}
		check(t, b, d)
	})
}

// FuzzVP9 checks the descriptor against the bytes that it names, and that it alone decides.
func FuzzVP9(f *testing.F) {
	fuzzVideo(f, param.VP9, func(t *testing.T, b []byte, d Descriptor) {
		checkPictureID(t, d, b)
		if d.HasTL0PicIdx != (d.TL0PicIdxAt != 0) || (d.HasTL0PicIdx && b[d.TL0PicIdxAt] != d.TL0PicIdx) {
			t.Fatalf("%+v", d)
		}
		if d.TID > 7 || d.SID > 7 || d.SpatialLayers > 8 || d.HasTID != d.HasSID || d.Size > 1100 {
			t.Fatalf("%+v", d)
		}
		if d.KeyFrame && (d.InterPicture || d.InterLayer || !d.LayerStart) {
			t.Fatalf("%+v", d)
		}
		if cut, err := Peek(param.VP9, b[:d.Size+1]); err != nil || cut != d {
			t.Fatalf("%+v, of the descriptor alone %+v, %v", d, cut, err)
		}
	}, vp9Payloads)
}

// FuzzAV1 checks that the first byte alone decides.
func FuzzAV1(f *testing.F) {
	fuzzVideo(f, param.AV1, func(t *testing.T, b []byte, d Descriptor) {
		if key := b[0]&0x88 == 0x08; d != (Descriptor{KeyFrame: key, FrameStart: key, Size: 1}) {
			t.Fatalf("%+v of %#02x", d, b[0])
		}
	}, av1Payloads)
}

// FuzzH264 checks that a key frame has an SPS where a slow reading finds it.
func FuzzH264(f *testing.F) {
	fuzzVideo(f, param.H264, func(t *testing.T, b []byte, d Descriptor) {
		has := slices.ContainsFunc(b, func(v byte) bool { return v&0x1f == 7 })
		if d.KeyFrame && !has || d.KeyFrame != d.FrameStart || d.HasTID || d.HasPictureID {
			t.Fatalf("%+v", d)
		}
	}, h264Payloads, h264Aggregates)
}

// FuzzH265 does the same with VPS and SPS.
func FuzzH265(f *testing.F) {
	fuzzVideo(f, param.H265, func(t *testing.T, b []byte, d Descriptor) {
		has := slices.ContainsFunc(b, func(v byte) bool {
			return v>>1&0x3f == 32 || v>>1&0x3f == 33 || v&0x3f == 32 || v&0x3f == 33
		})
		if d.KeyFrame && !has || d.KeyFrame != d.FrameStart || d.TID > 6 || d.HasPictureID {
			t.Fatalf("%+v", d)
		}
	}, h265Payloads, h265Aggregates)
}
