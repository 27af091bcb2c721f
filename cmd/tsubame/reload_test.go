package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tsubame/configs"
)

// recorder is told of configurations.
type recorder struct{ told []configs.Config }

func (r *recorder) Reconfigure(c configs.Config) { r.told = append(r.told, c) }

// reloading is a reloader whose file a test writes.
type reloading struct {
	*reloader
	recorder
	t    *testing.T
	path string
	log  *logBuffer
}

func newReloading(t *testing.T, content string, environ ...string) *reloading {
	t.Helper()
	r := &reloading{t: t, path: writeFile(t, "f", content), log: new(logBuffer)}
	source := settingsSource{file: r.path, environ: environment(environ...)}
	loaded, err := source.read()
	if err != nil {
		t.Fatal(err)
	}
	r.reloader = &reloader{
		source: source, running: loaded.Config, targets: []reloadable{&r.recorder},
		log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	return r
}

// requireLog wants something in the log.
func (r *reloading) requireLog(parts ...string) {
	r.t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.log.String(), part) {
			r.t.Errorf("%q is not in the log:\n%s", part, r.log.String())
		}
	}
}

func TestReloadTakesUpWhatCanChangeAndNamesTheRest(t *testing.T) {
	r := newReloading(t, "log_level = warn\nshards = 1\nevent_webhook_url = http://a.example/")
	rewrite(t, r.path, "log_level = error\nshards = 2\nevent_webhook_url = http://u:s3cret@b.example/\ncluster = true")
	r.reload()
	if len(r.told) != 1 || r.told[0].Log.Level != "error" || r.told[0].Media.Shards != 1 || r.told[0].Webhooks.EventURL != "http://u:s3cret@b.example/" {
		t.Fatalf("told %+v", r.told)
	}
	r.requireLog(
		`level=INFO msg="reload: changed" key=log_level old=warn new=error`,
		`level=WARN msg="reload: this key needs a restart" key=shards running=1 new=2`,
		`key=event_webhook_url old=http://a.example/ new=http://***@b.example/`,
		`level=WARN msg=configuration warning="`+r.path+`:4: cluster: accepted`,
	)
	if strings.Contains(r.log.String(), "s3cret") {
		t.Errorf("a secret is in the log:\n%s", r.log.String())
	}
}

func TestAKeyThatWaitsForARestartIsNamedEveryTime(t *testing.T) {
	r := newReloading(t, "shards = 1")
	rewrite(t, r.path, "shards = 2")
	r.reload()
	r.reload()
	if n := strings.Count(r.log.String(), "key=shards running=1 new=2"); n != 2 {
		t.Errorf("named %d times:\n%s", n, r.log.String())
	}
	rewrite(t, r.path, "shards = 1")
	r.reload()
	if n := strings.Count(r.log.String(), "key=shards"); n != 2 {
		t.Errorf("named %d times:\n%s", n, r.log.String())
	}
}

// Row OPS-08.
func TestReloadOfABadFileChangesNothing(t *testing.T) {
	r := newReloading(t, "log_level = warn")
	before := r.running
	for content, want := range map[string][]string{
		"log_level = loud\nshards = -1":    {r.path + ":1: log_level: ", r.path + ":2: shards: "},
		"log_level = error\nlog_level = x": {r.path + ":2: log_level: duplicated key"},
		"token_keys = a:HS256:/no/such":    {r.path + ":1: token_keys: open /no/such"},
		"\x00":                             {r.path + ":1: invalid line format"},
	} {
		rewrite(t, r.path, content)
		r.reload()
		for _, part := range want {
			r.requireLog(`level=ERROR msg="reload: the configuration stays as it was"`, part)
		}
		if len(r.told) != 0 || !reflect.DeepEqual(r.running, before) {
			t.Errorf("%q: told %+v", content, r.told)
		}
	}
}

