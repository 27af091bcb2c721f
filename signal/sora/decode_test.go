package sora

import (
	"errors"
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
		`{"type":"answer","sdp":"v=0"}`:                                                                                 {Type: TypeAnswer, SDP: "v=0"},
		`{"type":"re-answer","sdp":"v=0"}`:                                                                              {Type: TypeReAnswer, SDP: "v=0"},
		`{"type":"update","sdp":"v=0"}`:                                                                                 {Type: TypeUpdate, SDP: "v=0"},
		`{"type":"candidate","candidate":"candidate:1 1 udp 1 10.0.0.1 9 typ host"}`:                                    {Type: TypeCandidate, Candidate: &Candidate{Candidate: "candidate:1 1 udp 1 10.0.0.1 9 typ host", SDPMLineIndex: -1}},
		`{"candidate":"","sdpMLineIndex":0,"sdpMid":"a","type":"candidate","usernameFragment":null}`:                    {Type: TypeCandidate, Candidate: &Candidate{SDPMid: "a"}},
		`{"type":"candidate","candidate":null,"sdpMid":null,"sdpMLineIndex":null,"usernameFragment":"u","address":"x"}`: {Type: TypeCandidate, Candidate: &Candidate{SDPMLineIndex: -1, UsernameFragment: "u"}},
		`{"type":"pong"}`:                                                     {Type: TypePong},
		`{"type":"pong","stats":null}`:                                        {Type: TypePong},
		` { "stats" : [ ] , "type" : "pong" } `:                               {Type: TypePong, Stats: []byte(`[ ]`)},
		`{"type":"p\u006fng","s\u0074ats":[{}]}`:                              {Type: TypePong, Stats: []byte(`[{}]`)},
		`{"type":"pong","stats":[{"id":"a","type":"codec","timestamp":1.5}]}`: {Type: TypePong, Stats: []byte(`[{"id":"a","type":"codec","timestamp":1.5}]`)},
		`{"type":"disconnect"}`:                                               {Type: TypeDisconnect},
		`{"type":"disconnect","reason":"NO-ERROR"}`:                           {Type: TypeDisconnect, Reason: "NO-ERROR"},
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
		``:                                       ReasonInvalidJSON,
		`{`:                                      ReasonInvalidJSON,
		`{"type":"pong"} x`:                      ReasonInvalidJSON,
		`{"type":"pong","a":NaN}`:                ReasonInvalidJSON,
		"{\"type\":\"po\xffng\"}":                ReasonInvalidJSON,
		"{\"type\":\"po\x00ng\"}":                ReasonInvalidJSON,
		`[]`:                                     ReasonMissingType,
		`"pong"`:                                 ReasonMissingType,
		`{}`:                                     ReasonMissingType,
		`{"type":1}`:                             ReasonMissingType,
		`{"type":"offer"}`:                       ReasonUnknownType,
		`{"type":"pong","type":"x"}`:             ReasonDuplicateKey,
		`{"type":"pong","typ\u0065":"x"}`:        ReasonDuplicateKey,
		`{"type":"pong","stats":[],"stats":[1]}`: ReasonDuplicateKey,
		`{"type":"answer"}`:                      "INVALID-SDP",
		`{"type":"answer","sdp":1}`:              "INVALID-SDP",
		`{"type":"pong","stats":{}}`:             "INVALID-STATS",
		`{"type":"pong","stats":"x"}`:            "INVALID-STATS",
		`{"type":"candidate","candidate":1}`:     "INVALID-CANDIDATE",
		`{"type":"candidate","candidate":"` + strings.Repeat("x", maxCandidate+1) + `"}`:         "INVALID-CANDIDATE",
		`{"type":"candidate","candidate":"","sdpMid":1}`:                                         "INVALID-SDPMID",
		`{"type":"candidate","candidate":"","sdpMLineIndex":-1}`:                                 "INVALID-SDPMLINEINDEX",
		`{"type":"candidate","candidate":"","sdpMLineIndex":65536}`:                              "INVALID-SDPMLINEINDEX",
		`{"type":"candidate","candidate":"","usernameFragment":[]}`:                              "INVALID-USERNAMEFRAGMENT",
		`{"type":"re-answer","sdp":null}`:                                                        "INVALID-SDP",
		`{"type":"update","sdp":""}`:                                                             "INVALID-SDP",
		`{"type":"disconnect","reason":1}`:                                                       "INVALID-REASON",
		`{"type":"connect","channel_id":"c"}`:                                                    "INVALID-ROLE",
		`{"type":"connect","role":"upstream","channel_id":"c"}`:                                  "INVALID-ROLE",
		`{"type":"connect","role":"sendrecv"}`:                                                   "INVALID-CHANNEL-ID",
		`{"type":"connect","role":"sendrecv","channel_id":""}`:                                   "INVALID-CHANNEL-ID",
		connect(`,"client_id":""`):                                                               "INVALID-CLIENT-ID",
		connect(`,"bundle_id":""`):                                                               "INVALID-BUNDLE-ID",
		connect(`,"audio":1`):                                                                    "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"bit_rate":5}`):                                                       "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"bit_rate":511}`):                                                     "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"opus_params":{"stereo":1}}`):                                         "INVALID-AUDIO-FORMAT",
		connect(`,"audio":{"opus_params":[]}`):                                                   "INVALID-AUDIO-FORMAT",
		connect(`,"video":"VP8"`):                                                                "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"bit_rate":0}`):                                                       "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"bit_rate":50001}`):                                                   "INVALID-VIDEO-FORMAT",
		connect(`,"video":{"codec_type":8}`):                                                     "INVALID-VIDEO-FORMAT",
		connect(`,"spotlight_number":9`):                                                         "INVALID-SPOTLIGHT-NUMBER",
		connect(`,"signaling_notify_metadata":"` + strings.Repeat("x", MaxNotifyMetadata) + `"`): "SIGNALING-NOTIFY-METADATA-TOO-LARGE",
	} {
		if got := reasonOf(t, frame); got != want {
			t.Errorf("%.100q: reason %q, want %q", frame, got, want)
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

func TestTooManyStatisticsAreAPongWithoutThem(t *testing.T) {
	pong := func(n int) Message {
		return mustDecode(t, `{"type":"pong","stats":["`+strings.Repeat("x", n-4)+`"]}`)
	}
	if m := pong(MaxStats); len(m.Stats) != MaxStats || m.StatsTooLarge {
		t.Errorf("%d bytes are kept, too large: %v", len(m.Stats), m.StatsTooLarge)
	}
	if m := pong(MaxStats + 1); m.Stats != nil || !m.StatsTooLarge {
		t.Errorf("%d bytes are kept, too large: %v", len(m.Stats), m.StatsTooLarge)
	}
}

func TestWhatDecodeReturnsOutlivesTheFrame(t *testing.T) {
	for _, text := range []string{connectOfEverything, `{"type":"pong","stats":[{"id":"a"}]}`, `{"type":"answer","sdp":"v=0"}`} {
		frame := []byte(text)
		m, err := Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		want := mustDecode(t, text)
		for i := range frame {
			frame[i] = 'x'
		}
		// Another message of the same parser.
		mustDecode(t, `{"type":"disconnect","reason":"`+strings.Repeat("y", 4000)+`"}`)
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%.40s: changed to %+v", text, m)
		}
	}
}

func TestInvalidUTF8IsRefusedEverywhere(t *testing.T) {
	for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe3\x81"} {
		for _, frame := range []string{`{"type":"disconnect","reason":"` + bad + `"}`, `{"type":"pong","stats":["` + bad + `"]}`, `{"type":"pong","` + bad + `":1}`} {
			if got := reasonOf(t, frame); got != ReasonInvalidJSON {
				t.Errorf("%q: reason %q", frame, got)
			}
		}
	}
}
