package session

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/offer"
	"tsubame/signal/sora"
)

// settable is one member that layers may set: how, in four different ways, and what comes
// out.
type settable struct {
	name string
	set  [4]func(*Layer)
	get  func(*Settings) any
	want [4]any
}

func setTo[T any](field func(*Layer) *T, values ...T) (out [4]func(*Layer)) {
	for i, v := range values {
		out[i] = func(l *Layer) { *field(l) = v }
	}
	return out
}

var settables = []settable{
	{"client_id", setTo(func(l *Layer) *string { return &l.ClientID }, "a", "b", "c", "d"),
		func(s *Settings) any { return s.ClientID }, [4]any{"a", "b", "c", "d"}},
	{"bundle_id", setTo(func(l *Layer) *string { return &l.BundleID }, "a", "b", "c", "d"),
		func(s *Settings) any { return s.BundleID }, [4]any{"a", "b", "c", "d"}},
	{"signaling_notify", setTo(func(l *Layer) *sora.Flag { return &l.Notify }, sora.True, sora.False, sora.True, sora.False),
		func(s *Settings) any { return s.Notify }, [4]any{true, false, true, false}},
	ofJSON("authn_metadata", func(l *Layer) *[]byte { return &l.AuthnMetadata }, func(s *Settings) []byte { return s.AuthnMetadata }),
	ofJSON("authz_metadata", func(l *Layer) *[]byte { return &l.AuthzMetadata }, func(s *Settings) []byte { return s.AuthzMetadata }),
	ofJSON("signaling_notify_metadata_ext", func(l *Layer) *[]byte { return &l.MetadataExt }, func(s *Settings) []byte { return s.MetadataExt }),
	ofJSON("metadata", func(l *Layer) *[]byte { return &l.Metadata }, func(s *Settings) []byte { return s.Metadata }),
	ofJSON("event_metadata", func(l *Layer) *[]byte { return &l.EventMetadata }, func(s *Settings) []byte { return s.EventMetadata }),
	ofFlag("signaling_notify_ice_connection_state", func(l *Layer) *sora.Flag { return &l.NotifyICEState }, func(s *Settings) any { return s.NotifyICEState }),
	ofFlag("rtc_stats", func(l *Layer) *sora.Flag { return &l.RTCStats }, func(s *Settings) any { return s.RTCStats }),
	ofFlag("stats_exporter", func(l *Layer) *sora.Flag { return &l.StatsExporter }, func(s *Settings) any { return s.StatsExporter }),
	ofFlag("recording_block", func(l *Layer) *sora.Flag { return &l.RecordingBlock }, func(s *Settings) any { return s.RecordingBlock }),
	{"connection_lifetime", setTo(func(l *Layer) *time.Duration { return &l.Lifetime }, 1, 2, 3, 4),
		func(s *Settings) any { return s.Lifetime }, [4]any{time.Duration(1), time.Duration(2), time.Duration(3), time.Duration(4)}},
	{"connection_created_timeout", setTo(func(l *Layer) *time.Duration { return &l.CreatedTimeout }, 1, 2, 3, 4),
		func(s *Settings) any { return s.CreatedTimeout }, [4]any{time.Duration(1), time.Duration(2), time.Duration(3), time.Duration(4)}},
	{"ipv4_address", setTo(func(l *Layer) *netip.Addr { return &l.Reach.IPv4 }, v4(1), v4(2), v4(3), v4(4)),
		func(s *Settings) any { return s.Reach.IPv4 }, [4]any{v4(1), v4(2), v4(3), v4(4)}},
	{"ipv6_address", setTo(func(l *Layer) *netip.Addr { return &l.Reach.IPv6 }, v4(1), v4(2), v4(3), v4(4)),
		func(s *Settings) any { return s.Reach.IPv6 }, [4]any{v4(1), v4(2), v4(3), v4(4)}},
	{"turn_fqdn", setTo(func(l *Layer) *string { return &l.Reach.TURNFQDN }, "a", "b", "c", "d"),
		func(s *Settings) any { return s.Reach.TURNFQDN }, [4]any{"a", "b", "c", "d"}},
	{"turn_tls_fqdn", setTo(func(l *Layer) *string { return &l.Reach.TURNTLSFQDN }, "a", "b", "c", "d"),
		func(s *Settings) any { return s.Reach.TURNTLSFQDN }, [4]any{"a", "b", "c", "d"}},
	ofFlag("turn_tcp_only", func(l *Layer) *sora.Flag { return &l.Reach.TURNTCPOnly }, func(s *Settings) any { return s.Reach.TURNTCPOnly == sora.True }),
	ofFlag("turn_tls_only", func(l *Layer) *sora.Flag { return &l.Reach.TURNTLSOnly }, func(s *Settings) any { return s.Reach.TURNTLSOnly == sora.True }),
	{"spotlight_number", setTo(func(l *Layer) *int { return &l.SpotlightNumber }, 1, 2, 3, 4),
		func(s *Settings) any { return s.SpotlightNumber }, [4]any{1, 2, 3, 4}},
	{"audio", setTo(func(l *Layer) *sora.Flag { return &l.Audio.On }, sora.True, sora.False, sora.True, sora.False),
		func(s *Settings) any { return s.Audio.On }, [4]any{true, false, true, false}},
	{"audio_bit_rate", setTo(func(l *Layer) *uint64 { return &l.Audio.Bitrate }, 1, 2, 3, 4),
		func(s *Settings) any { return s.Audio.Bitrate }, [4]any{uint64(1), uint64(2), uint64(3), uint64(4)}},
	{"opus_params", setTo(func(l *Layer) **sora.OpusParams { return &l.Audio.Opus }, &sora.OpusParams{Channels: 2}, &sora.OpusParams{PTime: 20}, &sora.OpusParams{}, &sora.OpusParams{Stereo: sora.True}),
		func(s *Settings) any { return s.Audio.Opus }, [4]any{sora.OpusParams{Channels: 2}, sora.OpusParams{PTime: 20}, sora.OpusParams{}, sora.OpusParams{Stereo: sora.True}}},
	{"video", setTo(func(l *Layer) *sora.Flag { return &l.Video.On }, sora.False, sora.True, sora.False, sora.True),
		func(s *Settings) any { return s.Video.On }, [4]any{false, true, false, true}},
	{"video_codec_type", setTo(func(l *Layer) *param.Codec { return &l.Video.Codec }, param.VP9, param.AV1, param.H264, param.H265),
		func(s *Settings) any { return s.Video.Codec }, [4]any{param.VP9, param.AV1, param.H264, param.H265}},
	{"video_bit_rate", setTo(func(l *Layer) *uint64 { return &l.Video.Bitrate }, 1, 2, 3, 4),
		func(s *Settings) any { return s.Video.Bitrate }, [4]any{uint64(1), uint64(2), uint64(3), uint64(4)}},
	{"vp9_params", setTo(func(l *Layer) *VideoLayer { return &l.Video }, vp9(0), vp9(1), vp9(2), vp9(3)),
		func(s *Settings) any { return s.Video.Params }, [4]any{"profile-id=0", "profile-id=1", "profile-id=2", "profile-id=3"}},
	{"av1_params", setTo(func(l *Layer) *VideoLayer { return &l.Video }, av1(0), av1(1), av1(2), av1(-1)),
		func(s *Settings) any { return s.Video.Params }, [4]any{offer.AV1Params(0, -1, -1), offer.AV1Params(1, -1, -1), offer.AV1Params(2, -1, -1), ""}},
	{"h264_params", setTo(func(l *Layer) *VideoLayer { return &l.Video }, h264("42e01f"), h264("4d0032"), h264("640c1f"), h264("")),
		func(s *Settings) any { return s.Video.Params }, [4]any{offer.H264Params("42e01f"), offer.H264Params("4d0032"), offer.H264Params("640c1f"), ""}},
	{"h265_params", setTo(func(l *Layer) *VideoLayer { return &l.Video }, h265(90), h265(93), h265(120), h265(-1)),
		func(s *Settings) any { return s.Video.Params }, [4]any{"level-id=90", "level-id=93", "level-id=120", ""}},
}

