package sora

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

// connect reads the first message. Unknown members are ignored: newer and older clients
// send some.
func (f fields) connect() *Connect {
	c := &Connect{
		Role:                role(f.word("role", "sendrecv", "sendonly", "recvonly")),
		ChannelID:           f.id("channel_id"),
		ClientID:            f.id("client_id"),
		BundleID:            f.id("bundle_id"),
		SoraClient:          f.text("sora_client"),
		Libwebrtc:           f.text("libwebrtc"),
		Environment:         f.text("environment"),
		Redirect:            f.boolean("redirect", false),
		Multistream:         f.boolean("multistream", true),
		E2EE:                f.boolean("e2ee", false),
		SimulcastMulticodec: f.boolean("simulcast_multicodec", false),
		SimulcastRID:        f.word("simulcast_rid", "r0", "r1", "r2"),
		SimulcastRequestRID: f.rid("simulcast_request_rid"),
		Spotlight:           f.boolean("spotlight", false),
		SpotlightNumber:     f.integer("spotlight_number", 1, 8),
		SpotlightFocusRID:   f.rid("spotlight_focus_rid"),
		SpotlightUnfocusRID: f.rid("spotlight_unfocus_rid"),

		DataChannelSignaling:      f.flag("data_channel_signaling"),
		IgnoreDisconnectWebSocket: f.flag("ignore_disconnect_websocket"),
		DataChannels:              f.dataChannels(),
		ForwardingFilter:          f.forwardingFilter(),
		ForwardingFilters:         f.forwardingFilters(),
		AudioStreamingLanguage:    f.name("audio_streaming_language_code"),
		Audio:                     f.audio(),
		Video:                     f.video(),
	}
	if c.Role == 0 {
		f.invalid("role")
	}
	if c.ChannelID == "" {
		f.invalid("channel_id")
	}
	c.Simulcast, c.SimulcastQuality = f.simulcast()
	// Some clients put a throw-away offer here to show what they are. It is not copied.
	f.bytes("sdp")
	f.metadata(c)
	return c
}

func role(name string) Role {
	for _, r := range []Role{SendRecv, SendOnly, RecvOnly} {
		if r.String() == name {
			return r
		}
	}
	return 0
}

func (f fields) rid(name string) string { return f.word(name, "none", "r0", "r1", "r2") }

// simulcast reads a boolean or, of clients before 2020, an object with a quality.
func (f fields) simulcast() (on bool, quality string) {
	v := f.get("simulcast")
	if v == nil || v.Type() != fastjson.TypeObject {
		return f.boolean("simulcast", false), ""
	}
	return true, f.in(v, "INVALID-SIMULCAST", "simulcast").word("quality", "low", "middle", "high")
}

func (f fields) metadata(c *Connect) {
	raw := &f.d.raw
	if len(raw.metadata) > MaxMetadata {
		f.d.fail(ReasonMetadataTooLarge, "")
		return
	}
	c.Metadata = bytes.Clone(raw.metadata)
	switch {
	case len(raw.notify) > MaxNotifyMetadata:
		f.d.fail(ReasonNotifyTooLarge, "")
	case depth(raw.notify) > maxNotifyDepth:
		f.d.fail(ReasonNotifyTooDeep, "")
	default:
		c.NotifyMetadata = bytes.Clone(raw.notify)
	}
}

func (f fields) audio() Audio {
	enabled, o := f.media("audio", reasonInvalidAudio)
	a := Audio{Enabled: enabled}
	if o == nil {
		return a
	}
	in := f.in(o, reasonInvalidAudio, "audio")
	a.CodecType = in.text("codec_type")
	a.BitRate = in.integer("bit_rate", 6, 510)
	if p := in.object("opus_params"); p != nil {
		in := f.in(p, reasonInvalidAudio, "audio.opus_params")
		a.Opus = OpusParams{
			Channels:        in.integer("channels", 1, 2),
			MaxPlaybackRate: in.integer("maxplaybackrate", 8000, 48000),
			MinPTime:        in.integer("minptime", 3, 120),
			PTime:           in.integer("ptime", 3, 120),
			Stereo:          in.flag("stereo"),
			SpropStereo:     in.flag("sprop_stereo"),
			UseInbandFEC:    in.flag("useinbandfec"),
			UseDTX:          in.flag("usedtx"),
			ClockRate:       in.integer("clock_rate", 8000, 48000),
		}
	}
	return a
}

func (f fields) video() Video {
	enabled, o := f.media("video", reasonInvalidVideo)
	v := Video{Enabled: enabled}
	if o == nil {
		return v
	}
	in := f.in(o, reasonInvalidVideo, "video")
	v.CodecType = in.text("codec_type")
	v.BitRate = in.integer("bit_rate", 1, 50000)
	if p := in.object("vp9_params"); p != nil {
		in := f.in(p, reasonInvalidVideo, "video.vp9_params")
		v.VP9 = &VP9Params{ProfileID: in.number("profile_id", 0, 3, -1)}
	}
	if p := in.object("av1_params"); p != nil {
		in := f.in(p, reasonInvalidVideo, "video.av1_params")
		v.AV1 = &AV1Params{Profile: in.number("profile", 0, 2, -1), LevelIdx: in.number("level_idx", 0, 31, -1), Tier: in.number("tier", 0, 1, -1)}
	}
	if p := in.object("h264_params"); p != nil {
		in := f.in(p, reasonInvalidVideo, "video.h264_params")
		v.H264 = &H264Params{ProfileLevelID: in.profileLevelID(), BFrame: in.flag("b_frame")}
	}
	if p := in.object("h265_params"); p != nil {
		in := f.in(p, reasonInvalidVideo, "video.h265_params")
		v.H265 = &H265Params{LevelID: in.levelID(), ProfileID: in.number("profile_id", 0, 31, -1), TierFlag: in.number("tier_flag", 0, 1, -1),
			TxMode: in.word("tx_mode", "SRST", "MRST", "MRMT"), BFrame: in.flag("b_frame")}
	}
	return v
}

// profileLevelID reads six hexadecimal digits (RFC 6184 section 8.1).
func (f fields) profileLevelID() string {
	const name = "profile_level_id"
	if f.get(name) == nil {
		return ""
	}
	b := f.bytes(name)
	ok := len(b) == 6
	for _, c := range b {
		ok = ok && (c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f')
	}
	if !ok {
		f.invalid(name)
		return ""
	}
	return strings.ToLower(string(b))
}

// levelID reads H.265's level (RFC 7798 section 7.1), which some clients send as a string
// of digits.
func (f fields) levelID() int {
	const name = "level_id"
	v := f.get(name)
	if v == nil || v.Type() != fastjson.TypeString {
		return f.number(name, 0, 255, -1)
	}
	n, err := strconv.ParseUint(string(f.bytes(name)), 10, 8)
	if err != nil {
		f.invalid(name)
		return -1
	}
	return int(n)
}

// media reads a member that is true, false or an object; absent means true.
func (f fields) media(name, reason string) (enabled bool, o *fastjson.Value) {
	v := f.get(name)
	if v == nil {
		return true, nil
	}
	switch v.Type() {
	case fastjson.TypeTrue:
		return true, nil
	case fastjson.TypeFalse:
		return false, nil
	case fastjson.TypeObject:
		return true, v
	}
	f.d.fail(reason, name)
	return false, nil
}
