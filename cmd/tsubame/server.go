package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"tsubame/configs"
	"tsubame/media/edge"
	"tsubame/netio"
	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/session"
	"tsubame/signal/web"
	"tsubame/signal/webhook"
	"tsubame/signal/ws"
	"tsubame/turnsrv"
)

// stunTimeout bounds the question for our public address at start and reload.
const stunTimeout = 5 * time.Second

// server is everything that runs.
type server struct {
	cfg      configs.Config
	log      *slog.Logger
	journal  *journal.Journal
	app      *application
	registry *channel.Registry
	plane    *edge.Plane
	tcp      *tcpPorts
	http     *http.Server
	sockets  *ws.Handler
	listener net.Listener
	load     *loadWatch
	debug    *debugServer // nil: off
	garbage  *collector
	failed   chan error // the HTTP server ended by itself

	advertised atomic.Pointer[advertised]
}

// start brings everything up, in the order in which it depends on each other: what fails
// first has opened nothing that others could already use. The journal is the caller's.
func start(cfg configs.Config, files *journal.Journal, log *slog.Logger) (*server, error) {
	shards, cpus := cfg.Media.Shards, runtime.GOMAXPROCS(0) // follows affinity and the cgroup's quota
	if shards == 0 {
		shards = cpus
	}
	cfg.Media.Shards = shards
	// The shards' threads keep their processor slots while they sleep (see package netio);
	// signaling, handshakes and the collector have as many slots beside them as there are CPUs.
	runtime.GOMAXPROCS(shards + max(2, cpus))

	s := &server{cfg: cfg, log: log, journal: files, failed: make(chan error, 2)}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	s.warnOfTests()
	s.load = watchLoad(s.plane.LoadMeter())
	s.registry = channel.NewRegistry(s.channelConfig())
	s.sockets = ws.NewHandler(s.registry, ws.Config{
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
	if cfg.Signaling.DevTools {
		routes.Handle("/", web.Handler())
	}
	s.http = ws.NewServer(s.sockets, routes)
	s.garbage = watchGarbage(s.registry.Joining)
	s.debug = serveDebug(cfg.Debug.Listen, s.plane.Networks, log)
	s.app.Begin()
	s.serveHTTP(s.listener)
	if l := s.tcp.http(); l != nil {
		s.serveHTTP(l)
	}
	s.tcp.serve(s.plane.Streams())
	return s, nil
}

// channelConfig is what the configuration, as it is now, says of channels and their sessions.
func (s *server) channelConfig() channel.Config {
	cfg := s.cfg
	return channel.Config{
		Plane:      plane{s.plane},
		Candidates: func() []string { return s.advertised.Load().candidates },
		TURNURLs:   func() []string { return s.advertised.Load().turnURLs },
		Reach:      s.reach,
		Session:    sessionConfig(cfg, relayOnly(&cfg.TURN)), Notify: cfg.Session.Notify,
		MaxConnections: cfg.Server.MaxConnections, MaxJoining: cfg.Signaling.MaxJoining,
		UpdatedInterval: cfg.Session.UpdatedInterval,

		Hooks: s.app, HookTimeout: cfg.Webhooks.Timeout + hookMargin,
		SessionGrace:         cfg.Webhooks.SessionGrace,
		ConnectionUpdated:    cfg.Webhooks.ConnectionUpdated,
		SessionUpdated:       cfg.Webhooks.SessionUpdated,
		LegacySignalingError: cfg.Webhooks.LegacySignalingError,
		StatsWanted:          cfg.Webhooks.StatsURL != "",
		LogSignaling:         cfg.LogFiles.Dir != "" && cfg.LogFiles.Signaling,
		Log:                  s.log,
	}
}

// hookMargin is how much longer than webhook_response_timeout a session waits for a verdict: the
// request may have waited for its turn, and its own end is to be heard of first.
const hookMargin = 2 * time.Second

// open opens every port and decides what clients are told of them.
func (s *server) open() (err error) {
	if s.app, err = openApplication(s.cfg, s.journal, s.log); err != nil {
		return err
	}
	if s.listener, err = listenSignaling(s.cfg.Signaling); err != nil {
		return err
	}
	if s.tcp, err = openTCP(s.cfg, s.log); err != nil {
		return err
	}
	if s.plane, err = edge.Open(mediaConfig(s.cfg, s.log)); err != nil {
		return err
	}
	return s.advertise()
}

// abandon closes what an open that failed has opened.
func (s *server) abandon() error {
	if s.listener != nil {
		s.listener.Close()
	}
	if s.tcp != nil {
		s.tcp.close()
	}
	var err error
	if s.plane != nil {
		err = s.plane.Close(context.Background())
	}
	return errors.Join(err, s.app.close(context.Background()))
}

// serveHTTP serves signaling and the page on a listener.
func (s *server) serveHTTP(l net.Listener) {
	go func() {
		// stop closes the listener before it ends the server.
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.failed <- err
		}
	}()
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

func sessionConfig(c configs.Config, relayOnly bool) session.Config {
	return session.Config{
		RelayOnly:      relayOnly,
		Version:        serverVersion(),
		ConnectTimeout: c.Signaling.ConnectTimeout,
		AnswerTimeout:  c.Session.AnswerTimeout, CreatedTimeout: c.Session.CreatedTimeout,
		PingInterval: c.Session.PingInterval, PongTimeout: c.Session.PongTimeout,
		StatsInterval: c.Session.StatsInterval, OpusRED: c.Session.OpusRED,
		Allow: session.Allow(c.Session.Allow),
		Defaults: session.Defaults{
			VideoCodec: session.VideoCodec(c.Session.DefaultCodec), AudioBitrate: c.Session.DefaultAudioBPS, VideoBitrate: c.Session.DefaultVideoBPS,
			NotifyICEState: c.Session.NotifyICEState, NotifyMetadataExt: c.Session.NotifyMetadataExt,
			Lifetime: c.Session.ConnectionLifetime,
		},
	}
}

// page returns where the page is, for who is on this machine, and the port of it.
func (s *server) page() (url string, port int) {
	port = s.listener.Addr().(*net.TCPAddr).Port
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/", port
}

// ready tells the operator, and whoever waits for the log line, where to go.
func (s *server) ready() {
	page, port := s.page()
	attrs := []any{"page", page, "signaling", "ws" + page[len("http"):] + "signaling", "signaling_port", port, "udp_port", s.plane.Port()}
	attrs = append(attrs, s.tcp.describe()...)
	s.log.Info("ready", append(attrs, "shards", s.plane.Shards(), "candidates", s.advertised.Load().candidates)...)
}

// reload asks for our addresses again: an interface may have come, or the public address
// changed. Connections that exist keep the addresses they were offered. It reads the
// certificates again too.
func (s *server) reload() {
	if err := s.advertise(); err != nil {
		s.log.Error("reload: the addresses stay as they were", "err", err)
	}
	s.tcp.reload()
}

// stop ends signaling, which ends every session, then media, each within what ctx leaves. Before
// all of that nobody comes in any more.
func (s *server) stop(ctx context.Context) error {
	s.listener.Close()
	s.tcp.refuse()
	err := s.endSessions(ctx)
	if e := s.app.close(ctx); e != nil { // what the sessions' ends had to tell
		s.log.Warn("stopping: the application has not taken everything", "err", e) // its fault, not ours
	}
	// It closes the listener once more if it has not yet seen that it is closed.
	if e := s.http.Shutdown(ctx); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	s.load.end()
	s.garbage.end()
	err = errors.Join(err, s.plane.Close(ctx)) // and with it every stream
	s.tcp.shutdown(ctx)
	err = errors.Join(err, s.debug.stop(ctx))
	s.logCounters()
	return err
}

// endSessions leaves a third of the time to what comes after it: clients that do not read may take
// all that they are given.
func (s *server) endSessions(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)*2/3)
		defer cancel()
	}
	return s.sockets.Shutdown(ctx)
}