func ofJSON(name string, field func(*Layer) *[]byte, get func(*Settings) []byte) settable {
	return settable{name, setTo(field, []byte("1"), []byte("null"), []byte("{}"), []byte(`""`)),
		func(s *Settings) any { return string(get(s)) }, [4]any{"1", "null", "{}", `""`}}
}

func ofFlag(name string, field func(*Layer) *sora.Flag, get func(*Settings) any) settable {
	return settable{name, setTo(field, sora.True, sora.False, sora.True, sora.False), get, [4]any{true, false, true, false}}
}

func v4(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }

func vp9(profile int) VideoLayer {
	return VideoLayer{Codec: param.VP9, VP9: &sora.VP9Params{ProfileID: profile}}
}

func av1(profile int) VideoLayer {
	return VideoLayer{Codec: param.AV1, AV1: &sora.AV1Params{Profile: profile, LevelIdx: -1, Tier: -1}}
}

func h264(id string) VideoLayer {
	return VideoLayer{Codec: param.H264, H264: &sora.H264Params{ProfileLevelID: id}}
}

func h265(level int) VideoLayer {
	return VideoLayer{Codec: param.H265, H265: &sora.H265Params{LevelID: level, ProfileID: -1, TierFlag: -1}}
}

// Whoever of the four sources speaks, the strongest decides: session webhook, then auth
// webhook, then connect, then configuration. All 15 choices of who speaks, for each member.
//
// Row AUTH-08.
func TestTheStrongestLayerDecides(t *testing.T) {
	for _, m := range settables {
		for who := 1; who < 16; who++ {
			var l Layers
			strongest := 0
			for i, layer := range []*Layer{&l.Configuration, &l.Connect, &l.Auth, &l.Session} {
				if who&(1<<i) != 0 {
					m.set[i](layer)
					strongest = i
				}
			}
			s := l.Resolve()
			if got := m.get(&s); !reflect.DeepEqual(got, m.want[strongest]) {
				t.Errorf("%s, layers %04b: %v, want %v", m.name, who, got, m.want[strongest])
			}
		}
	}
}

