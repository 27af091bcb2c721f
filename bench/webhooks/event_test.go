package webhooks

import (
	"fmt"
	"testing"

	"tsubame/bench/bot"
)

// A connection from its beginning to its end, as the application is told of it.
func TestEventsTellOfAConnection(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(auth, Always(Allow(map[string]any{"event_metadata": map[string]any{"ticket": 7}})))
	w := start(t, app, settings{"connection_updated_webhook_interval": "1 s"})
	other := w.enter("room", bot.RecvOnly)
	cfg := w.peer("room", bot.SendRecv, map[string]any{"client_id": "me"})
	cfg.Video = true
	b := w.join(cfg)
	requireCreated(t, b)
	sessionID := b.Stats().SessionID
	common := values{
		"role": "sendrecv", "channel_id": "room", "session_id": sessionID, "client_id": "me", "bundle_id": b.ID(),
		"connection_id": b.ID(), "simulcast": false, "spotlight": false, "event_metadata": map[string]any{"ticket": 7},
		"data.minutes": 0, "data.audio": true, "data.audio_codec_type": "OPUS", "data.video": true, "data.video_codec_type": "VP8",
		"data.video_bit_rate": 500, "data.turn_transport_type": "udp",
	}
	there := values{"data.channel_connections": 2, "data.channel_sendrecv_connections": 1, "data.channel_sendonly_connections": 0,
		"data.channel_recvonly_connections": 1}

	created := w.one(event, map[string]string{"type": "connection.created", "connection_id": b.ID()})
	require(t, "connection.created", connectionCreated, created.Body)
	requireValues(t, "connection.created", created.Body, common)
	requireValues(t, "connection.created", created.Body, there)
	requireMoment(t, at(created.Body, "data").(map[string]any), "created")

	updated := w.one(event, map[string]string{"type": "connection.updated", "connection_id": b.ID()})
	require(t, "connection.updated", connectionCreated, updated.Body)
	requireValues(t, "connection.updated", updated.Body, common)
	requireValues(t, "connection.updated", updated.Body, there)

	leave(t, b)
	destroyed := w.one(event, map[string]string{"type": "connection.destroyed", "connection_id": b.ID()})
	require(t, "connection.destroyed", connectionDestroyed, destroyed.Body)
	requireValues(t, "connection.destroyed", destroyed.Body, common)
	requireValues(t, "connection.destroyed", destroyed.Body, values{
		"data.channel_connections": 1, "data.channel_sendrecv_connections": 0, "data.channel_sendonly_connections": 0,
		"data.channel_recvonly_connections": 1, "data.reason": "TYPE-DISCONNECT", "data.type_disconnect_reason": "NO-ERROR",
		"data.disconnect_api_reason": nil,
	})
	requireMoment(t, at(destroyed.Body, "data").(map[string]any), "destroyed")
	w.requireOneConnection(created, updated, destroyed)
	if received, sent := number(t, destroyed.Body, "data.total_received_bytes"), number(t, destroyed.Body, "data.total_sent_bytes"); received <= 0 ||
		uint64(received) > b.Stats().SentBytes || sent <= 0 {
		t.Errorf("the server has received %d bytes and sent %d", received, sent)
	}
	w.requireConnectionLog(destroyed)
	leave(t, other)
	w.one(event, map[string]string{"type": "connection.destroyed", "connection_id": other.ID()})
	if failed := app.Find(match(event, map[string]string{"type": "connection.failed"})); len(failed) != 0 {
		t.Errorf("%s", failed[0].Raw)
	}
}

// requireOneConnection holds what does not change between events, and their order.
func (w *world) requireOneConnection(created, updated, destroyed *Request) {
	w.t.Helper()
	all := []*Request{created, updated, destroyed}
	for i, r := range all {
		requireHeaders(w.t, r, map[string]string{"sora-event-webhook-type": r.Text("type"),
			"sora-session-id": r.Text("session_id"), "sora-connection-id": r.Text("connection_id")})
		requireValues(w.t, r.Text("type"), r.Body, values{
			"data.created_time": at(created.Body, "data.created_time"), "data.created_timestamp": at(created.Body, "data.created_timestamp")})
		requireValues(w.t, "event_webhook.jsonl", map[string]any{"line": w.line("event_webhook.jsonl", having("id", r.Text("id")))}, values{"line": r.Body})
		if i == 0 {
			continue
		}
		before := all[i-1]
		if !before.Arrived.Before(r.Arrived) || !moment(w.t, before.Body, "timestamp").Before(moment(w.t, r.Body, "timestamp")) {
			w.t.Errorf("%s is not before %s", before.Text("type"), r.Text("type"))
		}
		for _, name := range []string{"data.total_received_bytes", "data.total_sent_bytes"} {
			if number(w.t, before.Body, name) > number(w.t, r.Body, name) {
				w.t.Errorf("%s is less in %s than before", name, r.Text("type"))
			}
		}
	}
	from, to := moment(w.t, created.Body, "data.created_timestamp"), moment(w.t, destroyed.Body, "data.destroyed_timestamp")
	if at := moment(w.t, updated.Body, "timestamp"); !from.Before(at) || !at.Before(to) {
		w.t.Errorf("created %v, updated %v, destroyed %v", from, at, to)
	}
}

