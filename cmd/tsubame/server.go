package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"tsubame/configs"
	"tsubame/media/edge"
	"tsubame/netio"
	"tsubame/signal/candidate"
	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/web"
	"tsubame/signal/ws"
)

// stunTimeout bounds the question for our public address at start and reload.
const stunTimeout = 5 * time.Second

// server is everything that runs.
type server struct {
	cfg      configs.Config
	log      *slog.Logger
	plane    *edge.Plane
	http     *http.Server
	sockets  *ws.Handler
	listener net.Listener
	load     *loadWatch
	debug    *debugServer // nil: off
	garbage  *collector
	failed   chan error // the HTTP server ended by itself

	candidates atomic.Pointer[[]string] // values of the a=candidate lines
}

// start brings everything up, in the order in which it depends on each other: what fails
// first has opened nothing that others could already use.
func start(cfg configs.Config, log *slog.Logger) (*server, error) {
	shards, cpus := cfg.Media.Shards, runtime.GOMAXPROCS(0) // follows affinity and the cgroup's quota
	if shards == 0 {
		shards = cpus
	}
	cfg.Media.Shards = shards
	// The shards' threads keep their processor slots while they sleep (see package netio);
	// signaling, handshakes and the collector have as many slots beside them as there are CPUs.
	runtime.GOMAXPROCS(shards + max(2, cpus))

	s := &server{cfg: cfg, log: log, failed: make(chan error, 1)}
	listener, err := listenSignaling(cfg.Signaling)
	if err != nil {
		return nil, err
	}
	s.listener = listener
	if s.plane, err = edge.Open(mediaConfig(cfg, log)); err != nil {
		listener.Close()
		return nil, err
	}
	if err := s.chooseCandidates(); err != nil {
		listener.Close()
		return nil, errors.Join(err, s.plane.Close(context.Background()))
	}
	s.load = watchLoad(s.plane.LoadMeter())
	registry := channel.NewRegistry(channel.Config{
		Plane: plane{s.plane}, Candidates: func() []string { return *s.candidates.Load() },
		Session: sessionConfig(cfg), Notify: cfg.Session.Notify,
		MaxConnections: cfg.Server.MaxConnections, MaxJoining: cfg.Signaling.MaxJoining,
		UpdatedInterval: cfg.Session.UpdatedInterval, Log: log,
	})
	s.sockets = ws.NewHandler(registry, ws.Config{
		ConnectTimeout: cfg.Signaling.ConnectTimeout,
		MaxHalfOpen:    cfg.Signaling.MaxHalfOpen, MaxHalfOpenPer: cfg.Signaling.MaxHalfOpenPer,
		MaxPerAddress: cfg.Signaling.MaxPerAddress, RatePerAddress: cfg.Signaling.RatePerAddress,
		MaxJoining: cfg.Signaling.MaxJoining, Load: s.load.share, ShedAt: shedAt(cfg),
		Proxies: cfg.Signaling.Proxies, SendQueueBytes: cfg.Signaling.SendQueueBytes,
		AllowedOrigins: cfg.Signaling.AllowedOrigins, Log: log,
	})
	routes := http.NewServeMux()
	routes.Handle("/signaling", s.sockets)
	routes.Handle("/.ok", ws.OK(s.sockets))
	routes.Handle("/", web.Handler())
	s.http = ws.NewServer(s.sockets, routes)
	s.garbage = watchGarbage(registry.Joining)
	s.debug = serveDebug(cfg.Debug.Listen, log)
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
}

// shedAt returns the load, 0 to 1, beyond which joins are shed; 0: never. For development
// the browsers run on the same machine, and a machine that they keep busy is no reason to keep
// the next one out.
func shedAt(c configs.Config) float64 {
	if c.Server.Dev {
		return 0
	}
	return float64(c.Signaling.ShedAtLoad) / 100
}

func sessionConfig(c configs.Config) session.Config {
	return session.Config{
		Version:        "tsubame " + buildVersion(),
		ConnectTimeout: c.Signaling.ConnectTimeout,
		AnswerTimeout:  c.Session.AnswerTimeout, CreatedTimeout: c.Session.CreatedTimeout,
		PingInterval: c.Session.PingInterval, PongTimeout: c.Session.PongTimeout,
		StatsInterval: c.Session.StatsInterval,
		Allow:         session.Allow(c.Session.Allow),
		Defaults: session.Defaults{
			VideoCodec: session.VideoCodec(c.Session.DefaultCodec), AudioBitrate: c.Session.DefaultAudioBPS, VideoBitrate: c.Session.DefaultVideoBPS,
		},
	}
}

