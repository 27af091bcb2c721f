package sora

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// kind says what a member may be: the JSON texts that are accepted, and more that are not.
// Whatever of wrongTypes it does not accept is refused too.
type kind struct{ accepted, refused []string }

// wrongTypes is every type of JSON, and the values of each that readers stumble over.
var wrongTypes = []string{
	"null", "true", "false", "0", "-0", "1", "-1", "1.5", "1.0", "1e0", "1e400", "-1e400", "18446744073709551616", "9223372036854775808",
	"4294967297", "0.0000000000000000000000000000000000000001", strings.Repeat("9", 400),
	`""`, `"s"`, `"1"`, `"true"`, `"\u0000"`, `"a\u0000b"`, `"` + strings.Repeat("x", 10<<10) + `"`,
	"[]", "[null]", "[1]", `["s"]`, "[[]]", "[{}]", "{}", `{"a":null}`, `{"":[]}`,
}

func one(accepted ...string) kind { return kind{accepted: append(accepted, "null")} }

// required takes null from a kind: it counts as absent.
func required(k kind) kind {
	k.accepted = slices.DeleteFunc(slices.Clone(k.accepted), func(s string) bool { return s == "null" })
	return k
}

func words(list ...string) kind {
	k := one()
	for _, w := range list {
		k.accepted = append(k.accepted, `"`+w+`"`)
		k.refused = append(k.refused, `"`+strings.ToUpper(w)+`x"`, `"`+w+` "`, `"`+w+`\u0000"`, `["`+w+`"]`)
	}
	return k
}

// The kinds whose accepted values are among wrongTypes are written as lists of them.
var (
	boolean  = one("true", "false")
	anything = kind{accepted: slices.DeleteFunc(slices.Clone(wrongTypes), func(s string) bool { return strings.HasSuffix(s, "1e400") || len(s) == 400 })}
	text     = one(`""`, `"s"`, `"1"`, `"true"`, `"\u0000"`, `"a\u0000b"`, `"`+strings.Repeat("x", 10<<10)+`"`)
	name     = kind{[]string{"null", `"s"`, `"1"`, `"true"`, `"../é"`}, []string{`"\n"`, `"\u202e"`, `"` + strings.Repeat("x", 256) + `"`}}
	optName  = kind{append(slices.Clone(name.accepted), `""`), name.refused}
	rid      = words("none", "r0", "r1", "r2")
)

// integers accepts the ends of a range and refuses what is next to them.
func integers(low, high string, outside ...string) kind {
	k := kind{accepted: []string{"null", low, high}, refused: outside}
	if low == "0" {
		k.accepted = append(k.accepted, "-0", "1")
	}
	return k
}

// schemaRow is one row of the schema. The path's first name gives the reason. A part in
// brackets is an element of an array.
type schemaRow struct {
	path  string
	field string // of Connect, with the fields of what it has inside; empty: not kept
	kind
}

