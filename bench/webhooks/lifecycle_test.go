package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tsubame/bench/bot"
)

// Who ends the server lets the application hear how everything ended, first.
func TestShutdownTellsOfAllEnds(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(event, Always(Slow(50*time.Millisecond, Empty()))) // some still wait when the signal comes
	w := start(t, app, nil)
	var bots []*bot.Bot
	for i := range 8 {
		bots = append(bots, w.enter(fmt.Sprint("room", i/2), bot.SendRecv))
	}
	w.Stop()
	for _, b := range bots {
		got := app.Find(match(event, map[string]string{"type": "connection.destroyed", "connection_id": b.ID()}))
		if len(got) != 1 {
			t.Errorf("the end of a connection is told %d times", len(got))
			continue
		}
		requireValues(t, "connection.destroyed", got[0].Body, values{"data.reason": "SHUTDOWN"})
	}
	for i := range 4 {
		channel := fmt.Sprint("room", i)
		if n := len(app.Find(match(session, map[string]string{"type": "session.destroyed", "channel_id": channel}))); n != 1 {
			t.Errorf("the end of the session of %s is told %d times", channel, n)
		}
	}
	if n := len(w.file("session.jsonl")); n != 4 {
		t.Errorf("session.jsonl has %d lines", n)
	}
	if n := len(w.file("connection.jsonl")); n != len(bots) {
		t.Errorf("connection.jsonl has %d lines", n)
	}
}

// A client that has gone is asked about no more: the request ends, and its place is free.
func TestQuestionEndsWithItsClient(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(auth, Always(Dead()))
	w := start(t, app, nil)
	b := w.dial(w.peer("room", bot.SendRecv, nil))
	w.one(auth, nil)
	b.Kill()
	eventually(t, "the request is taken back", func() (bool, any) {
		now, _ := app.Asked()
		return now == 0, now
	})
	eventually(t, "nobody is asked about", func() (bool, any) {
		now := w.Counters()["auth_webhook_in_flight"]
		return now == 0, now
	})
	w.line("auth_webhook_error.jsonl", because("cancelled"))
}

// because accepts lines of failures whose reason begins with a name.
func because(name string) func(map[string]any) bool {
	return func(l map[string]any) bool { reason, _ := l["reason"].(string); return strings.HasPrefix(reason, name) }
}

// Events that no longer fit into the queue are dropped, counted and logged. Calls are not
// concerned.
//
// Row HTTP-08.
func TestEventsBeyondTheQueueAreDropped(t *testing.T) {
	t.Parallel()
	app := willing(t)
	hear := make(chan struct{})
	app.On(event, Always(After(hear, Empty())))
	w := start(t, app, settings{"event_webhook_queue": "8", "event_webhook_worker_number": "1"})
	stays := w.enter("stays", bot.SendRecv)
	var all []*bot.Bot
	for range 12 {
		b := w.enter("room", bot.SendRecv)
		leave(t, b)
		all = append(all, b)
	}
	dropped := w.Counters()["total_dropped_webhook"]
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
	requireMoving(t, stays)
	close(hear)
	// What was told and what was dropped is all that there was.
	eventually(t, "all is told or dropped", func() (bool, any) {
		told := len(app.Find(func(r *Request) bool { return r.Path == event }))
		lost := 0
		for _, l := range w.file("event_webhook_error.jsonl") {
			if because("dropped")(l) {
				lost++
			}
		}
		return told+lost == 2*len(all)+1 && lost > 0, fmt.Sprint(told, " told and ", lost, " dropped")
	})
}

// The collector gets the statistics of those whom the application chose, by HTTP/2 without TLS.
func TestExporterSendsStatisticsByHTTP2(t *testing.T) {
	t.Parallel()
	app, collector := willing(t), application(t, Options{HTTP2: true})
	collector.On("/collector", Always(Empty()))
	app.On(auth, func(r *Request) Answer {
		return Allow(map[string]any{"stats_exporter": r.Text("client_id") == "chosen"})
	})
	w := start(t, app, settings{
		"stats_collector_url": collector.URL("/collector"), "stats_webhook_url": unset,
		"websocket_signaling_stats_interval": "1 s", "websocket_signaling_ping_interval": "500 ms",
	})
	other := w.join(w.peer("room", bot.SendRecv, map[string]any{"client_id": "other"}))
	chosen := w.join(w.peer("room", bot.SendRecv, map[string]any{"client_id": "chosen"}))
	requireCreated(t, chosen)
	got, err := collector.Wait(within(t), 2, func(*Request) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		if r.Proto != "HTTP/2.0" || r.Method != "POST" || r.Text("connection_id") != chosen.ID() {
			t.Errorf("%s %s about %s", r.Proto, r.Method, r.Raw)
		}
	}
	leave(t, chosen)
	leave(t, other)
	line := w.line("connection.jsonl", having("connection_id", chosen.ID()))
	requireValues(t, "connection.jsonl", line, values{"stats_exporter": true})
	line = w.line("connection.jsonl", having("connection_id", other.ID()))
	requireValues(t, "connection.jsonl", line, values{"stats_exporter": false})
}
