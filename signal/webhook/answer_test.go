package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"tsubame/signal/sora"
)

func allowedWith(members string) string {
	if members == "" {
		return `{"allowed":true}`
	}
	return `{"allowed":true,` + members + `}`
}

// everyAuthMember gives every member that has an effect, and what it means.
var everyAuthMember = []struct {
	members string
	want    AuthAnswer
}{
	{``, AuthAnswer{}},
	{`"reason":"not read"`, AuthAnswer{}},
	{`"client_id":"c"`, AuthAnswer{ClientID: "c"}},
	{`"bundle_id":"ビ"`, AuthAnswer{BundleID: "ビ"}},
	{`"audio":true`, AuthAnswer{Audio: sora.True}},
	{`"audio":false`, AuthAnswer{Audio: sora.False}},
	{`"audio":{}`, AuthAnswer{Audio: sora.True}},
	{`"audio":{"codec_type":"OPUS","bit_rate":64}`, AuthAnswer{Audio: sora.True, AudioCodec: "OPUS", AudioBitrate: 64000}},
	{`"audio":{"opus_params":{"usedtx":true},"lyra_params":1}`, AuthAnswer{Audio: sora.True, Opus: &sora.OpusParams{UseDTX: sora.True}}},
	{`"audio_codec_type":"OPUS"`, AuthAnswer{AudioCodec: "OPUS"}},
	{`"audio_bit_rate":6`, AuthAnswer{AudioBitrate: 6000}},
	{`"audio_bit_rate":510`, AuthAnswer{AudioBitrate: 510000}},
	{`"audio_opus_params":{"channels":1,"maxplaybackrate":16000,"minptime":10,"ptime":20,"stereo":false,"sprop_stereo":true,"useinbandfec":true,"usedtx":false}`,
		AuthAnswer{Opus: &sora.OpusParams{Channels: 1, MaxPlaybackRate: 16000, MinPTime: 10, PTime: 20, Stereo: sora.False, SpropStereo: sora.True,
			UseInbandFEC: sora.True, UseDTX: sora.False}}},
	{`"audio_opus_params":{}`, AuthAnswer{}},
	{`"video":true`, AuthAnswer{Video: sora.True}},
	{`"video":false`, AuthAnswer{Video: sora.False}},
	{`"video":{"codec_type":"AV1","bit_rate":500}`, AuthAnswer{Video: sora.True, VideoCodec: "AV1", VideoBitrate: 500000}},
	{`"video":{"vp9_params":{"profile_id":2}}`, AuthAnswer{Video: sora.True, VP9: &sora.VP9Params{ProfileID: 2}}},
	{`"video_codec_type":"VP8"`, AuthAnswer{VideoCodec: "VP8"}},
	{`"video_codec_type":"VP9"`, AuthAnswer{VideoCodec: "VP9"}},
	{`"video_codec_type":"H264"`, AuthAnswer{VideoCodec: "H264"}},
	{`"video_codec_type":"H265"`, AuthAnswer{VideoCodec: "H265"}},
	{`"video_bit_rate":1`, AuthAnswer{VideoBitrate: 1000}},
	{`"video_bit_rate":50000`, AuthAnswer{VideoBitrate: 50000000}},
	{`"video_vp9_params":{"profile_id":0}`, AuthAnswer{VP9: &sora.VP9Params{}}},
	{`"video_av1_params":{"profile":1,"level_idx":8,"tier":0}`, AuthAnswer{AV1: &sora.AV1Params{Profile: 1, LevelIdx: 8}}},
	{`"video_h264_params":{"profile_level_id":"42E01F","b_frame":true}`, AuthAnswer{H264: &sora.H264Params{ProfileLevelID: "42e01f", BFrame: sora.True}}},
	{`"video_h265_params":{"level_id":"93"}`, AuthAnswer{H265: &sora.H265Params{LevelID: 93, ProfileID: -1, TierFlag: -1}}},
	{`"signaling_notify":false`, AuthAnswer{Notify: sora.False}},
	{`"signaling_notify_ice_connection_state":true`, AuthAnswer{NotifyICEState: sora.True}},
	{`"signaling_notify_metadata": {"a": [1, "\u00e9"]}`, AuthAnswer{NotifyMetadata: []byte(`{"a": [1, "\u00e9"]}`)}},
	{`"signaling_notify_metadata_ext":"x"`, AuthAnswer{NotifyMetadataExt: []byte(`"x"`)}},
	{`"metadata":false`, AuthAnswer{Metadata: []byte(`false`)}},
	{`"event_metadata":12.5e3`, AuthAnswer{EventMetadata: []byte(`12.5e3`)}},
	{`"connection_lifetime":3600`, AuthAnswer{ConnectionLifetime: time.Hour}},
	{`"connection_lifetime":2147483647`, AuthAnswer{ConnectionLifetime: 2147483647 * time.Second}},
	{`"connection_created_timeout":15`, AuthAnswer{CreatedTimeout: 15 * time.Second}},
	{`"ipv4_address":"192.0.2.7"`, AuthAnswer{IPv4: netip.MustParseAddr("192.0.2.7")}},
	{`"ipv6_address":"2001:db8::7"`, AuthAnswer{IPv6: netip.MustParseAddr("2001:db8::7")}},
	{`"turn_fqdn":"turn-1.example.com"`, AuthAnswer{TURNFQDN: "turn-1.example.com"}},
	{`"turn_tls_fqdn":"TLS.example.com"`, AuthAnswer{TURNTLSFQDN: "TLS.example.com"}},
	{`"turn_tcp_only":true`, AuthAnswer{TURNTCPOnly: sora.True}},
	{`"turn_tls_only":false`, AuthAnswer{TURNTLSOnly: sora.False}},
	{`"rtc_stats":true`, AuthAnswer{RTCStats: sora.True}},
	{`"user_agent_stats":true`, AuthAnswer{RTCStats: sora.True}},
	{`"user_agent_stats":true,"rtc_stats":false`, AuthAnswer{RTCStats: sora.False}},
	{`"stats_exporter":true`, AuthAnswer{StatsExporter: sora.True}},
	{`"recording_block":true`, AuthAnswer{RecordingBlock: sora.True}},
}