// connectionLine is section 4 of the documentation of logs.
var connectionLine = schema{
	"timestamp": timestamp, "created_timestamp?": timestamp, "destroyed_timestamp": timestamp, "channel_id": text, "session_id?": identifier,
	"client_id": text, "bundle_id": text, "connection_id": identifier, "role": role, "turn_transport_type": among("udp", "tcp"),
	"simulcast": boolean, "spotlight": boolean, "multistream": is(true), "data_channel_signaling": boolean,
	"ignore_disconnect_websocket": boolean, "recording_block": boolean, "stats_exporter": boolean, "e2ee": is(false),
	"destroyed_reason": text, "disconnect_api_reason?": anything, "data_channel_exit_reason?": text, "signaling_terminate_reason": text,
	"sora_client?": soraClient, "local_stats": anything,
}.with(media)

// requireConnectionLog holds connection.jsonl to what the application was told.
func (w *world) requireConnectionLog(destroyed *Request) {
	w.t.Helper()
	line := w.line("connection.jsonl", having("connection_id", destroyed.Text("connection_id")))
	require(w.t, "connection.jsonl", connectionLine, line)
	want := values{
		"created_timestamp": at(destroyed.Body, "data.created_timestamp"), "destroyed_timestamp": at(destroyed.Body, "data.destroyed_timestamp"),
		"destroyed_reason": at(destroyed.Body, "data.reason"), "audio": true, "video": true, "video_codec_type": "VP8",
	}
	for _, name := range []string{"role", "channel_id", "session_id", "client_id", "bundle_id", "connection_id"} {
		want[name] = destroyed.Body[name]
	}
	requireValues(w.t, "connection.jsonl", line, want)
	statistics, _ := line["local_stats"].(map[string]any)
	for _, group := range []string{"rtp", "srtp", "dtls", "ice", "turn"} {
		if _, ok := statistics[group].(map[string]any); !ok {
			w.t.Errorf("connection.jsonl: local_stats has no group %s", group)
		}
	}
	for _, name := range []string{"rtp.total_received_rtp", "dtls.total_received_dtls", "dtls.total_sent_dtls"} {
		if number(w.t, statistics, name) <= 0 {
			w.t.Errorf("connection.jsonl: %s is %v", name, at(statistics, name))
		}
	}
}

// What ends before it was established fails, with the reason that the client was given.
func TestConnectionFailedTellsWhy(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), settings{"connection_created_timeout": "1 s"})
	w.enter("room", bot.SendOnly)
	for want, change := range map[string]func(*bot.Config){
		"BAD-FINGERPRINT":                       func(c *bot.Config) { c.WrongFingerprint = true },
		"CONNECTION-CREATED-WAIT-TIMEOUT-ERROR": func(c *bot.Config) { c.SilentAfterClientHello = true },
		"UNKNOWN-CODEC-TYPE":                    func(c *bot.Config) { c.Connect["video"] = map[string]any{"codec_type": "VP10"} },
	} {
		cfg := w.peer("room", bot.SendRecv, map[string]any{"client_id": want})
		change(&cfg)
		w.requireRefused(cfg, want)
		failed := w.one(event, map[string]string{"type": "connection.failed", "client_id": want})
		require(t, want, connectionFailed, failed.Body)
		requireHeaders(t, failed, map[string]string{"sora-event-webhook-type": "connection.failed", "sora-connection-id": failed.Text("connection_id")})
		requireValues(t, want, failed.Body, values{
			"role": "sendrecv", "channel_id": "room", "session_id": nil, "data.message": want,
			"data.channel_connections": 1, "data.channel_sendrecv_connections": 0, "data.channel_sendonly_connections": 1, "data.channel_recvonly_connections": 0,
		})
	}
	if got := w.app.Find(match(event, map[string]string{"type": "connection.destroyed"})); len(got) != 0 {
		t.Errorf("what never was has been destroyed: %s", got[0].Raw)
	}
}

