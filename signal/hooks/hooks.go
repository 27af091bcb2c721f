// Package hooks is what stands between channels and an application's HTTP server: it asks
// the server who may join (auth webhook) and what holds for a session (session.created), or
// reads that from a token, tells it what happens (session, event and statistics webhooks,
// the statistics exporter), and writes the logs of all that. It decides nothing about
// sessions and keeps nothing but what waits to be sent.
//
// No method waits for a server, and none calls back from within itself: every question
// has a goroutine of its own, and everything that is told waits in a queue for its worker.
// Everything has a bound: questions under way (Config.MaxAsking and maxAskingBytes, then SERVER-BUSY), events
// that wait (event_webhook_queue, see queue), one request of each worker, bytes of an answer,
// time of a request. A server that is slow or dead costs those who need its answer
// webhook_response_timeout and everybody else nothing, since each kind of webhook has its own
// connections and questions never wait for events.
//
// A request is never repeated after it failed, with one exception: a connection that was
// idle and is closed while we use it again (see maxTries).
//
// Every method may be called from any goroutine. Structs that are handed over belong to this
// package from then on.
package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tsubame/configs"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/sora"
	"tsubame/signal/token"
	"tsubame/signal/webhook"
)

const (
	// eventBytes is how many bytes an event may have on average: 100,000 of them are 200 MB
	// at most. An event has some 900 bytes, and what an application hands out as
	// event_metadata.
	eventBytes = 2 << 10
	// eventsFloor is how many bytes of events may wait however small the queue is: a
	// session.updated of 10,000 connections has up to 9 MB.
	eventsFloor = 16 << 20
	// statsWaiting bounds the statistics that wait, for the webhook and for the exporter each,
	// and statsBytes their size on average: 64 MB. What a browser sends of one connection
	// has 5 to 60 kB.
	statsWaiting = 2048
	statsBytes   = 32 << 10
	// defaultAsking is for Config.MaxAsking.
	defaultAsking = 1000
	// defaultTimeout is for a configuration that has none.
	defaultTimeout = 5 * time.Second
)

// Journal takes the lines of log files; *journal.Journal is one. Write never waits; false:
// the line is not written.
type Journal interface {
	Write(k journal.Kind, line []byte) bool
}

// Config is for New.
type Config struct {
	Webhooks configs.Webhooks
	Exporter configs.Exporter
	// Tokens verifies the tokens that clients show; nil: they are not looked at.
	Tokens       *token.Verifier
	RequireToken bool // nobody joins without
	// Of webhook.Common.
	Version, Label, NodeName string
	Journal                  Journal // nil: there are no log files
	// StateDir is where a marker lies while the server runs, so that the next start can send
	// session.vanished after an end that was not orderly; empty: it never does.
	StateDir string
	// MaxAsking bounds the questions that wait for their answers: those of clients who join,
	// and of sessions, each; 0: 1000. It is also how many connections each of the two webhooks
	// has at most.
	MaxAsking int
	Log       *slog.Logger // of the server; nil: none
}

// Hooks implements channel.Hooks.
type Hooks struct {
	cfg Config
	log *slog.Logger

	base context.Context // of every request; ends when Close does not wait any longer
	end  context.CancelCauseFunc

	auth, session, event, stats, export *caller

	events  *queue // of session and event webhooks
	reports *queue // of the statistics webhook
	exports *queue // of the exporter

	settings atomic.Pointer[configs.Webhooks]
	tokens   atomic.Pointer[tokens]

	authenticating, creating asking
	// overtaking is how long session.created waits for what its channel has in the queue. It
	// is a constant; a test has no time for it.
	overtaking time.Duration

	allowed, denied           atomic.Uint64 // answers of the auth webhook
	tokenAllowed, tokenDenied atomic.Uint64
	overtook                  atomic.Uint64 // session.created that did not wait any longer
	dropped, lost             atomic.Uint64

	warned warnings
	marked atomic.Bool // there is a marker of ours

	workers sync.WaitGroup
	mu      sync.RWMutex // of closing, with respect to questions
	closing bool
	asked   sync.WaitGroup // questions under way
}

var _ channel.Hooks = (*Hooks)(nil)

