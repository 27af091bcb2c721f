package webhooks

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

var tokenSecret = []byte("a secret of thirty-two bytes: 0123456789")

// tokens are the settings of a server that lets those in who have a token.
func tokens(t *testing.T) settings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, tokenSecret, 0o600); err != nil {
		t.Fatal(err)
	}
	return settings{"token_keys": "main:HS256:" + file}
}

// tokenOf signs a token that lasts an hour.
func tokenOf(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(tokenSecret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bearer is a client whose requests have a token in their Authorization header.
func bearer(t *testing.T, token string) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: bearing{transport, token}}
}

// A token lets its bearer in without the application's being asked, by metadata or by the
// Authorization header; who has none is a matter of the application.
//
// Row AUTH-03.
func TestTokenSparesTheAuthWebhook(t *testing.T) {
	t.Parallel()
	app := willing(t)
	w := start(t, app, tokens(t))
	good := tokenOf(t, jwt.MapClaims{"channel_id": "room*", "role": "sendrecv", "client_id": "of the token", "event_metadata": "too"})
	byMetadata := w.join(w.peer("room 1", bot.SendRecv, map[string]any{"metadata": map[string]any{"access_token": good}}))
	cfg := w.peer("room 2", bot.SendRecv, nil)
	cfg.HTTP = bearer(t, good)
	byHeader := w.join(cfg)
	for _, b := range []*bot.Bot{byMetadata, byHeader} {
		created := w.one(event, map[string]string{"type": "connection.created", "connection_id": b.ID()})
		requireValues(t, "connection.created", created.Body, values{"client_id": "of the token", "event_metadata": "too"})
	}
	if n := len(app.Requests(auth)); n != 0 {
		t.Errorf("the application was asked %d times", n)
	}
	w.enter("elsewhere", bot.SendRecv)
	w.one(auth, map[string]string{"channel_id": "elsewhere"})

	for channel, claims := range map[string]jwt.MapClaims{
		"TOKEN-WRONG-CHANNEL": {"channel_id": "another", "role": "sendrecv"},
		"TOKEN-WRONG-ROLE":    {"channel_id": "TOKEN-WRONG-ROLE", "role": "recvonly"},
	} {
		cfg := w.peer(channel, bot.SendRecv, nil)
		cfg.HTTP = bearer(t, tokenOf(t, claims))
		w.requireRefused(cfg, channel)
	}
	if n := len(app.Requests(auth)); n != 1 {
		t.Errorf("the application was asked %d times", n)
	}
	w.Stop()
	signature := good[strings.LastIndexByte(good, '.')+1:]
	w.requireAbsent(map[string]string{"token": good, "token's signature": signature, "key": string(tokenSecret)})
}

// What a server for development prints is enough to join.
func TestDevelopmentTokenJoins(t *testing.T) {
	t.Parallel()
	w := &world{t: t, Server: harness.Start(t, harness.Options{Args: []string{"--dev"}, Config: settings{
		"shards": "1", "signaling_port": "0", "udp_port": "0", "shed_joins_at_load": "0",
	}})}
	// What follows a word at the beginning of a line.
	shown := func(word string) string {
		line := w.WaitLog(patience, word, func(l harness.Line) bool { return strings.HasPrefix(strings.TrimSpace(l.Text), word+" ") })
		first, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line.Text), word)), ",")
		return first
	}
	token, channel, url := shown("token"), shown("channel"), shown("join")
	if !strings.HasPrefix(url, w.URL()) || !strings.Contains(url, token) {
		t.Errorf("the URL is %q", url)
	}
	w.requireRefused(w.peer("another", bot.SendRecv, map[string]any{"metadata": map[string]any{"access_token": token}}), "TOKEN-WRONG-CHANNEL")
	requireCreated(t, w.join(w.peer(channel, bot.SendRecv, map[string]any{"metadata": map[string]any{"access_token": token}})))
}
