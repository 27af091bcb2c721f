package hooks

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/session"
	"tsubame/signal/webhook"
)

func TestClosingSendsWhatWaits(t *testing.T) {
	app := newRecords("")
	url := application(t, app.ServeHTTP).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 2}})
	for range 200 {
		h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(app.seen()); n != 200 {
		t.Errorf("%d arrived", n)
	}
}

func TestClosingWaitsNoLongerThanItMayAndTellsWhatIsLost(t *testing.T) {
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, AuthURL: url, Workers: 1}})
	for range 5 {
		h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	}
	answered := make(chan channel.Verdict, 1)
	h.Authenticate(t.Context(), client(), "", func(v channel.Verdict) { answered <- v })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, ErrLost) || !strings.HasSuffix(err.Error(), ": 5") {
		t.Errorf("%v", err)
	}
	if v := <-answered; v.Answer != nil || v.Reason != session.ReasonShutdown || !strings.HasPrefix(v.Detail, failShutdown) {
		t.Errorf("%+v", v)
	}
	c := h.Counters()
	if c["total_lost_webhook"] != 5 || c["total_failed_event_webhook_lost"]+c["total_failed_event_webhook_shutdown"] != 5 ||
		c["event_webhook_queue"] != 0 || c["event_webhook_workers_busy"] != 0 || len(p.of(journal.EventError)) != 5 {
		t.Errorf("%v", c)
	}
}

func TestNothingIsAskedAfterTheEnd(t *testing.T) {
	app := newRecords("{}")
	url := application(t, app.ServeHTTP).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, SessionURL: url}})
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verdict(t, h, client(), ""); v.Answer != nil || v.Reason != session.ReasonShutdown {
		t.Errorf("%+v", v)
	}
	if _, err := created(t, h, "room"); err == nil {
		t.Error("a session was created")
	}
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	if n := h.Counters()["total_failed_event_webhook_lost"]; n != 1 || len(p.of(journal.EventError)) != 1 || len(app.seen()) != 0 {
		t.Errorf("%d lost", n)
	}
}

func TestAnotherConfigurationIsTakenUpWhileEventsWait(t *testing.T) {
	old, anew := newRecords(""), newRecords(`{"allowed":true}`)
	release := make(chan struct{})
	oldURL := application(t, func(w http.ResponseWriter, r *http.Request) { <-release; old.ServeHTTP(w, r) }).URL
	newURL := application(t, anew.ServeHTTP).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{EventURL: oldURL, Workers: 1}})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	until(t, "it is under way", func() bool { return h.Counters()["event_webhook_workers_busy"] == 1 })
	h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	if err := h.Reconfigure(configs.Webhooks{EventURL: newURL, AuthURL: newURL, Timeout: patience, QueueEvents: 10, IgnoreConnectionFailed: true}); err != nil {
		t.Fatal(err)
	}
	h.Connection(connection(webhook.ConnectionFailed, "room", 0))
	if v := verdict(t, h, client(), ""); v.Answer == nil {
		t.Errorf("%+v", v)
	}
	close(release)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := old.seen(); len(got) != 1 || got[0].body["type"] != webhook.ConnectionCreated {
		t.Errorf("the old one saw %v", got)
	}
	if got := anew.seen(); len(got) != 2 || got[1].body["type"] != webhook.ConnectionDestroyed {
		t.Errorf("the new one saw %v", got)
	}
}

