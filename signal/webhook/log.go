package webhook

import (
	"slices"
	"time"

	"tsubame/signal/sora"
)

// ConnectionLog is a line of connection.jsonl: a connection that has ended.
type ConnectionLog struct {
	Timestamp time.Time
	Created   time.Time // zero: it never was established
	Destroyed time.Time

	ChannelID    string
	SessionID    string // empty: left out, as for one that never was in a session
	ClientID     string
	BundleID     string
	ConnectionID string
	Role         sora.Role

	TURNTransportType         string // udp or tcp; empty: udp
	Simulcast                 bool
	Spotlight                 bool
	DataChannelSignaling      bool
	IgnoreDisconnectWebSocket bool
	RecordingBlock            bool
	StatsExporter             bool

	DestroyedReason          string
	DisconnectAPIReason      []byte // JSON; nil: left out
	DataChannelExitReason    string // empty: left out
	SignalingTerminateReason string

	Media
	Client     Client
	LocalStats LocalStats
}

// Append appends the line to dst, without a line end.
func (l *ConnectionLog) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, 8192)}
	w.begin()
	w.timestamp("timestamp", l.Timestamp)
	w.timestampIf("created_timestamp", l.Created)
	w.timestamp("destroyed_timestamp", l.Destroyed)
	w.str("channel_id", l.ChannelID)
	w.strIf("session_id", l.SessionID)
	w.str("client_id", l.ClientID)
	w.str("bundle_id", l.BundleID)
	w.str("connection_id", l.ConnectionID)
	w.role(l.Role)
	w.transport(l.TURNTransportType)
	w.boolean("simulcast", l.Simulcast)
	w.boolean("spotlight", l.Spotlight)
	w.boolean("multistream", true)
	w.boolean("data_channel_signaling", l.DataChannelSignaling)
	w.boolean("ignore_disconnect_websocket", l.IgnoreDisconnectWebSocket)
	w.boolean("recording_block", l.RecordingBlock)
	w.boolean("stats_exporter", l.StatsExporter)
	w.boolean("e2ee", false)
	w.str("destroyed_reason", l.DestroyedReason)
	w.rawIf("disconnect_api_reason", l.DisconnectAPIReason)
	w.strIf("data_channel_exit_reason", l.DataChannelExitReason)
	w.str("signaling_terminate_reason", l.SignalingTerminateReason)
	w.media(&l.Media)
	w.client(&l.Client)
	w.key("local_stats")
	w.b = l.LocalStats.Append(w.b)
	w.close()
	return w.b
}

// SessionLog is a line of session.jsonl: a session that has ended.
type SessionLog struct {
	Timestamp        time.Time
	Created          time.Time
	Destroyed        time.Time
	ChannelID        string
	SessionID        string
	GroupID          string // empty: left out
	Spotlight        bool
	MaxConnections   int // most at one time
	TotalConnections int
	SessionMetadata  []byte // JSON; nil: left out
}

// Append appends the line to dst, without a line end.
func (l *SessionLog) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, 512+len(l.SessionMetadata))}
	w.begin()
	w.timestamp("timestamp", l.Timestamp)
	w.timestamp("created_timestamp", l.Created)
	w.timestamp("destroyed_timestamp", l.Destroyed)
	w.str("channel_id", l.ChannelID)
	w.str("session_id", l.SessionID)
	w.strIf("group_id", l.GroupID)
	w.boolean("multistream", true)
	w.boolean("spotlight", l.Spotlight)
	w.integer("max_connections", l.MaxConnections)
	w.integer("total_connections", l.TotalConnections)
	w.rawIf("session_metadata", l.SessionMetadata)
	w.close()
	return w.b
}
