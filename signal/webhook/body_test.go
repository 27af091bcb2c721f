package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tsubame/signal/sora"
)

// at is a moment whose text shows rounding and another zone.
var at = time.Date(2026, 11, 22, 12, 34, 56, 789012999, time.FixedZone("JST", 9*3600))

func common(kind string) Common {
	return Common{Type: kind, ID: "WCJC78EWK935N7P7Z8FYAKFW9M", Timestamp: at, Version: "1.2.3", Label: "WebRTC SFU Sora",
		NodeName: "node@192.0.2.1", LogWritten: true}
}

// wantBody compares a body with what it has to be. The pieces stand between the commas and
// braces of one object each, which makes a difference easy to see.
func wantBody(t *testing.T, got []byte, pieces ...string) {
	t.Helper()
	want := strings.Join(pieces, "")
	if string(got) != want {
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		from := max(0, i-30)
		t.Errorf("differs at byte %d:\ngot  ...%s\nwant ...%s", i, got[from:], want[from:])
	}
	sound(t, got)
}

// sound checks what holds for every body and line.
func sound(t *testing.T, b []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Errorf("%v: %s", err, b)
	}
	if bytes.ContainsAny(b, "\r\n") {
		t.Errorf("more than one line: %s", b)
	}
	if _, err := sora.ReadObject(b, len(b)); err != nil {
		t.Errorf("a member twice, or worse: %v: %s", err, b)
	}
}

var everyParam = Media{
	Audio: true, AudioCodecType: "OPUS", AudioBitRate: 64, Video: true, VideoCodecType: "VP9", VideoBitRate: 500,
	VP9: &sora.VP9Params{ProfileID: 0}, AV1: &sora.AV1Params{Profile: 1, LevelIdx: 8, Tier: 0},
	H264: &sora.H264Params{ProfileLevelID: "42e01f", BFrame: sora.True},
	H265: &sora.H265Params{LevelID: 93, ProfileID: 1, TierFlag: 0, TxMode: "SRST", BFrame: sora.False},
}

const everyParamText = `"audio":true,"audio_codec_type":"OPUS","audio_bit_rate":64,` +
	`"video":true,"video_codec_type":"VP9","video_bit_rate":500,` +
	`"video_vp9_params":{"profile_id":0},"video_av1_params":{"profile":1,"level_idx":8,"tier":0},` +
	`"video_h264_params":{"profile_level_id":"42e01f","b_frame":true},` +
	`"video_h265_params":{"level_id":93,"profile_id":1,"tier_flag":0,"tx_mode":"SRST","b_frame":false}`

func TestParametersThatWereNotGivenAreLeftOut(t *testing.T) {
	w := writer{}
	w.begin()
	w.media(&Media{VP9: &sora.VP9Params{ProfileID: -1}, AV1: &sora.AV1Params{Profile: -1, LevelIdx: -1, Tier: 1},
		H264: &sora.H264Params{}, H265: &sora.H265Params{LevelID: -1, ProfileID: -1, TierFlag: -1}})
	w.close()
	wantBody(t, w.b, `{"audio":false,"video":false,"video_vp9_params":{},"video_av1_params":{"tier":1},"video_h264_params":{},"video_h265_params":{}}`)
}

