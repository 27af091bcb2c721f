package sora

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// everyEvent has all members set; Append leaves out what an event comes without.
func everyEvent(kind string) ConnectionEvent {
	return ConnectionEvent{EventType: kind, Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 6789000, time.FixedZone("", 3600)),
		Role: SendOnly, SessionID: "s", ClientID: "cl", BundleID: "b", ConnectionID: "conn", Audio: true, Minutes: 3,
		AuthnMetadata: []byte(`{"a":1}`), AuthzMetadata: []byte(`[2]`), Metadata: []byte(`"m"`),
		Total: 6, SendRecv: 1, SendOnly: 2, RecvOnly: 3, TURNTransportType: "tcp", SpotlightNumber: 4,
		Data: entries(
			Present{ClientID: "x", BundleID: "y", ConnectionID: "z", AuthnMetadata: []byte(`null`), AuthzMetadata: []byte(`true`), Metadata: []byte(`{}`)},
			Present{ConnectionID: "w"},
		)}
}

func entries(present ...Present) []Entry {
	out := []Entry{}
	for _, p := range present {
		out = append(out, p.Entry())
	}
	return out
}

func TestConnectionEventsHaveTheMembersOfTheirColumns(t *testing.T) {
	common := map[string]any{
		"type": "notify", "timestamp": "2026-01-02T02:04:05.006789Z", "role": "sendonly",
		"session_id": "s", "client_id": "cl", "bundle_id": "b", "connection_id": "conn", "audio": true, "video": false,
		"minutes": 3.0, "channel_connections": 6.0,
		"channel_sendrecv_connections": 1.0, "channel_sendonly_connections": 2.0, "channel_recvonly_connections": 3.0,
		"turn_transport_type": "tcp",
	}
	metadata := map[string]any{"authn_metadata": map[string]any{"a": 1.0}, "authz_metadata": []any{2.0}, "metadata": "m"}
	data := map[string]any{"spotlight_number": 4.0, "data": []any{
		map[string]any{"client_id": "x", "bundle_id": "y", "connection_id": "z", "authn_metadata": nil, "authz_metadata": true, "metadata": map[string]any{}},
		map[string]any{"client_id": "", "bundle_id": "", "connection_id": "w"},
	}}
	for kind, more := range map[string][]map[string]any{
		EventCreated: {metadata, data}, EventUpdated: {}, EventDestroyed: {metadata},
	} {
		want := maps.Clone(common)
		want["event_type"] = kind
		for _, m := range more {
			maps.Copy(want, m)
		}
		e := everyEvent(kind)
		if got := object(t, e.Append(nil)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got  %v\nwant %v", kind, got, want)
		}
	}
}

func TestConnectionEventsLeaveOutWhatIsNotKnown(t *testing.T) {
	e := ConnectionEvent{EventType: EventCreated, Data: []Entry{}}
	got := object(t, e.Append(nil))
	want := []string{"audio", "bundle_id", "channel_connections", "channel_recvonly_connections", "channel_sendonly_connections",
		"channel_sendrecv_connections", "client_id", "connection_id", "data", "event_type", "minutes", "role", "session_id", "timestamp",
		"turn_transport_type", "type", "video"}
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("got %q", keys)
	}
	if got["turn_transport_type"] != "udp" || len(got["data"].([]any)) != 0 {
		t.Errorf("got %v", got)
	}
}

// Row SIG-10.
func TestMetadataOfOthersIsBounded(t *testing.T) {
	big := []byte(`"` + strings.Repeat("x", MaxNotifyMetadata-2) + `"`)
	e := ConnectionEvent{EventType: EventCreated, Data: make([]Entry, 100)}
	for i := range e.Data {
		e.Data[i] = (&Present{AuthnMetadata: big}).Entry()
	}
	b := e.Append(nil)
	object(t, b)
	if n := strings.Count(string(b), "authn_metadata"); n != maxDataMetadata/(len(big)+len(`,"authn_metadata":`)) {
		t.Errorf("%d entries with metadata, %d bytes", n, len(b))
	}
}

// Row SIG-10.
func TestAListOfAThousandMembersFitsIntoAFrame(t *testing.T) {
	e := thousandMembers()
	if n := len(e.Append(nil)); n > MaxFrame {
		t.Errorf("%d bytes are more than a client takes", n)
	}
}

func thousandMembers() ConnectionEvent {
	e := everyEvent(EventCreated)
	e.Data = make([]Entry, 1000)
	for i := range e.Data {
		id := NewID()
		e.Data[i] = (&Present{ClientID: id, BundleID: id, ConnectionID: id, AuthnMetadata: []byte(`{"name":"Somebody with a name","avatar":"https://example.com/a.png"}`)}).Entry()
	}
	return e
}

func TestAnEntryKeepsNothingOfWhatItWasMadeOf(t *testing.T) {
	metadata := []byte(`{"a":1}`)
	e := ConnectionEvent{EventType: EventCreated, Data: entries(Present{ConnectionID: "c", AuthzMetadata: metadata})}
	want := string(e.Append(nil))
	copy(metadata, "XXXXXXX")
	if got := string(e.Append(nil)); got != want {
		t.Errorf("it became %s", got)
	}
}

func TestIceStatesAreTold(t *testing.T) {
	got := object(t, AppendICEState(nil, time.Unix(0, 0), "cl", "b", "conn", "disconnected", "connected"))
	want := map[string]any{"type": "notify", "event_type": "ice_connection_state.changed", "timestamp": "1970-01-01T00:00:00.000000Z",
		"client_id": "cl", "bundle_id": "b", "connection_id": "conn", "current_state": "disconnected", "previous_state": "connected"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
