package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tsubame/bench/bot"
)

// What stands for secrets in the runs below.
const (
	accessToken   = "access-token-Kq3vZ8"
	bearerToken   = "bearer-token-Xw7nB2"
	basicPassword = "basic-password-Tj5mR9"
)

// bearing adds an Authorization header to requests.
type bearing struct {
	http.RoundTripper
	token string
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

var icePassword = regexp.MustCompile(`a=ice-pwd:(\S+)`)

// No password, token or key of a call stands in any file or on standard error, and all else
// that was said does.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(auth, Always(Allow(map[string]any{"metadata": map[string]any{"access_token": accessToken + "-answered"}})))
	w := start(t, app, settings{
		"webhook_basic_authn": "true", "webhook_basic_authn_user_id": "tsubame", "webhook_basic_authn_password": basicPassword,
		"log_level": "debug",
	})
	cfg := w.peer("room", bot.SendRecv, map[string]any{"metadata": map[string]any{"access_token": accessToken, "name": "to be seen"}})
	cfg.HTTP = bearer(t, bearerToken)
	b := w.join(cfg)
	requireCreated(t, b)
	other := w.enter("room", bot.RecvOnly)
	leave(t, other)
	leave(t, b)
	w.one(event, map[string]string{"type": "connection.destroyed", "connection_id": b.ID()})
	w.line("session.jsonl", having("channel_id", "room"))
	// The application gets what the client sent.
	requireValues(t, "the request", w.one(auth, nil).Body, values{"metadata.access_token": accessToken})
	line := w.line("auth_webhook.jsonl", having("req.connection_id", b.ID()))
	requireValues(t, "auth_webhook.jsonl", line, values{"req.metadata.name": "to be seen"})

	offer := Object(b.OfferMessage())
	secrets := map[string]string{"access token": accessToken, "bearer": bearerToken, "password of webhooks": basicPassword}
	sdp, _ := offer["sdp"].(string)
	if m := icePassword.FindStringSubmatch(sdp); m != nil {
		secrets["password of ICE"] = m[1]
	}
	servers, _ := at(offer, "config.iceServers").([]any)
	for _, s := range servers {
		credential, _ := s.(map[string]any)["credential"].(string)
		secrets["credential of TURN"] = credential
	}
	if len(secrets) != 5 {
		t.Fatalf("the offer has no secrets: %v", secrets)
	}
	w.requireSignaling(b)
	w.Stop() // all is written
	w.requireAbsent(secrets)
	for _, line := range w.file("signaling.jsonl") {
		if sdp, _ := at(line, "message.sdp").(string); sdp != "" {
			for _, m := range icePassword.FindAllStringSubmatch(sdp, -1) {
				if strings.Trim(m[1], "*") != "" {
					t.Errorf("signaling.jsonl: an ICE password %q", m[1])
				}
			}
		}
	}
}

// Logs that are switched off are not there; the others are.
func TestLogsMayBeSwitchedOff(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), settings{"auth_webhook_log": "false", "stats_webhook_log": "false", "signaling_log": "false",
		"websocket_signaling_stats_interval": "1 s", "websocket_signaling_ping_interval": "500 ms"})
	b := w.enter("room", bot.SendRecv)
	w.one(stats, map[string]string{"connection_id": b.ID()})
	leave(t, b)
	w.one(session, map[string]string{"type": "session.destroyed"})
	w.Stop()
	for _, name := range []string{"auth_webhook.jsonl", "stats_webhook.jsonl", "signaling.jsonl"} {
		if lines := w.file(name); len(lines) != 0 {
			t.Errorf("%s is switched off and has %v", name, lines)
		}
	}
	for _, name := range []string{"connection.jsonl", "session.jsonl", "event_webhook.jsonl", "session_webhook.jsonl", "sora.jsonl"} {
		if len(w.file(name)) == 0 {
			t.Errorf("%s has no lines", name)
		}
	}
}

// requireAbsent looks for secrets in every log file and on standard error.
func (w *world) requireAbsent(secrets map[string]string) {
	w.t.Helper()
	files, err := os.ReadDir(w.logs)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(files) < 6 {
		w.t.Errorf("there are only %d log files", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(w.logs, f.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		for name, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				w.t.Errorf("%s has the %s", f.Name(), name)
			}
		}
	}
	for _, line := range w.Logs() {
		for name, secret := range secrets {
			if strings.Contains(line.Text, secret) {
				w.t.Errorf("standard error has the %s: %s", name, line.Text)
			}
		}
	}
}

