package hooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

func connection(typ, channelID string, minutes int) *webhook.ConnectionEvent {
	return &webhook.ConnectionEvent{Common: webhook.Common{Type: typ}, Role: sora.SendRecv, ChannelID: channelID,
		SessionID: "SESSION", ConnectionID: "CONNECTION", Minutes: minutes}
}

func sessionEvent(typ, channelID string) *webhook.SessionEvent {
	return &webhook.SessionEvent{Common: webhook.Common{Type: typ}, ChannelID: channelID, SessionID: "SESSION"}
}

// created asks what holds for a session and waits.
func created(t testing.TB, h *Hooks, channelID string) (*webhook.SessionAnswer, error) {
	t.Helper()
	type result struct {
		answer *webhook.SessionAnswer
		err    error
	}
	answered := make(chan result, 2)
	h.SessionCreated(sessionEvent(webhook.SessionCreated, channelID), func(a *webhook.SessionAnswer, err error) { answered <- result{a, err} })
	select {
	case r := <-answered:
		return r.answer, r.err
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	return nil, nil
}

func TestEventsCarryTheirHeadersAndWhatIsCommon(t *testing.T) {
	app := newRecords("")
	url := application(t, app.ServeHTTP).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url + "/session", EventURL: url + "/event", Workers: 1}})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	h.Session(sessionEvent(webhook.SessionUpdated, "room"))
	got := app.wait(t, 2)
	event, sess := got[0], got[1]
	for name, want := range map[string]string{"sora-event-webhook-type": "connection.created", "sora-session-id": "SESSION",
		"sora-connection-id": "CONNECTION", "content-type": "application/json"} {
		if event.header.Get(name) != want {
			t.Errorf("event: %s: %q, want %q", name, event.header.Get(name), want)
		}
	}
	for name, want := range map[string]string{"sora-session-webhook-type": "session.updated", "sora-session-id": "SESSION", "sora-event-webhook-type": ""} {
		if sess.header.Get(name) != want {
			t.Errorf("session: %s: %q, want %q", name, sess.header.Get(name), want)
		}
	}
	if event.path != "/event" || sess.path != "/session" {
		t.Errorf("%s, %s", event.path, sess.path)
	}
	if b := event.body; b["log_written"] != true || b["label"] != "label" || b["version"] != "1.0" || b["node_name"] != "node@127.0.0.1" ||
		len(b["id"].(string)) != sora.IDLen || b["id"] == sess.body["id"] {
		t.Errorf("%v", b)
	}
	if l := p.one(t, journal.Event); fmt.Sprint(l) != fmt.Sprint(event.body) {
		t.Errorf("the log has %v, the application %v", l, event.body)
	}
	if l := p.one(t, journal.Session); fmt.Sprint(l) != fmt.Sprint(sess.body) {
		t.Errorf("the log has %v, the application %v", l, sess.body)
	}
	until(t, "counters", func() bool {
		c := h.Counters()
		return c["total_successful_event_webhook"] == 1 && c["total_successful_session_webhook"] == 1
	})
}

func TestAnEventSaysThatItsLineWasNotWritten(t *testing.T) {
	app := newRecords("")
	url := application(t, app.ServeHTTP).URL
	refusing := newPages()
	refusing.refuse = true
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url}, Journal: refusing})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	if b := app.wait(t, 1)[0].body; b["log_written"] != false {
		t.Errorf("%v", b)
	}
}

func TestIgnoredTypesAreLoggedAndCountedAndNotSent(t *testing.T) {
	app := newRecords("")
	url := application(t, app.ServeHTTP).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url, EventURL: url,
		IgnoreConnectionCreated: true, IgnoreConnectionUpdated: true, IgnoreConnectionDestroyed: true, IgnoreConnectionFailed: true,
		IgnoreSessionUpdated: true, IgnoreSessionVanished: true}})
	for _, typ := range []string{webhook.ConnectionCreated, webhook.ConnectionUpdated, webhook.ConnectionDestroyed, webhook.ConnectionFailed} {
		h.Connection(connection(typ, "room", 0))
	}
	for _, typ := range []string{webhook.SessionUpdated, webhook.SessionVanished, webhook.SessionDestroyed} {
		h.Session(sessionEvent(typ, "room"))
	}
	if err := end(h, patience); err != nil {
		t.Fatal(err)
	}
	if got := app.seen(); len(got) != 1 || got[0].body["type"] != webhook.SessionDestroyed {
		t.Errorf("%v", got)
	}
	c := h.Counters()
	if c["total_ignored_event_webhook"] != 4 || c["total_ignored_session_webhook"] != 2 || len(p.of(journal.Event)) != 4 || len(p.of(journal.Session)) != 3 {
		t.Errorf("%v", c)
	}
}

