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
	Received: Traffic{Bytes: 1, Packets: 2, RTP: 3, RTPBytes: 4, RTCP: 5, RTCPBytes: 6, SR: 7, RR: 8, NACK: 9, PLI: 10, FIR: 11, TransportWide: 12, DTLS: 13, STUN: 14, TURN: 15},
	Sent:     Traffic{Bytes: 21, Packets: 22, RTP: 23, RTPBytes: 24, RTCP: 25, RTCPBytes: 26, SR: 27, RR: 28, NACK: 29, PLI: 30, FIR: 31, TransportWide: 32, DTLS: 33, STUN: 34, TURN: 35},

	SkippedSRTP: 41, SRTPAuthFailed: 42, ICE: ICEDurations{Checking: 43 * time.Millisecond, Disconnected: 44 * time.Millisecond},
	RoundTrip: 45 * time.Microsecond, LossPermille: 46, EstimatedBits: 47, TURNAllocation: 48,
}

const countedText = `{"rtp":{` +
	`"total_received_bytes":1,"total_received_packets":2,"total_received_rtp":3,"total_received_rtp_byte_size":4,"total_received_rtcp":5,` +
	`"total_received_rtcp_byte_size":6,"total_received_rtcp_sr":7,"total_received_rtcp_rr":8,"total_received_rtcp_psfb_pli":10,` +
	`"total_received_rtcp_psfb_fir":11,"total_received_rtcp_rtpfb_generic_nack":9,"total_received_rtcp_rtpfb_transport_wide":12,` +
	`"total_sent_bytes":21,"total_sent_packets":22,"total_sent_rtp":23,"total_sent_rtp_byte_size":24,"total_sent_rtcp":25,` +
	`"total_sent_rtcp_byte_size":26,"total_sent_rtcp_sr":27,"total_sent_rtcp_rr":28,"total_sent_rtcp_psfb_pli":30,` +
	`"total_sent_rtcp_psfb_fir":31,"total_sent_rtcp_rtpfb_generic_nack":29,"total_sent_rtcp_rtpfb_transport_wide":32},` +
	`"srtp":{"total_received_srtp":3,"total_received_srtp_byte_size":4,"total_sent_srtp":23,"total_sent_srtp_byte_size":24,` +
	`"total_decrypt_skipped_srtp":41,"total_decrypt_failed_srtp":42},` +
	`"dtls":{"total_received_dtls":13,"total_sent_dtls":33},` +
	`"ice":{"total_received_stun":14,"total_sent_stun":34,"total_checking_duration_ms":43,"total_disconnected_duration_ms":44},` +
	`"turn":{"total_allocation":48,"total_received_turn":15,"total_sent_turn":35},` +
	`"network":{"round_trip_time_us":45,"loss_permille":46,"estimated_bit_rate":47}}`

func TestLocalStats(t *testing.T) {
	wantBody(t, counted.Append(nil), countedText)
}
