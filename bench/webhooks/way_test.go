package webhooks

import (
	"slices"
	"strings"
	"testing"

	"tsubame/bench/bot"
)

// way is how a client is told to reach the server.
type way struct {
	policy     string
	urls       []string
	candidates []string // addresses, in their order
}

// told dials and returns the way that the offer tells of.
func (w *world) told(client string) (*bot.Bot, way) {
	w.t.Helper()
	b := w.dial(w.peer("room", bot.SendRecv, map[string]any{"client_id": client}))
	eventually(w.t, "an offer", func() (bool, any) { return b.OfferMessage() != nil, b.Err() })
	offer := Object(b.OfferMessage())
	var told way
	told.policy, _ = at(offer, "config.iceTransportPolicy").(string)
	servers, _ := at(offer, "config.iceServers").([]any)
	for _, s := range servers {
		urls, _ := s.(map[string]any)["urls"].([]any)
		for _, u := range urls {
			told.urls = append(told.urls, u.(string))
		}
	}
	sdp, _ := offer["sdp"].(string)
	for line := range strings.Lines(sdp) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "a=candidate:") && !slices.Contains(told.candidates, fields[4]) {
			told.candidates = append(told.candidates, fields[4])
		}
	}
	return b, told
}

// An application tells clients apart by how they reach the server: a client gets in by an
// address that is in no configuration, by a name and by a kind of TURN, and is never told of
// a way that leads nowhere.
func TestApplicationHandsOutTheWay(t *testing.T) {
	t.Parallel()
	app := willing(t)
	answers := map[string]map[string]any{
		"address": {"ipv4_address": "127.0.0.1"},
		"name":    {"turn_fqdn": "turn.example.com"},
		"tcp":     {"turn_tcp_only": true, "ipv4_address": "127.0.0.1"},
		"tls":     {"turn_tls_only": true, "ipv4_address": "127.0.0.1"}, // and there is no TLS
	}
	app.On(auth, func(r *Request) Answer { return Allow(answers[r.Text("client_id")]) })
	w := start(t, app, settings{"ipv4_address": "192.0.2.1"})

	_, usual := w.told("nobody special")
	if !slices.Equal(usual.candidates, []string{"192.0.2.1"}) || usual.policy != "all" || len(usual.urls) != 1 || !strings.HasPrefix(usual.urls[0], "turn:192.0.2.1:") {
		t.Errorf("without an answer of its own: %+v", usual)
	}
	b, told := w.told("address")
	if told.candidates[0] != "127.0.0.1" || len(told.urls) != 1 || !strings.HasPrefix(told.urls[0], "turn:127.0.0.1:") {
		t.Errorf("with ipv4_address: %+v", told)
	}
	requireCreated(t, b)
	if _, told = w.told("name"); len(told.urls) != 1 || !strings.HasPrefix(told.urls[0], "turn:turn.example.com:") {
		t.Errorf("with turn_fqdn: %+v", told)
	}
	if _, told = w.told("tcp"); told.policy != "relay" || len(told.urls) != 1 || !strings.HasSuffix(told.urls[0], "?transport=tcp") {
		t.Errorf("with turn_tcp_only: %+v", told)
	}
	b, told = w.told("tls")
	if told.policy != "all" {
		t.Errorf("with turn_tls_only, where there is no TLS: %+v", told)
	}
	requireCreated(t, b)
}