// New starts the workers. The error says which file or URL will not do; nothing runs then.
// Close ends what New has begun. Begin comes between the two, when the server serves.
func New(cfg Config) (*Hooks, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxAsking <= 0 {
		cfg.MaxAsking = defaultAsking
	}
	workers := max(cfg.Webhooks.Workers, 1)
	exporters := max(cfg.Exporter.Number, 1)
	h := &Hooks{
		cfg: cfg, log: cfg.Log, overtaking: time.Second,
		auth:    newCaller("auth_webhook", cfg.MaxAsking, false),
		session: newCaller("session_webhook", cfg.MaxAsking+workers, false),
		event:   newCaller("event_webhook", workers, false),
		stats:   newCaller("stats_webhook", workers, false),
		export:  newCaller("stats_exporter", exporters, true),
		events:  newQueue(workers, max(cfg.Webhooks.QueueEvents, 1), eventBytes),
		reports: newQueue(workers, statsWaiting, statsBytes),
		exports: newQueue(exporters, statsWaiting, statsBytes),
	}
	h.events.floor = eventsFloor
	for _, a := range []*asking{&h.authenticating, &h.creating} {
		a.max = int64(cfg.MaxAsking)
		a.maxBytes = max(maxAskingBytes, a.max*questionBytes)
	}
	h.base, h.end = context.WithCancelCause(context.Background())
	h.SetTokens(cfg.Tokens, cfg.RequireToken)
	if err := h.Reconfigure(cfg.Webhooks); err != nil {
		return nil, err
	}
	if err := h.ReconfigureExporter(cfg.Exporter); err != nil {
		return nil, err
	}
	for _, q := range []*queue{h.events, h.reports, h.exports} {
		for _, l := range q.lanes {
			h.workers.Go(func() { h.work(q, l) })
		}
	}
	return h, nil
}

// Begin says that the server serves: its ports are open, so that no other one runs with the
// same configuration. If the last run did not end in order, session.vanished is sent. From now
// on Close takes the marker of a run away. It is called once, or never if the start fails.
func (h *Hooks) Begin() {
	if h.cfg.StateDir == "" {
		return
	}
	found, err := mark(h.cfg.StateDir)
	if err != nil {
		h.log.Warn("RUNNING-MARKER", "error", err)
	}
	h.marked.Store(err == nil)
	if found {
		h.log.Warn("SESSIONS-VANISHED", "reason", "the last run did not end in order")
		h.Session(&webhook.SessionEvent{Common: webhook.Common{Type: webhook.SessionVanished}})
	}
}

// Reconfigure takes up another configuration while everything runs: URLs, credentials,
// timeouts, types that are ignored, the size of the queue, and TLS files, which are read
// anew even if their names are the same. Requests under way end as they began. The number of
// workers stays what it was at the start. After an error nothing has changed.
func (h *Hooks) Reconfigure(w configs.Webhooks) error {
	m, err := trust{ca: w.CAFile, chain: w.CertFile, key: w.KeyFile, insecure: w.Insecure}.load()
	if err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}
	to := target{basic: w.BasicAuth, user: w.User, password: w.Password, timeout: timeoutOf(w)}
	callers := []*caller{h.auth, h.session, h.event, h.stats}
	routes := make([]*route, len(callers))
	for i, u := range []string{w.AuthURL, w.SessionURL, w.EventURL, w.StatsURL} {
		to.url = u
		if routes[i], err = callers[i].plan(to, m); err != nil {
			return fmt.Errorf("webhooks: %w", err)
		}
	}
	for i, c := range callers {
		c.swap(routes[i])
	}
	h.events.resize(max(w.QueueEvents, 1))
	h.settings.Store(&w)
	return nil
}

func timeoutOf(w configs.Webhooks) time.Duration {
	if w.Timeout <= 0 {
		return defaultTimeout
	}
	return w.Timeout
}

// ReconfigureExporter is Reconfigure for the statistics exporter. The number of exporters
// stays what it was at the start, and the timeout is that of the webhooks.
func (h *Hooks) ReconfigureExporter(e configs.Exporter) error {
	m, err := trust{ca: e.CAFile, chain: e.CertFile, key: e.KeyFile}.load()
	if err != nil {
		return fmt.Errorf("statistics exporter: %w", err)
	}
	r, err := h.export.plan(target{url: e.URL, timeout: timeoutOf(*h.settings.Load())}, m)
	if err != nil {
		return fmt.Errorf("statistics exporter: %w", err)
	}
	h.export.swap(r)
	return nil
}

