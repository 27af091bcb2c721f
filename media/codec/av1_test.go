package codec

import (
	"testing"

	"tsubame/media/param"
)

// AV1 payloads: the aggregation header (RTP Payload Format For AV1, section 4.4), then
// OBU elements.
var av1Payloads = []payloadCase{
	{"a sequence header and a key frame, as libwebrtc writes them: W=2, N", "28 0A 0A 0B 00 00 00 04 3C FF", Descriptor{
		KeyFrame: true, FrameStart: true, Size: 1}},
	{"the key frame goes on in the next packet: Y, W=2, N", "68 0A 0A 0B 00", Descriptor{
		KeyFrame: true, FrameStart: true, Size: 1}},
	{"W=0: each element has its length", "08 01 0A", Descriptor{KeyFrame: true, FrameStart: true, Size: 1}},
	{"the rest of a key frame: Z, W=1", "90 55", Descriptor{Size: 1}},
	{"from the middle: Z, Y, W=1", "D0 55", Descriptor{Size: 1}},
	{"a frame in one packet: W=1", "10 32", Descriptor{Size: 1}},
	{"the start of a frame: Y, W=1", "50 32", Descriptor{Size: 1}},
	{"reserved bits", "17 32", Descriptor{Size: 1}},
}

func TestAV1AggregationHeadersAreRead(t *testing.T) { checkPayloads(t, param.AV1, av1Payloads) }

// Row RTP-13.
func TestTruncatedAV1PayloadsAreRefused(t *testing.T) { checkTruncated(t, param.AV1, av1Payloads) }

// OBUs are encrypted under end-to-end encryption, the aggregation header is not.
func TestBytesBehindTheAV1AggregationHeaderAreNotLookedAt(t *testing.T) {
	checkTail(t, param.AV1, av1Payloads)
}

func TestAV1SequenceThatBeginsInTheMiddleOfAnElementIsRefused(t *testing.T) {
	checkMalformed(t, param.AV1, map[string]string{"Z and N": "98 0A", "Z, Y and N": "D8 0A"})
}
