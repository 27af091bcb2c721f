package offer

import (
	"cmp"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// encoding is how a codec appears in SDP (the encoding name of RFC 8866 section 6.6).
type encoding struct {
	codec    param.Codec
	kind     param.Kind
	name     string // of the rtpmap
	clock    uint32
	channels int
	// mandatory: every browser has it (RFC 7874 section 3, RFC 7742 section 5). H.264 is meant
	// to be as well, but not all builds of the open-source browsers have it.
	mandatory bool
	usual     string // the format parameters of its usual form
	pt        uint8  // of the usual form, on every connection
	rtx       uint8  // payload type of the retransmissions; 0: none
}

var encodings = []encoding{
	{codec: param.Opus, kind: param.Audio, name: "opus", clock: 48000, channels: 2, mandatory: true, pt: opusType, usual: new(OwnAudio).fmtp()},
	{codec: param.VP8, kind: param.Video, name: "VP8", clock: 90000, mandatory: true, pt: 96, rtx: 97},
	{codec: param.VP9, kind: param.Video, name: "VP9", clock: 90000, pt: 98, rtx: 99, usual: VP9Params(0)},
	{codec: param.AV1, kind: param.Video, name: "AV1", clock: 90000, pt: 100, rtx: 101, usual: AV1Params(0, 5, 0)},
	{codec: param.H264, kind: param.Video, name: "H264", clock: 90000, pt: 102, rtx: 103, usual: H264Params("")},
	{codec: param.H265, kind: param.Video, name: "H265", clock: 90000, pt: 104, rtx: 105, usual: H265Params(93, 1, 0, "SRST")},
}

// Payload types of Opus. A client that asked for parameters of its own sends with the
// first, and gets what others send with the second.
const (
	opusType      = 111
	otherOpusType = 109
	// Those of their redundancy (RFC 2198); the first is what Chromium has for it.
	redType      = 63
	otherREDType = 62
)

func encodingOf(c param.Codec) *encoding {
	for i := range encodings {
		if encodings[i].codec == c {
			return &encodings[i]
		}
	}
	panic("offer: codec without an encoding")
}

func (e *encoding) rtpmap() string {
	s := e.name + "/" + strconv.FormatUint(uint64(e.clock), 10)
	if e.channels > 0 {
		s += "/" + strconv.Itoa(e.channels)
	}
	return s
}

// lines returns the attributes of a format: rtpmap, rtcp-fb and fmtp of the codec, and those
// of its retransmissions (RFC 4588 section 8).
func (e *encoding) lines(params string, pt, rtx uint8) string {
	n := strconv.Itoa(int(pt))
	b := "a=rtpmap:" + n + " " + e.rtpmap() + "\r\n"
	for i := range feedbacks {
		if x := &feedbacks[i]; x.fits(e.kind) {
			b += "a=rtcp-fb:" + n + " " + x.value + "\r\n"
		}
	}
	if params != "" {
		b += "a=fmtp:" + n + " " + params + "\r\n"
	}
	if rtx != 0 {
		r := strconv.Itoa(int(rtx))
		b += "a=rtpmap:" + r + " rtx/" + strconv.FormatUint(uint64(e.clock), 10) + "\r\na=fmtp:" + r + " apt=" + n + "\r\n"
	}
	return b
}

// redLines returns the attributes of Opus with redundancy, the payload type of which is opus (RFC
// 2198 section 4).
func redLines(red, opus uint8) string {
	n, of := strconv.Itoa(int(red)), strconv.Itoa(int(opus))
	return "a=rtpmap:" + n + " red/48000/2\r\na=fmtp:" + n + " " + of + "/" + of + "\r\n"
}

// usualLines are the lines of the usual forms, which most sections of most connections have.
var usualLines = func() map[param.Codec]string {
	m := map[param.Codec]string{}
	for i := range encodings {
		e := &encodings[i]
		m[e.codec] = e.lines(e.usual, e.pt, e.rtx)
	}
	return m
}()

// extensionLines returns the a=extmap lines of a kind.
func extensionLines(k param.Kind) string {
	b := ""
	for i := range extensions {
		if x := &extensions[i]; x.fits(k) {
			b += "a=extmap:" + strconv.Itoa(int(x.id)) + " " + x.uri + "\r\n"
		}
	}
	return b
}

var audioExtensions, videoExtensions = extensionLines(param.Audio), extensionLines(param.Video)

// extension is one RTP header extension (RFC 8285) that we offer.
type extension struct {
	id           uint8
	uri          string
	audio, video bool
	field        func(*param.Extensions) *uint8
}

// Extension ids are the same in every section of every connection, as under BUNDLE one id
// must not mean two things. Ids 5 and 6 are kept for rtp-stream-id and repaired-rtp-stream-id.
var extensions = []extension{
	{1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", true, false, func(e *param.Extensions) *uint8 { return &e.AudioLevel }},
	{2, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", true, true, func(e *param.Extensions) *uint8 { return &e.AbsSendTime }},
	{3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", true, true, func(e *param.Extensions) *uint8 { return &e.TransportCC }},
	{4, "urn:ietf:params:rtp-hdrext:sdes:mid", true, true, func(e *param.Extensions) *uint8 { return &e.MID }},
	{7, "urn:3gpp:video-orientation", false, true, func(e *param.Extensions) *uint8 { return &e.VideoOrientation }},
}

func (x *extension) fits(k param.Kind) bool {
	return k == param.Audio && x.audio || k == param.Video && x.video
}

// feedback is one kind of RTCP feedback (RFC 4585) that we offer.
type feedback struct {
	value string
	audio bool // video gets all of them
	field func(*param.Feedback) *bool
}

var feedbacks = []feedback{
	{"transport-cc", true, func(f *param.Feedback) *bool { return &f.TransportCC }},
	{"goog-remb", false, func(f *param.Feedback) *bool { return &f.REMB }},
	{"ccm fir", false, func(f *param.Feedback) *bool { return &f.FIR }},
	{"nack", false, func(f *param.Feedback) *bool { return &f.NACK }},
	{"nack pli", false, func(f *param.Feedback) *bool { return &f.PLI }},
}

func (x *feedback) fits(k param.Kind) bool { return k == param.Video || x.audio }

// fmtp returns the format parameters of Opus. The offer tells the client how to send, so
// these are what we, the receiver, prefer (RFC 7587 section 7.1). Nothing is said about
// stereo or DTX unless it was asked for.
func (a *OwnAudio) fmtp() string {
	p := []string{"minptime=" + strconv.Itoa(cmp.Or(a.MinPTime, 10)), "useinbandfec=" + cmp.Or(a.UseInbandFEC, "1")}
	add := func(name, value string) {
		if value != "" {
			p = append(p, name+"="+value)
		}
	}
	add("stereo", a.Stereo)
	add("sprop-stereo", a.SpropStereo)
	add("usedtx", a.UseDTX)
	if a.MaxPlaybackRate != 0 {
		add("maxplaybackrate", strconv.Itoa(a.MaxPlaybackRate))
	}
	if a.Bitrate != 0 {
		add("maxaveragebitrate", strconv.FormatUint(a.Bitrate, 10))
	}
	return strings.Join(p, ";")
}
