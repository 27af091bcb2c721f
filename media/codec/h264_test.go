package codec

import (
	"errors"
	"testing"

	"tsubame/media/param"
)

var h264Start = Descriptor{KeyFrame: true, FrameStart: true, Size: 1}

// H.264 payloads (RFC 6184 sections 5.6 to 5.8). The parameter sets are those that libwebrtc
// writes with OpenH264, constrained baseline.
var h264Payloads = []payloadCase{
	{"SPS by itself", "67 42 C0 1F 8C 8D 40", h264Start},
	{"PPS by itself", "68 CE 3C 80", Descriptor{Size: 1}},
	{"IDR by itself: no start, its parameter sets came before or never", "65 88 84", Descriptor{Size: 1}},
	{"slice", "41 9A 24", Descriptor{Size: 1}},
	{"slice nobody refers to", "01 9A 24", Descriptor{Size: 1}},
	{"access unit delimiter", "09 F0", Descriptor{Size: 1}},
	{"SEI", "06 05 11", Descriptor{Size: 1}},
	{"SPS with the forbidden bit", "E7 42 C0", h264Start},
	{"FU-A, first of an IDR", "7C 85 88 84", Descriptor{Size: 2}},
	{"FU-A, in the middle", "7C 05 88 84", Descriptor{Size: 2}},
	{"FU-A, last", "7C 45 88 84", Descriptor{Size: 2}},
	{"FU-A, first of an SPS", "7C 87 42 C0", Descriptor{KeyFrame: true, FrameStart: true, Size: 2}},
	{"FU-A, the rest of an SPS", "7C 47 42 C0", Descriptor{Size: 2}},
	{"FU-B, first of an SPS", "7D 87 00 01 42", Descriptor{KeyFrame: true, FrameStart: true, Size: 4}},
	{"FU-B, first of a slice", "7D 81 00 01 9A", Descriptor{Size: 4}},
	{"a type that is not assigned", "7E 67 67", Descriptor{Size: 1}},
}

// Aggregates are read to their end, so that they are truncated at every byte.
var h264Aggregates = []payloadCase{
	{"STAP-A: SPS, PPS, as libwebrtc sends them", "78 00 07 67 42 C0 1F 8C 8D 40 00 04 68 CE 3C 80", h264Start},
	{"STAP-A: SPS, PPS, IDR", "78 00 04 67 42 C0 1F 00 04 68 CE 3C 80 00 03 65 88 84", h264Start},
	{"STAP-A: AUD, SEI, SPS, PPS", "78 00 02 09 F0 00 02 06 05 00 02 67 42 00 02 68 CE", h264Start},
	{"STAP-A: PPS, IDR", "78 00 04 68 CE 3C 80 00 03 65 88 84", Descriptor{Size: 1}},
	{"STAP-A: two slices", "58 00 03 41 9A 24 00 03 41 9A 25", Descriptor{Size: 1}},
	{"STAP-A: parameter sets with a picture that is no IDR", "78 00 02 67 42 00 02 68 CE 00 02 41 9A", Descriptor{Size: 1}},
	{"STAP-A of one", "78 00 01 67", h264Start},
	{"STAP-B: SPS, PPS", "79 00 01 00 02 67 42 00 02 68 CE", Descriptor{KeyFrame: true, FrameStart: true, Size: 3}},
	{"MTAP16: SPS, IDR", "7A 00 01 00 02 00 00 00 67 42 00 02 01 0B B8 65 88", Descriptor{KeyFrame: true, FrameStart: true, Size: 3}},
	{"MTAP24: slice", "7B 00 01 00 02 00 00 00 00 41 9A", Descriptor{Size: 3}},
}

func TestH264PayloadsAreRead(t *testing.T) {
	checkPayloads(t, param.H264, h264Payloads)
	checkPayloads(t, param.H264, h264Aggregates)
}

// Row RTP-13.
func TestTruncatedH264PayloadsAreRefused(t *testing.T) {
	checkTruncated(t, param.H264, h264Payloads)
	checkTruncated(t, param.H264, h264Aggregates)
}

// A cut between two units leaves an aggregate of fewer, anywhere else nothing.
// Row RTP-13.
func TestH264AggregatesCutInsideAUnitAreRefused(t *testing.T) {
	b := unhex(t, "78 00 04 67 42 C0 1F 00 04 68 CE 3C 80 00 03 65 88 84")
	whole := map[int]bool{7: true, 13: true, 18: true}
	for n := range len(b) + 1 {
		got, err := Peek(param.H264, b[:n:n])
		if whole[n] && (err != nil || got != h264Start) {
			t.Errorf("cut to %d: %+v, %v", n, got, err)
		}
		if !whole[n] && (!errors.Is(err, ErrShort) || got != (Descriptor{})) {
			t.Errorf("cut to %d: %+v, %v", n, got, err)
		}
	}
}

// Slices are encrypted under end-to-end encryption; NAL unit headers are not.
func TestBytesBehindTheH264HeaderAreNotLookedAt(t *testing.T) {
	checkTail(t, param.H264, h264Payloads)
}

func TestMalformedH264AggregatesAreRefused(t *testing.T) {
	checkMalformed(t, param.H264, map[string]string{
		"an empty unit":                  "78 00 00 67 42",
		"an empty unit behind the SPS":   "78 00 02 67 42 00 00",
		"an aggregate in an aggregate":   "78 00 04 78 00 01 67",
		"a fragment in an aggregate":     "78 00 03 7C 87 42",
		"an empty unit in an MTAP16":     "7A 00 01 00 00 00 00 00",
		"STAP-B in STAP-B":               "79 00 01 00 03 79 00 01",
		"an unassigned type (31) inside": "78 00 02 1F 00",
	})
}
