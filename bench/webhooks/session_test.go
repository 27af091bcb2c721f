package webhooks

import (
	"fmt"
	"testing"

	"tsubame/bench/bot"
)

// A session from its first member to its last, as the application is told of it.
func TestSessionWebhooksTellOfASession(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(session, Always(OK(map[string]any{"session_metadata": map[string]any{"of": "the session"}, "group_id": "a group"})))
	app.On(auth, Always(Allow(map[string]any{"event_metadata": []any{1, "two"}})))
	w := start(t, app, settings{"session_updated_webhook_interval": "1 s", "connection_updated_webhook_interval": "1 s"})
	a, b := w.enter("room", bot.SendRecv), w.enter("room", bot.RecvOnly)

	created := w.one(session, map[string]string{"type": "session.created"})
	require(t, "session.created", sessionCreated, created.Body)
	id := created.Text("session_id")
	requireHeaders(t, created, map[string]string{"sora-session-webhook-type": "session.created", "sora-session-id": id})
	requireValues(t, "session.created", created.Body, values{"channel_id": "room", "spotlight": false})
	requireMoment(t, created.Body, "created")
	for _, b := range []*bot.Bot{a, b} {
		if got := b.Stats().SessionID; got != id {
			t.Errorf("a client is told of session %s, and the application of %s", got, id)
		}
	}

	updated := w.one(session, map[string]string{"type": "session.updated"})
	require(t, "session.updated", sessionUpdated, updated.Body)
	requireHeaders(t, updated, map[string]string{"sora-session-webhook-type": "session.updated", "sora-session-id": id})
	requireValues(t, "session.updated", updated.Body, values{
		"session_id": id, "channel_id": "room", "group_id": "a group", "session_metadata": map[string]any{"of": "the session"},
		"max_connections": 2, "total_connections": 2,
		"created_time": created.Body["created_time"], "created_timestamp": created.Body["created_timestamp"],
	})

	leave(t, b)
	leave(t, a)
	destroyed := w.one(session, map[string]string{"type": "session.destroyed"})
	require(t, "session.destroyed", sessionDestroyed, destroyed.Body)
	requireHeaders(t, destroyed, map[string]string{"sora-session-webhook-type": "session.destroyed", "sora-session-id": id})
	requireValues(t, "session.destroyed", destroyed.Body, values{
		"session_id": id, "channel_id": "room", "group_id": "a group", "session_metadata": map[string]any{"of": "the session"},
		"max_connections": 2, "total_connections": 2,
		"created_time": created.Body["created_time"], "created_timestamp": created.Body["created_timestamp"],
	})
	requireMoment(t, destroyed.Body, "destroyed")
	requireConnections(t, destroyed.Body, map[string]string{a.ID(): "sendrecv", b.ID(): "recvonly"})

	// The order over both kinds of webhooks, and in time.
	first := w.one(event, map[string]string{"type": "connection.created", "connection_id": a.ID()})
	last := w.one(event, map[string]string{"type": "connection.destroyed", "connection_id": a.ID()})
	if !created.Arrived.Before(first.Arrived) || !last.Arrived.Before(destroyed.Arrived) {
		t.Errorf("session.created at %v, connection.created %v, connection.destroyed %v, session.destroyed %v",
			created.Arrived, first.Arrived, last.Arrived, destroyed.Arrived)
	}
	if from, to := moment(t, destroyed.Body, "created_timestamp"), moment(t, destroyed.Body, "destroyed_timestamp"); !from.Before(moment(t, updated.Body, "timestamp")) ||
		!moment(t, updated.Body, "timestamp").Before(to) {
		t.Errorf("created %v, updated %v, destroyed %v", from, moment(t, updated.Body, "timestamp"), to)
	}

	// The channel's next session is another.
	next := w.enter("room", bot.SendRecv)
	if got := next.Stats().SessionID; got == id || got == "" {
		t.Errorf("after the session %s has ended comes %q", id, got)
	}
	w.requireSessionLog(destroyed)
}

// requireConnections holds a session's connections to those that were, by their roles.
func requireConnections(t *testing.T, o map[string]any, want map[string]string) {
	t.Helper()
	all, _ := o["connections"].([]any)
	seen := map[string]string{}
	for _, c := range all {
		c, _ := c.(map[string]any)
		seen[fmt.Sprint(c["connection_id"])] = fmt.Sprint(c["role"])
		requireValues(t, "connections", c, values{"client_id": c["connection_id"], "bundle_id": c["connection_id"],
			"audio": true, "video": false, "event_metadata": []any{1, "two"}})
		if !moment(t, c, "connection_created_timestamp").Before(moment(t, c, "connection_destroyed_timestamp")) {
			t.Errorf("%v", c)
		}
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("connections %v, want %v", seen, want)
	}
}