// ready tells the operator, and whoever waits for the log line, where to go.
func (s *server) ready() {
	port := s.listener.Addr().(*net.TCPAddr).Port
	page := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/"
	s.log.Info("ready", "page", page, "signaling", "ws"+page[len("http"):]+"signaling",
		"signaling_port", port, "udp_port", s.plane.Port(), "shards", s.plane.Shards(),
		"candidates", *s.candidates.Load())
}

// chooseCandidates decides what clients are told to send media to.
func (s *server) chooseCandidates() error {
	a := s.cfg.Addresses
	c := candidate.Config{IPv4: a.IPv4, IPv6: a.IPv6, IPv6s: a.IPv6s, Dev: s.cfg.Server.Dev}
	if a.Public != "" {
		ctx, cancel := context.WithTimeout(context.Background(), stunTimeout)
		defer cancel()
		public, err := candidate.Query{}.Public(ctx, a.Public)
		if err != nil {
			return fmt.Errorf("public_address: %w; set ipv4_address instead if the address is known", err)
		}
		c.Public = public
	}
	interfaces, err := candidate.Interfaces()
	if err != nil {
		return err
	}
	addresses, err := candidate.Choose(c, interfaces)
	if err != nil {
		return err
	}
	values := candidate.Values(addresses, uint16(s.plane.Port()), 0)
	s.candidates.Store(&values)
	s.log.Info("addresses advertised", "addresses", addressStrings(addresses))
	return nil
}

func addressStrings(list []netip.Addr) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// reload asks for our addresses again: an interface may have come, or the public address
// changed. Connections that exist keep the addresses they were offered.
func (s *server) reload() {
	if err := s.chooseCandidates(); err != nil {
		s.log.Error("reload: the addresses stay as they were", "err", err)
	}
}

// stop ends signaling, which ends every session, then media, each within what ctx leaves.
func (s *server) stop(ctx context.Context) error {
	s.listener.Close()
	err := s.sockets.Shutdown(ctx)
	// It closes the listener once more if it has not yet seen that it is closed.
	if e := s.http.Shutdown(ctx); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	s.load.end()
	s.garbage.end()
	err = errors.Join(err, s.plane.Close(ctx), s.debug.stop(ctx))
	s.logCounters()
	return err
}

// plane gives signaling what it needs of the media plane, in its own words.
type plane struct{ *edge.Plane }

// Open implements channel.Plane.
func (p plane) Open(notify func(channel.MediaEvent)) (channel.Conn, error) {
	c, err := p.Plane.Open(func(e edge.Event) {
		kind := channel.MediaEstablished
		switch e.Kind {
		case edge.Closed:
			kind = channel.MediaClosed
		case edge.TransportChanged:
			kind = channel.MediaMoved
		}
		notify(channel.MediaEvent{Kind: kind, Reason: e.Reason, TCP: e.Transport == edge.TransportTCP})
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func listenAddress(c configs.Signaling) string {
	host := ""
	if c.LoopbackOnly {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
}

// listenSignaling opens the TCP port; its error says how to move it.
func listenSignaling(c configs.Signaling) (net.Listener, error) {
	l, err := net.Listen("tcp", listenAddress(c))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("TCP port %d (signaling and the page) is taken by another program: stop it, or set signaling_port: %w", c.Port, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("TCP port %d (signaling and the page) needs more rights than this user has: use one above 1023 by signaling_port: %w", c.Port, err)
	case err != nil:
		return nil, fmt.Errorf("signaling_port: %w", err)
	}
	return l, nil
}

func mediaConfig(c configs.Config, log *slog.Logger) edge.Config {
	return edge.Config{
		Net: netio.Config{
			Port: int(c.Media.Port), IPv4: true, IPv6: c.Addresses.IPv6, Shards: c.Media.Shards,
			RecvBuffer: c.Media.RecvBuffer, SendBuffer: c.Media.SendBuffer,
			Plain: c.Media.PlainIO, NoSteering: !c.Media.Steering, NoGSO: !c.Media.GSO,
			Share: c.Media.Share, CPUs: c.Media.CPUs, Log: log,
		},
		FrameWindow: c.Media.FrameWindow, NoPadding: !c.Media.Equalise, NoParking: !c.Media.DTLSParking,
		MaxConnections: c.Server.MaxConnections,
		Log:            log,
	}
}

// logCounters writes every counter as one line.
func (s *server) logCounters() {
	counters := s.plane.Counters()
	maps.Copy(counters, s.sockets.Counters())
	maps.Copy(counters, runtimeCounters())
	counters["net_threads"] = uint64(s.plane.Threads())
	attrs := make([]any, 0, 2*len(counters))
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		attrs = append(attrs, name, counters[name])
	}
	s.log.Info("counters", attrs...)
}