func TestWithoutURLsNothingIsSentOrWrittenOrCounted(t *testing.T) {
	h, p := begin(t, Config{})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	h.Session(sessionEvent(webhook.SessionDestroyed, "room"))
	if a, err := created(t, h, "room"); err != nil || a == nil {
		t.Errorf("%v, %v", a, err)
	}
	if err := end(h, patience); err != nil {
		t.Fatal(err)
	}
	if all := p.everything(); all != "" {
		t.Error(all)
	}
	for name, n := range h.Counters() {
		if n != 0 && !strings.HasSuffix(name, "_us") {
			t.Errorf("%s is %d", name, n)
		}
	}
}

func TestTheAnswerToSessionCreatedIsHandedOver(t *testing.T) {
	app := newRecords(`{"session_metadata":{"a":1},"trial_max_connections":3,"group_id":"g"}`)
	url := application(t, app.ServeHTTP).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url}})
	a, err := created(t, h, "room")
	if err != nil || a.MaxConnections != 3 || a.GroupID != "g" || string(a.SessionMetadata) != `{"a":1}` {
		t.Errorf("%+v, %v", a, err)
	}
	if got := app.wait(t, 1)[0]; got.header.Get("sora-session-webhook-type") != "session.created" || got.body["channel_id"] != "room" {
		t.Errorf("%v", got)
	}
	p.one(t, journal.Session)
}

func TestASessionCreatedThatFailsIsAnError(t *testing.T) {
	for status, body := range map[int]string{500: "{}", 302: "{}", 200: "[", 201: strings.Repeat("x", maxAnswer+1)} {
		url := application(t, answers(status, body)).URL
		h, p := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url}})
		if a, err := created(t, h, "room"); err == nil || a != nil {
			t.Errorf("%d: %v", status, a)
		}
		if l := p.one(t, journal.SessionError); l["url"] != url || l["reason"] == "" || l["req"].(map[string]any)["type"] != "session.created" {
			t.Errorf("%v", l)
		}
		if n := h.Counters()["total_failed_session_webhook"]; n != 1 {
			t.Errorf("%d failures", n)
		}
	}
}

func TestSessionsAreAskedForUpToTheBound(t *testing.T) {
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) { <-release }).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url}, MaxAsking: 2})
	answered := make(chan error, 3)
	done := func(_ *webhook.SessionAnswer, err error) { answered <- err }
	for range 3 {
		h.SessionCreated(sessionEvent(webhook.SessionCreated, "room"), done)
	}
	if f, ok := (<-answered).(*failure); !ok || f.name != failBusy || f.CloseReason() != session.ReasonServerBusy {
		t.Error(f)
	}
	close(release)
	for range 2 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

func TestSessionCreatedComesAfterWhatTheChannelHasInTheQueue(t *testing.T) {
	app := newRecords("{}")
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("sora-session-webhook-type") == webhook.SessionDestroyed {
			<-release
		}
		app.ServeHTTP(w, r)
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url, Workers: 1}})
	h.overtaking = patience
	h.Session(sessionEvent(webhook.SessionDestroyed, "room"))
	answered := make(chan error, 1)
	h.SessionCreated(sessionEvent(webhook.SessionCreated, "room"), func(_ *webhook.SessionAnswer, err error) { answered <- err })
	// Another channel of the same worker has nothing in the queue, and waits for nobody.
	if _, err := created(t, h, "hall"); err != nil {
		t.Fatal(err)
	}
	if got := app.seen(); len(got) != 1 {
		t.Errorf("%v", got)
	}
	close(release)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	got := app.wait(t, 3)
	if got[1].body["type"] != webhook.SessionDestroyed || got[2].body["type"] != webhook.SessionCreated || h.overtook.Load() != 0 {
		t.Errorf("%v", got)
	}
}

func TestSessionCreatedOvertakesAQueueThatDoesNotMove(t *testing.T) {
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/event" {
			<-release
		}
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url, EventURL: url + "/event", Workers: 1}})
	h.overtaking = 20 * time.Millisecond
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	if _, err := created(t, h, "room"); err != nil {
		t.Error(err)
	}
	close(release)
	if n := h.Counters()["total_overtaking_session_webhook"]; n != 1 {
		t.Errorf("%d", n)
	}
}

