package hooks

import (
	"bytes"
	"sync"
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
	refused := h.ask(&h.creating, questionBytes, func() { done(h.create(e)) })
	if refused == nil {
		return
	}
	go func() {
		h.failed(&item{to: h.session, id: e.ID, body: e.Append(nil)}, refused)
		done(nil, refused)
	}()
}

func (h *Hooks) create(e *webhook.SessionEvent) (*webhook.SessionAnswer, error) {
	to := h.session.route.Load()
	if to.url == "" {
		return &webhook.SessionAnswer{}, nil
	}
	h.catchUp(e.ChannelID)
	body, brief := h.writeSession(e)
	res, f := h.session.call(h.base, to, body, sessionHeaders(e)...)
	var answer *webhook.SessionAnswer
	if f == nil {
		var err error
		if answer, err = webhook.ParseSessionAnswer(res); err != nil {
			f = &failure{name: failJSON, detail: err.Error(), answer: res}
		}
	}
	if f != nil {
		h.failedAt(h.session, to, &item{id: e.ID, body: body, brief: brief}, f)
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
	body, brief := h.writeSession(e)
	if ignored(h.settings.Load(), e.Type) {
		h.session.counters.ignored.Add(1)
		return
	}
	h.queue(h.events, &item{to: h.session, typ: e.Type, id: e.ID, channelID: e.ChannelID, sessionID: e.SessionID,
		body: body, brief: brief, class: classOf(e.Type)})
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
		connectionID: e.ConnectionID, body: body, class: classOf(e.Type)})
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
		body: body, class: perishable}
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
	h.writeLine(journal.Connection, l)
}

// SessionEnded implements channel.Hooks.
func (h *Hooks) SessionEnded(l *webhook.SessionLog) {
	h.writeLine(journal.SessionLog, l)
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

// appender is what the structs of package webhook are.
type appender interface{ Append(dst []byte) []byte }

// scratch are buffers in which bodies and lines are made: what waits in a queue is then no
// longer than it is.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the largest buffer that is kept, in bytes.
const maxScratch = 64 << 10

func giveBack(b *[]byte) {
	if cap(*b) <= maxScratch {
		scratch.Put(b)
	}
}

// classOf says what an event is worth.
func classOf(typ string) class {
	switch typ {
	case webhook.ConnectionUpdated, webhook.SessionUpdated:
		return perishable
	case webhook.ConnectionFailed:
		return cheap
	}
	return lasting
}

// write writes a line, if there are log files.
func (h *Hooks) write(k journal.Kind, line []byte) bool {
	return h.cfg.Journal != nil && h.cfg.Journal.Write(k, line)
}

// writeLine writes what has no other use than as a line.
func (h *Hooks) writeLine(k journal.Kind, l appender) {
	if h.cfg.Journal == nil {
		return
	}
	b := scratch.Get().(*[]byte)
	*b = l.Append((*b)[:0])
	h.cfg.Journal.Write(k, *b)
	giveBack(b)
}

// writeSession writes the body of a session webhook as its line and returns it. The line of a
// session that lists so many connections that it were too long does without them; it is
// returned as brief then.
func (h *Hooks) writeSession(e *webhook.SessionEvent) (body, brief []byte) {
	b := scratch.Get().(*[]byte)
	defer giveBack(b)
	*b = e.Append((*b)[:0])
	body = bytes.Clone(*b)
	if len(body) > maxRequest {
		short := *e
		short.Connections = nil
		brief = short.Append(nil)
		h.write(journal.Session, brief)
		return body, brief
	}
	h.write(journal.Session, body)
	return body, nil
}

// writeEvent writes a body that says whether its line was written.
func (h *Hooks) writeEvent(k journal.Kind, written *bool, e appender) []byte {
	b := scratch.Get().(*[]byte)
	*written = h.cfg.Journal != nil
	*b = e.Append((*b)[:0])
	if *written && !h.cfg.Journal.Write(k, *b) {
		*written = false
		*b = e.Append((*b)[:0])
	}
	body := bytes.Clone(*b)
	giveBack(b)
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
	h.failed(i, &failure{name: failDropped, detail: "the queue is full"})
}

const lostDetail = "the server has ended"

// lose is for what the server's end comes before.
func (h *Hooks) lose(i *item) {
	h.lost.Add(1)
	h.failed(i, &failure{name: failLost, detail: lostDetail})
}