func TestEveryMemberOfAnAuthAnswerIsRead(t *testing.T) {
	for _, c := range everyAuthMember {
		body := allowedWith(c.members)
		want := c.want
		want.Allowed, want.Kept = true, []byte(body)
		got, err := ParseAuthAnswer([]byte(body))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestMembersThatAreNullCountAsNotGiven(t *testing.T) {
	for name := range authMembers {
		if name == "allowed" {
			continue
		}
		body := allowedWith(`"` + name + `":null`)
		got, err := ParseAuthAnswer([]byte(body))
		if want := (AuthAnswer{Allowed: true, Kept: []byte(body)}); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	if _, err := ParseAuthAnswer([]byte(`{"allowed":null}`)); err != ErrNoAllowed {
		t.Error(err)
	}
}

// Row AUTH-07.
func TestFlatMembersGoBeforeThoseOfTheObject(t *testing.T) {
	got, err := ParseAuthAnswer([]byte(allowedWith(`"audio":{"codec_type":"OPUS","bit_rate":64,"opus_params":{"ptime":10}},"audio_bit_rate":96,` +
		`"video":{"codec_type":"VP9","bit_rate":500,"vp9_params":{"profile_id":1},"av1_params":{"profile":2}},` +
		`"video_codec_type":"AV1","video_vp9_params":{"profile_id":3}`)))
	want := &AuthAnswer{Audio: sora.True, AudioCodec: "OPUS", AudioBitrate: 96000, Opus: &sora.OpusParams{PTime: 10},
		Video: sora.True, VideoCodec: "AV1", VideoBitrate: 500000, VP9: &sora.VP9Params{ProfileID: 3},
		AV1: &sora.AV1Params{Profile: 2, LevelIdx: -1, Tier: -1}, Allowed: true}
	if err != nil {
		t.Fatal(err)
	}
	got.Kept = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// A value of each type, and those of them that no member takes.
func wrongTypes(right ...string) []string {
	var out []string
	for _, v := range []string{`true`, `"text"`, `1`, `[]`, `{}`} {
		wrong := true
		for _, r := range right {
			wrong = wrong && r != v
		}
		if wrong {
			out = append(out, v)
		}
	}
	return out
}

// Row AUTH-07.
func TestAMemberOfAWrongTypeOrValueIsNamed(t *testing.T) {
	bad := map[string][]string{
		"client_id":                             append(wrongTypes(`"text"`), `""`, `"a\u0000"`, `"`+strings.Repeat("c", 256)+`"`, `"\u202e"`),
		"bundle_id":                             append(wrongTypes(`"text"`), `""`, `"`+strings.Repeat("c", 256)+`"`),
		"audio":                                 {`"text"`, `1`, `[]`},
		"video":                                 {`"text"`, `1`, `[]`},
		"audio_codec_type":                      append(wrongTypes(), `"opus"`, `"LYRA"`, `"PCMU"`),
		"video_codec_type":                      append(wrongTypes(), `"vp8"`, `"VP10"`),
		"audio_bit_rate":                        append(wrongTypes(), `5`, `511`, `-6`, `64.0`, `1e2`, `"64"`, `99999999999999999999`),
		"video_bit_rate":                        append(wrongTypes(`1`), `0`, `50001`, `-1`),
		"audio_opus_params":                     wrongTypes(`{}`),
		"audio_opus_params.channels":            {`0`, `3`, `"1"`},
		"audio_opus_params.maxplaybackrate":     {`7999`, `48001`},
		"audio_opus_params.minptime":            {`2`, `121`},
		"audio_opus_params.ptime":               {`2`, `121`},
		"audio_opus_params.stereo":              {`1`},
		"audio_opus_params.sprop_stereo":        {`"true"`},
		"audio_opus_params.useinbandfec":        {`1`},
		"audio_opus_params.usedtx":              {`{}`},
		"video_vp9_params":                      wrongTypes(`{}`),
		"video_vp9_params.profile_id":           {`4`, `-1`, `"0"`},
		"video_av1_params":                      wrongTypes(`{}`),
		"video_av1_params.profile":              {`3`},
		"video_av1_params.level_idx":            {`32`},
		"video_av1_params.tier":                 {`2`},
		"video_h264_params":                     wrongTypes(`{}`),
		"video_h264_params.profile_level_id":    {`"42e01"`, `"42e01g"`, `42`},
		"video_h264_params.b_frame":             {`1`},
		"video_h265_params":                     wrongTypes(`{}`),
		"video_h265_params.level_id":            {`256`, `"x"`},
		"video_h265_params.tx_mode":             {`"srst"`},
		"signaling_notify":                      wrongTypes(`true`),
		"signaling_notify_ice_connection_state": wrongTypes(`true`),
		"signaling_notify_metadata":             {nested(25)},
		"signaling_notify_metadata_ext":         {nested(25)},
		"metadata":                              {nested(25)},
		"connection_lifetime":                   append(wrongTypes(`1`), `0`, `-1`, `2147483648`, `1.5`),
		"connection_created_timeout":            append(wrongTypes(`1`), `0`, `"15 s"`),
		"ipv4_address":                          append(wrongTypes(), `""`, `"192.0.2"`, `"2001:db8::7"`, `"0.0.0.0"`, `"224.0.0.1"`, `"192.0.2.7:1"`),
		"ipv6_address":                          append(wrongTypes(), `""`, `"192.0.2.7"`, `"::"`, `"ff02::1"`, `"fe80::1%eth0"`, `"::ffff:192.0.2.7"`, `"[2001:db8::7]"`),
		"turn_fqdn":                             append(wrongTypes(`"text"`), `""`, `"a..b"`, `"-a"`, `"a-"`, `"a b"`, `"a?transport=udp"`, `"`+strings.Repeat("c", 64)+`"`, `"例.jp"`, `"a."`),
		"turn_tls_fqdn":                         append(wrongTypes(`"text"`), `"`+strings.Repeat("c.", 127)+`c"`),
		"turn_tcp_only":                         wrongTypes(`true`),
		"turn_tls_only":                         wrongTypes(`true`),
		"rtc_stats":                             wrongTypes(`true`),
		"user_agent_stats":                      wrongTypes(`true`),
		"stats_exporter":                        wrongTypes(`true`),
		"recording_block":                       wrongTypes(`true`),
	}
	for name, effect := range authMembers {
		if _, ok := bad[name]; effect && !ok && name != "allowed" && name != "reason" && name != "event_metadata" {
			t.Errorf("no bad value of %s", name)
		}
	}
	for name, values := range bad {
		outer, inner, deep := strings.Cut(name, ".")
		for _, v := range values {
			if deep {
				v = `{"` + inner + `":` + v + `}`
			}
			wantMember(t, allowedWith(`"`+outer+`":`+v), name)
		}
	}
}

func TestWhatIsWrongInTheObjectOfAudioOrVideoIsNamed(t *testing.T) {
	for name, members := range map[string]string{
		"audio.codec_type":               `"audio":{"codec_type":"LYRA"}`,
		"audio.bit_rate":                 `"audio":{"bit_rate":5}`,
		"audio.opus_params.ptime":        `"audio":{"opus_params":{"ptime":1}}`,
		"video.codec_type":               `"video":{"codec_type":7}`,
		"video.bit_rate":                 `"video":{"bit_rate":50001},"video_bit_rate":1`,
		"video.vp9_params.profile_id":    `"video":{"vp9_params":{"profile_id":4}}`,
		"video.h264_params":              `"video":{"h264_params":1}`,
		"video.h265_params.profile_id":   `"video":{"h265_params":{"profile_id":32}}`,
		"video.av1_params.tier":          `"video":{"av1_params":{"tier":2}}`,
		"video_h265_params.tier_flag":    `"video":{"h265_params":{"tier_flag":1}},"video_h265_params":{"tier_flag":2}`,
		"audio_opus_params.useinbandfec": `"audio":true,"audio_opus_params":{"useinbandfec":"1"}`,
	} {
		wantMember(t, allowedWith(members), name)
	}
}

func wantMember(t *testing.T, body, member string) {
	t.Helper()
	a, err := ParseAuthAnswer([]byte(body))
	var e *Error
	if !errors.As(err, &e) || e.Member != member || a != nil || !strings.HasPrefix(e.Error(), member+": ") {
		t.Errorf("%.200s: %+v, %v, want %s to be named", body, a, err, member)
	}
}

// nested returns arrays of the given depth.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestWhyAClientIsNotAllowed(t *testing.T) {
	for body, want := range map[string]string{
		`{"allowed":false,"reason":"NO-MONEY"}`:                                   "NO-MONEY",
		`{"allowed":false,"reason":"` + strings.Repeat("x", 100) + `"}`:           strings.Repeat("x", 100),
		`{"allowed":false,"reason":"` + strings.Repeat("x", 101) + `"}`:           strings.Repeat("x", 100),
		`{"allowed":false,"reason":"x` + strings.Repeat("あ", 40) + `"}`:           "x" + strings.Repeat("あ", 33),
		`{"allowed":false,"reason":"xx` + strings.Repeat("あ", 40) + `"}`:          "xx" + strings.Repeat("あ", 32),
		`{"allowed":false,"reason":"R","audio_bit_rate":"wrong","other":1}`:       "R",
		`{"allowed":false,"reason":"` + strings.Repeat(`\ud83d\ude00`, 26) + `"}`: strings.Repeat("😀", 25),
	} {
		a, err := ParseAuthAnswer([]byte(body))
		if err != nil || a.Allowed || a.Reason != want || a.Warnings != nil || string(a.Kept) != body {
			t.Errorf("%s: %+v, %v", body, a, err)
		}
	}
}

func TestErrorsOfTheirOwn(t *testing.T) {
	for body, want := range map[string]error{
		`{}`:                              ErrNoAllowed,
		`{"reason":"R"}`:                  ErrNoAllowed,
		`{"allowed":false}`:               ErrNoReason,
		`{"allowed":false,"reason":""}`:   ErrNoReason,
		`{"allowed":false,"reason":null}`: ErrNoReason,
		`{"client_id":7}`:                 ErrNoAllowed,
		`{"allowed":false,"client_id":7}`: ErrNoReason,
	} {
		if a, err := ParseAuthAnswer([]byte(body)); a != nil || !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", body, a, err)
		}
	}
	for _, v := range wrongTypes(`true`) {
		wantMember(t, `{"allowed":`+v+`}`, "allowed")
	}
	for _, v := range wrongTypes(`"text"`) {
		wantMember(t, `{"allowed":false,"reason":`+v+`}`, "reason")
	}
}

// brokenBodies are none that any answer may be.
var brokenBodies = map[string]string{
	"text":              `OK`,
	"null":              `null`,
	"array":             `[]`,
	"string":            `"allowed"`,
	"two":               `{"allowed":true}{}`,
	"comma":             `{"allowed":true,}`,
	"single quotes":     `{'allowed':true}`,
	"byte order mark":   "\ufeff" + `{"allowed":true}`,
	"not UTF-8":         "{\"allowed\":true,\"metadata\":\"\xff\"}",
	"half a character":  `{"allowed":true,"metadata":"\ud800"}`,
	"twice":             `{"allowed":false,"allowed":true}`,
	"twice by escape":   `{"allowed":true,"a":1,"\u0061":1}`,
	"twice inside":      `{"allowed":true,"metadata":{"a":1,"a":2}}`,
	"number":            `{"allowed":true,"metadata":1e999}`,
	"deep":              `{"allowed":true,"event_metadata":` + nested(32) + `}`,
	"many values":       `{"allowed":true,"event_metadata":[` + strings.Repeat("1,", 8192) + `1]}`,
	"many members":      `{"allowed":true` + manyMembers(256) + `}`,
	"long":              `{"allowed":true,"event_metadata":"` + strings.Repeat("x", MaxAnswer) + `"}`,
	"control character": "{\"allowed\":true,\"metadata\":\"\n\"}",
	"a name not closed": `{"allowed`,
	"a name alone":      `{"allowed"}`,
}

// manyMembers returns n members without meaning, with a comma in front of each.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%03d":%d`, i, i)
	}
	return b.String()
}

