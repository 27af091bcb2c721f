package sora

import (
	"reflect"
	"strings"
	"testing"
)

// connectWith returns a connect with more members.
func connectWith(members string) string {
	return `{"type":"connect","role":"sendrecv","channel_id":"c",` + members + `}`
}

// connectOfEverything has every member that any client sends.
const connectOfEverything = `{"type":"connect","role":"sendonly","channel_id":"room","client_id":"me","bundle_id":"us",
	"metadata":{"access_token":"s"},"signaling_notify_metadata":{"name":"n"},"sdp":"v=0\r\n","sora_client":"Sora C++ SDK 2026.1.0",
	"libwebrtc":"Shiguredo-Build M140","environment":"[aarch64] Ubuntu","redirect":true,"multistream":true,"e2ee":false,
	"userAgent":{"any":["thing"]},"simulcast":true,"simulcast_multicodec":true,"simulcast_rid":"r0","simulcast_request_rid":"none",
	"spotlight":true,"spotlight_number":8,"spotlight_focus_rid":"r2","spotlight_unfocus_rid":"none",
	"audio":{"codec_type":"OPUS","bit_rate":96,"opus_params":{"channels":2,"clock_rate":48000,"maxplaybackrate":16000,"minptime":10,
		"ptime":20,"stereo":false,"sprop_stereo":true,"useinbandfec":true,"usedtx":false}},
	"video":{"codec_type":"H265","bit_rate":5000,"vp9_params":{"profile_id":2},"av1_params":{"profile":1,"level_idx":31,"tier":0},
		"h264_params":{"profile_level_id":"42E01F","b_frame":true},
		"h265_params":{"level_id":"93","profile_id":1,"tier_flag":0,"tx_mode":"SRST","b_frame":false}},
	"audio_streaming_language_code":"ja-JP","data_channel_signaling":true,"ignore_disconnect_websocket":false,
	"data_channels":[{"label":"#chat","direction":"sendrecv"},{"label":"#telemetry","direction":"recvonly","ordered":false,
		"max_packet_life_time":500,"protocol":"json","compress":true,"header":[{"type":"sender_connection_id","length":26}]},
		{"label":"#r","direction":"sendonly","ordered":true,"max_retransmits":0,"compress":false,"header":[]}],
	"forwarding_filter":{"action":"allow","rules":[[{"field":"kind","operator":"is_in","values":["audio","video"]}]],"metadata":"\u0041"},
	"forwarding_filters":[{"name":"a","priority":128,"action":"block","version":"v1","metadata": {"k" : [1, "\u0007"]} ,
		"rules":[[{"field":"connection_id","operator":"is_in","values":["X","Y"]},{"field":"kind","operator":"is_not_in","values":["video"]}],
		[{"field":"client_id","operator":"is_in","values":[]}]]},{"rules":[]},{"metadata":null}]}`

