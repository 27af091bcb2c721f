package sora

import "github.com/valyala/fastjson"

// connect reads the first message. Unknown members are ignored: newer and older clients
// send some.
func (f *fields) connect(frame []byte) *Connect {
	c := &Connect{
		ChannelID:           f.id("channel_id"),
		ClientID:            f.id("client_id"),
		BundleID:            f.id("bundle_id"),
		SoraClient:          cut(f.str("sora_client")),
		Libwebrtc:           cut(f.str("libwebrtc")),
		Environment:         cut(f.str("environment")),
		Redirect:            f.boolean("redirect", false),
		Multistream:         f.boolean("multistream", true),
		Simulcast:           f.boolean("simulcast", false),
		SimulcastMulticodec: f.boolean("simulcast_multicodec", false),
		SimulcastRID:        cut(f.str("simulcast_rid")),
		SimulcastRequestRID: cut(f.str("simulcast_request_rid")),
		Spotlight:           f.boolean("spotlight", false),
		SpotlightNumber:     f.integer("spotlight_number", 1, 8),
		SpotlightFocusRID:   cut(f.str("spotlight_focus_rid")),
		SpotlightUnfocusRID: cut(f.str("spotlight_unfocus_rid")),

		DataChannelSignaling:      f.flag("data_channel_signaling"),
		IgnoreDisconnectWebSocket: f.flag("ignore_disconnect_websocket"),
		DataChannels:              make([]DataChannel, f.list("data_channels")),
		ForwardingFilters:         make([]ForwardingFilter, f.list("forwarding_filters")),
		AudioStreamingLanguage:    cut(f.str("audio_streaming_language_code")),
	}
	if f.object("forwarding_filter") != nil {
		c.ForwardingFilter = &ForwardingFilter{}
	}
	// Some clients put a throw-away offer here to show what they are.
	f.str("sdp")
	c.Role = f.role()
	if c.ChannelID == "" {
		f.invalid("channel_id")
	}
	c.Metadata = clone(rawMember(frame, "metadata"))
	c.NotifyMetadata = clone(rawMember(frame, "signaling_notify_metadata"))
	if len(c.NotifyMetadata) > MaxNotifyMetadata {
		f.fail("SIGNALING-NOTIFY-METADATA-TOO-LARGE", "")
	}
	c.Audio = f.audio()
	c.Video = f.video()
	return c
}

func (f *fields) role() Role {
	switch f.str("role") {
	case "sendrecv":
		return SendRecv
	case "sendonly":
		return SendOnly
	case "recvonly":
		return RecvOnly
	}
	f.invalid("role")
	return 0
}

func (f *fields) audio() Audio {
	enabled, o := f.media("audio", "INVALID-AUDIO-FORMAT")
	a := Audio{Enabled: enabled}
	if o == nil {
		return a
	}
	in := fields{v: o}
	a.CodecType = cut(in.str("codec_type"))
	a.BitRate = in.integer("bit_rate", 6, 510)
	if p := in.object("opus_params"); p != nil {
		in := fields{v: p}
		a.Opus = OpusParams{
			Channels:        in.integer("channels", 1, 2),
			MaxPlaybackRate: in.integer("maxplaybackrate", 8000, 48000), // RFC 7587 section 6.1
			MinPTime:        in.integer("minptime", 3, 120),
			PTime:           in.integer("ptime", 3, 120),
			Stereo:          in.flag("stereo"),
			SpropStereo:     in.flag("sprop_stereo"),
			UseInbandFEC:    in.flag("useinbandfec"),
			UseDTX:          in.flag("usedtx"),
		}
		f.inherit(in.err, "INVALID-AUDIO-FORMAT")
	}
	f.inherit(in.err, "INVALID-AUDIO-FORMAT")
	return a
}

func (f *fields) video() Video {
	enabled, o := f.media("video", "INVALID-VIDEO-FORMAT")
	v := Video{Enabled: enabled}
	if o == nil {
		return v
	}
	in := fields{v: o}
	v.CodecType = cut(in.str("codec_type"))
	v.BitRate = in.integer("bit_rate", 1, 50000)
	if in.object("vp9_params") != nil {
		v.VP9 = &VP9Params{ProfileID: -1}
	}
	if in.object("av1_params") != nil {
		v.AV1 = &AV1Params{Profile: -1, LevelIdx: -1, Tier: -1}
	}
	if in.object("h264_params") != nil {
		v.H264 = &H264Params{}
	}
	if in.object("h265_params") != nil {
		v.H265 = &H265Params{LevelID: -1, ProfileID: -1, TierFlag: -1}
	}
	f.inherit(in.err, "INVALID-VIDEO-FORMAT")
	return v
}

// media reads a member that is true, false or an object; absent means true.
func (f *fields) media(name, reason string) (enabled bool, o *fastjson.Value) {
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
	f.fail(reason, name)
	return false, nil
}

// inherit refuses the message because of a fault inside one of its objects.
func (f *fields) inherit(err *Error, reason string) {
	if err != nil {
		f.fail(reason, err.Reason)
	}
}

// list returns how many members an array has.
func (f *fields) list(name string) int {
	v := f.get(name)
	if v == nil {
		return 0
	}
	a, err := v.Array()
	if err != nil {
		f.invalid(name)
	}
	return len(a)
}

func (f *fields) object(name string) *fastjson.Value {
	v := f.get(name)
	if v == nil {
		return nil
	}
	if v.Type() != fastjson.TypeObject {
		f.invalid(name)
		return nil
	}
	return v
}

// clone copies b; nil stays nil.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