// schema has every member of connect.
var schema = []schemaRow{
	{"role", "Role", required(words("sendrecv", "sendonly", "recvonly"))},
	{"channel_id", "ChannelID", required(name)},
	{"client_id", "ClientID", name},
	{"bundle_id", "BundleID", name},
	{"metadata", "Metadata", anything},
	{"signaling_notify_metadata", "NotifyMetadata", anything},
	{"sdp", "", text},
	{"sora_client", "SoraClient", text},
	{"libwebrtc", "Libwebrtc", text},
	{"environment", "Environment", text},
	{"redirect", "Redirect", boolean},
	{"multistream", "Multistream", boolean},
	{"e2ee", "E2EE", boolean},
	{"simulcast", "Simulcast", one("true", "false", "{}", `{"a":null}`, `{"":[]}`)},
	{"simulcast.quality", "SimulcastQuality", words("low", "middle", "high")},
	{"simulcast_multicodec", "SimulcastMulticodec", boolean},
	{"simulcast_rid", "SimulcastRID", kind{words("r0", "r1", "r2").accepted, []string{`"none"`, `"r3"`}}},
	{"simulcast_request_rid", "SimulcastRequestRID", rid},
	{"spotlight", "Spotlight", boolean},
	{"spotlight_number", "SpotlightNumber", integers("1", "8", "0", "9")},
	{"spotlight_focus_rid", "SpotlightFocusRID", rid},
	{"spotlight_unfocus_rid", "SpotlightUnfocusRID", rid},
	{"data_channel_signaling", "DataChannelSignaling", boolean},
	{"ignore_disconnect_websocket", "IgnoreDisconnectWebSocket", boolean},
	{"audio_streaming_language_code", "AudioStreamingLanguage", optName},

	{"audio", "Audio.Enabled", one("true", "false", "{}", `{"a":null}`, `{"":[]}`)},
	{"audio.codec_type", "Audio.CodecType", text},
	{"audio.bit_rate", "Audio.BitRate", integers("6", "510", "5", "511")},
	{"audio.opus_params", "", one("{}", `{"a":null}`, `{"":[]}`)},
	{"audio.opus_params.channels", "Audio.Opus.Channels", integers("1", "2", "3")},
	{"audio.opus_params.maxplaybackrate", "Audio.Opus.MaxPlaybackRate", integers("8000", "48000", "7999", "48001")},
	{"audio.opus_params.minptime", "Audio.Opus.MinPTime", integers("3", "120", "2", "121")},
	{"audio.opus_params.ptime", "Audio.Opus.PTime", integers("3", "120", "2", "121")},
	{"audio.opus_params.stereo", "Audio.Opus.Stereo", boolean},
	{"audio.opus_params.sprop_stereo", "Audio.Opus.SpropStereo", boolean},
	{"audio.opus_params.useinbandfec", "Audio.Opus.UseInbandFEC", boolean},
	{"audio.opus_params.usedtx", "Audio.Opus.UseDTX", boolean},
	{"audio.opus_params.clock_rate", "Audio.Opus.ClockRate", integers("8000", "48000", "7999", "48001")},

	{"video", "Video.Enabled", one("true", "false", "{}", `{"a":null}`, `{"":[]}`)},
	{"video.codec_type", "Video.CodecType", text},
	{"video.bit_rate", "Video.BitRate", integers("1", "50000", "0", "50001")},
	{"video.vp9_params", "", one("{}", `{"a":null}`, `{"":[]}`)},
	{"video.vp9_params.profile_id", "Video.VP9.ProfileID", integers("0", "3", "4")},
	{"video.av1_params", "", one("{}", `{"a":null}`, `{"":[]}`)},
	{"video.av1_params.profile", "Video.AV1.Profile", integers("0", "2", "3")},
	{"video.av1_params.level_idx", "Video.AV1.LevelIdx", integers("0", "31", "32")},
	{"video.av1_params.tier", "Video.AV1.Tier", integers("0", "1", "2")},
	{"video.h264_params", "", one("{}", `{"a":null}`, `{"":[]}`)},
	{"video.h264_params.profile_level_id", "Video.H264.ProfileLevelID", kind{one(`"42e01f"`, `"640C34"`).accepted,
		[]string{`"42e01"`, `"42e01f0"`, `"42e01g"`, `"-2e01f"`, `"0x2e1f"`, `"42e0 f"`, `"４2e0"`, `42`}}},
	{"video.h264_params.b_frame", "Video.H264.BFrame", boolean},
	{"video.h265_params", "", one("{}", `{"a":null}`, `{"":[]}`)},
	{"video.h265_params.level_id", "Video.H265.LevelID", kind{append(integers("0", "255").accepted, `"0"`, `"1"`, `"93"`, `"255"`),
		[]string{"256", `"256"`, `"-1"`, `"+1"`, `"1.0"`, `" 1"`, `"0x1"`, `"1e0"`, `"1_0"`, `"１"`, `"99999999999999999999"`}}},
	{"video.h265_params.profile_id", "Video.H265.ProfileID", integers("0", "31", "32")},
	{"video.h265_params.tier_flag", "Video.H265.TierFlag", integers("0", "1", "2")},
	{"video.h265_params.tx_mode", "Video.H265.TxMode", words("SRST", "MRST", "MRMT")},
	{"video.h265_params.b_frame", "Video.H265.BFrame", boolean},

	{"data_channels", "", one("[]")},
	{"data_channels[]", "", kind{}},
	{"data_channels[].label", "DataChannels.Label", kind{[]string{`"#s"`, `"#"`, `"#日本"`, `"##"`}, []string{`"signaling"`, `"#\n"`, `"#` + strings.Repeat("x", 32) + `"`}}},
	{"data_channels[].direction", "DataChannels.Direction", required(words("sendrecv", "sendonly", "recvonly"))},
	{"data_channels[].ordered", "DataChannels.Ordered", boolean},
	{"data_channels[].max_packet_life_time", "DataChannels.MaxPacketLifeTime", integers("0", "65535", "65536")},
	{"data_channels[].max_retransmits", "DataChannels.MaxRetransmits", integers("0", "65535", "65536")},
	{"data_channels[].protocol", "DataChannels.Protocol", optName},
	{"data_channels[].compress", "DataChannels.Compress", boolean},
	{"data_channels[].header", "", kind{one("[]").accepted, []string{`[{"type":"sender_connection_id"},{"type":"sender_connection_id"}]`}}},
	{"data_channels[].header[].type", "DataChannels.SenderConnectionID", required(words("sender_connection_id"))},

	{"forwarding_filter", "ForwardingFilter", one("{}", `{"a":null}`, `{"":[]}`)},
	{"forwarding_filter.priority", "", integers("0", "65535", "65536")},
	{"forwarding_filters", "", one("[]", "[{}]")},
	{"forwarding_filters[]", "", kind{accepted: []string{"{}", `{"a":null}`, `{"":[]}`}}},
	{"forwarding_filters[].name", "ForwardingFilters.Name", optName},
	{"forwarding_filters[].action", "ForwardingFilters.Action", words("block", "allow")},
	{"forwarding_filters[].priority", "ForwardingFilters.Priority", integers("0", "65535", "65536")},
	{"forwarding_filters[].version", "ForwardingFilters.Version", optName},
	{"forwarding_filters[].metadata", "ForwardingFilters.Metadata", anything},
	{"forwarding_filters[].rules", "", one("[]", "[[]]")},
	{"forwarding_filters[].rules[]", "", kind{accepted: []string{"[]"}}},
	{"forwarding_filters[].rules[][]", "", kind{}},
	{"forwarding_filters[].rules[][].field", "ForwardingFilters.Rules.Field", required(words("connection_id", "client_id", "kind"))},
	{"forwarding_filters[].rules[][].operator", "ForwardingFilters.Rules.Operator", required(words("is_in", "is_not_in"))},
	{"forwarding_filters[].rules[][].values", "ForwardingFilters.Rules.Values", kind{accepted: []string{"[]", `["audio"]`, `["video","audio"]`}}},
	{"forwarding_filters[].rules[][].values[]", "", kind{accepted: []string{`"audio"`, `"video"`}}},
}

