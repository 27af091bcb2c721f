package webhooks

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tsubame/bench/bot"
	"tsubame/bench/harness"
)

// patience is how long a test waits for what takes a fraction of a second on an idle machine.
const patience = 40 * time.Second

// The paths of the application.
const (
	auth    = "/auth"
	session = "/session"
	event   = "/event"
	stats   = "/stats"
)

// loopback is any port of the address that the server advertises.
var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// settings are those of a server, by key.
type settings map[string]string

// world is a server, its application, and those who call it.
type world struct {
	*harness.Server
	t    *testing.T
	app  *Application
	logs string // log_dir
}

// asking are the settings by which a server asks an application for everything.
func asking(a *Application) settings {
	return settings{
		"auth_webhook_url": a.URL(auth), "session_webhook_url": a.URL(session),
		"event_webhook_url": a.URL(event), "stats_webhook_url": a.URL(stats),
	}
}

// willing is an application that says yes to everything.
func willing(t *testing.T) *Application {
	a := application(t, Options{})
	a.On(auth, Always(Allow(nil)))
	for _, path := range []string{session, event, stats} {
		a.On(path, Always(Empty()))
	}
	return a
}

// start runs a server that asks app, which may be nil, for everything that more does not say
// otherwise.
func start(t *testing.T, app *Application, more settings) *world {
	t.Helper()
	config := settings{
		"shards": "1", "ipv4_address": "127.0.0.1", "signaling_port": "0", "udp_port": "0", "shed_joins_at_load": "0",
		"log_dir": filepath.Join(t.TempDir(), "log"), "session_destroyed_after": "1 s", "webhook_response_timeout": "20 s",
		"signaling_bundle_id": "true", "label": "a label", "node_name": "node@127.0.0.1",
	}
	if app != nil {
		maps.Copy(config, asking(app))
	}
	maps.Copy(config, more)
	maps.DeleteFunc(config, func(_, value string) bool { return value == unset })
	return &world{t: t, app: app, Server: harness.Start(t, harness.Options{Config: config}), logs: config["log_dir"]}
}

// unset as a value takes a key away.
const unset = "\x00"

// peer is the configuration of a bot that sends and receives sound.
func (w *world) peer(channel, role string, connect map[string]any) bot.Config {
	return bot.Config{
		URL: w.SignalingURL(), Channel: channel, Role: role, Audio: true,
		LocalAddrs: []netip.AddrPort{loopback}, Connect: connect,
	}
}

// dial starts a bot that lives as long as the test, if nobody ends it before.
func (w *world) dial(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b, err := bot.Dial(within(w.t), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Kill)
	return b
}

// join is dial, and waits until the bot is connected.
func (w *world) join(cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b := w.dial(cfg)
	if err := b.WaitConnected(within(w.t)); err != nil {
		w.t.Fatalf("%s: %v", cfg.Channel, err)
	}
	return b
}

// enter joins a channel with nothing special, and waits until the server has seen it too.
func (w *world) enter(channel, role string) *bot.Bot {
	w.t.Helper()
	b := w.join(w.peer(channel, role, nil))
	requireCreated(w.t, b)
	return b
}

// requireCreated waits until a bot is told of itself: the server has seen its media path. Who
// leaves before has failed, as far as the application is told.
func requireCreated(t *testing.T, b *bot.Bot) {
	t.Helper()
	if err := b.WaitConnected(within(t)); err != nil {
		t.Error(err)
		return
	}
	id := b.ID() // there is none before
	_, err := b.WaitNotify(within(t), func(n bot.Notify) bool { return n.EventType == "connection.created" && n.ConnectionID == id })
	if err != nil {
		t.Error(err)
	}
}

// closed waits until the server has closed a bot's signaling, and returns how.
func closed(t *testing.T, b *bot.Bot) (code int, reason string) {
	t.Helper()
	select {
	case <-b.Failed():
	case <-time.After(patience):
		t.Fatalf("the server does not close the signaling")
	}
	var end *bot.SignalingClosed
	if !errors.As(b.Err(), &end) {
		t.Fatalf("the signaling ended with %v", b.Err())
	}
	return end.Code, end.Reason
}

// requireRefused dials and holds that the server closes with 4490 and a reason.
func (w *world) requireRefused(cfg bot.Config, want string) {
	w.t.Helper()
	if code, reason := closed(w.t, w.dial(cfg)); code != 4490 || reason != want {
		w.t.Errorf("channel %s: closed with %d %s, want 4490 %s", cfg.Channel, code, reason, want)
	}
}

// leave ends a bot in an orderly way.
func leave(t *testing.T, b *bot.Bot) {
	t.Helper()
	if err := b.Close(within(t)); err != nil {
		t.Error(err)
	}
}

// within is a context that ends when patience does.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition; what it returns beside is shown when it never comes.
func eventually(t testing.TB, what string, is func() (bool, any)) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		ok, state := is()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s: %+v", patience, what, state)
		}
	}
}

// match accepts requests to a path that have these members, compared as texts.
func match(path string, members map[string]string) func(*Request) bool {
	return func(r *Request) bool {
		if r.Path != path {
			return false
		}
		for name, want := range members {
			if r.Text(name) != want {
				return false
			}
		}
		return true
	}
}

// want waits for the first n requests to a path that have these members.
func (w *world) want(n int, path string, members map[string]string) []Request {
	w.t.Helper()
	found, err := w.app.Wait(within(w.t), n, match(path, members))
	if err != nil {
		w.t.Fatalf("%s with %v: %v; requests came to %s; the last lines of the server:\n%s", path, members, err, w.app.Paths(), w.tail())
	}
	return found
}

// one is want for the first.
func (w *world) one(path string, members map[string]string) *Request {
	w.t.Helper()
	return &w.want(1, path, members)[0]
}

func (w *world) tail() (text string) {
	lines := w.Logs()
	for _, l := range lines[max(0, len(lines)-20):] {
		text += l.Text + "\n"
	}
	return text
}

// file returns the lines of a log file; nil: there is none.
func (w *world) file(name string) []map[string]any {
	w.t.Helper()
	return readLines(w.t, filepath.Join(w.logs, name))
}

// readLines reads a file of JSON lines. A last line that is being written is left out.
func readLines(t *testing.T, file string) (lines []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		o := Object(line)
		if o == nil {
			t.Fatalf("%s: a line is no JSON object: %q", file, line)
		}
		lines = append(lines, o)
	}
	return lines
}

// line waits for the first line of a log file that fits.
func (w *world) line(name string, fits func(map[string]any) bool) (found map[string]any) {
	w.t.Helper()
	eventually(w.t, "a line in "+name, func() (bool, any) {
		lines := w.file(name)
		for _, l := range lines {
			if fits(l) {
				found = l
				return true, nil
			}
		}
		return false, lines
	})
	return found
}

// having accepts lines whose member at path, as in req.channel_id, is a text.
func having(path, want string) func(map[string]any) bool {
	return func(l map[string]any) bool { got, _ := at(l, path).(string); return got == want }
}
