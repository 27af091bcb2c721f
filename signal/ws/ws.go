// Package ws is the WebSocket edge of signaling: the HTTP handlers of /signaling and /.ok and
// the server around them. It turns frames into events of a session and a session's messages
// into frames; it decides nothing about either. It lets sockets in as package admission
// decides, and never touches one whose connect has been accepted for the sake of others. A
// socket costs one goroutine and some 8 KiB, and another goroutine while something is
// written. Everything exported may be called from any goroutine.
//
// Close codes of its own, beside those of package session: 1009 for a message beyond 1 MiB
// and 1002, or no frame at all, for frames against RFC 6455, both by the WebSocket library.
// A socket that has to make room for others before its connect is closed without a frame.
//
// Every size and count of a client, where it is, and what happens at it:
//
//	HTTP header                   16 KiB   maxHeader               431, closed
//	time to send the header       5 s      Config.HeaderTimeout    closed
//	time to send connect          10 s     Config.ConnectTimeout   4490 CONNECT-WAIT-TIMEOUT-ERROR
//	sockets without connect       8,192    Config.MaxHalfOpen      the oldest is closed
//	 and of one source            4,096    Config.MaxHalfOpenPer   the oldest of it is closed
//	 and bytes of their messages  64 MiB   maxFirstBytes           the first long one is closed
//	sockets of one source         none     Config.MaxPerAddress    429, Retry-After
//	 and new ones a second        1,000    Config.RatePerAddress   429, Retry-After
//	sources remembered            65,536   package admission       the longest idle is forgotten
//	sessions that are joining     1,000    Config.MaxJoining       503, Retry-After; after the
//	 (in their first 5 s)                                          upgrade 4490 SERVER-BUSY
//	authentications under way     1,000    Config.MaxJoining       as sessions that are joining
//	share of a shard's time       90 %     Config.ShedAt           503, Retry-After
//	sessions                      10,000   package channel         4490 SERVER-FULL
//	one message                   1 MiB    sora.MaxFrame           1009
//	its depth and values          32, 2^16 package sora            4490 JSON-TOO-COMPLEX
//	ids, texts, metadata                   package sora            4490 INVALID-..., or cut
//	messages unasked              500/10 s package session         4490 TOO-MANY-MESSAGES
//	messages ahead of a session   4        package channel         the client waits (TCP)
//	bytes that it has not read    1 MiB    Config.SendQueueBytes   4490 SLOW-READER
//	time to write one message     10 s     Config.WriteTimeout     closed
//	events behind its channel     4,096    package channel         4490 SERVER-BUSY
//	m-sections                    512      package offer           further streams wait
//	re-offers                     300, 5/s package session         changes wait for the next one
//	messages longer than 1 KiB    256      maxInlets               their buffers grow as they come
//	 that are on their way
//	log lines of faults           10/s     channel.FaultLog        counted and left out
//
// The numbers are the defaults of package configs where there is a key. Limits of a plain
// HTTP request (of the page, say) are the constants beside maxHeader.
package ws

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/admission"
	"tsubame/signal/channel"
	"tsubame/signal/sora"
)

// Config is for NewHandler.
type Config struct {
	ConnectTimeout time.Duration // as the session's; a request's header may not take longer either
	HeaderTimeout  time.Duration // from accept to the end of a request's header; 0: 5 s
	MaxHalfOpen    int           // sockets without connect, in all
	MaxHalfOpenPer int           // and of one address; an IPv6 address counts by its /64
	// Bounds of package admission. Zeros are none.
	MaxPerAddress  int // open sockets of one address
	RatePerAddress int // new ones of it a second
	MaxJoining     int // sessions between connect and established, in all
	// Load is the share of its time, 0..1, that the busiest shard is in use; nil: nobody
	// knows. Above ShedAt nobody is let in. It is called for every request to /signaling.
	Load           func() float64
	ShedAt         float64
	Proxies        []netip.Prefix // whose X-Forwarded-For is believed
	SendQueueBytes int            // what may wait for a slow reader
	WriteTimeout   time.Duration  // of one message; 0: 10 s
	// AllowedOrigins are host patterns (path.Match, in any case) of the pages that may
	// connect; none: pages from anywhere. A host with a port needs a pattern with one; the
	// host that serves us is always allowed, and so is a client that sends no Origin, which
	// is no browser.
	AllowedOrigins []string
	Log            *slog.Logger
}

// The close reasons of this package, with session.CodeError.
const (
	ReasonBinaryFrame = "BINARY-FRAME" // only text frames are spoken
)

// Handler serves /signaling.
type Handler struct {
	registry *channel.Registry
	cfg      Config
	faults   *channel.FaultLog
	room     *room
	gate     *admission.Gate
	inlets   inlets

	mu      sync.Mutex
	closing bool
	serving sync.WaitGroup
}

// NewHandler returns a handler whose sessions live in the registry.
func NewHandler(r *channel.Registry, cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	if cfg.HeaderTimeout == 0 {
		cfg.HeaderTimeout = headerTimeout
	}
	if cfg.ConnectTimeout > 0 {
		cfg.HeaderTimeout = min(cfg.HeaderTimeout, cfg.ConnectTimeout)
	}
	return &Handler{registry: r, cfg: cfg, faults: channel.NewFaultLog(cfg.Log),
		room: newRoom(cfg.MaxHalfOpen, cfg.MaxHalfOpenPer, cfg.Proxies),
		gate: admission.New(admission.Config{
			RatePerAddress: cfg.RatePerAddress, MaxPerAddress: cfg.MaxPerAddress, MaxJoining: cfg.MaxJoining, ShedAt: cfg.ShedAt,
		})}
}

