// Package dtls runs the DTLS side of connections, always as the server: it takes records
// that a shard hands it, makes the SRTP keys of a connection out of them, and tells when
// the peer says goodbye.
//
// It has no socket and no flow table. Records of one peer come in by Endpoint.Feed, flights
// go out by Sink.Records, and whether a datagram came from a validated path is settled
// before it gets here. It never carries media or application data, never decides whose
// certificate a peer may show (Matches answers that for who asks), and never lets a peer
// renegotiate. It is an edge of the data plane: each handshake has goroutines of its own,
// because most of it is waiting, so that silent peers never queue anybody.
//
// Server's methods may be called from any goroutine, those of one Endpoint from the shard
// that owns the connection. What Feed is given is copied before it returns; what Records is
// given is valid until it returns; a Result belongs to who receives it.
package dtls

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/media/param"
	"tsubame/media/srtp"
)

// Config has the limits of a Server; the zero value of each field takes its default.
type Config struct {
	// MaxInFlight bounds the handshakes that have not ended; default 4096. At about 45 kB
	// each, half-open peers can hold 190 MB, for a Deadline at most.
	MaxInFlight int

	// MaxPerSource bounds those of one IPv4 address or IPv6 /64; default half of
	// MaxInFlight, so that a large NAT gets in and one sender cannot lock out the rest.
	MaxPerSource int

	// Deadline ends a handshake that has not finished; default 10 s.
	Deadline time.Duration

	// FlightInterval is when an unanswered flight of ours is repeated for the first time;
	// the interval doubles each time. Default 50 ms, which is what browsers do.
	FlightInterval time.Duration

	// Log gets a line a failed handshake, at debug level; nil for none.
	Log *slog.Logger
}

// Errors of Start and those with which Sink.Done reports how a handshake ended.
var (
	ErrTooMany           = errors.New("dtls: too many handshakes in flight")
	ErrTooManyFromSource = errors.New("dtls: too many handshakes in flight from one source")
	ErrTimeout           = errors.New("dtls: handshake deadline exceeded")
	ErrAlert             = errors.New("dtls: peer sent a fatal alert and did not go on")
	ErrFlooded           = errors.New("dtls: more handshake bytes than a handshake has")
	ErrClosed            = errors.New("dtls: closed before the handshake ended")
)

// Result is what a handshake came to.
type Result struct {
	Keys            srtp.Keys // for this side, the server
	PeerCertificate []byte    // DER; the peer has proved that it holds its key, no more
}

// Sink gets what an endpoint has to say. Its methods are called from the endpoint's
// goroutines, never from within a method of Endpoint; they must not block.
type Sink interface {
	// Records is a datagram for the peer. The sink copies it.
	Records(id uint64, datagram []byte)

	// Done is called exactly once for each endpoint: with the keys, after the last flight
	// has been handed to Records, or with the error that ended the handshake. ErrClosed
	// says that Close came first.
	Done(id uint64, r Result, err error)

	// Closed is called at most once, after a Done without an error, when the peer ended
	// the session by close_notify or a fatal alert. It is not called for Close, but may
	// already be on its way then.
	Closed(id uint64)
}

// Server makes endpoints and holds what they share: the certificate and the limits.
type Server struct {
	cfg         Config
	options     []piondtls.ServerOption
	fingerprint param.Fingerprint

	mu       sync.Mutex
	inFlight int
	bySource map[netip.Prefix]int

	stats   counters
	running sync.WaitGroup

	waking   atomic.Int64 // endpoints that are woken now
	wakeTime time.Duration
}

// NewServer makes a server with a certificate of its own, kept as long as the process runs.
func NewServer(cfg Config) (*Server, error) {
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 4096
	}
	if cfg.MaxPerSource <= 0 {
		cfg.MaxPerSource = max(1, cfg.MaxInFlight/2)
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = 10 * time.Second
	}
	if cfg.FlightInterval <= 0 {
		cfg.FlightInterval = 50 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	return newServer(cfg, certificate), nil
}