// requireSignaling holds that what a bot and the server said to each other is in signaling.jsonl.
func (w *world) requireSignaling(b *bot.Bot) {
	w.t.Helper()
	layout := schema{"timestamp": timestamp, "channel_id": is("room"), "connection_id": is(b.ID()), "direction": among("recv", "send"), "message": anything}
	for name, direction := range map[string]string{"connect": "recv", "offer": "send", "answer": "recv", "notify": "send", "disconnect": "recv"} {
		line := w.line("signaling.jsonl", func(l map[string]any) bool {
			return at(l, "message.type") == name && l["connection_id"] == b.ID()
		})
		require(w.t, name, layout, line)
		requireValues(w.t, name, line, values{"direction": direction})
	}
}

// serverLine is a line of sora.jsonl.
var serverLine = schema{
	"id": identifier, "level": among("debug", "info", "notice", "warning", "error", "emergency"), "msg": text, "domain": list(text),
	"sora_version": text, "node": is("node@127.0.0.1"), "timestamp": timestamp,
}

// sora.jsonl is the server's own log, in the layout of the documentation.
func TestServersOwnLog(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), nil)
	w.line("sora.jsonl", having("msg", "ready"))
	for _, line := range w.file("sora.jsonl") {
		for name, check := range serverLine {
			if wrong := check(line[name]); wrong != "" {
				t.Errorf("%s: %s in %v", name, wrong, line)
			}
		}
	}
}

// Files that are moved away while calls run are begun anew, with SIGUSR1 at once and without it
// soon, and no line is lost or torn.
func TestLogFilesMayBeMovedAway(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), nil)
	stays := w.enter("stays", bot.SendRecv)
	var entered, old []string
	visit := func() {
		b := w.enter("room", bot.SendRecv)
		leave(t, b)
		entered = append(entered, b.ID())
	}
	for _, signal := range []bool{true, false, false, true} {
		eventually(t, "a line in the new file", func() (bool, any) {
			visit()
			return len(w.file("connection.jsonl")) > 0, nil
		})
		old = append(old, filepath.Join(w.logs, fmt.Sprint("connection.jsonl.", len(old))))
		if err := os.Rename(filepath.Join(w.logs, "connection.jsonl"), old[len(old)-1]); err != nil {
			t.Fatal(err)
		}
		if !signal {
			continue
		}
		w.Counters() // SIGUSR1, and its answer
		visit()
		w.line("connection.jsonl", having("connection_id", entered[len(entered)-1]))
	}
	requireMoving(t, stays)
	leave(t, stays)
	w.Stop()
	seen := map[string]int{}
	for _, file := range append(old, filepath.Join(w.logs, "connection.jsonl")) {
		for _, line := range readLines(t, file) {
			seen[line["connection_id"].(string)]++
		}
	}
	for _, id := range append(entered, stays.ID()) {
		if seen[id] != 1 {
			t.Errorf("%s has %d lines", id, seen[id])
		}
	}
	if len(seen) != len(entered)+1 {
		t.Errorf("%d connections have lines", len(seen))
	}
}

// requireMoving waits until the server has sent a bot something more: its call lives.
func requireMoving(t *testing.T, b *bot.Bot) {
	t.Helper()
	from := b.Stats()
	eventually(t, "the call goes on", func() (bool, any) {
		now := b.Stats()
		return now.RTCP > from.RTCP && now.Received > from.Received, now
	})
	if err := b.Err(); err != nil {
		t.Error(err)
	}
}

// Files that have grown to log_rotate_size are put aside, and so many of them kept.
func TestLogFilesRotateBySize(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), settings{"log_rotate_size": "65536", "log_rotate_keep": "2"})
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(w.logs, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return err == nil
	}
	stays := w.enter("stays", bot.SendRecv)
	big := strings.Repeat("b", 20_000)
	eventually(t, "signaling.jsonl is put aside twice", func() (bool, any) {
		b := w.join(w.peer("room", bot.RecvOnly, map[string]any{"metadata": big}))
		leave(t, b)
		return there("signaling.jsonl.2"), nil
	})
	for range 8 {
		leave(t, w.join(w.peer("room", bot.RecvOnly, map[string]any{"metadata": big})))
	}
	requireMoving(t, stays)
	w.Stop()
	if there("signaling.jsonl.3") {
		t.Error("more files are kept than were asked for")
	}
	for _, name := range []string{"signaling.jsonl.1", "signaling.jsonl.2"} {
		if len(w.file(name)) == 0 {
			t.Errorf("%s is empty", name)
		}
		if info, err := os.Stat(filepath.Join(w.logs, name)); err != nil || info.Size() > 65536+40_000 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}