func TestEveryMemberOfConnectIsKept(t *testing.T) {
	want := Connect{
		Role: SendOnly, ChannelID: "room", ClientID: "me", BundleID: "us",
		Metadata: []byte(`{"access_token":"s"}`), NotifyMetadata: []byte(`{"name":"n"}`),
		SoraClient: "Sora C++ SDK 2026.1.0", Libwebrtc: "Shiguredo-Build M140", Environment: "[aarch64] Ubuntu",
		Redirect: true, Multistream: true,
		Audio: Audio{Enabled: true, CodecType: "OPUS", BitRate: 96, Opus: OpusParams{Channels: 2, ClockRate: 48000, MaxPlaybackRate: 16000,
			MinPTime: 10, PTime: 20, Stereo: False, SpropStereo: True, UseInbandFEC: True, UseDTX: False}},
		Video: Video{Enabled: true, CodecType: "H265", BitRate: 5000, VP9: &VP9Params{2}, AV1: &AV1Params{1, 31, 0},
			H264: &H264Params{"42e01f", True}, H265: &H265Params{93, 1, 0, "SRST", False}},
		Simulcast: true, SimulcastMulticodec: true, SimulcastRID: "r0", SimulcastRequestRID: "none",
		Spotlight: true, SpotlightNumber: 8, SpotlightFocusRID: "r2", SpotlightUnfocusRID: "none",
		DataChannelSignaling: True, IgnoreDisconnectWebSocket: False, AudioStreamingLanguage: "ja-JP",
		DataChannels: []DataChannel{
			{Label: "#chat", Direction: "sendrecv", Ordered: true, MaxPacketLifeTime: -1, MaxRetransmits: -1},
			{Label: "#telemetry", Direction: "recvonly", MaxPacketLifeTime: 500, MaxRetransmits: -1, Protocol: "json", Compress: true, SenderConnectionID: true},
			{Label: "#r", Direction: "sendonly", Ordered: true, MaxPacketLifeTime: -1},
		},
		ForwardingFilter: &ForwardingFilter{Action: "allow", Priority: DefaultPriority, Metadata: []byte(`"\u0041"`),
			Rules: [][]ForwardingRule{{{"kind", "is_in", []string{"audio", "video"}}}}},
		ForwardingFilters: []ForwardingFilter{
			{Name: "a", Action: "block", Priority: 128, Version: "v1", Metadata: []byte(`{"k" : [1, "\u0007"]}`), Rules: [][]ForwardingRule{
				{{"connection_id", "is_in", []string{"X", "Y"}}, {"kind", "is_not_in", []string{"video"}}}, {{Field: "client_id", Operator: "is_in"}}}},
			{Action: "block", Priority: DefaultPriority},
			{Action: "block", Priority: DefaultPriority, Metadata: []byte("null")},
		},
	}
	if got := *mustDecode(t, connectOfEverything).Connect; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestCodecParametersThatAreNotGivenAreMinusOne(t *testing.T) {
	v := mustDecode(t, connectWith(`"video":{"vp9_params":{},"av1_params":{},"h264_params":{},"h265_params":{"level_id":null}}`)).Connect.Video
	want := Video{Enabled: true, VP9: &VP9Params{-1}, AV1: &AV1Params{-1, -1, -1}, H264: &H264Params{}, H265: &H265Params{-1, -1, -1, "", Unset}}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v", v)
	}
}