// enter counts a request; false: the server is ending.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.serving.Add(1)
	return true
}

// ServeHTTP upgrades the request if it is admitted. It returns then, so that the request and
// the deep stack of net/http are freed; a goroutine of its own serves the socket until it is
// closed, and Shutdown waits for it. A refusal costs no more than its answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		refuse(w, admission.Decision{Status: http.StatusServiceUnavailable, RetryAfter: retryEnding, Text: "the server is ending"})
		return
	}
	from, remote := proxies(h.cfg.Proxies).client(r)
	if d := h.gate.Ask(time.Now(), from, h.state()); !d.Admitted() {
		h.serving.Done()
		refuse(w, d)
		return
	}
	spy := &hijackSpy{ResponseWriter: w, timeout: h.cfg.WriteTimeout}
	conn, err := websocket.Accept(spy, r, &websocket.AcceptOptions{
		// Clients run on pages from anywhere; who restricts that names the origins. There
		// are no cookies to ride on.
		InsecureSkipVerify: len(h.cfg.AllowedOrigins) == 0,
		OriginPatterns:     h.cfg.AllowedOrigins,
		CompressionMode:    websocket.CompressionDisabled, // nothing to inflate, no bombs
	})
	if err != nil {
		h.gate.Leave(time.Now(), from)
		h.serving.Done()
		h.faults.Log("no websocket", "remote", remote, "error", err)
		return
	}
	h.room.enter(spy.conn)
	h.room.comesFrom(spy.conn, from)
	conn.SetReadLimit(sora.MaxFrame)
	s := &socket{handler: h, conn: conn, raw: spy.conn, outlet: spy.out, remote: remote, bearer: bearer(r)}
	leave := func() {
		h.room.leave(s.raw)
		h.gate.Leave(time.Now(), from)
		h.serving.Done()
	}
	go func() {
		if h.ending() {
			// Shutdown may have emptied the room before this one was in it.
			s.raw.Close()
		}
		if !s.begin() {
			leave()
			return
		}
		// On a new stack: the first message has taken more than waiting takes.
		go func() {
			defer leave()
			s.serve()
		}()
	}()
}

// state is what admission has to know of the server.
func (h *Handler) state() admission.State {
	s := admission.State{Joining: h.registry.Joining()}
	if h.cfg.Load != nil {
		s.Load = h.cfg.Load()
	}
	return s
}

// retryEnding is how many seconds a restart takes, roughly.
const retryEnding = 5

// refuse answers a request that is not let in. The connection is closed: one that stays
// would be one of those without connect. Browsers do not show any of it to the page, whose
// WebSocket fails.
func refuse(w http.ResponseWriter, d admission.Decision) {
	header := w.Header()
	header.Set("Retry-After", strconv.Itoa(d.RetryAfter))
	header.Set("Cache-Control", "no-store")
	header.Set("Connection", "close")
	http.Error(w, d.Text, d.Status)
}

func (h *Handler) ending() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closing
}

// Shutdown refuses new sockets, closes those without connect, ends all sessions and waits
// for everything until ctx is done.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.room.closeAll()
	err := h.registry.Close(ctx)
	served := make(chan struct{})
	go func() {
		h.serving.Wait()
		close(served)
	}()
	select {
	case <-served:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Counters returns the registry's and admission's counters, how many connections have not
// sent connect, and how many of those had to make room.
func (h *Handler) Counters() map[string]uint64 {
	out := h.registry.Counters()
	maps.Copy(out, h.gate.Counters())
	n, evicted := h.room.size()
	out["signal_half_open"], out["signal_half_open_evicted"] = uint64(n), evicted
	return out
}

// Limits of HTTP requests (SIG-01).
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeader      = 16 << 10
)

// NewServer returns a server for routes, of which h is one, with deadlines and limits set,
// and with every connection that has not sent connect counted by h. Its Shutdown leaves
// WebSockets alone: those are h's.
func NewServer(h *Handler, routes http.Handler) *http.Server {
	return &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: h.cfg.HeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				h.room.enter(c)
			case http.StateClosed:
				h.room.leave(c)
			}
		},
	}
}

// hijackSpy keeps the connection that is taken out of net/http, by which the room knows it
// and can close it at any stage.
type hijackSpy struct {
	http.ResponseWriter
	timeout time.Duration // of writes
	conn    net.Conn
	out     *outlet // the WebSocket library's writer
}

// Unwrap is for http.ResponseController.
func (s *hijackSpy) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// socket is one WebSocket.
type socket struct {
	handler *Handler
	conn    *websocket.Conn
	raw     net.Conn
	outlet  *outlet
	remote  string
	bearer  string  // of the request, until the first message; empty: none
	buffer  []byte  // of the last message, if it was a short one
	shared  *[]byte // of the one that is being read or decoded; nil: none
	peer    *channel.Peer
	out     *transport
}