// serverVersion is what clients and applications are told.
func serverVersion() string { return "tsubame " + buildVersion() }

// plane gives signaling what it needs of the media plane, in its own words.
type plane struct{ *edge.Plane }

// mediaConn is one connection of it.
type mediaConn struct{ *edge.Conn }

// Stats implements channel.Counted.
func (c mediaConn) Stats() webhook.LocalStats {
	s := c.Conn.Stats()
	in, out := s.Received(), s.Sent()
	return webhook.LocalStats{
		Received: webhook.Traffic{Bytes: in.Bytes, Packets: in.Packets},
		Sent:     webhook.Traffic{Bytes: out.Bytes, Packets: out.Packets},
		ICE:      webhook.ICEDurations{Checking: s.Checking, Disconnected: s.Disconnected},
		Detail:   &s,
	}
}

var mediaKinds = map[edge.EventKind]channel.MediaKind{
	edge.Established: channel.MediaEstablished, edge.Closed: channel.MediaClosed, edge.TransportChanged: channel.MediaMoved,
	edge.Silent: channel.MediaSilent, edge.Lapsed: channel.MediaLapsed, edge.Heard: channel.MediaHeard,
	edge.NetworkChanged: channel.MediaUnstable,
}

// Open implements channel.Plane.
func (p plane) Open(notify func(channel.MediaEvent)) (channel.Conn, error) {
	c, err := p.Plane.Open(func(e edge.Event) {
		notify(channel.MediaEvent{
			Kind: mediaKinds[e.Kind], Reason: e.Reason, TCP: e.Transport == edge.TransportTCP, Level: int(e.Unstable),
		})
	})
	if err != nil {
		return nil, err
	}
	return mediaConn{c}, nil
}

