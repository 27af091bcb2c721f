package hooks

import (
	"fmt"
	"time"

	"tsubame/signal/journal"
)

// work sends what is in a lane, one request at a time, until the queue is closed and the
// lane is empty, or the server waits no longer.
func (h *Hooks) work(q *queue, l *lane) {
	for h.base.Err() == nil {
		i := q.take(l)
		if i == nil {
			select {
			case <-l.wake:
				continue
			case <-q.closed:
			case <-h.base.Done():
				return
			}
			// Nothing comes after the close.
			if i = q.take(l); i == nil {
				return
			}
		}
		h.deliver(i)
		q.finish(i)
	}
}

// deliver sends one item. Where to is what the configuration says now, not when it was
// queued.
func (h *Hooks) deliver(i *item) {
	to := i.to.route.Load()
	if to.url == "" {
		i.to.counters.ignored.Add(1) // switched off meanwhile
		return
	}
	if f := i.to.tell(h.base, to, i.body, h.headers(i)...); f != nil {
		if f.name == failShutdown {
			h.lost.Add(1)
		}
		h.failedAt(i.to, to, i, f)
		return
	}
	h.worked(i.to, to)
}

func (h *Hooks) headers(i *item) []header {
	if i.to == h.session {
		return []header{{"sora-session-webhook-type", i.typ}, {"sora-session-id", i.sessionID}}
	}
	typ := "sora-event-webhook-type"
	if i.to != h.event {
		typ = "sora-stats-webhook-type"
	}
	return []header{{typ, i.typ}, {"sora-session-id", i.sessionID}, {"sora-connection-id", i.connectionID}}
}

// worked notes a webhook that was answered as it should.
func (h *Hooks) worked(c *caller, to *route) {
	c.counters.successful.Add(1)
	c.health.worked(h.log, c.name, to.shown)
}

// failed is failedAt for what was not sent.
func (h *Hooks) failed(i *item, f *failure) { h.failedAt(i.to, i.to.route.Load(), i, f) }

// maxRequest is how long a request may be that stands in a line, in bytes: there has to be
// room for the answer and for the rest.
const maxRequest = journal.MaxLine * 3 / 4

// omitted stands in a line for a request that is too long.
func omitted(request []byte) []byte { return fmt.Appendf(nil, `{"omitted_bytes":%d}`, len(request)) }

// failedAt counts a failure, and writes its line.
func (h *Hooks) failedAt(c *caller, to *route, i *item, f *failure) {
	h.countFailure(c, to, f)
	h.writeFailure(c, to, i, f)
}

func (h *Hooks) countFailure(c *caller, to *route, f *failure) {
	c.counters.fail(f.name)
	if f.name != failCancelled { // that says something of a client, and nothing of the server
		c.health.failed(h.log, c.name, to.shown, f, time.Now())
	}
}

// writeFailure writes the line of a failure; false: there was no room for it now.
func (h *Hooks) writeFailure(c *caller, to *route, i *item, f *failure) bool {
	k, ok := h.errorFile(c)
	if !ok || h.cfg.Journal == nil {
		return true
	}
	l := line{id: i.id, at: time.Now(), url: to.shown, req: i.body, res: f.answer, reason: f.Error()}
	if i.brief != nil {
		l.req = i.brief
	}
	if len(l.req) > maxRequest {
		l.req = omitted(l.req)
	}
	return h.cfg.Journal.Write(k, l.appendTo(nil))
}

// lastWords is how long the end waits for room in the log files.
const lastWords = 2 * time.Second

// loseRest counts and writes what is left in the queues at the end. A queue holds more lines
// than log files take at once, so they are given time.
func (h *Hooks) loseRest(queues []*queue) {
	until := time.Now().Add(lastWords)
	f := &failure{name: failLost, detail: lostDetail}
	for _, q := range queues {
		for _, l := range q.lanes {
			for i := q.take(l); i != nil; i = q.take(l) {
				to := i.to.route.Load()
				h.lost.Add(1)
				h.countFailure(i.to, to, f)
				for !h.writeFailure(i.to, to, i, f) && time.Now().Before(until) {
					time.Sleep(time.Millisecond)
				}
				q.finish(i)
			}
		}
	}
}

// errorFile is where the failures of a kind go; the exporter has no file.
func (h *Hooks) errorFile(c *caller) (k journal.Kind, ok bool) {
	switch c {
	case h.auth:
		return journal.AuthError, true
	case h.session:
		return journal.SessionError, true
	case h.event:
		return journal.EventError, true
	case h.stats:
		return journal.StatsError, true
	}
	return 0, false
}
