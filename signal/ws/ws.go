// Package ws is the WebSocket edge of signaling: the HTTP handler of /signaling and the
// server around it. It turns frames into events of a session and a session's messages into
// frames; it decides nothing about either. A socket costs one goroutine and some 8 KiB
// until its connect has been accepted, and a second goroutine, which writes, from then on. Everything exported may be called from any goroutine.
//
// Close codes of its own, beside those of package session: 1009 for a message beyond 1 MiB
// and 1002, or no frame at all, for frames against RFC 6455, both by the WebSocket library.
// A socket that has to make room for others before its connect is closed without a frame.
package ws

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/channel"
	"tsubame/signal/sora"
)

// Config is for NewHandler.
type Config struct {
	ConnectTimeout time.Duration // as the session's; a request's header may not take longer either
	HeaderTimeout  time.Duration // from accept to the end of a request's header; 0: 5 s
	MaxHalfOpen    int           // sockets without connect, in all
	MaxHalfOpenPer int           // and of one address; an IPv6 address counts by its /64
	SendQueueBytes int           // what may wait for a slow reader
	WriteTimeout   time.Duration // of one message; 0: 10 s
	AllowedOrigins []string      // host patterns; none: pages from anywhere
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
	return &Handler{registry: r, cfg: cfg, faults: channel.NewFaultLog(cfg.Log), room: newRoom(cfg.MaxHalfOpen, cfg.MaxHalfOpenPer)}
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

// ServeHTTP upgrades the request. It returns then, so that the request and the deep stack of
// net/http are freed; a goroutine of its own serves the socket until it is closed, and
// Shutdown waits for it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		http.Error(w, "the server is ending", http.StatusServiceUnavailable)
		return
	}
	spy := &hijackSpy{ResponseWriter: w}
	conn, err := websocket.Accept(spy, r, &websocket.AcceptOptions{
		// Clients run on pages from anywhere; who restricts that names the origins. There
		// are no cookies to ride on.
		InsecureSkipVerify: len(h.cfg.AllowedOrigins) == 0,
		OriginPatterns:     h.cfg.AllowedOrigins,
		CompressionMode:    websocket.CompressionDisabled, // nothing to inflate, no bombs
	})
	if err != nil {
		h.serving.Done()
		h.faults.Log("no websocket", "remote", r.RemoteAddr, "error", err)
		return
	}
	h.room.enter(spy.conn)
	conn.SetReadLimit(sora.MaxFrame)
	s := &socket{handler: h, conn: conn, raw: spy.conn, remote: r.RemoteAddr}
	go func() {
		defer h.serving.Done()
		defer h.room.leave(s.raw)
		if h.ending() {
			// Shutdown may have emptied the room before this one was in it.
			s.raw.Close()
		}
		s.serve()
	}()
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

// Counters returns the registry's counters, how many connections have not sent connect, and
// how many of those had to make room.
func (h *Handler) Counters() map[string]uint64 {
	out := h.registry.Counters()
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
	conn net.Conn
}

// Unwrap is for http.ResponseController.
func (s *hijackSpy) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// socket is one WebSocket.
type socket struct {
	handler *Handler
	conn    *websocket.Conn
	raw     net.Conn
	remote  string
	buffer  []byte
	peer    *channel.Peer
	out     *transport
}