func TestAChannelsEventsArriveInOrderOneAtATime(t *testing.T) {
	const channels, each, workers = 20, 10, 4
	var mu sync.Mutex
	next := map[string]float64{}
	var now, most atomic.Int32
	url := application(t, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		q := struct{ body map[string]any }{}
		if err := json.NewDecoder(r.Body).Decode(&q.body); err != nil {
			t.Error(err)
			return
		}
		id, n := q.body["channel_id"].(string), -1.0
		if data, ok := q.body["data"].(map[string]any); ok {
			n = data["minutes"].(float64)
		} else {
			n = q.body["total_connections"].(float64)
		}
		mu.Lock()
		defer mu.Unlock()
		if next[id] != n {
			t.Errorf("%s: %v, want %v", id, n, next[id])
		}
		next[id] = n + 1
	}).URL
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url, EventURL: url, Workers: workers}})
	for n := range each {
		for c := range channels {
			if n%5 == 4 { // through the same worker, to its own URL
				e := sessionEvent(webhook.SessionUpdated, fmt.Sprint("channel", c))
				e.TotalConnections = n
				h.Session(e)
				continue
			}
			h.Connection(connection(webhook.ConnectionUpdated, fmt.Sprint("channel", c), n))
		}
	}
	if err := end(h, patience); err != nil {
		t.Fatal(err)
	}
	for c := range channels {
		if n := next[fmt.Sprint("channel", c)]; n != each {
			t.Errorf("channel %d: %v events", c, n)
		}
	}
	if n := most.Load(); n > workers {
		t.Errorf("%d requests at a time", n)
	}
}

func TestWhatIsDroppedIsCountedAndWritten(t *testing.T) {
	release := make(chan struct{})
	url := application(t, func(w http.ResponseWriter, r *http.Request) { <-release }).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 1, QueueEvents: 2}})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	until(t, "the worker is busy", func() bool { return h.Counters()["event_webhook_workers_busy"] == 1 })
	h.Connection(connection(webhook.ConnectionUpdated, "room", 1))
	h.Connection(connection(webhook.ConnectionDestroyed, "room", 2))
	h.Connection(connection(webhook.ConnectionCreated, "hall", 3)) // takes the place of the update
	h.Connection(connection(webhook.ConnectionFailed, "hall", 4))  // has none
	c := h.Counters()
	if c["total_dropped_webhook"] != 2 || c["total_failed_event_webhook_dropped"] != 2 || c["event_webhook_queue"] != 2 || c["event_webhook_queue_bytes"] == 0 {
		t.Errorf("%v", c)
	}
	lines := p.of(journal.EventError)
	if len(lines) != 2 || !strings.Contains(lines[0], `"type":"connection.updated"`) || !strings.Contains(lines[1], `"type":"connection.failed"`) ||
		!strings.Contains(lines[0], `"reason":"dropped: `) {
		t.Errorf("%q", lines)
	}
	if n := len(p.of(journal.Event)); n != 5 {
		t.Errorf("event_webhook.jsonl has %d lines: it has everything", n)
	}
	close(release)
}

func TestAuthenticationDoesNotWaitForEvents(t *testing.T) {
	release := make(chan struct{})
	stuck := application(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	auth := application(t, answers(200, `{"allowed":true}`))
	h, _ := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: auth.URL, EventURL: stuck.URL, SessionURL: auth.URL, Workers: 2, QueueEvents: 10}})
	for i := range 100 {
		h.Connection(connection(webhook.ConnectionUpdated, fmt.Sprint(i), 0))
	}
	if v := verdict(t, h, client(), ""); v.Answer == nil {
		t.Errorf("%+v", v)
	}
	if _, err := created(t, h, "another"); err != nil {
		t.Error(err)
	}
	close(release)
}

func TestTheLastWordsAreWritten(t *testing.T) {
	h, p := begin(t, Config{})
	h.Ended(&webhook.ConnectionLog{ChannelID: "room"})
	h.SessionEnded(&webhook.SessionLog{ChannelID: "hall"})
	if l := p.one(t, journal.Connection); l["channel_id"] != "room" {
		t.Errorf("%v", l)
	}
	if l := p.one(t, journal.SessionLog); l["channel_id"] != "hall" {
		t.Errorf("%v", l)
	}
}

func TestSignalingIsWrittenWithoutItsSecrets(t *testing.T) {
	h, p := begin(t, Config{})
	h.Signaling(channel.FromClient, "room", "CONNECTION", []byte("{\"type\":\"connect\",\n\"metadata\":{\"access_token\":\"hunter2\"},\"sdp\":\"a=ice-pwd:hunter3\\r\\n\"}"))
	l := p.one(t, journal.Signaling)
	if l["direction"] != "recv" || l["channel_id"] != "room" || l["connection_id"] != "CONNECTION" || l["message"].(map[string]any)["type"] != "connect" {
		t.Errorf("%v", l)
	}
	h.Signaling(channel.ToClient, "room", "CONNECTION", []byte(`{"credential":"hunter4`))
	if all := p.everything(); strings.Contains(all, "hunter") || !strings.Contains(all, `"unreadable_bytes":22`) {
		t.Error(all)
	}
}

