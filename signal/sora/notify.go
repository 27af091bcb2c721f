package sora

import (
	"slices"
	"time"
)

// ConnectionEvent is a notify connection.created, connection.updated or
// connection.destroyed.
type ConnectionEvent struct {
	EventType    string // EventCreated, EventUpdated or EventDestroyed
	Timestamp    time.Time
	Role         Role
	SessionID    string
	ClientID     string
	BundleID     string
	ConnectionID string
	Audio        bool
	Video        bool
	Minutes      int // since the connection was established

	// What is known of the connection, JSON; nil: none. AuthnMetadata is what the client
	// itself said to others, AuthzMetadata what its authentication did. An event updated
	// comes without all three.
	AuthnMetadata []byte
	AuthzMetadata []byte
	Metadata      []byte

	// Connections of the channel, this one included in created and updated, and left out in
	// destroyed.
	Total    int
	SendRecv int
	SendOnly int
	RecvOnly int

	TURNTransportType string // udp or tcp; empty: udp
	SpotlightNumber   int    // only with created; 0: no spotlight

	// Data lists who is there already. It belongs only into the copy of created for the new
	// connection itself; nil: no such member.
	Data []Entry
}

// The values of EventType.
const (
	EventCreated   = "connection.created"
	EventUpdated   = "connection.updated"
	EventDestroyed = "connection.destroyed"
)

// Present is what an Entry says. The metadata is JSON; nil: none.
type Present struct {
	ClientID      string
	BundleID      string
	ConnectionID  string
	AuthnMetadata []byte
	AuthzMetadata []byte
	Metadata      []byte
}

// Entry is a Present as it is written, once for everybody who is told of it: in a channel of
// 1,000 each join takes a list of 1,000. The zero value is no entry.
type Entry struct {
	json  []byte // the object without its closing brace
	plain int    // where its metadata begins
}

// Entry writes p. The entry does not change any more, and keeps nothing of p.
func (p *Present) Entry() Entry {
	w := writer{b: make([]byte, 0, 64+len(p.ClientID)+len(p.BundleID)+len(p.ConnectionID)+p.metadataSize())}
	w.open()
	w.str("client_id", p.ClientID)
	w.str("bundle_id", p.BundleID)
	w.str("connection_id", p.ConnectionID)
	plain := len(w.b)
	w.rawIf("authn_metadata", p.AuthnMetadata)
	w.rawIf("authz_metadata", p.AuthzMetadata)
	w.rawIf("metadata", p.Metadata)
	return Entry{json: w.b, plain: plain}
}

func (p *Present) metadataSize() int {
	n := len(p.AuthnMetadata) + len(p.AuthzMetadata) + len(p.Metadata)
	if n > 0 {
		n += len(`,"authn_metadata":,"authz_metadata":,"metadata":`)
	}
	return n
}

func (e *Entry) metadataLen() int { return len(e.json) - e.plain }

// maxDataMetadata bounds the metadata in one connection.created: the entry that goes beyond
// it and those behind come without theirs. Without a bound, a channel of 1,000 members could
// grow the message to 64 MiB, and clients take 1 MiB.
const maxDataMetadata = 512 << 10

// Append appends the message to dst. The order of the members is fixed.
func (e *ConnectionEvent) Append(dst []byte) []byte {
	created, updated := e.EventType == EventCreated, e.EventType == EventUpdated
	w := writer{b: slices.Grow(dst, e.size())}
	w.notify(e.EventType, e.Timestamp)
	w.str("role", e.Role.String())
	w.str("session_id", e.SessionID)
	w.str("client_id", e.ClientID)
	w.str("bundle_id", e.BundleID)
	w.str("connection_id", e.ConnectionID)
	w.boolean("audio", e.Audio)
	w.boolean("video", e.Video)
	if !updated {
		w.rawIf("authn_metadata", e.AuthnMetadata)
		w.rawIf("authz_metadata", e.AuthzMetadata)
		w.rawIf("metadata", e.Metadata)
	}
	w.integer("minutes", e.Minutes)
	w.integer("channel_connections", e.Total)
	w.integer("channel_sendrecv_connections", e.SendRecv)
	w.integer("channel_sendonly_connections", e.SendOnly)
	w.integer("channel_recvonly_connections", e.RecvOnly)
	if e.TURNTransportType == "" {
		w.str("turn_transport_type", "udp")
	} else {
		w.str("turn_transport_type", e.TURNTransportType)
	}
	if created {
		w.integerIf("spotlight_number", e.SpotlightNumber)
	}
	if created && e.Data != nil {
		w.data(e.Data)
	}
	w.close()
	return w.b
}

// size estimates the length of the message, so that a long one is not copied again and
// again while it grows.
func (e *ConnectionEvent) size() int {
	n := 768 + len(e.AuthnMetadata) + len(e.AuthzMetadata) + len(e.Metadata)
	metadata := 0
	for i := range e.Data {
		n += e.Data[i].plain + 2
		metadata += e.Data[i].metadataLen()
	}
	return n + min(metadata, maxDataMetadata)
}

func (w *writer) data(present []Entry) {
	w.key("data")
	w.b = append(w.b, '[')
	metadata := 0
	for i := range present {
		e := &present[i]
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if metadata += e.metadataLen(); metadata <= maxDataMetadata {
			w.b = append(w.b, e.json...)
		} else {
			w.b = append(w.b, e.json[:e.plain]...)
		}
		w.close()
	}
	w.b = append(w.b, ']')
}

// AppendNetworkStatus appends a notify network.status to dst: how unstable the client's own
// network is, from 0, stable, to 3.
func AppendNetworkStatus(dst []byte, now time.Time, unstableLevel int) []byte {
	w := writer{b: slices.Grow(dst, 128)}
	w.notify("network.status", now)
	w.integer("unstable_level", unstableLevel)
	w.close()
	return w.b
}

// ICEStateEvent is the event_type of AppendICEState. Its members are known from clients; the
// name is inferred, by analogy with the other events.
const ICEStateEvent = "ice_connection_state.changed"

// AppendICEState appends a notify to dst of how the ICE connection of the client itself has
// changed: current and previous are states as browsers call them (RTCIceConnectionState).
func AppendICEState(dst []byte, now time.Time, clientID, bundleID, connectionID, current, previous string) []byte {
	w := writer{b: slices.Grow(dst, 256+len(clientID)+len(bundleID))}
	w.notify(ICEStateEvent, now)
	w.str("client_id", clientID)
	w.str("bundle_id", bundleID)
	w.str("connection_id", connectionID)
	w.str("current_state", current)
	w.str("previous_state", previous)
	w.close()
	return w.b
}

// notify opens a notify with the members that all events have.
func (w *writer) notify(event string, t time.Time) {
	w.open()
	w.str("type", "notify")
	w.str("event_type", event)
	w.key("timestamp")
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, timestampLayout)
	w.b = append(w.b, '"')
}

const timestampLayout = "2006-01-02T15:04:05.000000Z"

// Timestamp formats t as the protocol does: RFC 3339 in UTC with microseconds.
func Timestamp(t time.Time) string { return t.UTC().Format(timestampLayout) }