// Before connect is understood there is nothing to tell of, unless legacy_signaling_error says so.
func TestFailuresBeforeConnectAreToldOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprint(legacy), func(t *testing.T) {
			t.Parallel()
			w := start(t, willing(t), settings{"legacy_signaling_error": fmt.Sprint(legacy)})
			w.requireRefused(w.peer("room", bot.SendRecv, map[string]any{"type": "connecting"}), "UNKNOWN-TYPE")
			// A connection that is understood comes behind it on every way there is.
			w.requireRefused(w.peer("room", bot.SendRecv, map[string]any{"audio": map[string]any{"codec_type": "PCMU"}}), "UNKNOWN-CODEC-TYPE")
			w.one(event, map[string]string{"type": "connection.failed", "channel_id": "room"})
			n := len(w.app.Requests(event))
			if !legacy && n != 1 || legacy && n != 2 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// Events that are ignored are not sent, and are logged all the same.
func TestIgnoredEventsAreLoggedOnly(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), settings{
		"ignore_connection_created_webhook": "true", "ignore_connection_updated_webhook": "true", "ignore_session_updated_webhook": "true",
		"ignore_connection_failed_webhook":    "true",
		"connection_updated_webhook_interval": "1 s", "session_updated_webhook_interval": "1 s",
	})
	w.requireRefused(w.peer("room", bot.SendRecv, map[string]any{"video": map[string]any{"codec_type": "VP10"}}), "UNKNOWN-CODEC-TYPE")
	b := w.enter("room", bot.SendRecv)
	for _, name := range []string{"connection.failed", "connection.created", "connection.updated"} {
		w.line("event_webhook.jsonl", having("type", name))
	}
	w.line("session_webhook.jsonl", having("type", "session.updated"))
	leave(t, b)
	w.one(event, map[string]string{"type": "connection.destroyed"})
	w.one(session, map[string]string{"type": "session.destroyed"})
	if events, sessions := w.app.Requests(event), w.app.Requests(session); len(events) != 1 || len(sessions) != 2 {
		t.Errorf("%d events and %d of sessions were sent", len(events), len(sessions))
	}
}

// An event that fails is logged and not sent again; those behind it are.
func TestFailedEventsAreLoggedAndNotRepeated(t *testing.T) {
	t.Parallel()
	app := willing(t)
	answers := map[string]Answer{"status": Status(503, "later"), "redirect": Redirect(302, "/open"), "timeout": Dead()}
	app.On(event, func(r *Request) Answer {
		if r.Text("type") == "connection.created" {
			return answers[r.Text("channel_id")]
		}
		return Empty()
	})
	w := start(t, app, settings{"webhook_response_timeout": "1 s"})
	for name := range answers {
		b := w.enter(name, bot.SendRecv)
		leave(t, b)
	}
	for name := range answers {
		w.one(event, map[string]string{"type": "connection.destroyed", "channel_id": name})
		line := w.line("event_webhook_error.jsonl", having("req.channel_id", name))
		require(t, name, schema{"id": identifier, "timestamp": timestamp, "url?": is(app.URL(event)), "req": object(connectionCreated), "res?": anything, "reason": text}, line)
		if reason, _ := line["reason"].(string); len(reason) < len(name) || reason[:len(name)] != name {
			t.Errorf("%s: the reason is %s", name, reason)
		}
		if n := len(app.Find(match(event, map[string]string{"channel_id": name}))); n != 2 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
	if n := len(app.Requests("/open")); n != 0 {
		t.Errorf("a redirect was followed")
	}
}

// What a client says of its statistics reaches the application if it asked for it.
func TestStatsWebhookBringsTheClientsStatistics(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(auth, Always(Allow(map[string]any{"rtc_stats": true})))
	app.On(stats, func(r *Request) Answer {
		if r.Text("channel_id") == "fails" {
			return Status(500, "")
		}
		return Empty()
	})
	w := start(t, app, settings{"websocket_signaling_stats_interval": "1 s", "websocket_signaling_ping_interval": "500 ms"})
	b, fails := w.enter("room", bot.SendRecv), w.enter("fails", bot.SendRecv)
	r := w.one(stats, map[string]string{"channel_id": "room"})
	require(t, "statistics", rtcStats, r.Body)
	requireValues(t, "statistics", r.Body, values{
		"role": "sendrecv", "session_id": b.Stats().SessionID, "client_id": b.ID(), "bundle_id": b.ID(), "connection_id": b.ID(),
	})
	all, _ := r.Body["rtc_stats"].([]any)
	if len(all) != 1 {
		t.Fatalf("%s", r.Raw)
	}
	requireValues(t, "rtc_stats", all[0].(map[string]any), values{"id": "bot", "type": "transport"})
	requireValues(t, "stats_webhook.jsonl", map[string]any{"line": w.line("stats_webhook.jsonl", having("id", r.Text("id")))}, values{"line": r.Body})
	w.line("rtc_stats.jsonl", having("connection_id", b.ID()))
	line := w.line("stats_webhook_error.jsonl", having("req.channel_id", "fails"))
	requireValues(t, "the error", line, values{"req.connection_id": fails.ID(), "url": app.URL(stats)})
}