// requireSessionLog holds the logs to what the application was told.
func (w *world) requireSessionLog(destroyed *Request) {
	w.t.Helper()
	id := destroyed.Text("session_id")
	line := w.line("session.jsonl", having("session_id", id))
	want := values{}
	for _, name := range []string{"channel_id", "session_id", "group_id", "created_timestamp", "destroyed_timestamp", "max_connections", "total_connections", "session_metadata"} {
		want[name] = destroyed.Body[name]
	}
	requireValues(w.t, "session.jsonl", line, want)
	for _, r := range w.app.Requests(session) {
		requireValues(w.t, "session_webhook.jsonl", map[string]any{"line": w.line("session_webhook.jsonl", having("id", r.Text("id")))}, values{"line": r.Body})
	}
}

// Nobody joins a session that the application could not be asked about. The next client asks
// again.
//
// Row HTTP-06.
func TestFailedSessionWebhookRefusesTheConnection(t *testing.T) {
	t.Parallel()
	app := willing(t)
	answers := map[string]Answer{
		"status": Status(500, ""), "redirect": Redirect(307, "/open"), "bad-json": Raw(200, "application/json", `{"session_metadata":`),
		"timeout": Dead(), "closed": Hangup(), "oversized": Huge(1 << 20),
	}
	app.On(session, func(r *Request) Answer {
		if r.Text("type") == "session.created" {
			return answers[r.Text("channel_id")]
		}
		return Empty()
	})
	w := start(t, app, settings{"webhook_response_timeout": "2 s"})
	bots := map[string]*bot.Bot{}
	for name := range answers {
		bots[name] = w.dial(w.peer(name, bot.RecvOnly, nil))
	}
	for name, b := range bots {
		if code, reason := closed(t, b); code != 4490 || reason != "SESSION-WEBHOOK-ERROR" {
			t.Errorf("%s: closed with %d %s", name, code, reason)
		}
		line := w.line("session_webhook_error.jsonl", having("req.channel_id", name))
		require(t, name, schema{"id": identifier, "timestamp": timestamp, "url?": is(app.URL(session)), "req": object(sessionCreated), "res?": anything, "reason": text}, line)
		failed := w.one(event, map[string]string{"channel_id": name, "type": "connection.failed"})
		require(t, "connection.failed", connectionFailed, failed.Body)
	}
	app.On(session, Always(Raw(200, "", "{}")))
	for name := range answers {
		w.enter(name, bot.RecvOnly)
	}
}

// max_connections of the answer is a strict bound, by its old name too, and holds for those
// who come at once.
func TestSessionWebhookBoundsConnections(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(session, func(r *Request) Answer { return OK(map[string]any{r.Text("channel_id"): 2}) })
	w := start(t, app, nil)
	for _, name := range []string{"max_connections", "trial_max_connections"} {
		bots := make([]*bot.Bot, 5)
		for i := range bots {
			bots[i] = w.dial(w.peer(name, bot.RecvOnly, nil))
		}
		in, out := []*bot.Bot{}, 0
		for _, b := range bots {
			if b.WaitConnected(within(t)) == nil {
				in = append(in, b)
			} else if code, reason := closed(t, b); code == 4490 && reason == "CONNECTION-LIMIT" {
				out++
			} else {
				t.Errorf("%s: closed with %d %s", name, code, reason)
			}
		}
		if len(in) != 2 || out != 3 {
			t.Errorf("%s: %d are in and %d out", name, len(in), out)
			continue
		}
		leave(t, in[0])
		w.enter(name, bot.RecvOnly)
		w.requireRefused(w.peer(name, bot.RecvOnly, nil), "CONNECTION-LIMIT")
	}
}

// All who arrive while the application thinks about a new session wait for the one answer.
func TestOneSessionIsAskedForOnce(t *testing.T) {
	t.Parallel()
	app := willing(t)
	open := make(chan struct{})
	app.On(session, Always(After(open, OK(map[string]any{}))))
	w := start(t, app, nil)
	bots := make([]*bot.Bot, 4)
	for i := range bots {
		bots[i] = w.dial(w.peer("room", bot.RecvOnly, nil))
	}
	w.want(len(bots), auth, nil)
	w.one(session, nil)
	close(open)
	for _, b := range bots {
		if err := b.WaitConnected(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(app.Find(match(session, map[string]string{"type": "session.created"}))); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