func TestReloadOfAFileThatIsGoneChangesNothing(t *testing.T) {
	r := newReloading(t, "log_level = warn")
	r.source.file = r.path + ".gone"
	r.reload()
	r.requireLog(`msg="reload: the configuration stays as it was"`, r.path+".gone")
	if len(r.told) != 0 {
		t.Errorf("told %+v", r.told)
	}
	// The next one that is good counts.
	r.source.file = r.path
	rewrite(t, r.path, "log_level = debug")
	r.reload()
	if len(r.told) != 1 || r.told[0].Log.Level != "debug" {
		t.Errorf("told %+v", r.told)
	}
}

func TestReloadThatContradictsWhatStaysIsRefused(t *testing.T) {
	r := newReloading(t, "turn_tls = true\nturn_fqdn = a.example")
	rewrite(t, r.path, "log_level = debug")
	r.reload()
	r.requireLog(`level=ERROR msg="reload: the configuration stays as it was"`, "turn_tls: needs turn_tls_fqdn or turn_fqdn: a certificate is for a name (beside what needs a restart)")
	if len(r.told) != 0 {
		t.Errorf("told %+v", r.told)
	}
}

func TestReloadTellsEvenIfNoKeyHasChanged(t *testing.T) {
	r := newReloading(t, "log_level = warn")
	r.reload() // certificates that keys name may be new
	if len(r.told) != 1 || !reflect.DeepEqual(r.told[0], r.running) {
		t.Errorf("told %+v", r.told)
	}
	r.requireLog("changes=0")
}

func TestTheEnvironmentAndTheFlagStayOnReload(t *testing.T) {
	r := newReloading(t, "", "TSUBAME_LOG_LEVEL=debug")
	r.source.dev, r.running.Server.Dev = true, true
	rewrite(t, r.path, "log_level = error")
	r.reload()
	if len(r.told) != 1 || r.told[0].Log.Level != "debug" || !r.told[0].Server.Dev {
		t.Errorf("told %+v", r.told)
	}
	r.requireLog("changes=0")
}

func TestTheLogFollowsItsLevel(t *testing.T) {
	level := new(slog.LevelVar)
	for name, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		c := configs.Defaults()
		c.Log.Level = name
		levelSetter{level}.Reconfigure(c)
		if level.Level() != want {
			t.Errorf("%s: %v", name, level.Level())
		}
	}
}

// refusal connects with a message and returns the reason why it is refused; empty: it is not.
func (r *running) refusal(message string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, r.signaling(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer socket.CloseNow()
	socket.SetReadLimit(1 << 20)
	if err := socket.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		r.t.Fatal(err)
	}
	_, text, err := socket.Read(ctx)
	if err == nil {
		var m struct{ Type string }
		if err := json.Unmarshal(text, &m); err != nil || m.Type != "offer" {
			r.t.Fatalf("%s: %v", text, err)
		}
		return ""
	}
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		r.t.Fatal(err)
	}
	return closed.Reason
}

func TestARunningServerFollowsAReload(t *testing.T) {
	r := runServer(t)
	connect := `{"type":"connect","role":"sendonly","channel_id":"c","video":{"codec_type":"VP8"},"audio":false}`
	if reason := r.refusal(connect); reason != "" {
		t.Fatal(reason)
	}
	o, _ := call(t, nil, r.signaling())
	if urls := strings.Join(o.Config.ICEServers[0].URLs, " "); strings.Contains(urls, "turn.example.com") {
		t.Fatal(urls)
	}

	changed := settings(t, "vp8 = false", "turn_fqdn = turn.example.com", "shards = 2")
	merged, err := configs.Merge(r.cfg, changed)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []reloadable{r.server, r.app} {
		target.Reconfigure(merged)
	}
	r.reload()

	if reason := r.refusal(connect); reason != "UNKNOWN-CODEC-TYPE" {
		t.Errorf("closed with %q", reason)
	}
	o, _ = call(t, nil, r.signaling())
	if urls := strings.Join(o.Config.ICEServers[0].URLs, " "); !strings.Contains(urls, "turn.example.com") {
		t.Error(urls)
	}
	if r.plane.Shards() != 1 {
		t.Errorf("%d shards", r.plane.Shards())
	}
}
