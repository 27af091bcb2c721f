package sora

import (
	"encoding/json"
	"reflect"
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
	o := Offer{SDP: "v=0\r\n", ChannelID: "c", ClientID: "cl", BundleID: "b", ConnectionID: "conn", SessionID: "s",
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

func TestOfferToAViewerHasAnEmptyMid(t *testing.T) {
	got := object(t, (&Offer{}).Append(nil))
	if mid, ok := got["mid"].(map[string]any); !ok || len(mid) != 0 {
		t.Errorf("mid = %v", got["mid"])
	}
}

func TestConnectionEventHasAllMembers(t *testing.T) {
	e := ConnectionEvent{EventType: EventCreated, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6789000, time.FixedZone("", 3600)),
		Role: SendOnly, SessionID: "s", ClientID: "cl", BundleID: "b", ConnectionID: "conn", Audio: true, Minutes: 3,
		AuthnMetadata: []byte(`{"a":1}`), Total: 6, SendRecv: 1, SendOnly: 2, RecvOnly: 3,
		Data: []Present{{ClientID: "x", BundleID: "y", ConnectionID: "z", AuthnMetadata: []byte(`null`)}, {ConnectionID: "w"}}}
	got := object(t, e.Append(nil))
	want := map[string]any{
		"type": "notify", "event_type": "connection.created", "timestamp": "2026-01-02T02:04:05.006789Z", "role": "sendonly",
		"session_id": "s", "client_id": "cl", "bundle_id": "b", "connection_id": "conn", "audio": true, "video": false,
		"authn_metadata": map[string]any{"a": 1.0}, "minutes": 3.0, "channel_connections": 6.0,
		"channel_sendrecv_connections": 1.0, "channel_sendonly_connections": 2.0, "channel_recvonly_connections": 3.0,
		"turn_transport_type": "udp",
		"data": []any{
			map[string]any{"client_id": "x", "bundle_id": "y", "connection_id": "z", "authn_metadata": nil},
			map[string]any{"client_id": "", "bundle_id": "", "connection_id": "w"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Row SIG-10.
func TestMetadataOfOthersIsBounded(t *testing.T) {
	big := []byte(`"` + strings.Repeat("x", MaxNotifyMetadata-2) + `"`)
	e := ConnectionEvent{EventType: EventCreated, Data: make([]Present, 100)}
	for i := range e.Data {
		e.Data[i].AuthnMetadata = big
	}
	b := e.Append(nil)
	object(t, b)
	if n := strings.Count(string(b), "authn_metadata"); n != maxDataMetadata/MaxNotifyMetadata {
		t.Errorf("%d entries with metadata, %d bytes", n, len(b))
	}
}

func TestPingAndReOffer(t *testing.T) {
	if got := string(AppendPing(nil, false)); got != `{"type":"ping"}` {
		t.Error(got)
	}
	if got := string(AppendPing(nil, true)); got != `{"type":"ping","stats":true}` {
		t.Error(got)
	}
	if got := string(AppendReOffer(nil, "v=0\r\n")); got != `{"type":"re-offer","sdp":"v=0\r\n"}` {
		t.Error(got)
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
