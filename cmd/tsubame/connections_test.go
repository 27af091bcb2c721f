package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tsubame/media/bwe"
	"tsubame/media/edge"
)

func listed(t *testing.T, list networks, query string) (all []map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	debugRoutes(list).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/connections"+query, nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d, %q", w.Code, w.Header())
	}
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return all
}

func TestConnectionsAreListedWithTheirNetwork(t *testing.T) {
	list := func(f func(edge.Network)) {
		f(edge.Network{Index: 1, ChannelID: "sora", ConnectionID: "A", Sent: 1_500_000, Target: 2_000_000, State: bwe.Overuse,
			Loss: 0.25, RTT: 1500 * time.Microsecond, Queue: 20 * time.Millisecond, Unstable: 2})
		f(edge.Network{Index: 2, ChannelID: "sora", ConnectionID: "B"})
	}
	all := listed(t, list, "")
	if len(all) != 2 {
		t.Fatalf("%d connections", len(all))
	}
	for name, want := range map[string]any{
		"channel_id": "sora", "connection_id": "A", "index": 1.0, "sent": 1.5e6, "target": 2e6, "acked": 0.0,
		"delay": "overuse", "loss": 0.25, "rtt_ms": 1.5, "queue_ms": 20.0, "unstable_level": 2.0,
	} {
		if got := all[0][name]; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestConnectionsAreChosenByName(t *testing.T) {
	list := func(f func(edge.Network)) {
		f(edge.Network{ChannelID: "one", ConnectionID: "A"})
		f(edge.Network{ChannelID: "two", ConnectionID: "B"})
		f(edge.Network{ChannelID: "two", ConnectionID: "C"})
	}
	for query, want := range map[string]int{"": 3, "?channel_id=two": 2, "?connection_id=B": 1, "?channel_id=one&connection_id=B": 0} {
		if n := len(listed(t, list, query)); n != want {
			t.Errorf("%q: %d connections, want %d", query, n, want)
		}
	}
}

func TestNoConnectionsAreAnEmptyArray(t *testing.T) {
	if all := listed(t, noNetworks, ""); all == nil || len(all) != 0 {
		t.Errorf("got %v", all)
	}
}

func TestRunningServerListsConnectionsByTheirNames(t *testing.T) {
	port := freePort(t)
	r := runServer(t, fmt.Sprintf("debug_listen = 127.0.0.1:%d", port))
	o, _ := call(t, http.DefaultClient, r.signaling())
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/debug/connections?channel_id=c", port))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var all []connectionStatus
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil || len(all) != 1 {
		t.Fatalf("%v, %d connections", err, len(all))
	}
	if id := all[0].ConnectionID; len(id) < 8 || id != o.ConnectionID {
		t.Errorf("connection_id %q, the offer says %q", id, o.ConnectionID)
	}
}