// listenSignaling opens the TCP port of signaling and the page.
func listenSignaling(c configs.Signaling) (net.Listener, error) {
	host := ""
	if c.LoopbackOnly {
		host = "127.0.0.1"
	}
	return listen("tcp", host, c.Port, "signaling_port", "signaling and the page")
}

// What one source may ask of TURN before it has shown credentials: an office of clients that all
// join at once, each with some allocations, asks that much. It is about 50 kB of answers a second
// to an address that somebody may have forged.
const (
	turnRate  = 512
	turnBurst = 2048
)

// turnConfig is what the configuration says of TURN. Clients repeat the realm that they are told,
// whatever it says, so that one which would make the answers to strangers too long is cut.
func turnConfig(c configs.TURN) turnsrv.Config {
	realm := c.Realm[:min(len(c.Realm), turnsrv.MaxRealm)]
	return turnsrv.Config{Realm: realm, Software: "tsubame", Rate: turnRate, Burst: turnBurst}
}

func mediaConfig(c configs.Config, log *slog.Logger) edge.Config {
	return edge.Config{
		Net: netio.Config{
			Port: int(c.Media.Port), IPv4: true, IPv6: c.Addresses.IPv6, Shards: c.Media.Shards,
			RecvBuffer: c.Media.RecvBuffer, SendBuffer: c.Media.SendBuffer,
			Plain: c.Media.PlainIO, NoSteering: !c.Media.Steering, NoGSO: !c.Media.GSO,
			Share: c.Media.Share, CPUs: c.Media.CPUs, Log: log,
		},
		Turn: turnConfig(c.TURN), NoTURN: !c.TURN.On,
		SilentAfter: c.Media.RestartAfter, ConsentGrace: c.Media.ConsentGrace,
		FrameWindow: c.Media.FrameWindow, NoPadding: !c.Media.Equalise, NoParking: !c.Media.DTLSParking,
		KeyFrameCache: c.Media.KeyFrameCache, CacheAge: c.Media.CacheAge,
		MaxConnections: c.Server.MaxConnections,
		Log:            log,
	}
}

// fileCounters names what the log files count.
func fileCounters(c journal.Counters) map[string]uint64 {
	return map[string]uint64{
		"log_written": c.Written, "log_written_bytes": c.WrittenBytes, "log_dropped": c.Dropped, "log_lost": c.Lost,
		"log_failures": c.Failures, "log_failing": uint64(c.Failing), "log_reopened": c.Reopened, "log_rotated": c.Rotated,
	}
}

// logCounters writes every counter as one line.
func (s *server) logCounters() {
	counters := s.plane.Counters()
	maps.Copy(counters, s.sockets.Counters())
	maps.Copy(counters, s.tcp.counters())
	maps.Copy(counters, s.app.Counters())
	maps.Copy(counters, fileCounters(s.journal.Counters()))
	maps.Copy(counters, runtimeCounters())
	counters["net_threads"] = uint64(s.plane.Threads())
	attrs := make([]any, 0, 2*len(counters))
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		attrs = append(attrs, name, counters[name])
	}
	s.log.Info("counters", attrs...)
}
