package webhooks

import (
	"testing"
	"time"

	"tsubame/bench/bot"
)

// An application that is dead holds the end of the server up no longer than shutdown_timeout,
// and what it could not be told stands in the log.
func TestShutdownWaitsForNoDeadApplication(t *testing.T) {
	t.Parallel()
	app := willing(t)
	app.On(event, Always(Dead()))
	w := start(t, app, settings{"shutdown_timeout": "2 s", "webhook_response_timeout": "10 min"})
	b := w.enter("room", bot.SendRecv)
	w.one(event, map[string]string{"type": "connection.created"})
	began := time.Now()
	w.Stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
	if lines := w.file("event_webhook_error.jsonl"); len(lines) != 2 {
		t.Errorf("the log of failures is %v", lines)
	}
	for _, l := range w.file("event_webhook_error.jsonl") {
		requireValues(t, "event_webhook_error.jsonl", l, values{"req.connection_id": b.ID()})
	}
}