func TestALineOfWhatIsNoJSONHasItAsText(t *testing.T) {
	url := application(t, answers(500, "<b>\"down\"\n"+strings.Repeat("x", 5000))).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url}})
	h.Connection(connection(webhook.ConnectionCreated, "room", 0))
	if err := end(h, patience); err != nil {
		t.Fatal(err)
	}
	l := p.one(t, journal.EventError)
	if res := l["res"].(string); !strings.HasPrefix(res, "<b>\"down\"\nxx") || len(res) != maxUnreadable || l["reason"] != "status: 500" {
		t.Errorf("%v", l)
	}
	if text := string(appendAnswer(nil, []byte(`{"allowed":true,"password":"hunter2",}`))); strings.Contains(text, "hunter2") || !strings.Contains(text, "allowed") {
		t.Error(text)
	}
}

// Row SIG-08.
func TestFailedConnectionsDoNotPushOutEventsOfOthers(t *testing.T) {
	release := make(chan struct{})
	app := newRecords("")
	url := application(t, func(w http.ResponseWriter, r *http.Request) { <-release; app.ServeHTTP(w, r) }).URL
	const room = 160
	h, p := begin(t, Config{Webhooks: configs.Webhooks{EventURL: url, Workers: 1, QueueEvents: room}})
	for range 10 * room {
		h.Connection(connection(webhook.ConnectionFailed, "hall", 0))
	}
	for range room / 2 {
		h.Connection(connection(webhook.ConnectionDestroyed, "room", 0))
	}
	close(release)
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	destroyed := 0
	for _, r := range app.seen() {
		if r.body["type"] == webhook.ConnectionDestroyed {
			destroyed++
		}
	}
	if failed := len(app.seen()) - destroyed; destroyed != room/2 || failed > room/maxCheap+1 {
		t.Errorf("%d destroyed, %d failed", destroyed, failed)
	}
	if n := len(p.of(journal.Event)); n != 10*room+room/2 {
		t.Errorf("the log has %d events", n)
	}
}

func TestAListThatIsTooLongForALineIsLeftOutOfIt(t *testing.T) {
	app := newRecords("")
	url := application(t, app.ServeHTTP).URL
	refusing := application(t, answers(503, "")).URL
	h, p := begin(t, Config{Webhooks: configs.Webhooks{SessionURL: url}})
	big := func() *webhook.SessionEvent {
		e := sessionEvent(webhook.SessionDestroyed, "room")
		e.Connections = make([]webhook.SessionConnection, 5000)
		return e
	}
	h.Session(big())
	if got := app.wait(t, 1)[0]; len(got.body["connections"].([]any)) != 5000 {
		t.Error("the application gets a shorter list")
	}
	if l := p.one(t, journal.Session); l["type"] != webhook.SessionDestroyed || l["connections"] != nil {
		t.Errorf("%v", l)
	}
	if err := h.Reconfigure(configs.Webhooks{SessionURL: refusing, Timeout: patience, QueueEvents: 10}); err != nil {
		t.Fatal(err)
	}
	h.Session(big())
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := p.one(t, journal.SessionError); l["req"].(map[string]any)["channel_id"] != "room" || l["reason"] != "status: 503" {
		t.Errorf("%v", l)
	}
	for _, line := range p.of(journal.Session) {
		if len(line) > journal.MaxLine {
			t.Errorf("%d bytes", len(line))
		}
	}
}

func TestARequestThatIsTooLongForALineIsNamedByItsLength(t *testing.T) {
	h, p := begin(t, Config{Webhooks: configs.Webhooks{AuthURL: application(t, answers(503, "")).URL}})
	r := client()
	r.Metadata = []byte(`"` + strings.Repeat("x", journal.MaxLine) + `"`)
	verdict(t, h, r, "")
	if err := h.Reconfigure(configs.Webhooks{AuthLog: true}); err != nil {
		t.Fatal(err)
	}
	verdict(t, h, r, "")
	for _, k := range []journal.Kind{journal.Auth, journal.AuthError} {
		if l := p.one(t, k); l["req"].(map[string]any)["omitted_bytes"].(float64) < 2*journal.MaxLine {
			t.Errorf("%v", l)
		}
	}
}