func newServer(cfg Config, certificate tls.Certificate) *Server {
	return &Server{
		cfg:         cfg,
		options:     baseOptions(certificate, cfg.FlightInterval),
		fingerprint: fingerprintOf(certificate.Certificate[0]),
		bySource:    make(map[netip.Prefix]int),
		wakeTime:    wakeTime,
	}
}

// Fingerprint returns what to put into an SDP; the caller must not change its bytes.
func (s *Server) Fingerprint() param.Fingerprint { return s.fingerprint }

// Start begins a handshake with a peer at source, which has passed an ICE check, and names
// it id in all calls of sink. It fails with ErrTooMany or ErrTooManyFromSource, and then
// sink hears nothing: a client repeats its ClientHello, so a later try may find room. It
// never blocks.
func (s *Server) Start(id uint64, source netip.Addr, sink Sink) (*Endpoint, error) {
	from := prefixOf(source)
	if err := s.take(from); err != nil {
		return nil, err
	}
	s.stats.started.Add(1)
	e := &Endpoint{server: s, id: id, sink: sink, source: from}
	p := newPipe(e.send)
	e.pipe = p
	e.deadline = time.Now().Add(s.cfg.Deadline)
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.timer = time.AfterFunc(s.cfg.Deadline, e.expire)
	s.running.Go(func() { e.run(p) })
	return e, nil
}

// Wait returns when every endpoint has ended or is parked. It ends none; no call of Start, or
// of a method of an Endpoint, may follow it.
func (s *Server) Wait() { s.running.Wait() }

// take reserves a place in flight.
func (s *Server) take(from netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight >= s.cfg.MaxInFlight {
		s.stats.refusedFull.Add(1)
		return ErrTooMany
	}
	if s.bySource[from] >= s.cfg.MaxPerSource {
		s.stats.refusedSource.Add(1)
		return ErrTooManyFromSource
	}
	s.inFlight++
	s.bySource[from]++
	return nil
}

// release gives the place back.
func (s *Server) release(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.bySource[from]--; s.bySource[from] == 0 {
		delete(s.bySource, from)
	}
}

// prefixOf returns what counts as one source: whoever has an IPv6 address has 2^64 of them.
func prefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the zero Addr: all such count as one source
	}
	return p
}

// Stats are counters since the start, but InFlight and Parked, which are levels.
type Stats struct {
	InFlight      int
	Parked        int    // sessions of which only the state is kept
	Resumed       uint64 // times that one was woken
	Started       uint64
	Established   uint64
	Failed        uint64 // of the started ones, timeouts included
	TimedOut      uint64
	RefusedFull   uint64 // ErrTooMany
	RefusedSource uint64 // ErrTooManyFromSource
	HeldBack      uint64 // repeats of our last flight that came too soon after each other
	Dropped       [dropReasons]uint64
}

// counters are the words behind Stats; shards and endpoint goroutines share them.
type counters struct {
	started, established, failed, timedOut atomic.Uint64
	refusedFull, refusedSource, heldBack   atomic.Uint64
	resumed                                atomic.Uint64
	parked                                 atomic.Int64
	dropped                                [dropReasons]atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	inFlight := s.inFlight
	s.mu.Unlock()
	st := Stats{
		InFlight:      inFlight,
		Parked:        int(s.stats.parked.Load()),
		Resumed:       s.stats.resumed.Load(),
		Started:       s.stats.started.Load(),
		Established:   s.stats.established.Load(),
		Failed:        s.stats.failed.Load(),
		TimedOut:      s.stats.timedOut.Load(),
		RefusedFull:   s.stats.refusedFull.Load(),
		RefusedSource: s.stats.refusedSource.Load(),
		HeldBack:      s.stats.heldBack.Load(),
	}
	for i := range st.Dropped {
		st.Dropped[i] = s.stats.dropped[i].Load()
	}
	return st
}