// A member that is added to Layer needs its line above.
func TestEveryMemberOfALayerIsInTheTable(t *testing.T) {
	set := map[string]bool{}
	all := func(l *Layer, do func(name string, v reflect.Value)) {
		for _, v := range []reflect.Value{reflect.ValueOf(*l), reflect.ValueOf(l.Audio), reflect.ValueOf(l.Video), reflect.ValueOf(l.Reach)} {
			for i := range v.NumField() {
				do(v.Type().Name()+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	for _, m := range settables {
		for _, f := range m.set {
			var l Layer
			f(&l)
			all(&l, func(name string, v reflect.Value) { set[name] = set[name] || !v.IsZero() })
		}
	}
	all(&Layer{}, func(name string, _ reflect.Value) {
		if !set[name] {
			t.Errorf("%s", name)
		}
	})
}

// Layers mix member by member: what one leaves unsaid comes from the next below.
func TestLayersMix(t *testing.T) {
	l := Layers{
		Configuration: Layer{ClientID: "SELF", BundleID: "SELF", Notify: sora.True,
			Audio: AudioLayer{On: sora.True, Bitrate: 32_000}, Video: VideoLayer{On: sora.True, Codec: param.VP9, Bitrate: 500_000}},
		Connect: Layer{ClientID: "me", AuthnMetadata: []byte("1"), Audio: AudioLayer{On: sora.True, Opus: &sora.OpusParams{UseDTX: sora.True}},
			Video: VideoLayer{On: sora.True, Codec: param.H264, Bitrate: 2_000_000, H264: &sora.H264Params{ProfileLevelID: "640c1f"}}},
		Auth:    Layer{Video: VideoLayer{Codec: param.AV1, Bitrate: 1_000_000}, AuthzMetadata: []byte(`{"name":"X"}`)},
		Session: Layer{Audio: AudioLayer{On: sora.False}, Notify: sora.False},
	}
	want := Settings{
		ClientID: "me", BundleID: "SELF", AuthnMetadata: []byte("1"), AuthzMetadata: []byte(`{"name":"X"}`),
		Audio: AudioSettings{Bitrate: 32_000, Opus: sora.OpusParams{UseDTX: sora.True}},
		// The parameters of H.264 have gone with H.264.
		Video: VideoSettings{On: true, Codec: param.AV1, Bitrate: 1_000_000},
	}
	if got := l.Resolve(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// Clients may send the parameters of several codecs: only those of the codec that is used
// have an effect, whoever chose it.
func TestOnlyParametersOfTheChosenCodecCount(t *testing.T) {
	all := VideoLayer{VP9: vp9(1).VP9, AV1: av1(1).AV1, H264: h264("4d0032").H264, H265: h265(93).H265}
	for codec, want := range map[param.Codec]string{
		param.VP8: "", param.VP9: "profile-id=1", param.AV1: offer.AV1Params(1, -1, -1), param.H264: offer.H264Params("4d0032"), param.H265: "level-id=93",
	} {
		l := Layers{Connect: Layer{Video: all}, Auth: Layer{Video: VideoLayer{Codec: codec}}}
		if got := l.Resolve().Video.Params; got != want {
			t.Errorf("%v: %q, want %q", codec, got, want)
		}
	}
}

func TestBFramesAreOfTheChosenCodec(t *testing.T) {
	b := VideoLayer{H264: &sora.H264Params{BFrame: sora.True}, H265: &sora.H265Params{LevelID: -1, ProfileID: -1, TierFlag: -1, BFrame: sora.False}}
	for codec, want := range map[param.Codec]bool{param.VP9: false, param.H264: true, param.H265: false} {
		b.Codec = codec
		l := Layers{Connect: Layer{Video: b}}
		if got := l.Resolve().Video.BFrame; got != want {
			t.Errorf("%v: %v", codec, got)
		}
	}
}

func TestConfigurationHoldsWhereNobodyElseSpeaks(t *testing.T) {
	cfg := &Config{Defaults: Defaults{VideoCodec: param.AV1, AudioBitrate: 48_000, VideoBitrate: 700_000}}
	l := Layers{Configuration: cfg.layer("SELF"), Connect: connectLayer(&sora.Connect{Audio: sora.Audio{Enabled: true}, Video: sora.Video{Enabled: true}})}
	want := Settings{ClientID: "SELF", BundleID: "SELF", Notify: true, Audio: AudioSettings{On: true, Bitrate: 48_000},
		Video: VideoSettings{On: true, Codec: param.AV1, Bitrate: 700_000}}
	if got := l.Resolve(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	cfg.Defaults.NotifyOff = true
	l.Configuration = cfg.layer("SELF")
	if l.Resolve().Notify {
		t.Error("notifications are on")
	}
}

// Every member of connect that has an effect by a layer arrives there.
func TestWhatConnectSaysArrives(t *testing.T) {
	m, err := sora.Decode([]byte(`{"type":"connect","role":"sendrecv","channel_id":"room","client_id":"me","bundle_id":"us",
		"signaling_notify_metadata":{"a":1},
		"audio":{"codec_type":"OPUS","bit_rate":64,"opus_params":{"channels":2,"stereo":true,"usedtx":false}},
		"video":{"codec_type":"H264","bit_rate":2500,"h264_params":{"profile_level_id":"640C1F","b_frame":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	l := Layers{Connect: connectLayer(m.Connect)}
	want := Settings{
		ClientID: "me", BundleID: "us", AuthnMetadata: []byte(`{"a":1}`),
		Audio: AudioSettings{On: true, Bitrate: 64_000, Opus: sora.OpusParams{Channels: 2, Stereo: sora.True, UseDTX: sora.False}},
		Video: VideoSettings{On: true, Codec: param.H264, Bitrate: 2_500_000, Params: offer.H264Params("640c1f"), BFrame: true,
			H264: &sora.H264Params{ProfileLevelID: "640c1f", BFrame: sora.True}},
	}
	if got := l.Resolve(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
