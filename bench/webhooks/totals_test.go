package webhooks

import (
	"testing"

	"tsubame/bench/bot"
)

// The last event of a connection, and its line in connection.jsonl, count the whole call,
// however short it was.
func TestTotalsAreThoseOfTheWholeCall(t *testing.T) {
	t.Parallel()
	w := start(t, willing(t), nil)
	for range 5 {
		cfg := w.peer("room", bot.SendRecv, nil)
		cfg.Video = true
		b := w.join(cfg)
		requireCreated(t, b)
		eventually(t, "the bot has sent a few hundred packets", func() (bool, any) { s := b.Stats(); return s.Sent > 100, s })
		leave(t, b)
		destroyed := w.one(event, map[string]string{"type": "connection.destroyed", "connection_id": b.ID()})
		w.requireTotals(destroyed, b)
		line := w.line("connection.jsonl", having("connection_id", b.ID()))
		requireValues(t, "connection.jsonl", line, values{"local_stats.rtp.total_received_bytes": at(destroyed.Body, "data.total_received_bytes"),
			"local_stats.rtp.total_sent_bytes": at(destroyed.Body, "data.total_sent_bytes")})
	}
}

// inFlight is how far the totals of a server and a bot may be apart, in bytes: what was on its
// way when the connection ended.
const inFlight = 8 << 10

// requireTotals holds what the server has counted of a connection to what the bot has.
func (w *world) requireTotals(destroyed *Request, b *bot.Bot) {
	w.t.Helper()
	received, sent, counted := number(w.t, destroyed.Body, "data.total_received_bytes"), number(w.t, destroyed.Body, "data.total_sent_bytes"), b.Stats()
	if most := int64(counted.SentBytes); received > most || received+inFlight < most {
		w.t.Errorf("the server has received %d bytes of %d that were sent", received, most)
	}
	if least := int64(counted.ReceivedBytes); sent+inFlight < least || sent > least+inFlight {
		w.t.Errorf("the server has sent %d bytes, and %d were received", sent, least)
	}
}