func TestSimulcastOfTheOldestClientsIsAnObject(t *testing.T) {
	for member, quality := range map[string]string{`{}`: "", `{"quality":"low"}`: "low", `{"quality":"middle"}`: "middle", `{"quality":"high","x":1}`: "high"} {
		c := mustDecode(t, connectWith(`"simulcast":`+member)).Connect
		if !c.Simulcast || c.SimulcastQuality != quality {
			t.Errorf("%s: %v %q", member, c.Simulcast, c.SimulcastQuality)
		}
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	plain := mustDecode(t, connectWith(`"client_id":"x"`))
	for _, value := range []string{"null", "true", "-1.5e3", `"s"`, `[[1],{"a":{}}]`, `{"type":"x","role":[]}`} {
		for _, name := range []string{"userAgent", "user_agent", "vad", "Role", "CHANNEL_ID", "", "created_by_2030"} {
			if got := mustDecode(t, connectWith(`"client_id":"x","`+name+`":`+value)); !reflect.DeepEqual(got, plain) {
				t.Errorf("%s: %s changes %+v", name, value, got.Connect)
			}
		}
	}
	inside := mustDecode(t, connectWith(`"audio":{"x":1,"opus_params":{"y":[]}},"video":{"z":{}},"data_channels":[{"label":"#a","direction":"sendrecv","w":0}]`)).Connect
	if len(inside.DataChannels) != 1 || !inside.Audio.Enabled {
		t.Errorf("got %+v", inside)
	}
}

func TestEmptyListsAreNone(t *testing.T) {
	c := mustDecode(t, connectWith(`"data_channels":[],"forwarding_filters":[],"forwarding_filter":null`)).Connect
	if c.DataChannels != nil || c.ForwardingFilters != nil || c.ForwardingFilter != nil {
		t.Errorf("got %+v", c)
	}
}

func TestListsOfConnectAreBounded(t *testing.T) {
	list := func(n int, element string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	channels := func(n int) string {
		var labels []string
		for i := range n {
			labels = append(labels, `{"label":"#`+strings.Repeat("x", i)+`","direction":"sendrecv"}`)
		}
		return `"data_channels":[` + strings.Join(labels, ",") + `]`
	}
	rule := func(values int) string {
		return `{"field":"client_id","operator":"is_in","values":` + list(values, `"v"`) + `}`
	}
	filters := func(rules string) string { return `"forwarding_filters":[{"rules":` + rules + `}]` }
	const bad = "INVALID-FORWARDING-FILTERS"
	for _, c := range []struct{ name, members, want string }{
		{"channels", channels(MaxDataChannels), ""},
		{"a label of 33 characters", channels(MaxDataChannels + 1), "INVALID-DATA-CHANNELS"},
		{"one channel too many", `"data_channels":` + list(MaxDataChannels+1, `{}`), "INVALID-DATA-CHANNELS"},
		{"a label twice", `"data_channels":` + list(2, `{"label":"#a","direction":"sendrecv"}`), "INVALID-DATA-CHANNELS"},
		{"both kinds of partial reliability", `"data_channels":[{"label":"#a","direction":"sendrecv","max_retransmits":1,"max_packet_life_time":1}]`, "INVALID-DATA-CHANNELS"},
		{"filters", `"forwarding_filters":` + list(maxFilters, `{}`), ""},
		{"one filter too many", `"forwarding_filters":` + list(maxFilters+1, `{}`), bad},
		{"a name twice", `"forwarding_filters":` + list(2, `{"name":"a"}`), bad},
		{"alternatives", filters(list(maxRules, `[]`)), ""},
		{"one alternative too many", filters(list(maxRules+1, `[]`)), bad},
		{"rules", filters(list(1, list(maxRules, rule(1)))), ""},
		{"one rule too many", filters(list(1, list(maxRules+1, rule(1)))), bad},
		{"values", filters(list(2, list(2, rule(maxRuleValues/4)))), ""},
		{"more values in all than a rule may have", filters(list(1, list(2, rule(maxRuleValues/2+1)))), bad},
		{"metadata", `"forwarding_filters":[{"metadata":"` + strings.Repeat("x", maxFilterMetadata-2) + `"}]`, ""},
		{"metadata that is too long", `"forwarding_filters":[{"metadata":"` + strings.Repeat("x", maxFilterMetadata-1) + `"}]`, bad},
		{"the same in the singular form", `"forwarding_filter":{"metadata":"` + strings.Repeat("x", maxFilterMetadata-1) + `"}`, "INVALID-FORWARDING-FILTER"},
	} {
		if got := reasonOf(t, connectWith(c.members)); got != c.want {
			t.Errorf("%s: reason %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDetailNamesThePlace(t *testing.T) {
	for members, want := range map[string]string{
		`"audio":{"opus_params":{"ptime":"x"}}`:                              "INVALID-AUDIO-FORMAT: audio.opus_params.ptime",
		`"video":{"h265_params":{"level_id":"256"}}`:                         "INVALID-VIDEO-FORMAT: video.h265_params.level_id",
		`"data_channels":[{"label":"chat","direction":"sendrecv"}]`:          "INVALID-DATA-CHANNELS: data_channels.label",
		`"forwarding_filters":[{"rules":[[{"field":"role","values":[]}]]}]`:  "INVALID-FORWARDING-FILTERS: forwarding_filters.rules.field",
		`"forwarding_filter":{"rules":[[{"field":"kind","operator":"is"}]]}`: "INVALID-FORWARDING-FILTER: forwarding_filter.rules.operator",
		`"spotlight_number":0`:                                               "INVALID-SPOTLIGHT-NUMBER",
	} {
		_, err := Decode([]byte(connectWith(members)))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", members, err, want)
		}
	}
}
