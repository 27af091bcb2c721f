package codec

import (
	"strings"
	"testing"

	"tsubame/media/param"
)

// VP9 payloads: the descriptor (RFC 9628 section 4.2), then a byte of the frame.
var vp9Payloads = []payloadCase{
	{"nothing but a frame in one packet", "0C 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true, LayerEnd: true, Size: 1}},
	{"the start of a frame that refers to others", "48 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true, Size: 1}},
	{"a packet from the middle of a key frame", "00 86", Descriptor{Size: 1}},
	{"the end of a frame", "44 00", Descriptor{LayerEnd: true, InterPicture: true, Size: 1}},
	{"Z says nothing of later pictures", "49 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true, Size: 1}},
	{"7-bit picture id", "88 11 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true,
		HasPictureID: true, PictureID: 17, PictureIDAt: 1, Size: 2}},
	{"15-bit picture id", "C8 92 34 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1, Size: 3}},
	{"largest picture id", "80 FF FF 00", Descriptor{
		HasPictureID: true, LongPictureID: true, PictureID: 0x7fff, PictureIDAt: 1, Size: 3}},
	{"not flexible: layer indices and TL0PICIDX", "E8 92 34 50 AB 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1,
		HasTID: true, TID: 2, SwitchUp: true, HasSID: true,
		HasTL0PicIdx: true, TL0PicIdx: 0xAB, TL0PicIdxAt: 4, Size: 5}},
	{"layer indices without picture id", "28 00 07 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true, HasTID: true, HasSID: true,
		HasTL0PicIdx: true, TL0PicIdx: 7, TL0PicIdxAt: 2, Size: 3}},
	{"a key picture's second spatial layer is no start", "A8 92 34 03 07 82", Descriptor{
		LayerStart: true, InterLayer: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1,
		HasTID: true, HasSID: true, SID: 1,
		HasTL0PicIdx: true, TL0PicIdx: 7, TL0PicIdxAt: 4, Size: 5}},
	{"the lowest spatial layer sent is not always 0", "A8 92 34 04 07 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1,
		HasTID: true, HasSID: true, SID: 2,
		HasTL0PicIdx: true, TL0PicIdx: 7, TL0PicIdxAt: 4, Size: 5}},
	{"flexible, a key frame: no reference, no TL0PICIDX", "B8 92 34 00 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1,
		HasTID: true, HasSID: true, Size: 4}},
	{"flexible, one reference", "D8 92 34 02 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true,
		HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1, Size: 4}},
	{"flexible, three references", "F8 11 20 03 05 06 86", Descriptor{
		FrameStart: true, LayerStart: true, InterPicture: true,
		HasPictureID: true, PictureID: 17, PictureIDAt: 1, HasTID: true, TID: 1, HasSID: true, Size: 6}},
	{"as libwebrtc begins: structure of one layer without pictures", "8A 80 05 10 01 40 00 B4 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true,
		HasPictureID: true, LongPictureID: true, PictureID: 5, PictureIDAt: 1, SpatialLayers: 1, Size: 8}},
	{"structure of two layers and a group of two pictures",
		"AA 92 34 00 07 38 01 40 00 B4 02 80 01 68 02 04 01 34 02 01 82", Descriptor{
			KeyFrame: true, FrameStart: true, LayerStart: true,
			HasPictureID: true, LongPictureID: true, PictureID: 0x1234, PictureIDAt: 1,
			HasTID: true, HasSID: true, HasTL0PicIdx: true, TL0PicIdx: 7, TL0PicIdxAt: 4,
			SpatialLayers: 2, Size: 19}},
	{"structure with nothing in it", "0A E0 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true, SpatialLayers: 8, Size: 2}},
	{"structure with a group of no pictures", "0A 08 00 82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true, SpatialLayers: 1, Size: 3}},
	{"the longest structure", "0A F8" + strings.Repeat("00", 32) + "FF" + strings.Repeat("0C 01 02 03", 255) + "82", Descriptor{
		KeyFrame: true, FrameStart: true, LayerStart: true, SpatialLayers: 8, Size: 2 + 32 + 1 + 4*255}},
}

func TestVP9DescriptorsAreRead(t *testing.T) { checkPayloads(t, param.VP9, vp9Payloads) }

// Row RTP-13.
func TestTruncatedVP9DescriptorsAreRefused(t *testing.T) { checkTruncated(t, param.VP9, vp9Payloads) }

func TestBytesBehindTheVP9DescriptorAreNotLookedAt(t *testing.T) {
	checkTail(t, param.VP9, vp9Payloads)
}

func TestMalformedVP9DescriptorsAreRefused(t *testing.T) {
	checkMalformed(t, param.VP9, map[string]string{
		"flexible without picture id":                 "18 82",
		"references that depend on no picture id":     "58 02 86",
		"a fourth reference":                          "D8 92 34 03 05 07 08 86",
		"a fourth reference, and the payload is over": "D8 11 03 05 07",
	})
}