// siblings are the members that have to be beside one for its object to be right.
var siblings = map[string]map[string]string{
	"":                               {"type": `"connect"`, "role": `"sendrecv"`, "channel_id": `"c"`},
	"data_channels[]":                {"label": `"#l"`, "direction": `"sendrecv"`},
	"data_channels[].header[]":       {"type": `"sender_connection_id"`},
	"forwarding_filters[].rules[][]": {"field": `"kind"`, "operator": `"is_in"`, "values": `["audio"]`},
}

// put returns the whole message that has value at path.
func put(path, value string) string {
	switch cut := strings.LastIndexAny(path, ".["); {
	case path == "":
		return value
	case strings.HasSuffix(path, "[]"):
		return put(path[:cut], "["+value+"]")
	default:
		parent := ""
		if cut >= 0 {
			parent = path[:cut]
		}
		object := map[string]string{}
		maps.Copy(object, siblings[parent])
		object[path[cut+1:]] = value
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(object)) {
			parts = append(parts, `"`+k+`":`+object[k])
		}
		return put(parent, "{"+strings.Join(parts, ",")+"}")
	}
}

// Row SIG-04.
func TestEveryMemberIsTriedWithEveryWrongType(t *testing.T) {
	tried := 0
	for _, m := range schema {
		top := m.path[:len(m.path)-len(strings.TrimLeft(m.path, "abcdefghijklmnopqrstuvwxyz0123456789_"))]
		reason := "INVALID-" + strings.ToUpper(strings.ReplaceAll(top, "_", "-"))
		if top == "audio" || top == "video" {
			reason += "-FORMAT"
		}
		for _, value := range slices.Concat(wrongTypes, m.accepted, m.refused) {
			want := reason
			if slices.Contains(m.accepted, value) {
				want = ""
			}
			got := reasonOf(t, put(m.path, value))
			if strings.HasSuffix(m.path, "metadata") && want != "" {
				want = ReasonNumberRange
			}
			if got != want {
				t.Errorf("%.200s: reason %q, want %q", put(m.path, value), got, want)
			}
			tried++
		}
	}
	if tried < 2500 {
		t.Errorf("only %d messages", tried)
	}
}

// A member that is added to Connect has to be added to the table above.
func TestTheSchemaHasEveryField(t *testing.T) {
	var have, want []string
	for _, m := range schema {
		if m.field != "" {
			have = append(have, m.field)
		}
	}
	var leaves func(prefix string, typ reflect.Type)
	leaves = func(prefix string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		// Both forms of a filter have the same members.
		if typ.Kind() != reflect.Struct || prefix == "ForwardingFilter" {
			want = append(want, prefix)
			return
		}
		for i := range typ.NumField() {
			leaves(strings.TrimPrefix(prefix+"."+typ.Field(i).Name, "."), typ.Field(i).Type)
		}
	}
	leaves("", reflect.TypeFor[Connect]())
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the schema has %q,\nConnect has    %q", have, want)
	}
}