func TestAuthRequestWithEveryMember(t *testing.T) {
	r := AuthRequest{
		Common: common(""), Role: sora.SendRecv, ChannelID: "ch \"1\"", ClientID: "cl", BundleID: "bu", ConnectionID: "CO",
		Simulcast: true, SimulcastRID: "r0", SimulcastRequestRID: "none", Spotlight: true, SpotlightNumber: 3,
		SpotlightFocusRID: "r2", SpotlightUnfocusRID: "r1", Media: everyParam,
		DataChannelSignaling: true, IgnoreDisconnectWebSocket: true,
		DataChannels: []sora.DataChannel{
			{Label: "#a", Direction: "sendrecv", Ordered: true, MaxPacketLifeTime: -1, MaxRetransmits: -1},
			{Label: "#b", Direction: "recvonly", MaxPacketLifeTime: 0, MaxRetransmits: -1, Protocol: "p", Compress: true, SenderConnectionID: true},
			{Label: "#c", Direction: "sendonly", MaxPacketLifeTime: -1, MaxRetransmits: 5},
		},
		ForwardingFilter: &sora.ForwardingFilter{Action: "block", Priority: sora.DefaultPriority},
		ForwardingFilters: []sora.ForwardingFilter{
			{Name: "n", Action: "allow", Priority: 0, Version: "v", Metadata: []byte("{\n}"), Rules: [][]sora.ForwardingRule{
				{{Field: "kind", Operator: "is_in", Values: []string{"audio", "video"}}, {Field: "client_id", Operator: "is_not_in", Values: []string{}}},
				{{Field: "connection_id", Operator: "is_in", Values: []string{"x"}}},
			}},
			{Action: "block", Priority: 7},
		},
		Metadata: []byte("{\"access_token\": \"t\",\r\n \"n\": [1, \"\\u00e9\\n\"]}"), WHIP: true, WHEP: true,
		Client: Client{SoraClient: "Sora JavaScript SDK 2025.1.0", Libwebrtc: "M140", Environment: "Chrome"},
		Counts: Counts{Total: 6, SendRecv: 1, SendOnly: 2, RecvOnly: 3},
	}
	metadata := `{"access_token": "t", "n": [1, "\u00e9\n"]}`
	wantBody(t, r.Append(nil),
		`{"id":"WCJC78EWK935N7P7Z8FYAKFW9M","timestamp":"2026-11-22T03:34:56.789012Z","version":"1.2.3","label":"WebRTC SFU Sora",`,
		`"node_name":"node@192.0.2.1","role":"sendrecv","channel_id":"ch \"1\"","client_id":"cl","bundle_id":"bu","connection_id":"CO",`,
		`"multistream":true,"simulcast":true,"simulcast_rid":"r0","simulcast_request_rid":"none","spotlight":true,"spotlight_number":3,`,
		`"spotlight_focus_rid":"r2","spotlight_unfocus_rid":"r1",`, everyParamText, `,`,
		`"data_channel_signaling":true,"ignore_disconnect_websocket":true,"data_channels":[`,
		`{"label":"#a","direction":"sendrecv","ordered":true,"compress":false},`,
		`{"label":"#b","direction":"recvonly","ordered":false,"max_packet_life_time":0,"protocol":"p","compress":true,"header":[{"type":"sender_connection_id"}]},`,
		`{"label":"#c","direction":"sendonly","ordered":false,"max_retransmits":5,"compress":false}],`,
		`"forwarding_filter":{"action":"block","priority":32767,"rules":[]},"forwarding_filters":[{"name":"n","action":"allow","priority":0,"rules":[`,
		`[{"field":"kind","operator":"is_in","values":["audio","video"]},{"field":"client_id","operator":"is_not_in","values":[]}],`,
		`[{"field":"connection_id","operator":"is_in","values":["x"]}]],"version":"v","metadata":{}},{"action":"block","priority":7,"rules":[]}],`,
		`"auth_metadata":`, metadata, `,"metadata":`, metadata, `,"whip":true,"whep":true,`,
		`"sora_client":{"type":"Sora JavaScript SDK","version":"2025.1.0","environment":"Chrome","libwebrtc":"M140"},`,
		`"channel_connections":6,"channel_sendrecv_connections":1,"channel_sendonly_connections":2,"channel_recvonly_connections":3,"e2ee":false}`)
}