// ErrLost says that the server ended before everything was sent.
var ErrLost = errors.New("webhooks that waited were not sent")

// Close refuses questions and events from now on, sends what waits until ctx is done, then
// ends the requests under way, writes what was not sent into the error files, counted as
// lost, and returns an ErrLost. It comes after the last session has ended, and before the
// log files are closed. It is called once.
func (h *Hooks) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	queues := []*queue{h.events, h.reports, h.exports}
	for _, q := range queues {
		q.close()
	}
	ended := make(chan struct{})
	go func() {
		h.workers.Wait()
		h.asked.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		h.end(errShutdown)
		<-ended // nothing waits any more
	}
	h.end(errShutdown)
	h.loseRest(queues)
	for _, c := range []*caller{h.auth, h.session, h.event, h.stats, h.export} {
		c.close()
	}
	if h.marked.Load() {
		if err := unmark(h.cfg.StateDir); err != nil {
			h.log.Warn("RUNNING-MARKER", "error", err)
		}
	}
	if n := h.lost.Load(); n > 0 {
		return fmt.Errorf("%w: %d", ErrLost, n)
	}
	return nil
}

// fill sets what every webhook has.
func (h *Hooks) fill(c *webhook.Common) {
	c.ID, c.Timestamp = sora.NewID(), time.Now()
	c.Version, c.Label, c.NodeName = h.cfg.Version, h.cfg.Label, h.cfg.NodeName
}

// asking counts the questions of one kind that are under way, and what they hold.
type asking struct {
	max      int64
	maxBytes int64
	now      atomic.Int64
	bytes    atomic.Int64
}

const (
	// maxAskingBytes bounds what questions of one kind hold, beside their number: the metadata
	// of clients who are not known yet is long if they like. So many that have none fit
	// always.
	maxAskingBytes = 64 << 20
	// questionBytes is what a question holds that has no metadata. Metadata counts three
	// times: as it came, and twice in the request.
	questionBytes = 8 << 10
)

// ask runs a question, which holds so many bytes, on a goroutine of its own; why not, if it
// may not.
func (h *Hooks) ask(a *asking, size int, question func()) (refused *failure) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closing {
		return &failure{name: failShutdown}
	}
	if now, bytes := a.now.Add(1), a.bytes.Add(int64(size)); now > a.max || bytes > a.maxBytes {
		a.end(size)
		return &failure{name: failBusy}
	}
	h.asked.Go(func() {
		defer a.end(size)
		question()
	})
	return nil
}

// end takes a question off the count.
func (a *asking) end(size int) {
	a.now.Add(-1)
	a.bytes.Add(-int64(size))
}

// Counters are what GetStatsReport has of webhooks, under its names, and beyond that:
// failures by reason, repetitions (total_retried_*), microseconds that requests have taken
// in all, and as gauges what waits and is under way.
func (h *Hooks) Counters() map[string]uint64 {
	m := make(map[string]uint64, 160)
	for _, c := range []*caller{h.auth, h.session, h.event, h.stats, h.export} {
		c.counters.add(m, c.name)
	}
	delete(m, "total_ignored_auth_webhook")
	m["total_auth_webhook_allowed"], m["total_auth_webhook_denied"] = h.allowed.Load(), h.denied.Load()
	m["total_auth_token_allowed"], m["total_auth_token_denied"] = h.tokenAllowed.Load(), h.tokenDenied.Load()
	m["total_overtaking_session_webhook"] = h.overtook.Load()
	m["total_dropped_webhook"], m["total_lost_webhook"] = h.dropped.Load(), h.lost.Load()
	m["auth_webhook_in_flight"] = uint64(max(h.authenticating.now.Load(), 0))
	m["session_created_in_flight"] = uint64(max(h.creating.now.Load(), 0))
	for name, q := range map[string]*queue{"event_webhook": h.events, "stats_webhook": h.reports, "stats_exporter": h.exports} {
		count, bytes, flying := q.state()
		m[name+"_queue"], m[name+"_queue_bytes"], m[name+"_workers_busy"] = uint64(count), uint64(bytes), uint64(flying)
	}
	return m
}
