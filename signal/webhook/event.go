package webhook

import (
	"slices"
	"time"

	"tsubame/signal/sora"
)

// ConnectionEvent tells of a connection. Members that are not of an event's type are left out
// whatever they hold.
type ConnectionEvent struct {
	Common
	Role          sora.Role // of ConnectionFailed: 0 if not known
	ChannelID     string    // of ConnectionFailed, as the next four: empty if not known
	SessionID     string    // never of ConnectionFailed
	ClientID      string
	BundleID      string
	ConnectionID  string
	Simulcast     bool
	Spotlight     bool
	EventMetadata []byte // JSON that the auth webhook's answer gave; nil: none

	Media
	Minutes           int // since the connection was created
	Counts            Counts
	TURNTransportType string // udp or tcp; empty: udp
	Created           time.Time
	ICE               ICEDurations
	ReceivedBytes     uint64
	SentBytes         uint64

	// Of ConnectionDestroyed only.
	Destroyed            time.Time
	Reason               string // empty: left out
	DisconnectAPIReason  []byte // JSON; nil: left out
	TypeDisconnectReason string // what the client's disconnect said; empty: left out

	Message string // of ConnectionFailed only: why
}

// ICEDurations is how long a connection's ICE was in states in which nothing flows.
type ICEDurations struct {
	Checking, Disconnected time.Duration
}

// Append appends the body to dst.
func (e *ConnectionEvent) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, 1280+len(e.EventMetadata)+len(e.DisconnectAPIReason))}
	failed := e.Type == ConnectionFailed
	w.begin()
	w.envelope(&e.Common)
	w.role(e.Role)
	if failed {
		w.strIf("channel_id", e.ChannelID)
		w.strIf("client_id", e.ClientID)
		w.strIf("bundle_id", e.BundleID)
	} else {
		w.str("channel_id", e.ChannelID)
		w.str("session_id", e.SessionID)
		w.str("client_id", e.ClientID)
		w.str("bundle_id", e.BundleID)
	}
	w.str("connection_id", e.ConnectionID)
	w.boolean("multistream", true)
	w.boolean("simulcast", e.Simulcast)
	w.boolean("spotlight", e.Spotlight)
	if !failed {
		w.rawIf("event_metadata", e.EventMetadata)
	}
	w.open("data")
	if failed {
		w.str("message", e.Message)
		w.counts(&e.Counts)
		w.count("total_received_bytes", e.ReceivedBytes)
		w.count("total_sent_bytes", e.SentBytes)
	} else {
		w.connection(e)
	}
	w.close()
	w.close()
	return w.b
}

// envelope writes Common as events have it.
func (w *writer) envelope(c *Common) {
	w.str("type", c.Type)
	w.timestamp("timestamp", c.Timestamp)
	w.str("id", c.ID)
	w.boolean("log_written", c.LogWritten)
	w.str("version", c.Version)
	w.str("label", c.Label)
	w.str("node_name", c.NodeName)
}

// connection writes data of a connection that was established.
func (w *writer) connection(e *ConnectionEvent) {
	destroyed := e.Type == ConnectionDestroyed
	w.integer("minutes", e.Minutes)
	w.media(&e.Media)
	w.counts(&e.Counts)
	w.transport(e.TURNTransportType)
	w.moment("created", e.Created)
	if destroyed {
		w.moment("destroyed", e.Destroyed)
	}
	w.open("ice_connection_state")
	w.milliseconds("total_checking_duration_ms", e.ICE.Checking)
	w.milliseconds("total_disconnected_duration_ms", e.ICE.Disconnected)
	w.close()
	w.count("total_received_bytes", e.ReceivedBytes)
	w.count("total_sent_bytes", e.SentBytes)
	if destroyed {
		w.strIf("reason", e.Reason)
		w.rawIf("disconnect_api_reason", e.DisconnectAPIReason)
		w.strIf("type_disconnect_reason", e.TypeDisconnectReason)
	}
}

func (w *writer) transport(name string) {
	if name == "" {
		name = "udp"
	}
	w.str("turn_transport_type", name)
}

// StatsEvent brings the statistics that a client has sent of its connection.
type StatsEvent struct {
	Common       // Type is ConnectionRTCStats
	Role         sora.Role
	ChannelID    string
	SessionID    string
	ClientID     string
	BundleID     string
	ConnectionID string
	RTCStats     []byte // the array of RTCStats objects, valid JSON as it was sent
}

// Append appends the body to dst.
func (e *StatsEvent) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, 512+len(e.RTCStats))}
	w.begin()
	w.envelope(&e.Common)
	w.role(e.Role)
	w.str("channel_id", e.ChannelID)
	w.str("session_id", e.SessionID)
	w.str("client_id", e.ClientID)
	w.str("bundle_id", e.BundleID)
	w.str("connection_id", e.ConnectionID)
	w.rawIf("rtc_stats", e.RTCStats)
	w.close()
	return w.b
}