func TestAuthRequestOfTheSmallestConnect(t *testing.T) {
	m, err := sora.Decode([]byte(`{"type":"connect","role":"recvonly","channel_id":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	r := NewAuthRequest(m.Connect)
	r.Common, r.ConnectionID = common(""), "CO"
	wantBody(t, r.Append([]byte{}),
		`{"id":"WCJC78EWK935N7P7Z8FYAKFW9M","timestamp":"2026-11-22T03:34:56.789012Z","version":"1.2.3","label":"WebRTC SFU Sora",`,
		`"node_name":"node@192.0.2.1","role":"recvonly","channel_id":"c","connection_id":"CO","multistream":true,"simulcast":false,`,
		`"spotlight":false,"audio":true,"video":true,"data_channel_signaling":false,"ignore_disconnect_websocket":false,`,
		`"channel_connections":0,"channel_sendrecv_connections":0,"channel_sendonly_connections":0,"channel_recvonly_connections":0,"e2ee":false}`)
}

func TestAuthRequestSaysWhatTheConnectSays(t *testing.T) {
	members := `"role":"sendrecv","channel_id":"c","client_id":"cl","bundle_id":"bu",` +
		`"simulcast":true,"simulcast_rid":"r1","simulcast_request_rid":"r2","spotlight":true,"spotlight_number":8,` +
		`"spotlight_focus_rid":"r0","spotlight_unfocus_rid":"none","data_channel_signaling":true,"ignore_disconnect_websocket":true,` +
		`"data_channels":[{"label":"#x","direction":"sendonly","ordered":true,"max_retransmits":0,"protocol":"p","compress":true,"header":[{"type":"sender_connection_id"}]}],` +
		`"forwarding_filters":[{"name":"f","action":"allow","priority":1,"rules":[[{"field":"kind","operator":"is_in","values":["audio"]}]],"version":"1","metadata":[true]}],` +
		`"metadata":null`
	m, err := sora.Decode([]byte(`{"type":"connect","sora_client":"tsubame load","libwebrtc":"l","environment":"e",` + members + `,` +
		`"audio":{"codec_type":"OPUS","bit_rate":64},"video":{"codec_type":"VP9","bit_rate":500,"vp9_params":{"profile_id":0},` +
		`"av1_params":{"profile":1,"level_idx":8,"tier":0},"h264_params":{"profile_level_id":"42e01f","b_frame":true},` +
		`"h265_params":{"level_id":93,"profile_id":1,"tier_flag":0,"tx_mode":"SRST","b_frame":false}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]json.RawMessage
	if err := json.Unmarshal(NewAuthRequest(m.Connect).Append(nil), &got); err != nil {
		t.Fatal(err)
	}
	text := `{` + members + `,` + everyParamText + `,"auth_metadata":null,"sora_client":{"raw":"tsubame load","environment":"e","libwebrtc":"l"}}`
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if !bytes.Equal(got[name], value) {
			t.Errorf("%s: %s, want %s", name, got[name], value)
		}
	}
}

func TestWhoAClientSaysItIs(t *testing.T) {
	for text, want := range map[string]string{
		"Sora JavaScript SDK 2025.1.0":                `{"type":"Sora JavaScript SDK","version":"2025.1.0"}`,
		"Sora Python SDK 2024.3.0-canary.1":           `{"type":"Sora Python SDK","version":"2024.3.0-canary.1"}`,
		"Sora C++ SDK 2025.2.1 (b2f0a9e4)":            `{"type":"Sora C++ SDK","version":"2025.2.1","commit_short":"b2f0a9e4"}`,
		"WebRTC Native Client Momo 2024.1.1 (abc123)": `{"type":"WebRTC Native Client Momo","version":"2024.1.1","commit_short":"abc123"}`,
		"tsubame load":             `{"raw":"tsubame load"}`,
		"Sora JavaScript SDK":      `{"raw":"Sora JavaScript SDK"}`,
		"Sora SDK 7":               `{"raw":"Sora SDK 7"}`,
		" 2025.1.0":                `{"raw":" 2025.1.0"}`,
		"2025.1.0":                 `{"raw":"2025.1.0"}`,
		"Sora SDK 2025.1.0 (main)": `{"raw":"Sora SDK 2025.1.0 (main)"}`,
		"Sora SDK (b2f0a9e4)":      `{"raw":"Sora SDK (b2f0a9e4)"}`,
		"Sora SDK 2025.1.0 ()":     `{"raw":"Sora SDK 2025.1.0 ()"}`,
		"Sora SDK 2025.1.0)":       `{"raw":"Sora SDK 2025.1.0)"}`,
		"Sora SDK 2025.1.\"0":      `{"raw":"Sora SDK 2025.1.\"0"}`,
	} {
		w := writer{}
		w.begin()
		w.client(&Client{SoraClient: text})
		w.close()
		wantBody(t, w.b, `{"sora_client":`, want, `}`)
	}
}

func TestSessionBodies(t *testing.T) {
	e := SessionEvent{
		Common: common(SessionCreated), ChannelID: "c", SessionID: "SE", Created: at.Add(-time.Hour),
		MaxConnections: 2, TotalConnections: 3, SessionMetadata: []byte(`{"a":1}`), Destroyed: at,
		Connections: []SessionConnection{
			{Role: sora.SendOnly, ClientID: "cl", BundleID: "bu", ConnectionID: "CO", Simulcast: true, Media: everyParam,
				Created: at.Add(-time.Minute), Destroyed: at, EventMetadata: []byte(`"e"`)},
			{Role: sora.RecvOnly, ClientID: "d", BundleID: "e", ConnectionID: "F", Media: Media{Video: true}, Created: at},
		},
	}
	head := func(kind string) string {
		return `{"type":"` + kind + `","id":"WCJC78EWK935N7P7Z8FYAKFW9M","timestamp":"2026-11-22T03:34:56.789012Z","version":"1.2.3",` +
			`"label":"WebRTC SFU Sora","node_name":"node@192.0.2.1"`
	}
	const session = `,"channel_id":"c","session_id":"SE","multistream":true,"spotlight":false,` +
		`"created_time":1795314896,"created_timestamp":"2026-11-22T02:34:56.789012Z"`
	const rest = `,"max_connections":2,"total_connections":3,"session_metadata":{"a":1},"connections":[` +
		`{"role":"sendonly","client_id":"cl","bundle_id":"bu","connection_id":"CO","simulcast":true,` + everyParamText + `,` +
		`"connection_created_timestamp":"2026-11-22T03:33:56.789012Z","connection_destroyed_timestamp":"2026-11-22T03:34:56.789012Z","event_metadata":"e"},` +
		`{"role":"recvonly","client_id":"d","bundle_id":"e","connection_id":"F","simulcast":false,"audio":false,"video":true,` +
		`"connection_created_timestamp":"2026-11-22T03:34:56.789012Z"}]}`
	wantBody(t, e.Append(nil), head(SessionCreated), session, `}`)
	e.Type = SessionUpdated
	wantBody(t, e.Append(nil), head(SessionUpdated), session, rest)
	e.Type = SessionDestroyed
	wantBody(t, e.Append(nil), head(SessionDestroyed), session,
		`,"destroyed_time":1795318496,"destroyed_timestamp":"2026-11-22T03:34:56.789012Z"`, rest)
	e.Type = SessionVanished
	wantBody(t, e.Append(nil), head(SessionVanished), `}`)
}

func TestSessionBodyTellsOfGroupAndCluster(t *testing.T) {
	e := SessionEvent{Common: common(SessionDestroyed), ExternalSignalingURL: "wss://a/signaling", ChannelID: "c", SessionID: "SE", GroupID: "g",
		Spotlight: true, Created: at, Destroyed: at}
	wantBody(t, e.Append(nil), `{"type":"session.destroyed","id":"WCJC78EWK935N7P7Z8FYAKFW9M","timestamp":"2026-11-22T03:34:56.789012Z","version":"1.2.3",`,
		`"label":"WebRTC SFU Sora","node_name":"node@192.0.2.1","external_signaling_url":"wss://a/signaling","channel_id":"c","session_id":"SE",`,
		`"group_id":"g","multistream":true,"spotlight":true,"created_time":1795318496,"created_timestamp":"2026-11-22T03:34:56.789012Z",`,
		`"destroyed_time":1795318496,"destroyed_timestamp":"2026-11-22T03:34:56.789012Z","max_connections":0,"total_connections":0}`)
}

func TestSessionWithoutConnectionsHasAnEmptyList(t *testing.T) {
	e := SessionEvent{Common: common(SessionUpdated), Connections: []SessionConnection{}}
	if b := e.Append(nil); !bytes.HasSuffix(b, []byte(`,"connections":[]}`)) {
		t.Errorf("%s", b)
	}
}

func TestTheListOfASessionIsBounded(t *testing.T) {
	e := SessionEvent{Common: common(SessionDestroyed), Connections: make([]SessionConnection, MaxListed+1)}
	if n := bytes.Count(e.Append(nil), []byte(`"client_id":`)); n != MaxListed {
		t.Errorf("%d connections listed", n)
	}
	e.Connections = make([]SessionConnection, 100)
	for i := range e.Connections {
		e.Connections[i].EventMetadata = []byte(`"` + strings.Repeat("x", maxListedMetadata/64-2) + `"`)
	}
	b := e.Append(nil)
	if n := bytes.Count(b, []byte(`"event_metadata":`)); n != 64 || bytes.Count(b, []byte(`"client_id":`)) != 100 {
		t.Errorf("%d connections with metadata", n)
	}
}

// connectionEvent gives every member, of whatever type of event.
func connectionEvent(kind string) *ConnectionEvent {
	return &ConnectionEvent{
		Common: common(kind), Role: sora.SendRecv, ChannelID: "c", SessionID: "SE", ClientID: "cl", BundleID: "bu", ConnectionID: "CO",
		Simulcast: true, Spotlight: true, EventMetadata: []byte(`{"user":1}`), Media: everyParam, Minutes: 3,
		Counts: Counts{Total: 6, SendRecv: 1, SendOnly: 2, RecvOnly: 3}, TURNTransportType: "tcp", Created: at.Add(-time.Hour),
		ICE: ICEDurations{Checking: 1999 * time.Microsecond, Disconnected: 2 * time.Second}, ReceivedBytes: 1<<63 + 1, SentBytes: 7,
		Destroyed: at, Reason: "NORMAL", DisconnectAPIReason: []byte("[\n1]"), TypeDisconnectReason: "NO-ERROR", Message: "ICE \"failed\"",
	}
}

func eventHead(kind string) string {
	return `{"type":"` + kind + `","timestamp":"2026-11-22T03:34:56.789012Z","id":"WCJC78EWK935N7P7Z8FYAKFW9M","log_written":true,` +
		`"version":"1.2.3","label":"WebRTC SFU Sora","node_name":"node@192.0.2.1"`
}

const eventCounts = `"channel_connections":6,"channel_sendrecv_connections":1,"channel_sendonly_connections":2,"channel_recvonly_connections":3,`

func TestConnectionBodies(t *testing.T) {
	const connection = `,"role":"sendrecv","channel_id":"c","session_id":"SE","client_id":"cl","bundle_id":"bu","connection_id":"CO",` +
		`"multistream":true,"simulcast":true,"spotlight":true,"event_metadata":{"user":1},"data":{"minutes":3,` + everyParamText + `,` +
		eventCounts + `"turn_transport_type":"tcp","created_time":1795314896,"created_timestamp":"2026-11-22T02:34:56.789012Z",`
	const traffic = `"ice_connection_state":{"total_checking_duration_ms":1,"total_disconnected_duration_ms":2000},` +
		`"total_received_bytes":9223372036854775809,"total_sent_bytes":7`
	for _, kind := range []string{ConnectionCreated, ConnectionUpdated} {
		wantBody(t, connectionEvent(kind).Append(nil), eventHead(kind), connection, traffic, `}}`)
	}
	wantBody(t, connectionEvent(ConnectionDestroyed).Append(nil), eventHead(ConnectionDestroyed), connection,
		`"destroyed_time":1795318496,"destroyed_timestamp":"2026-11-22T03:34:56.789012Z",`, traffic,
		`,"reason":"NORMAL","disconnect_api_reason":[1],"type_disconnect_reason":"NO-ERROR"}}`)
	wantBody(t, connectionEvent(ConnectionFailed).Append(nil), eventHead(ConnectionFailed),
		`,"role":"sendrecv","channel_id":"c","client_id":"cl","bundle_id":"bu","connection_id":"CO",`,
		`"multistream":true,"simulcast":true,"spotlight":true,"data":{"message":"ICE \"failed\"",`, eventCounts,
		`"total_received_bytes":9223372036854775809,"total_sent_bytes":7}}`)
}

func TestWhatIsNotKnownOfAFailedConnectionIsLeftOut(t *testing.T) {
	e := ConnectionEvent{Common: common(ConnectionFailed), ConnectionID: "CO", Message: "m"}
	wantBody(t, e.Append(nil), eventHead(ConnectionFailed), `,"connection_id":"CO","multistream":true,"simulcast":false,"spotlight":false,`,
		`"data":{"message":"m","channel_connections":0,"channel_sendrecv_connections":0,"channel_sendonly_connections":0,`,
		`"channel_recvonly_connections":0,"total_received_bytes":0,"total_sent_bytes":0}}`)
}

func TestReasonsThatNobodyGaveAreLeftOut(t *testing.T) {
	e := connectionEvent(ConnectionDestroyed)
	e.Reason, e.DisconnectAPIReason, e.TypeDisconnectReason, e.TURNTransportType, e.LogWritten = "", nil, "", "", false
	b := e.Append(nil)
	sound(t, b)
	if bytes.Contains(b, []byte("reason")) || !bytes.Contains(b, []byte(`"turn_transport_type":"udp"`)) || !bytes.Contains(b, []byte(`"log_written":false`)) {
		t.Errorf("%s", b)
	}
}

func TestStatsBody(t *testing.T) {
	e := StatsEvent{Common: common(ConnectionRTCStats), Role: sora.RecvOnly, ChannelID: "c", SessionID: "SE", ClientID: "cl", BundleID: "bu",
		ConnectionID: "CO", RTCStats: []byte(`[{"id":"x",` + "\n" + `"type":"codec"}]`)}
	wantBody(t, e.Append(nil), eventHead(ConnectionRTCStats), `,"role":"recvonly","channel_id":"c","session_id":"SE","client_id":"cl",`,
		`"bundle_id":"bu","connection_id":"CO","rtc_stats":[{"id":"x","type":"codec"}]}`)
}

func TestBodiesAreAppended(t *testing.T) {
	for name, appendTo := range map[string]func([]byte) []byte{
		"auth": (&AuthRequest{}).Append, "session": (&SessionEvent{}).Append, "connection": (&ConnectionEvent{}).Append,
		"stats": (&StatsEvent{}).Append, "connection log": (&ConnectionLog{}).Append, "session log": (&SessionLog{}).Append,
		"local stats": (&LocalStats{}).Append,
	} {
		alone := appendTo(nil)
		sound(t, alone)
		if b := appendTo([]byte("before ")); string(b) != "before "+string(alone) {
			t.Errorf("%s: %s", name, b)
		}
	}
}