// Row AUTH-07.
func TestBrokenAnswersAreErrors(t *testing.T) {
	for name, body := range brokenBodies {
		var e *Error
		if a, err := ParseAuthAnswer([]byte(body)); a != nil || !errors.As(err, &e) || e.Error() == "" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if a, err := ParseSessionAnswer([]byte(body)); a != nil || !errors.As(err, &e) {
			t.Errorf("%s, session: %+v, %v", name, a, err)
		}
		if a, err := ParseGrants([]byte(body)); a != nil || !errors.As(err, &e) {
			t.Errorf("%s, grants: %+v, %v", name, a, err)
		}
	}
	_, err := ParseAuthAnswer([]byte(brokenBodies["twice"]))
	if e := err.(*Error); e.Member != "allowed" {
		t.Errorf("%+v", e)
	}
}

func TestAnswersUpToTheBoundsAreRead(t *testing.T) {
	for name, body := range map[string]string{
		"long":         `{"allowed":true,"event_metadata":"` + strings.Repeat("x", MaxAnswer-36) + `"}`,
		"deep":         allowedWith(`"event_metadata":` + nested(31)),
		"shown deep":   allowedWith(`"metadata":` + nested(24)),
		"many members": `{"allowed":true` + manyMembers(255) + `}`,
	} {
		if a, err := ParseAuthAnswer([]byte(body)); err != nil || !a.Allowed {
			t.Errorf("%s (%d bytes): %v", name, len(body), err)
		}
	}
}

func TestEveryTruncatedAnswerIsAnError(t *testing.T) {
	for _, c := range everyAuthMember {
		body := allowedWith(c.members)
		for n := range len(body) {
			if a, err := ParseAuthAnswer([]byte(body[:n])); a != nil || err == nil {
				t.Errorf("%s: %+v", body[:n], a)
			}
		}
	}
}

func TestMembersOfFeaturesThatAreNotThereAreKept(t *testing.T) {
	for name, effect := range authMembers {
		if effect {
			continue
		}
		for _, v := range wrongTypes() {
			body := allowedWith(`"` + name + `":` + v)
			a, err := ParseAuthAnswer([]byte(body))
			if err != nil || string(a.Kept) != body || !reflect.DeepEqual(a.Warnings, []string{name + " has no effect"}) {
				t.Errorf("%s: %+v, %v", body, a, err)
			}
		}
		a, err := ParseAuthAnswer([]byte(allowedWith(`"` + name + `":false`)))
		if err != nil || a.Warnings != nil {
			t.Errorf("%s is false: %q, %v", name, a.Warnings, err)
		}
	}
}

// Row AUTH-07.
func TestUnknownMembersAreWarnedOf(t *testing.T) {
	a, err := ParseAuthAnswer([]byte(allowedWith(`"clientid":"x","` + strings.Repeat("あ", 30) + `":false,"k\n":1,"exp":1`)))
	want := []string{`"clientid" is not known`, `"` + strings.Repeat("あ", 21) + `" is not known`, `"k\n" is not known`, `"exp" is not known`}
	if err != nil || !reflect.DeepEqual(a.Warnings, want) {
		t.Errorf("%q, %v", a.Warnings, err)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	for members, last := range map[int]string{
		15: `"m014" is not known`, 16: `"m015" is not known`, 17: "2 more members are not known or have no effect",
		200: "185 more members are not known or have no effect",
	} {
		a, err := ParseAuthAnswer([]byte(`{"allowed":true` + manyMembers(members) + `}`))
		if err != nil || len(a.Warnings) != min(members, MaxWarnings) || a.Warnings[len(a.Warnings)-1] != last {
			t.Errorf("%d: %q, %v", members, a.Warnings, err)
		}
	}
}

func TestAnAnswerIsKeptInOneLine(t *testing.T) {
	a, err := ParseAuthAnswer([]byte("\r\n {\n  \"allowed\": true,\r\n  \"metadata\": {\n\t\"a\": \"\\n\"}\n}\n"))
	if err != nil || string(a.Kept) != `{  "allowed": true,  "metadata": {`+"\t"+`"a": "\n"}}` || !json.Valid(a.Kept) {
		t.Errorf("%q, %v", a.Kept, err)
	}
}

func TestAnAnswerDoesNotReferToItsBody(t *testing.T) {
	body := []byte(allowedWith(`"client_id":"cc","metadata":[1],"event_metadata":[2],"signaling_notify_metadata":[3],` +
		`"turn_fqdn":"h.example","video":{"h264_params":{"profile_level_id":"42e01f"}},"unknown":0`))
	a, err := ParseAuthAnswer(body)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", a)
	for i := range body {
		body[i] = 'X'
	}
	if after := fmt.Sprintf("%+v", a); after != text {
		t.Errorf("%s\nbecame %s", text, after)
	}
}

func TestGrantsOfAToken(t *testing.T) {
	claims := `{"iss":"i","sub":"s","aud":["a"],"exp":1,"nbf":1,"iat":1,"jti":"j","channel_id":"c*","role":"recvonly","client_id":"u","video":false,"x":1}`
	a, err := ParseGrants([]byte(claims))
	want := &AuthAnswer{Allowed: true, ClientID: "u", Video: sora.False, Kept: []byte(claims), Warnings: []string{`"x" is not known`}}
	if err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := ParseGrants([]byte(`{"allowed":false,"reason":"R"}`)); err != nil || a.Allowed || a.Reason != "R" {
		t.Errorf("a token that does not allow: %+v, %v", a, err)
	}
	if _, err := ParseGrants([]byte(`{"video_bit_rate":0}`)); err == nil || err.(*Error).Member != "video_bit_rate" {
		t.Error(err)
	}
}
