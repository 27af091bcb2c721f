package webhook

import (
	"testing"
	"time"

	"tsubame/signal/sora"
)

func TestLineOfConnectionLog(t *testing.T) {
	l := ConnectionLog{
		Timestamp: at, Created: at.Add(-time.Hour), Destroyed: at, ChannelID: "c", SessionID: "SE", ClientID: "cl", BundleID: "bu", ConnectionID: "CO",
		Role: sora.SendOnly, TURNTransportType: "tcp", Simulcast: true, Spotlight: true, DataChannelSignaling: true, IgnoreDisconnectWebSocket: true,
		RecordingBlock: true, StatsExporter: true, DestroyedReason: "NORMAL", DisconnectAPIReason: []byte(`"api"`), DataChannelExitReason: "closed",
		SignalingTerminateReason: "TYPE-DISCONNECT", Media: everyParam, Client: Client{SoraClient: "go-sora"}, LocalStats: counted,
	}
	wantBody(t, l.Append(nil),
		`{"timestamp":"2026-11-22T03:34:56.789012Z","created_timestamp":"2026-11-22T02:34:56.789012Z","destroyed_timestamp":"2026-11-22T03:34:56.789012Z",`,
		`"channel_id":"c","session_id":"SE","client_id":"cl","bundle_id":"bu","connection_id":"CO","role":"sendonly","turn_transport_type":"tcp",`,
		`"simulcast":true,"spotlight":true,"multistream":true,"data_channel_signaling":true,"ignore_disconnect_websocket":true,`,
		`"recording_block":true,"stats_exporter":true,"e2ee":false,"destroyed_reason":"NORMAL","disconnect_api_reason":"api",`,
		`"data_channel_exit_reason":"closed","signaling_terminate_reason":"TYPE-DISCONNECT",`, everyParamText, `,`,
		`"sora_client":{"raw":"go-sora"},"local_stats":`, countedText, `}`)
}

func TestLineOfAConnectionThatWasNeverCreated(t *testing.T) {
	l := ConnectionLog{Timestamp: at, Destroyed: at, ChannelID: "c", ClientID: "cl", BundleID: "bu", ConnectionID: "CO", Role: sora.RecvOnly,
		DestroyedReason: "ANSWER-TIMEOUT"}
	wantBody(t, l.Append(nil),
		`{"timestamp":"2026-11-22T03:34:56.789012Z","destroyed_timestamp":"2026-11-22T03:34:56.789012Z",`,
		`"channel_id":"c","client_id":"cl","bundle_id":"bu","connection_id":"CO","role":"recvonly","turn_transport_type":"udp",`,
		`"simulcast":false,"spotlight":false,"multistream":true,"data_channel_signaling":false,"ignore_disconnect_websocket":false,`,
		`"recording_block":false,"stats_exporter":false,"e2ee":false,"destroyed_reason":"ANSWER-TIMEOUT","signaling_terminate_reason":"",`,
		`"audio":false,"video":false,"local_stats":`, string((&LocalStats{}).Append(nil)), `}`)
}

func TestLineOfSessionLog(t *testing.T) {
	l := SessionLog{Timestamp: at, Created: at.Add(-time.Hour), Destroyed: at, ChannelID: "c", SessionID: "SE", GroupID: "g", Spotlight: true,
		MaxConnections: 2, TotalConnections: 3, SessionMetadata: []byte("[\n]")}
	const head = `{"timestamp":"2026-11-22T03:34:56.789012Z","created_timestamp":"2026-11-22T02:34:56.789012Z",` +
		`"destroyed_timestamp":"2026-11-22T03:34:56.789012Z","channel_id":"c","session_id":"SE",`
	wantBody(t, l.Append(nil), head, `"group_id":"g","multistream":true,"spotlight":true,"max_connections":2,"total_connections":3,"session_metadata":[]}`)
	l.GroupID, l.SessionMetadata, l.Spotlight = "", nil, false
	wantBody(t, l.Append(nil), head, `"multistream":true,"spotlight":false,"max_connections":2,"total_connections":3}`)
}

// counted has another number in each place.
var counted = LocalStats{
	Received: Traffic{Bytes: 1, Packets: 2}, Sent: Traffic{Bytes: 3, Packets: 4},
	ICE: ICEDurations{Checking: 5 * time.Millisecond, Disconnected: 6 * time.Millisecond},
}

const countedText = `{"rtp":{"total_received_bytes":1,"total_received_packets":2,"total_sent_bytes":3,"total_sent_packets":4},` +
	`"ice":{"total_checking_duration_ms":5,"total_disconnected_duration_ms":6}}`

type detail string

func (d detail) AppendJSON(dst []byte) []byte { return append(dst, d...) }

func TestLocalStats(t *testing.T) {
	wantBody(t, counted.Append(nil), countedText)
	s := counted
	s.Detail = detail(`{"dtls":{"total_received_dtls":7}}`)
	wantBody(t, s.Append(nil), `{"dtls":{"total_received_dtls":7}}`)
}
