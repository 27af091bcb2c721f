package sora

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return m
}

func TestOfferHasWhatClientsRead(t *testing.T) {
	o := Offer{SDP: []byte("v=0\r\n"), ChannelID: "c", ClientID: "cl", BundleID: "b", ConnectionID: "conn", SessionID: "s",
		Version: "1", AudioMID: "audio_A", VideoMID: "video_B", Audio: true, Video: true,
		AudioCodecType: "OPUS", VideoCodecType: "VP8", VideoBitRate: 500}
	got := object(t, o.Append(nil))
	want := map[string]any{
		"type": "offer", "sdp": "v=0\r\n", "channel_id": "c", "client_id": "cl", "bundle_id": "b", "connection_id": "conn",
		"session_id": "s", "version": "1", "mid": map[string]any{"audio": "audio_A", "video": "video_B"},
		"config":      map[string]any{"iceServers": []any{}, "iceTransportPolicy": "all"},
		"multistream": true, "simulcast": false, "simulcast_multicodec": false, "spotlight": false,
		"data_channel_signaling": false, "ignore_disconnect_websocket": false,
		"audio": true, "video": true, "audio_codec_type": "OPUS", "video_codec_type": "VP8", "video_bit_rate": 500.0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Some clients read the members of a server one by one and throw over any that is missing, or
// over urls that is no list.
func TestOfferTellsOfTheTURNServer(t *testing.T) {
	o := Offer{RelayOnly: true, ICEServer: ICEServer{
		URLs: []string{"turn:192.0.2.1:3478?transport=udp", "turns:turn.example.com:443?transport=tcp"}, Username: `u"1`, Credential: "p/+="}}
	got := object(t, o.Append(nil))["config"]
	want := map[string]any{"iceTransportPolicy": "relay", "iceServers": []any{map[string]any{
		"urls":     []any{"turn:192.0.2.1:3478?transport=udp", "turns:turn.example.com:443?transport=tcp"},
		"username": `u"1`, "credential": "p/+=",
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAServerWithoutCredentialsStillHasTheMembers(t *testing.T) {
	o := Offer{ICEServer: ICEServer{URLs: []string{"turn:192.0.2.1:3478?transport=udp"}}}
	if b := string(o.Append(nil)); !strings.Contains(b, `"config":{"iceTransportPolicy":"all","iceServers":[{"urls":["turn:192.0.2.1:3478?transport=udp"],"username":"","credential":""}]}`) {
		t.Errorf("got %s", b)
	}
}

func TestOfferToAViewerHasAnEmptyMid(t *testing.T) {
	got := object(t, (&Offer{}).Append(nil))
	if mid, ok := got["mid"].(map[string]any); !ok || len(mid) != 0 {
		t.Errorf("mid = %v", got["mid"])
	}
}

func TestOfferPassesOnMetadataAsItIs(t *testing.T) {
	o := Offer{Metadata: []byte(`{"a":[1, "\u0007"]}`)}
	if b := o.Append(nil); !strings.HasSuffix(string(b), `,"metadata":{"a":[1, "\u0007"]}}`) {
		t.Errorf("got %s", b)
	}
	if _, has := object(t, (&Offer{}).Append(nil))["metadata"]; has {
		t.Error("no metadata is no member")
	}
}

func TestMembersKeepTheirOrder(t *testing.T) {
	o := Offer{SDP: []byte("s"), ChannelID: "c", ClientID: "cl", BundleID: "b", ConnectionID: "conn", SessionID: "se", Version: "v",
		AudioMID: "a", AudioCodecType: "OPUS", AudioBitRate: 64}
	want := `{"type":"offer","sdp":"s","channel_id":"c","client_id":"cl","bundle_id":"b","connection_id":"conn","session_id":"se","version":"v",` +
		`"config":{"iceTransportPolicy":"all","iceServers":[]},"mid":{"audio":"a"},"multistream":true,"simulcast":false,"simulcast_multicodec":false,` +
		`"spotlight":false,"data_channel_signaling":false,"ignore_disconnect_websocket":false,"audio":false,"video":false,` +
		`"audio_codec_type":"OPUS","audio_bit_rate":64}`
	if got := string(o.Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMessagesOfTheServerHaveTheirShapes(t *testing.T) {
	now := time.Date(2023, 12, 31, 23, 59, 59, 999999999, time.UTC)
	for want, got := range map[string][]byte{
		`{"type":"ping"}`:                                                     AppendPing(nil, false),
		`{"type":"ping","stats":true}`:                                        AppendPing(nil, true),
		`{"type":"re-offer","sdp":"v=0\r\n"}`:                                 AppendReOffer(nil, []byte("v=0\r\n")),
		`{"type":"update","sdp":"v=0\r\n\"\u0001"}`:                           AppendUpdate(nil, []byte("v=0\r\n\"\x01")),
		`{"type":"push","data":{"a":[1, 2]}}`:                                 AppendPush(nil, []byte(`{"a":[1, 2]}`)),
		`{"type":"switched","ignore_disconnect_websocket":true}`:              AppendSwitched(nil, true),
		`{"type":"switched","ignore_disconnect_websocket":false}`:             AppendSwitched(nil, false),
		`{"type":"redirect","location":"wss://example.com/signaling?a=\"\\"}`: AppendRedirect(nil, `wss://example.com/signaling?a="\`),
		`{"type":"close","code":1000,"reason":"LIFETIME-EXPIRED"}`:            AppendClose(nil, 1000, "LIFETIME-EXPIRED"),
		`{"type":"notify","event_type":"network.status","timestamp":"2023-12-31T23:59:59.999999Z","unstable_level":2}`: AppendNetworkStatus(nil, now, 2),
	} {
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		object(t, got)
	}
}

func TestEncodersAppend(t *testing.T) {
	for _, encode := range encoders("s") {
		alone := encode(nil)
		if got := encode([]byte("before")); string(got) != "before"+string(alone) {
			t.Errorf("got %s", got)
		}
	}
}

// encoders returns one of each message, with s for every text.
func encoders(s string) []func(dst []byte) []byte {
	raw := AppendString(nil, s)
	offer := Offer{SDP: []byte(s), ChannelID: s, ClientID: s, BundleID: s, ConnectionID: s, SessionID: s, Version: s, AudioMID: s, VideoMID: s,
		AudioCodecType: s, VideoCodecType: s, Metadata: raw, ICEServer: ICEServer{[]string{s, s}, s, s}}
	event := ConnectionEvent{EventType: EventCreated, SessionID: s, ClientID: s, BundleID: s, ConnectionID: s, AuthnMetadata: raw, AuthzMetadata: raw,
		Metadata: raw, TURNTransportType: s, Data: entries(Present{s, s, s, raw, raw, raw})}
	return []func(dst []byte) []byte{
		offer.Append, event.Append,
		func(dst []byte) []byte { return AppendReOffer(dst, []byte(s)) },
		func(dst []byte) []byte { return AppendUpdate(dst, []byte(s)) },
		func(dst []byte) []byte { return AppendPing(dst, true) },
		func(dst []byte) []byte { return AppendPush(dst, raw) },
		func(dst []byte) []byte { return AppendSwitched(dst, true) },
		func(dst []byte) []byte { return AppendRedirect(dst, s) },
		func(dst []byte) []byte { return AppendClose(dst, 1000, s) },
		func(dst []byte) []byte { return AppendNetworkStatus(dst, time.Time{}, 1) },
	}
}

// Row SIG-11.
func TestTextCannotLeaveItsString(t *testing.T) {
	names := func(s string) [][]string {
		var out [][]string
		for _, encode := range encoders(s) {
			out = append(out, slices.Sorted(maps.Keys(object(t, encode(nil)))))
		}
		return out
	}
	want := names("s")
	for _, s := range []string{`"`, `\`, `","type":"close","x":"`, "\n\r\x00\x1f\x7f", "\u2028", "\xff\xfe", `\u0022`, "}]", "</script>", strings.Repeat(`\"`, 300)} {
		if got := names(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q changes the members: %q", s, got)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a\"\\\x00\x1f\u2028é", "\xff\xc3", "\ufffd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := s
		if !utf8.ValidString(s) {
			want = string([]rune(s))
		}
		if got != want {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}
