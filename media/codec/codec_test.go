package codec

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"tsubame/media/param"
)

// unhex turns spaced hexadecimal into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// VP8 payloads: the descriptor, then the first byte of the frame. The fuzz target and
// the truncation test start from them.
var vp8Payloads = []struct {
	name, payload string
	want          Descriptor
}{
	{"RFC 7741 section 4.6.1: key frame in one packet, no extension", "10 00",
		Descriptor{KeyFrame: true, FrameStart: true, Size: 1}},
	{"first packet of a delta frame", "10 01", Descriptor{FrameStart: true, Size: 1}},
	{"start of a later partition is no frame start", "11 00", Descriptor{Size: 1}},
	{"start of partition 7", "17 00", Descriptor{Size: 1}},
	{"the reserved bit beside the partition index", "18 00", Descriptor{KeyFrame: true, FrameStart: true, Size: 1}},
	{"continuation: key frame bit is not there", "00 00", Descriptor{Size: 1}},
	{"non-reference frame", "30 01", Descriptor{FrameStart: true, NonReference: true, Size: 1}},
	{"extension without fields", "90 00 00", Descriptor{KeyFrame: true, FrameStart: true, Size: 2}},
	{"7-bit picture id", "90 80 11 00",
		Descriptor{KeyFrame: true, FrameStart: true, HasPictureID: true, PictureID: 17, Size: 3, PictureIDAt: 2}},
	{"15-bit picture id", "90 80 92 34 01",
		Descriptor{FrameStart: true, HasPictureID: true, LongPictureID: true, PictureID: 0x1234, Size: 4, PictureIDAt: 2}},
	{"largest picture ids", "80 80 FF FF 00",
		Descriptor{HasPictureID: true, LongPictureID: true, PictureID: 0x7fff, Size: 4, PictureIDAt: 2}},
	{"TL0PICIDX without picture id", "90 40 AB 00",
		Descriptor{KeyFrame: true, FrameStart: true, HasTL0PicIdx: true, TL0PicIdx: 0xAB, Size: 3, TL0PicIdxAt: 2}},
	{"TID and Y", "90 20 A0 01",
		Descriptor{FrameStart: true, HasTID: true, TID: 2, LayerSync: true, Size: 3}},
	{"TID byte with only KEYIDX valid", "90 10 FF 01",
		Descriptor{FrameStart: true, HasKeyIdx: true, KeyIdx: 31, Size: 3}},
	{"as a browser sends: I, L, T, K with 15 bits", "90 F0 80 05 07 45 00",
		Descriptor{KeyFrame: true, FrameStart: true, HasPictureID: true, LongPictureID: true, PictureID: 5,
			HasTL0PicIdx: true, TL0PicIdx: 7, HasTID: true, TID: 1, HasKeyIdx: true, KeyIdx: 5,
			Size: 6, PictureIDAt: 2, TL0PicIdxAt: 4}},
	{"the same with 7 bits", "80 F0 05 07 C0 00",
		Descriptor{HasPictureID: true, PictureID: 5, HasTL0PicIdx: true, TL0PicIdx: 7, HasTID: true, TID: 3,
			HasKeyIdx: true, Size: 5, PictureIDAt: 2, TL0PicIdxAt: 3}},
}

func TestVP8DescriptorsAreRead(t *testing.T) {
	for _, c := range vp8Payloads {
		got, err := Peek(param.VP8, unhex(t, c.payload))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, want %+v, %v", c.name, got, c.want, err)
		}
	}
}

// Row RTP-02.
func TestTruncatedVP8DescriptorsAreRefused(t *testing.T) {
	for _, c := range vp8Payloads {
		b := unhex(t, c.payload)
		for n := range b {
			if got, err := Peek(param.VP8, b[:n:n]); !errors.Is(err, ErrShort) || got != (Descriptor{}) {
				t.Errorf("%s cut to %d: %+v, %v", c.name, n, got, err)
			}
		}
	}
}

func TestBytesBehindTheVP8HeaderAreNotLookedAt(t *testing.T) {
	for _, c := range vp8Payloads {
		b := append(unhex(t, c.payload), 0xff, 0xff, 0xff)
		if got, err := Peek(param.VP8, b); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestTOCIsRead(t *testing.T) {
	// RFC 6716 table 2, in microseconds.
	durations := [32]int{
		10000, 20000, 40000, 60000, // SILK, narrowband
		10000, 20000, 40000, 60000, // medium band
		10000, 20000, 40000, 60000, // wideband
		10000, 20000, // hybrid, super-wideband
		10000, 20000, // fullband
		2500, 5000, 10000, 20000, // CELT, narrowband
		2500, 5000, 10000, 20000, // wideband
		2500, 5000, 10000, 20000, // super-wideband
		2500, 5000, 10000, 20000, // fullband
	}
	for b := range 256 {
		want := TOC{Config: uint8(b >> 3), Stereo: b>>2&1 == 1, Code: uint8(b & 3),
			FrameDuration: time.Duration(durations[b>>3]) * time.Microsecond}
		if got := ParseTOC(uint8(b)); got != want {
			t.Errorf("%#02x: %+v, want %+v", b, got, want)
		}
	}
}

func TestOpusWithoutSoundIsDTX(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		want          Descriptor
	}{
		{"empty", "", Descriptor{FrameStart: true, DTX: true}},
		{"TOC byte only", "78", Descriptor{FrameStart: true, DTX: true, Size: 1}},
		{"two bytes", "78 00", Descriptor{FrameStart: true, Size: 1}},
		{"a frame", "FC 01 02 03 04", Descriptor{FrameStart: true, Size: 1}},
	} {
		if got, err := Peek(param.Opus, unhex(t, c.payload)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestUnknownCodecsHaveNoDescriptor(t *testing.T) {
	for _, c := range []param.Codec{0, param.H265 + 1, 200} {
		for _, payload := range []string{"", "10 00", "90 F0 80 05 07 45 00"} {
			if got, err := Peek(c, unhex(t, payload)); err != nil || got != (Descriptor{}) {
				t.Errorf("codec %d: %+v, %v", c, got, err)
			}
		}
	}
}

func TestPeekDoesNotAllocate(t *testing.T) {
	video := unhex(t, "90 F0 80 05 07 45 00 01 02 03")
	audio := unhex(t, "FC 01 02 03")
	frames := 0
	n := testing.AllocsPerRun(100, func() {
		v, err := Peek(param.VP8, video)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Peek(param.Opus, audio)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Peek(param.VP8, video[:3]); err == nil {
			t.Fatal("a truncated descriptor")
		}
		if v.KeyFrame && a.FrameStart && ParseTOC(audio[0]).Stereo {
			frames++
		}
	})
	if n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if frames == 0 {
		t.Error("nothing was done")
	}
}

func BenchmarkPeekVP8(b *testing.B) {
	payload := append(unhex(b, "90 F0 80 05 07 45 00"), make([]byte, 1000)...)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := Peek(param.VP8, payload); err != nil || !d.KeyFrame {
			b.Fatal(d, err)
		}
	}
}

func BenchmarkPeekOpus(b *testing.B) {
	payload := make([]byte, 90)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := Peek(param.Opus, payload); err != nil || d.DTX {
			b.Fatal(d, err)
		}
	}
}
