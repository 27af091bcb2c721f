package offer

import (
	"cmp"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// format is how a codec appears in SDP. Payload types and extension ids are the same in
// every section of every connection: under BUNDLE one number must not mean two things.
type format struct {
	codec    param.Codec
	kind     param.Kind
	name     string // of the rtpmap
	clock    uint32
	channels int
	pt       uint8
	rtx      uint8 // payload type of the retransmissions; 0: none
}

var formats = []format{
	{codec: param.Opus, kind: param.Audio, name: "opus", clock: 48000, channels: 2, pt: 111},
	{codec: param.VP8, kind: param.Video, name: "VP8", clock: 90000, pt: 96, rtx: 97},
}

func formatOf(c param.Codec) *format {
	for i := range formats {
		if formats[i].codec == c {
			return &formats[i]
		}
	}
	panic("offer: codec without a format")
}

func (f *format) rtpmap() string {
	s := f.name + "/" + strconv.FormatUint(uint64(f.clock), 10)
	if f.channels > 0 {
		s += "/" + strconv.Itoa(f.channels)
	}
	return s
}

// extension is one RTP header extension (RFC 8285) that we offer.
type extension struct {
	id           uint8
	uri          string
	audio, video bool
	field        func(*param.Extensions) *uint8
}

// Ids 5 and 6 are kept for rtp-stream-id and repaired-rtp-stream-id.
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
