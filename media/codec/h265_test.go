package codec

import (
	"errors"
	"testing"

	"tsubame/media/param"
)

func h265(size uint16, key bool) Descriptor {
	return Descriptor{KeyFrame: key, FrameStart: key, HasTID: true, Size: size}
}

// H.265 payloads (RFC 7798 section 4.4).
var h265Payloads = []payloadCase{
	{"VPS by itself", "40 01 0C 01 FF FF", h265(2, true)},
	{"SPS by itself", "42 01 01 01 60", h265(2, true)},
	{"PPS by itself", "44 01 C1 72", h265(2, false)},
	{"IDR_W_RADL by itself: its parameter sets came before", "26 01 AF 15", h265(2, false)},
	{"CRA", "2A 01 AF 15", h265(2, false)},
	{"TRAIL_R", "02 01 D0 10", h265(2, false)},
	{"TRAIL_N of temporal layer 2", "00 03 D0 10", Descriptor{HasTID: true, TID: 2, Size: 2}},
	{"access unit delimiter", "46 01 50", h265(2, false)},
	{"a temporal id that is forbidden", "02 00 D0", Descriptor{Size: 2}},
	{"FU, first of an IDR", "62 01 93 AF", h265(3, false)},
	{"FU, last", "62 01 53 AF", h265(3, false)},
	{"FU, first of a VPS", "62 01 A0 0C", h265(3, true)},
	{"FU, first of an SPS", "62 01 A1 01", h265(3, true)},
	{"FU, the rest of an SPS", "62 01 61 01", h265(3, false)},
	{"PACI is not looked into", "64 01 42 00 01", h265(2, false)},
}

var h265Aggregates = []payloadCase{
	{"AP: VPS, SPS, PPS, as libwebrtc sends them", "60 01 00 04 40 01 0C 01 00 04 42 01 01 01 00 03 44 01 C1", h265(2, true)},
	{"AP: VPS, SPS, PPS, IDR", "60 01 00 03 40 01 0C 00 03 42 01 01 00 03 44 01 C1 00 04 26 01 AF 15", h265(2, true)},
	{"AP: SPS, PPS, CRA", "60 01 00 03 42 01 01 00 03 44 01 C1 00 03 2A 01 AF", h265(2, true)},
	{"AP: two slices", "60 01 00 03 02 01 D0 00 03 02 01 D1", h265(2, false)},
	{"AP: PPS, IDR", "60 01 00 03 44 01 C1 00 03 26 01 AF", h265(2, false)},
	{"AP: parameter sets with a picture that is no start", "60 01 00 03 40 01 0C 00 03 42 01 01 00 03 02 01 D0", h265(2, false)},
}

func TestH265PayloadsAreRead(t *testing.T) {
	checkPayloads(t, param.H265, h265Payloads)
	checkPayloads(t, param.H265, h265Aggregates)
}

// Row RTP-13.
func TestTruncatedH265PayloadsAreRefused(t *testing.T) {
	checkTruncated(t, param.H265, h265Payloads)
	checkTruncated(t, param.H265, h265Aggregates)
}

// Row RTP-13.
func TestH265AggregatesCutInsideAUnitAreRefused(t *testing.T) {
	b := unhex(t, "60 01 00 04 40 01 0C 01 00 04 42 01 01 01 00 03 44 01 C1")
	whole := map[int]bool{8: true, 14: true, 19: true}
	for n := range len(b) + 1 {
		got, err := Peek(param.H265, b[:n:n])
		if whole[n] && (err != nil || got != h265(2, true)) {
			t.Errorf("cut to %d: %+v, %v", n, got, err)
		}
		if !whole[n] && (!errors.Is(err, ErrShort) || got != (Descriptor{})) {
			t.Errorf("cut to %d: %+v, %v", n, got, err)
		}
	}
}

func TestBytesBehindTheH265HeaderAreNotLookedAt(t *testing.T) {
	checkTail(t, param.H265, h265Payloads)
}

func TestMalformedH265AggregatesAreRefused(t *testing.T) {
	checkMalformed(t, param.H265, map[string]string{
		"a unit without a whole header":      "60 01 00 01 40",
		"an empty unit":                      "60 01 00 00 40 01",
		"an empty unit behind the VPS":       "60 01 00 03 40 01 0C 00 00",
		"an aggregate in an aggregate":       "60 01 00 04 60 01 00 02",
		"a fragment in an aggregate":         "60 01 00 04 62 01 A0 0C",
		"PACI in an aggregate, behind a VPS": "60 01 00 02 40 01 00 02 64 01",
	})
}