func TestAConfigurationThatWillNotDoChangesNothing(t *testing.T) {
	app := newRecords(`{"allowed":true}`)
	url := application(t, app.ServeHTTP).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}})
	for want, w := range map[string]configs.Webhooks{
		"/no/such.pem":            {CAFile: "/no/such.pem"},
		"no URL of http":          {AuthURL: "http://127.0.0.1:1", EventURL: "ftp://example.com"},
		"no URL of http or https": {AuthURL: "https://"},
		"invalid URL escape":      {StatsURL: "http://a/%zz"},
		"/dev/null is no file":    {CertFile: "/dev/null"},
	} {
		if err := h.Reconfigure(w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if v := verdict(t, h, client(), ""); v.Answer == nil || len(app.seen()) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestHooksThatCannotBeginSayWhy(t *testing.T) {
	for want, cfg := range map[string]Config{
		"webhooks: stat /no/such":             {Webhooks: configs.Webhooks{CAFile: "/no/such"}},
		"statistics exporter: stat /no/such":  {Exporter: configs.Exporter{CAFile: "/no/such"}},
		"statistics exporter: ftp://a is no ": {Exporter: configs.Exporter{URL: "ftp://a"}},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSessionsOfARunThatDidNotEndHaveVanished(t *testing.T) {
	dir := t.TempDir()
	app := newRecords("")
	cfg := Config{Webhooks: configs.Webhooks{SessionURL: application(t, app.ServeHTTP).URL}, StateDir: filepath.Join(dir, "log")}
	first, _ := begin(t, cfg)
	second, p := begin(t, cfg) // the first one has not ended
	got := app.wait(t, 1)
	if got[0].body["type"] != webhook.SessionVanished || got[0].header.Get("sora-session-webhook-type") != webhook.SessionVanished {
		t.Errorf("%v", got)
	}
	if _, ok := got[0].body["channel_id"]; ok {
		t.Errorf("%v", got[0].body)
	}
	p.one(t, journal.Session)
	for _, h := range []*Hooks{second, first} {
		if err := end(h, patience); err != nil {
			t.Error(err)
		}
	}
	third, _ := begin(t, cfg)
	if err := end(third, patience); err != nil {
		t.Fatal(err)
	}
	if n := len(app.seen()); n != 1 {
		t.Errorf("vanished %d times", n)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, markerName)); !os.IsNotExist(err) {
		t.Error("the marker is left")
	}
}

func TestAMarkerThatCannotBeWrittenIsNoReasonNotToStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	copyFile(t, os.DevNull, file)
	var log strings.Builder
	h, _ := begin(t, Config{StateDir: filepath.Join(file, "below"), Log: logTo(&log)})
	if err := end(h, patience); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "RUNNING-MARKER") {
		t.Error(log.String())
	}
}

func TestCountersHaveTheNamesOfGetStatsReport(t *testing.T) {
	h, _ := begin(t, Config{})
	c := h.Counters()
	names := []string{"total_auth_webhook_allowed", "total_auth_webhook_denied", "total_successful_auth_webhook", "total_failed_auth_webhook"}
	for _, kind := range []string{"session", "event", "stats"} {
		for _, what := range []string{"successful", "failed", "ignored"} {
			names = append(names, "total_"+what+"_"+kind+"_webhook")
		}
	}
	for _, name := range append(names, "event_webhook_queue", "total_auth_webhook_us") {
		if _, ok := c[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if _, ok := c["total_ignored_auth_webhook"]; ok {
		t.Error("an auth webhook cannot be ignored")
	}
	h.event.counters.fail(failAllowed)
	if n := len(h.Counters()); n != len(c)+1 {
		t.Errorf("%d counters, %d with one reason", len(c), n)
	}
}

func TestTheTimeOfRequestsIsSummed(t *testing.T) {
	var busy atomic.Int64
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		timer := time.NewTimer(20 * time.Millisecond)
		<-timer.C
		busy.Store(time.Since(began).Microseconds())
		io.WriteString(w, `{"allowed":true}`)
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: url}})
	verdict(t, h, client(), "")
	if us := h.Counters()["total_auth_webhook_us"]; us < uint64(busy.Load()) {
		t.Errorf("%d us of %d", us, busy.Load())
	}
}

func TestTheServersLogTellsOfFailuresNowAndThen(t *testing.T) {
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	var h health
	now := time.Now()
	for i := range 100 {
		h.failed(log, "event_webhook", "http://a", &failure{name: failTimeout}, now.Add(time.Duration(i)*sayEvery/60))
	}
	if n := strings.Count(text.String(), "WEBHOOK-FAILS"); n != 2 || !strings.Contains(text.String(), "more=59") {
		t.Errorf("%d: %s", n, text.String())
	}
	h.worked(log, "event_webhook", "http://a") // the failures are told in the future, so it is too soon
	if strings.Contains(text.String(), "AGAIN") {
		t.Error("told at once")
	}
	h.said = now.Add(-2 * sayEvery)
	h.worked(log, "event_webhook", "http://a")
	h.worked(log, "event_webhook", "http://a")
	if n := strings.Count(text.String(), "WEBHOOK-WORKS-AGAIN"); n != 1 || !strings.Contains(text.String(), "failures=39") {
		t.Errorf("%d: %s", n, text.String())
	}
}

func TestAStartThatFailsTouchesNoMarker(t *testing.T) {
	dir := t.TempDir()
	running, _ := begin(t, Config{StateDir: dir})
	second, err := New(Config{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(t.Context()); err != nil { // without Begin: its port was taken
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, markerName)); err != nil {
		t.Error(err)
	}
	if err := end(running, patience); err != nil {
		t.Fatal(err)
	}
}

// narrow is a journal with room for one line, which somebody takes now and then.
type narrow struct {
	*pages
	room chan struct{}
}

func (n *narrow) Write(k journal.Kind, line []byte) bool {
	select {
	case n.room <- struct{}{}:
		return n.pages.Write(k, line)
	default:
		return false
	}
}

func TestWhatIsLostAtTheEndIsWrittenThoughTheLogIsSlow(t *testing.T) {
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}).URL
	log := &narrow{newPages(), make(chan struct{}, 1)}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			select {
			case <-log.room:
			default:
			}
		}
	})
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 1}, Journal: log})
	for range 100 {
		h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	close(stop)
	reader.Wait()
	if n := len(log.of(journal.EventError)); n < 99 { // one may have been under way, and meet a full log
		t.Errorf("%d lines", n)
	}
}
