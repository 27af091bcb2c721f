package codec

import (
	"errors"
	"testing"

	"tsubame/media/param"
)

// payloadCase is a payload, the least of it that can be read, and what it says.
type payloadCase struct {
	name, payload string
	want          Descriptor
}

// checkPayloads holds that each payload is read as wanted.
func checkPayloads(t *testing.T, c param.Codec, cases []payloadCase) {
	t.Helper()
	for _, k := range cases {
		got, err := Peek(c, unhex(t, k.payload))
		if err != nil || got != k.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", k.name, got, err, k.want)
		}
	}
}

// checkTruncated holds that each payload is refused when it ends inside its descriptor, or
// with it.
func checkTruncated(t *testing.T, c param.Codec, cases []payloadCase) {
	t.Helper()
	for _, k := range cases {
		b := unhex(t, k.payload)
		for n := range int(k.want.Size) + 1 {
			if got, err := Peek(c, b[:n:n]); !errors.Is(err, ErrShort) || got != (Descriptor{}) {
				t.Errorf("%s cut to %d: %+v, %v", k.name, n, got, err)
			}
		}
	}
}

// checkTail holds that nothing behind the descriptor is looked at.
func checkTail(t *testing.T, c param.Codec, cases []payloadCase) {
	t.Helper()
	for _, k := range cases {
		for _, fill := range []byte{0x00, 0xff} {
			b := unhex(t, k.payload)
			for i := int(k.want.Size); i < len(b); i++ {
				b[i] = fill
			}
			if got, err := Peek(c, append(b, fill, fill, fill)); err != nil || got != k.want {
				t.Errorf("%s before %#02x: %+v, %v", k.name, fill, got, err)
			}
		}
	}
}

// checkMalformed holds that each payload is refused as such.
func checkMalformed(t *testing.T, c param.Codec, payloads map[string]string) {
	t.Helper()
	for name, payload := range payloads {
		if got, err := Peek(c, unhex(t, payload)); !errors.Is(err, ErrMalformed) || got != (Descriptor{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// everyVideo has one payload of each codec that begins a key frame, in the clear or not.
var everyVideo = []struct {
	codec   param.Codec
	payload string
}{
	{param.VP8, "90 F0 80 05 07 45 00 01 02 03"},
	{param.VP9, "AA 92 34 00 07 38 01 40 00 B4 02 80 01 68 02 04 01 34 02 01 82"},
	{param.AV1, "28 0A 0A 0B 00 00 00 04 3C FF"},
	{param.H264, "78 00 04 67 42 C0 1F 00 04 68 CE 3C 80 00 03 65 88 84"},
	{param.H265, "60 01 00 04 40 01 0C 01 00 04 42 01 01 01 00 03 44 01 C1 00 04 26 01 AF 15"},
}

func TestPeekAllocatesNothingForAnyVideoCodec(t *testing.T) {
	for _, c := range everyVideo {
		payload := unhex(t, c.payload)
		keys := 0
		n := testing.AllocsPerRun(100, func() {
			if d, err := Peek(c.codec, payload); err == nil && d.KeyFrame && d.FrameStart {
				keys++
			}
			if _, err := Peek(c.codec, payload[:1]); err == nil {
				t.Fatal("one byte is no payload")
			}
		})
		if n != 0 && !raceEnabled {
			t.Errorf("%v: %v allocations", c.codec, n)
		}
		if keys == 0 {
			t.Errorf("%v: no key frame", c.codec)
		}
	}
}

func BenchmarkPeekVideo(b *testing.B) {
	for _, c := range everyVideo {
		b.Run(c.codec.String(), func(b *testing.B) {
			payload := unhex(b, c.payload)
			b.ReportAllocs()
			for b.Loop() {
				if d, err := Peek(c.codec, payload); err != nil || !d.KeyFrame {
					b.Fatal(d, err)
				}
			}
		})
	}
}
