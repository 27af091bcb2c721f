package webhook

import (
	"slices"
	"time"

	"tsubame/signal/sora"
)

// SessionEvent tells of a channel's session. Of SessionVanished there is only Common.
type SessionEvent struct {
	Common
	ExternalSignalingURL string // empty: left out, as without a cluster
	ChannelID            string
	SessionID            string
	GroupID              string // empty: none
	Spotlight            bool
	Created              time.Time

	// Not of SessionCreated.
	MaxConnections   int // most at one time
	TotalConnections int
	SessionMetadata  []byte              // JSON that the answer to SessionCreated gave; nil: none
	Connections      []SessionConnection // the first MaxListed are told

	Destroyed time.Time // of SessionDestroyed only
}

// Limits of a session's list of connections: a channel may have tens of thousands of viewers,
// and what an application keeps with each of them may be as long as its answer.
const (
	// MaxListed is how many connections one body lists. TotalConnections counts the others.
	MaxListed = 10_000
	// maxListedMetadata bounds the EventMetadata in one body, in bytes: connections from the one
	// that goes beyond it on are listed without theirs.
	maxListedMetadata = 4 << 20
)

// SessionConnection is a connection of a session.
type SessionConnection struct {
	Role         sora.Role
	ClientID     string
	BundleID     string
	ConnectionID string
	Simulcast    bool
	Media
	Created       time.Time
	Destroyed     time.Time // zero: it is still there
	EventMetadata []byte    // JSON; nil: none
}

// Append appends the body to dst.
func (e *SessionEvent) Append(dst []byte) []byte {
	w := writer{b: slices.Grow(dst, e.size())}
	w.begin()
	w.common(&e.Common)
	if e.Type != SessionVanished {
		w.session(e)
	}
	w.close()
	return w.b
}

// size estimates the length of the body, so that a long one is not copied again and again
// while it grows.
func (e *SessionEvent) size() int {
	n, metadata := 768+len(e.SessionMetadata), 0
	for i := range listed(e.Connections) {
		c := &e.Connections[i]
		n += 720 + len(c.ClientID) + len(c.BundleID) + len(c.ConnectionID)
		metadata += len(c.EventMetadata)
	}
	return n + min(metadata, maxListedMetadata)
}

// common writes Common without LogWritten.
func (w *writer) common(c *Common) {
	w.str("type", c.Type)
	w.str("id", c.ID)
	w.timestamp("timestamp", c.Timestamp)
	w.str("version", c.Version)
	w.str("label", c.Label)
	w.str("node_name", c.NodeName)
}

func (w *writer) session(e *SessionEvent) {
	w.strIf("external_signaling_url", e.ExternalSignalingURL)
	w.str("channel_id", e.ChannelID)
	w.str("session_id", e.SessionID)
	w.strIf("group_id", e.GroupID)
	w.boolean("multistream", true)
	w.boolean("spotlight", e.Spotlight)
	w.moment("created", e.Created)
	if e.Type == SessionCreated {
		return
	}
	if e.Type == SessionDestroyed {
		w.moment("destroyed", e.Destroyed)
	}
	w.integer("max_connections", e.MaxConnections)
	w.integer("total_connections", e.TotalConnections)
	w.rawIf("session_metadata", e.SessionMetadata)
	w.connections(e.Connections)
}

func listed(all []SessionConnection) []SessionConnection { return all[:min(len(all), MaxListed)] }

func (w *writer) connections(list []SessionConnection) {
	if list == nil {
		return
	}
	metadata := 0
	w.openList("connections")
	for i := range listed(list) {
		c := &list[i]
		w.element()
		w.role(c.Role)
		w.str("client_id", c.ClientID)
		w.str("bundle_id", c.BundleID)
		w.str("connection_id", c.ConnectionID)
		w.boolean("simulcast", c.Simulcast)
		w.media(&c.Media)
		w.timestamp("connection_created_timestamp", c.Created)
		w.timestampIf("connection_destroyed_timestamp", c.Destroyed)
		if metadata += len(c.EventMetadata); metadata <= maxListedMetadata {
			w.rawIf("event_metadata", c.EventMetadata)
		}
		w.close()
	}
	w.closeList()
}
