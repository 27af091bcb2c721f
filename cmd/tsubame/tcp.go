package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"tsubame/configs"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/stream"
	"tsubame/netio/stream/acme"
	"tsubame/netio/stream/entry"
)

// tcpPorts are where TCP comes in beside signaling's own port: the plain one for TURN and ICE,
// and the TLS one for everything.
type tcpPorts struct {
	cfg      configs.Config
	log      *slog.Logger
	plain    net.Listener // nil: off
	tls      net.Listener // nil: off
	entry    *entry.Entry
	acme     *acme.Manager // nil: certificates are from files
	sink     stream.Sink   // set by serve
	totals   stream.Totals
	unwanted atomic.Uint64 // streams of a kind that is switched off
}

// openTCP opens the ports and reads the certificates. Nobody is accepted before serve.
func openTCP(cfg configs.Config, log *slog.Logger) (*tcpPorts, error) {
	t := &tcpPorts{cfg: cfg, log: log}
	if err := t.open(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tcpPorts) open() error {
	e := entry.Config{
		ProxyPeers: t.cfg.TCP.Proxies, Passthrough: t.cfg.TCP.Passthrough, PassthroughProxy: t.cfg.TCP.PassthroughProxy,
		// A client has its signaling there and four streams (edge.Config.MaxStreams), and not
		// all of it ends at once.
		MaxConnections: max(entry.DefaultMaxConnections, 6*t.cfg.Server.MaxConnections), Log: t.log,
	}
	e.MaxPerAddress = t.cfg.TCP.MaxPerAddress
	if e.MaxPerAddress == 0 {
		e.MaxPerAddress = e.MaxConnections
	}
	if err := t.certificates(&e); err != nil {
		return err
	}
	var err error
	if t.entry, err = entry.New(e, t.stream); err != nil {
		return fmt.Errorf("tls_certificate_file, tls_private_key_file: %w", err)
	}
	if t.cfg.PlainPort() {
		if err := t.listenPlain(); err != nil {
			return err
		}
	}
	if t.cfg.TCP.TLSPort != 0 {
		t.tls, err = listen("tcp", "", t.cfg.TCP.TLSPort, "tls_port", "TLS")
	}
	return err
}

// certificates says where they come from.
func (t *tcpPorts) certificates(e *entry.Config) error {
	tcp := &t.cfg.TCP
	switch {
	case tcp.TLSPort == 0:
	case len(tcp.ACMEDomains) > 0:
		m, err := acme.New(acme.Config{
			Domains: tcp.ACMEDomains, Email: tcp.ACMEEmail, Directory: tcp.ACMEDirectory, Storage: tcp.ACMEStorage,
			Port: int(tcp.TLSPort), Log: t.log,
		})
		if err != nil {
			return fmt.Errorf("tls_acme_domains: %w", err)
		}
		t.acme, e.GetCertificate, e.Names = m, m.GetCertificate, m.Names()
	default:
		e.Certificates = []entry.CertificateFiles{{Certificate: tcp.CertificateFile, Key: tcp.PrivateKeyFile}}
	}
	return nil
}

// listenPlain opens the plain port. In development a second server on the machine goes without:
// its clients are on the machine too, and need no TCP.
func (t *tcpPorts) listenPlain() error {
	network := "tcp4"
	if t.cfg.Addresses.IPv6 {
		network = "tcp"
	}
	l, err := listen(network, "", t.cfg.TCP.ListenPort, "turn_tcp_listen_port", "TURN and ICE over TCP")
	if errors.Is(err, syscall.EADDRINUSE) && t.cfg.Server.Dev && !t.cfg.TURN.TCPOnly {
		t.log.Warn("no TURN and no ICE over TCP", "err", err)
		return nil
	}
	t.plain = l
	return err
}

// listen opens a TCP port; its error says how to move it.
func listen(network, host string, port uint16, key, what string) (net.Listener, error) {
	l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(int(port))))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("TCP port %d (%s) is taken by another program: stop it, or set %s: %w", port, what, key, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("TCP port %d (%s) needs more rights than this user has: use one above 1023 by %s: %w", port, what, key, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// serve begins to accept. What comes is sink's.
func (t *tcpPorts) serve(sink stream.Sink) {
	t.sink = sink
	t.warnOfNames()
	if t.plain != nil {
		t.entry.AddPlain(t.plain)
	}
	if t.tls != nil {
		t.entry.AddTLS(t.tls)
	}
	if t.acme == nil {
		return
	}
	if err := t.acme.Start(); err != nil {
		t.log.Error("tls_acme_storage: certificates cannot be kept", "err", err)
	}
}

// stream implements entry.ServeStream.
func (t *tcpPorts) stream(c net.Conn, first []byte, info stream.Info) {
	if !t.wanted(info) {
		t.unwanted.Add(1)
		return
	}
	_ = stream.Serve(c, first, info, t.sink, stream.Config{QueueBytes: t.cfg.TCP.QueueBytes, Totals: &t.totals}) // why is counted
}

// wanted reports whether clients may come this way.
func (t *tcpPorts) wanted(info stream.Info) bool {
	turn := &t.cfg.TURN
	switch {
	case info.Carrier == flow.FramedStream:
		return t.cfg.TCP.ICE
	case info.TLS:
		return turn.On && turn.TLS
	}
	return turn.On && turn.TCP
}

// seen returns the plain port as clients see it; 0: there is none.
func (t *tcpPorts) seen() uint16 {
	switch {
	case t.plain == nil:
		return 0
	case t.cfg.TCP.ListenPort == 0:
		return portOf(t.plain)
	}
	return t.cfg.TURN.TCPPort
}

// http returns the listener of signaling inside TLS; nil: there is none.
func (t *tcpPorts) http() net.Listener {
	if t.tls == nil {
		return nil
	}
	return t.entry.HTTP()
}

// describe returns the ports for the log.
func (t *tcpPorts) describe() (attrs []any) {
	if t.plain != nil {
		attrs = append(attrs, "tcp_port", portOf(t.plain))
	}
	if t.tls != nil {
		attrs = append(attrs, "tls_port", portOf(t.tls))
	}
	return attrs
}

// reload reads the certificates again. What is bad leaves what there was.
func (t *tcpPorts) reload() {
	if err := t.entry.Reload(); err != nil {
		t.log.Error("reload: the certificate stays as it was", "err", err)
	}
	t.warnOfNames()
}

// warnOfNames says which names clients are told of that no certificate of ours has: TLS for
// those is refused, or passed on.
func (t *tcpPorts) warnOfNames() {
	tu := &t.cfg.TURN
	if t.tls == nil || !tu.On || !tu.TLS {
		return
	}
	if name := cmp.Or(tu.TLSFQDN, tu.FQDN); !t.entry.Knows(name) {
		t.log.Warn("no certificate has the name that clients are told of for TURN over TLS: they will not get through", "name", name)
	}
}

// refuse accepts nobody any more; who is here stays. It may be called again.
func (t *tcpPorts) refuse() {
	for _, l := range []net.Listener{t.plain, t.tls} {
		if l != nil {
			l.Close()
		}
	}
}

// lastWords is how long streams that the plane has closed may take to say so to their peers.
// Connections that are passed through do not end by themselves.
const lastWords = 2 * time.Second

// shutdown is close, but that streams which are ending may end.
func (t *tcpPorts) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	_ = t.entry.Shutdown(ctx) // then whoever is left is closed
	t.close()
}

// close ends every stream and waits for them.
func (t *tcpPorts) close() {
	t.refuse()
	if t.acme != nil {
		t.acme.Close()
	}
	if t.entry != nil {
		t.entry.Close()
	}
}

// classNames are those of the counters of what streams drop.
var classNames = [mmsg.Classes]string{mmsg.Control: "control", mmsg.Audio: "audio", mmsg.Video: "video"}

// counters are of what has come in so far; what streams have dropped is counted at their end.
func (t *tcpPorts) counters() map[string]uint64 {
	out := t.entry.Counters()
	out["entry_unwanted"] = t.unwanted.Load()
	out["stream_opened"], out["stream_open"] = uint64(t.totals.Opened.Load()), uint64(t.totals.Open.Load())
	for reason := stream.PeerClosed; reason < stream.Reasons; reason++ {
		out["stream_ended_"+reason.String()] = t.totals.Ended[reason].Load()
	}
	for class, name := range classNames {
		out["stream_dropped_"+name] = t.totals.Dropped[class].Load()
	}
	return out
}

func portOf(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }
