package sora

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func mustDecode(t *testing.T, frame string) Message {
	t.Helper()
	m, err := Decode([]byte(frame))
	if err != nil {
		t.Fatalf("Decode(%.200s): %v", frame, err)
	}
	return m
}

func reasonOf(t *testing.T, frame string) string {
	t.Helper()
	_, err := Decode([]byte(frame))
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Decode(%.200s): error %T is not an *Error", frame, err)
	}
	return e.Reason
}

func TestConnectOfTheJavaScriptSDKIsRead(t *testing.T) {
	m := mustDecode(t, `{"audio":true,"channel_id":"room","environment":"Mozilla/5.0","role":"sendrecv",
		"sdp":"v=0\r\n","sora_client":"Sora JavaScript SDK 2026.1.0","type":"connect",
		"video":{"codec_type":"VP8","bit_rate":500},"metadata" : {"access_token": "s\u0007\"}"} ,
		"signaling_notify_metadata":[1, {"a":null}]}`)
	c := m.Connect
	if m.Type != TypeConnect || c == nil {
		t.Fatalf("got %+v", m)
	}
	if c.Role != SendRecv || c.ChannelID != "room" || !c.Multistream || c.Environment != "Mozilla/5.0" {
		t.Errorf("got %+v", c)
	}
	if !c.Audio.Enabled || !c.Video.Enabled || c.Video.CodecType != "VP8" || c.Video.BitRate != 500 {
		t.Errorf("media: %+v %+v", c.Audio, c.Video)
	}
	// The text is passed on as it came: fastjson would write \u0007 back as \a.
	if got := string(c.Metadata); got != `{"access_token": "s\u0007\"}"}` {
		t.Errorf("metadata = %s", got)
	}
	if got := string(c.NotifyMetadata); got != `[1, {"a":null}]` {
		t.Errorf("signaling_notify_metadata = %s", got)
	}
}

func TestConnectDefaults(t *testing.T) {
	c := mustDecode(t, `{"type":"connect","role":"recvonly","channel_id":"c","client_id":null,"audio":null}`).Connect
	if !c.Audio.Enabled || !c.Video.Enabled || !c.Multistream {
		t.Errorf("absent audio, video and multistream mean true: %+v", c)
	}
	if c.ClientID != "" || c.Metadata != nil || c.Simulcast || c.DataChannelSignaling != Unset {
		t.Errorf("got %+v", c)
	}
}

func TestMetadataNullIsAValue(t *testing.T) {
	c := mustDecode(t, `{"type":"connect","role":"recvonly","channel_id":"c","metadata":null}`).Connect
	if string(c.Metadata) != "null" || c.NotifyMetadata != nil {
		t.Errorf("metadata %q, notify metadata %q", c.Metadata, c.NotifyMetadata)
	}
}

func TestOpusParamsAreRead(t *testing.T) {
	c := mustDecode(t, `{"type":"connect","role":"sendonly","channel_id":"c","video":false,"audio":{"codec_type":"OPUS",
		"bit_rate":64,"opus_params":{"channels":2,"maxplaybackrate":16000,"minptime":10,"ptime":20,"stereo":false,
		"sprop_stereo":false,"useinbandfec":true,"usedtx":true}}}`).Connect
	want := OpusParams{Channels: 2, MaxPlaybackRate: 16000, MinPTime: 10, PTime: 20,
		Stereo: False, SpropStereo: False, UseInbandFEC: True, UseDTX: True}
	if c.Audio.Opus != want || c.Audio.BitRate != 64 || c.Video.Enabled {
		t.Errorf("got %+v %+v", c.Audio, c.Video)
	}
}

func TestOtherMessagesAreRead(t *testing.T) {
	for frame, want := range map[string]Message{
		`{"type":"answer","sdp":"v=0"}`:                                                              {Type: TypeAnswer, SDP: "v=0"},
		`{"type":"re-answer","sdp":"v=0"}`:                                                           {Type: TypeReAnswer, SDP: "v=0"},
		`{"type":"update","sdp":"v=0"}`:                                                              {Type: TypeUpdate, SDP: "v=0"},
		`{"type":"candidate","candidate":"candidate:1 1 udp 1 10.0.0.1 9 typ host"}`:                 {Type: TypeCandidate, Candidate: &Candidate{Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host", SDPMLineIndex: -1}},
		`{"candidate":"","sdpMLineIndex":0,"sdpMid":"a","type":"candidate","usernameFragment":null}`: {Type: TypeCandidate, Candidate: &Candidate{SDPMLineIndex: -1}},
		`{"type":"pong"}`: {Type: TypePong},
		`{"type":"pong","stats":[{"id":"a","type":"codec","timestamp":1.5}]}`: {Type: TypePong, Stats: []byte(`[{"id":"a","type":"codec","timestamp":1.5}]`)},
		`{"type":"disconnect"}`:                     {Type: TypeDisconnect},
		`{"type":"disconnect","reason":"NO-ERROR"}`: {Type: TypeDisconnect, Reason: "NO-ERROR"},
	} {
		if got := mustDecode(t, frame); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", frame, got, want)
		}
	}
}

func TestFaultsHaveTheirReasons(t *testing.T) {
	connect := func(members string) string {
		return `{"type":"connect","role":"sendrecv","channel_id":"c"` + members + `}`
	}
	for frame, want := range map[string]string{
		``:                                    ReasonInvalidJSON,
		`{`:                                   ReasonInvalidJSON,
		`{"type":"pong"} x`:                   ReasonInvalidJSON,
		`{"type":"pong","a":NaN}`:             ReasonInvalidJSON,
		"{\"type\":\"po\xffng\"}":             ReasonInvalidJSON,
		"{\"type\":\"po\x00ng\"}":             ReasonInvalidJSON,
		`[]`:                                  ReasonMissingType,
		`"pong"`:                              ReasonMissingType,
		`{}`:                                  ReasonMissingType,
		`{"type":1}`:                          ReasonMissingType,
		`{"type":"offer"}`:                    ReasonUnknownType,
		`{"type":"pong","type":"x"}`:          ReasonDuplicateKey,
		`{"type":"answer"}`:                   "INVALID-SDP",
		`{"type":"answer","sdp":1}`:           "INVALID-SDP",
		`{"type":"pong","stats":{}}`:          "INVALID-STATS",
		`{"type":"candidate","candidate":1}`:  "INVALID-CANDIDATE",
		`{"type":"disconnect","reason":1}`:    "INVALID-REASON",
		`{"type":"connect","channel_id":"c"}`: "INVALID-ROLE",
		`{"type":"connect","role":"upstream","channel_id":"c"}`: "INVALID-ROLE",
		`{"type":"connect","role":"sendrecv"}`:                  "INVALID-CHANNEL-ID",
		`{"type":"connect","role":"sendrecv","channel_id":""}`:  "INVALID-CHANNEL-ID",
		connect(`,"client_id":""`):                              "INVALID-CLIENT-ID",
		connect(`,"bundle_id":""`):                              "INVALID-BUNDLE-ID",
		connect(`,"audio":1`):                                   "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"bit_rate":5}`):                      "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"bit_rate":511}`):                    "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"opus_params":{"stereo":1}}`):        "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"opus_params":[]}`):                  "INVALID-AUDIO-FORMAT",
		connect(`,"video":"VP8"`):                               "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"bit_rate":0}`):                      "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"bit_rate":50001}`):                  "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"codec_type":8}`):                    "INVALID-VIDEO-FORMAT",
		connect(`,"spotlight_number":9`):                        "INVALID-SPOTLIGHT-NUMBER",
		connect(`,"signaling_notify_metadata":"` + strings.Repeat("x", MaxNotifyMetadata) + `"`): "SIGNALING-NOTIFY-METADATA-TOO-LARGE",
	} {
		if got := reasonOf(t, frame); got != want {
			t.Errorf("%.100q: reason %q, want %q", frame, got, want)
		}
	}
}

// Row SIG-04.
func TestEveryFieldRefusesEveryWrongType(t *testing.T) {
	samples := map[string]string{"bool": "true", "number": "1", "string": `"s"`, "array": "[1]", "object": "{}",
		"huge number": "1e400", "minus zero": "-0", "2^64": "18446744073709551616"}
	fields := map[string][]string{ // member -> accepted samples
		"role": {}, "channel_id": {"string"}, "client_id": {"string"}, "bundle_id": {"string"},
		"sdp": {"string"}, "sora_client": {"string"}, "libwebrtc": {"string"}, "environment": {"string"},
		"redirect": {"bool"}, "multistream": {"bool"}, "simulcast": {"bool"}, "simulcast_multicodec": {"bool"},
		"simulcast_rid": {"string"}, "simulcast_request_rid": {"string"}, "spotlight": {"bool"},
		"spotlight_number": {"number"}, "spotlight_focus_rid": {"string"}, "spotlight_unfocus_rid": {"string"},
		"data_channel_signaling": {"bool"}, "ignore_disconnect_websocket": {"bool"},
		"data_channels": {"array"}, "forwarding_filters": {"array"}, "forwarding_filter": {"object"},
		"audio": {"bool", "object"}, "video": {"bool", "object"},
		"metadata":                  {"bool", "number", "string", "array", "object", "huge number", "minus zero", "2^64"},
		"signaling_notify_metadata": {"bool", "number", "string", "array", "object", "huge number", "minus zero", "2^64"},
	}
	for field, accepted := range fields {
		for kind, value := range samples {
			members := map[string]string{"type": `"connect"`, "role": `"sendrecv"`, "channel_id": `"c"`, field: value}
			var parts []string
			for k, v := range members {
				parts = append(parts, fmt.Sprintf("%q:%s", k, v))
			}
			got := reasonOf(t, "{"+strings.Join(parts, ",")+"}")
			want := false
			for _, a := range accepted {
				want = want || a == kind
			}
			if (got == "") != want {
				t.Errorf("%s as %s: reason %q, accepted should be %v", field, kind, got, want)
			}
		}
	}
}

// Row SIG-04.
func TestBombsAreRefusedBeforeParsing(t *testing.T) {
	for name, frame := range map[string]string{
		"depth":    strings.Repeat("[", 100_000),
		"objects":  strings.Repeat(`{"a":`, 100_000),
		"values":   `{"type":"pong","stats":[` + strings.Repeat("1,", 300_000) + `1]}`,
		"keys":     `{"type":"pong"` + strings.Repeat(`,"a":1`, 100_000) + `}`,
		"oversize": `"` + strings.Repeat("x", MaxFrame) + `"`,
	} {
		if got := reasonOf(t, frame); got != ReasonTooComplex {
			t.Errorf("%s: reason %q", name, got)
		}
		if len(frame) > MaxFrame {
			continue
		}
		b := []byte(frame)
		if n := testing.AllocsPerRun(1, func() { Decode(b) }); n > 8 {
			t.Errorf("%s: %v allocations to refuse it", name, n)
		}
	}
	if got := reasonOf(t, `{"type":"pong"`+manyMembers(maxMembers)+`}`); got != ReasonTooComplex {
		t.Errorf("too many members: reason %q", got)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String()
}

// Row SIG-11.
func TestIDsAreBounded(t *testing.T) {
	accepted := []string{"a", "../../etc/passwd", "チャンネル", "a b", strings.Repeat("x", 255)}
	refused := []string{"a\u0000b", "a\nb", "\u007f", "\u0085", strings.Repeat("x", 256), strings.Repeat("あ", 86), strings.Repeat("x", 10<<10)}
	frame := func(id string) string {
		b, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		return `{"type":"connect","role":"sendrecv","channel_id":` + string(b) + `}`
	}
	for _, id := range accepted {
		if got := mustDecode(t, frame(id)).Connect.ChannelID; got != id {
			t.Errorf("channel_id %q became %q", id, got)
		}
	}
	for _, id := range refused {
		if got := reasonOf(t, frame(id)); got != "INVALID-CHANNEL-ID" {
			t.Errorf("channel_id %.20q: reason %q", id, got)
		}
	}
}

func TestDescriptiveTextsAreCut(t *testing.T) {
	c := mustDecode(t, `{"type":"connect","role":"sendrecv","channel_id":"c","environment":"`+strings.Repeat("あ", 1000)+`"}`).Connect
	if len(c.Environment) > maxText || len(c.Environment) < maxText-2 || strings.Trim(c.Environment, "あ") != "" {
		t.Errorf("environment is %d bytes: %q", len(c.Environment), c.Environment)
	}
}

func TestTruncatedMessagesAreErrors(t *testing.T) {
	whole := `{"type":"connect","role":"sendrecv","channel_id":"c","audio":{"opus_params":{"stereo":true}},"metadata":[1,"\u00e9"]}`
	for i := range whole {
		if _, err := Decode([]byte(whole[:i])); err == nil {
			t.Fatalf("the first %d bytes were accepted", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"type":"connect","role":"sendrecv","channel_id":"c","audio":{"opus_params":{"stereo":true}},"metadata":[1,"\u00e9"]}`,
		`{"type":"answer","sdp":"v=0\r\n"}`, `{"type":"pong","stats":[{"id":"x"}]}`, `{"type":"disconnect","reason":"NO-ERROR"}`,
		`{"metadata":{"metadata":1},"type":"connect","role":"recvonly","channel_id":"\ud800"}`, `[[[[`, `{"a":"\"}`,
		`{"type":"connect","role":"sendonly","channel_id":"c","client_id":"i","bundle_id":"b","multistream":true,"spotlight_number":3,` +
			`"video":{"codec_type":"VP8","bit_rate":1500,"vp9_params":{"profile_id":0}},"audio":{"codec_type":"OPUS","bit_rate":64,` +
			`"opus_params":{"channels":2,"maxplaybackrate":48000,"usedtx":false}},"data_channels":[{"label":"#x"}],` +
			`"forwarding_filters":[{}],"forwarding_filter":{}, "signaling_notify_metadata" : {"k": [1, 2] } }`,
		`{"type":"connect","role":"other","channel_id":"c","video":{"bit_rate":"x","h264_params":1},"data_channels":{}}`,
		`{"type":"connect","role":"recvonly","channel_id":"c","audio":false,"video":true,"audio":true}`,
		`{"type":"connect","role":"recvonly","channel_id":"c","video":{"bit_rate":1e9},"audio":7,"simulcast":"yes","client_id":5}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" || len(e.Reason) > 123 {
				t.Fatalf("bad error %#v", err)
			}
			return
		}
		if !json.Valid(frame) {
			t.Fatalf("accepted what encoding/json refuses: %q", frame)
		}
		if c := m.Connect; c != nil {
			for _, raw := range [][]byte{c.Metadata, c.NotifyMetadata} {
				if raw != nil && !json.Valid(raw) {
					t.Fatalf("metadata %q is not JSON", raw)
				}
			}
		}
	})
}
