package hooks

import (
	"time"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/webhook"
)

// SessionCreated implements channel.Hooks. It does not wait for the queue, in which a
// server that does not answer may keep events for hours, but for what the channel itself
// has there, such as the end of its last session, and for that no longer than a second.
func (h *Hooks) SessionCreated(e *webhook.SessionEvent, done func(*webhook.SessionAnswer, error)) {
	h.fill(&e.Common)
	refused := h.ask(&h.creating, func() { done(h.create(e)) })
	if refused == nil {
		return
	}
	go func() {
		h.failed(h.session, e.ID, e.Append(nil), refused)
		done(nil, refused)
	}()
}

func (h *Hooks) create(e *webhook.SessionEvent) (*webhook.SessionAnswer, error) {
	to := h.session.route.Load()
	if to.url == "" {
		return &webhook.SessionAnswer{}, nil
	}
	h.catchUp(e.ChannelID)
	body := e.Append(nil)
	h.write(journal.Session, body)
	res, f := h.session.call(h.base, to, body, sessionHeaders(e)...)
	var answer *webhook.SessionAnswer
	if f == nil {
		var err error
		if answer, err = webhook.ParseSessionAnswer(res); err != nil {
			f = &failure{name: failJSON, detail: err.Error(), answer: res}
		}
	}
	if f != nil {
		h.failedAt(h.session, to, e.ID, body, f)
		return nil, f
	}
	h.worked(h.session, to)
	h.warn("session_webhook", answer.Warnings)
	return answer, nil
}

func sessionHeaders(e *webhook.SessionEvent) []header {
	return []header{{"sora-session-webhook-type", e.Type}, {"sora-session-id", e.SessionID}}
}

// catchUp waits for what the channel has in the queue.
func (h *Hooks) catchUp(channelID string) {
	barrier := h.events.barrier(channelID)
	if barrier == nil {
		return
	}
	patience := time.NewTimer(h.overtaking)
	defer patience.Stop()
	select {
	case <-barrier.reached:
	case <-patience.C:
		h.overtook.Add(1)
		h.events.unbar(barrier)
	case <-h.base.Done():
		h.events.unbar(barrier)
	}
}

// Session implements channel.Hooks.
func (h *Hooks) Session(e *webhook.SessionEvent) {
	if !h.session.on() {
		return
	}
	h.fill(&e.Common)
	body := e.Append(nil)
	h.write(journal.Session, body)
	if ignored(h.settings.Load(), e.Type) {
		h.session.counters.ignored.Add(1)
		return
	}
	h.queue(h.events, &item{to: h.session, typ: e.Type, id: e.ID, channelID: e.ChannelID, sessionID: e.SessionID,
		body: body, perishable: e.Type == webhook.SessionUpdated})
}

// Connection implements channel.Hooks.
func (h *Hooks) Connection(e *webhook.ConnectionEvent) {
	if !h.event.on() {
		return
	}
	h.fill(&e.Common)
	body := h.writeEvent(journal.Event, &e.LogWritten, e)
	if ignored(h.settings.Load(), e.Type) {
		h.event.counters.ignored.Add(1)
		return
	}
	h.queue(h.events, &item{to: h.event, typ: e.Type, id: e.ID, channelID: e.ChannelID, sessionID: e.SessionID,
		connectionID: e.ConnectionID, body: body, perishable: e.Type == webhook.ConnectionUpdated})
}

// Stats implements channel.Hooks. The line in rtc_stats.jsonl is written whatever is
// configured. Statistics are never worth waiting for: when there is no room, the oldest go.
func (h *Hooks) Stats(e *webhook.StatsEvent, export bool) {
	hooked, export := h.stats.on(), export && h.export.on()
	if !hooked && !export && h.cfg.Journal == nil {
		return
	}
	h.fill(&e.Common)
	body := h.writeEvent(journal.RTCStats, &e.LogWritten, e)
	i := item{typ: e.Type, id: e.ID, channelID: e.ChannelID, sessionID: e.SessionID, connectionID: e.ConnectionID,
		body: body, perishable: true}
	if hooked {
		if h.settings.Load().StatsLog {
			h.write(journal.Stats, body)
		}
		report := i
		report.to = h.stats
		h.queue(h.reports, &report)
	}
	if export {
		i.to = h.export
		h.queue(h.exports, &i)
	}
}

// Ended implements channel.Hooks.
func (h *Hooks) Ended(l *webhook.ConnectionLog) {
	if h.cfg.Journal != nil {
		h.cfg.Journal.Write(journal.Connection, l.Append(nil))
	}
}

// SessionEnded implements channel.Hooks.
func (h *Hooks) SessionEnded(l *webhook.SessionLog) {
	if h.cfg.Journal != nil {
		h.cfg.Journal.Write(journal.SessionLog, l.Append(nil))
	}
}

// Signaling implements channel.Hooks.
func (h *Hooks) Signaling(d channel.Direction, channelID, connectionID string, message []byte) {
	if h.cfg.Journal != nil {
		h.cfg.Journal.Write(journal.Signaling, appendSignaling(nil, time.Now(), d, channelID, connectionID, message))
	}
}

// ignored says whether the configuration has a type not sent.
func ignored(w *configs.Webhooks, typ string) bool {
	switch typ {
	case webhook.ConnectionCreated:
		return w.IgnoreConnectionCreated
	case webhook.ConnectionUpdated:
		return w.IgnoreConnectionUpdated
	case webhook.ConnectionDestroyed:
		return w.IgnoreConnectionDestroyed
	case webhook.ConnectionFailed:
		return w.IgnoreConnectionFailed
	case webhook.SessionUpdated:
		return w.IgnoreSessionUpdated
	case webhook.SessionVanished:
		return w.IgnoreSessionVanished
	}
	return false
}

// write writes a line, if there are log files.
func (h *Hooks) write(k journal.Kind, line []byte) bool {
	return h.cfg.Journal != nil && h.cfg.Journal.Write(k, line)
}

// writeEvent writes an event's line and returns its body, which says whether that was done.
func (h *Hooks) writeEvent(k journal.Kind, written *bool, e interface{ Append([]byte) []byte }) []byte {
	*written = h.cfg.Journal != nil
	body := e.Append(nil)
	if *written && !h.cfg.Journal.Write(k, body) {
		*written = false
		body = e.Append(body[:0])
	}
	return body
}

// queue puts an item into a queue, at whose bound others or it itself are dropped.
func (h *Hooks) queue(q *queue, i *item) {
	dropped, ok := q.put(i)
	for _, d := range dropped {
		h.drop(d)
	}
	switch {
	case ok:
	case q.isClosed():
		h.lose(i)
	default:
		h.drop(i)
	}
}

// drop is for what there is no room for.
func (h *Hooks) drop(i *item) {
	h.dropped.Add(1)
	h.failed(i.to, i.id, i.body, &failure{name: failDropped, detail: "the queue is full"})
}

// lose is for what the server's end comes before.
func (h *Hooks) lose(i *item) {
	h.lost.Add(1)
	h.failed(i.to, i.id, i.body, &failure{name: failLost, detail: "the server has ended"})
}
