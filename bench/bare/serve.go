package bare

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"
	pionelliptic "github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/logging"
	"golang.org/x/sys/unix"
)

const handshakeTimeout = 10 * time.Second

// served says that ServeHandshakes was called, so that this program may be run as a server
// without doing whatever else it does.
var served atomic.Bool

// ServeHandshakes must be what main, or TestMain, does first in a program that calls
// Handshake. In the process that Handshake starts it serves handshakes and exits; in all
// others it does nothing.
func ServeHandshakes() {
	served.Store(true)
	if os.Getenv(serverVariable) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// server is the DTLS server of the measured process: pion/dtls, one socket, and nothing else.
type server struct {
	socket     *net.UDPConn
	options    []piondtls.ServerOption
	handshakes atomic.Uint64
	datagrams  atomic.Uint64

	mu    sync.Mutex
	idle  sync.Cond                // there are no pipes
	pipes map[netip.AddrPort]*pipe // the handshakes in flight
}

// serve answers each line of in by one of totals, until in ends.
func serve(in io.Reader, out io.Writer) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	defer s.socket.Close()
	go s.read()
	if _, err := fmt.Fprintln(out, s.socket.LocalAddr()); err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		s.await()
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			return fmt.Errorf("bare: getrusage: %w", err)
		}
		cpu := u.Utime.Nano() + u.Stime.Nano()
		if _, err := fmt.Fprintln(out, cpu, s.handshakes.Load(), s.datagrams.Load()); err != nil {
			return fmt.Errorf("bare: %w", err)
		}
	}
	return nil
}

func newServer() (*server, error) {
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	s := &server{socket: socket, options: serverOptions(certificate), pipes: make(map[netip.AddrPort]*pipe)}
	s.idle.L = &s.mu
	return s, nil
}

// await returns when no handshake is in flight.
func (s *server) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pipes) > 0 {
		s.idle.Wait()
	}
}

// isHello tells a ClientHello from what a client repeats of a handshake that is over.
func isHello(b []byte) bool {
	const handshake, clientHello, atMessage = 22, 1, 13
	return len(b) > atMessage && b[0] == handshake && b[atMessage] == clientHello
}

// read hands datagrams to handshakes by their source, and begins one for the ClientHello of a
// source that it does not know.
func (s *server) read() {
	var b [2048]byte
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		s.mu.Lock()
		p := s.pipes[from]
		if p == nil && isHello(b[:n]) {
			p = newPipe(s, from)
			s.pipes[from] = p
			go s.handshake(p)
		}
		s.mu.Unlock()
		if p == nil {
			continue
		}
		select {
		case p.in <- append([]byte(nil), b[:n]...):
		default: // full, as a socket can be
		}
	}
}

// handshake does one; what comes of it is counted if the keys can be exported.
func (s *server) handshake(p *pipe) {
	defer func() {
		s.mu.Lock()
		if delete(s.pipes, p.peer); len(s.pipes) == 0 {
			s.idle.Broadcast()
		}
		s.mu.Unlock()
	}()
	conn, err := piondtls.ServerWithOptions(p, pipeAddr{}, s.options...)
	if err != nil {
		return
	}
	defer conn.Close()
	defer p.Close() // first, so that no close_notify is said
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return
	}
	state, ok := conn.ConnectionState()
	if _, chosen := conn.SelectedSRTPProtectionProfile(); !ok || !chosen {
		return
	}
	if _, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(16+12)); err == nil {
		s.handshakes.Add(1)
	}
}

// serverOptions are those of package media/dtls.
func serverOptions(certificate tls.Certificate) []piondtls.ServerOption {
	return []piondtls.ServerOption{
		piondtls.WithCertificates(certificate),
		piondtls.WithCipherSuites(piondtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			piondtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, piondtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
		piondtls.WithSRTPProtectionProfiles(piondtls.SRTP_AEAD_AES_128_GCM, piondtls.SRTP_AES128_CM_HMAC_SHA1_80),
		piondtls.WithEllipticCurves(pionelliptic.X25519, pionelliptic.P256),
		piondtls.WithSignatureSchemes(tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
			tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
			tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512),
		piondtls.WithClientAuth(piondtls.RequireAnyClientCert),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		piondtls.WithInsecureSkipVerifyHello(true),
		piondtls.WithFlightInterval(50 * time.Millisecond),
		piondtls.WithMTU(1200),
		piondtls.WithLoggerFactory(quiet{}),
	}
}

func clientOptions(certificate tls.Certificate) []piondtls.ClientOption {
	return []piondtls.ClientOption{
		piondtls.WithCertificates(certificate),
		piondtls.WithInsecureSkipVerify(true), // the server is ours, and its identity no part of the cost
		piondtls.WithSRTPProtectionProfiles(piondtls.SRTP_AEAD_AES_128_GCM, piondtls.SRTP_AES128_CM_HMAC_SHA1_80),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		piondtls.WithFlightInterval(50 * time.Millisecond),
		piondtls.WithLoggerFactory(quiet{}),
	}
}

// newCertificate makes a self-signed P-256 certificate.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("bare: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bare"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("bare: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// pipe is the packet connection of one handshake: datagrams come in from the reader of the
// socket and go out through the socket.
type pipe struct {
	server *server
	peer   netip.AddrPort
	in     chan []byte

	closeOnce sync.Once
	closed    chan struct{}

	mu      sync.Mutex
	expired chan struct{} // closed while the read deadline is in the past
}

func newPipe(s *server, peer netip.AddrPort) *pipe {
	return &pipe{server: s, peer: peer, in: make(chan []byte, 16), closed: make(chan struct{}), expired: make(chan struct{})}
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	expired := p.expired
	p.mu.Unlock()
	select {
	case datagram := <-p.in:
		return copy(b, datagram), pipeAddr{}, nil
	case <-p.closed:
		return 0, nil, io.EOF
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	default:
	}
	p.server.datagrams.Add(1)
	return p.server.socket.WriteToUDPAddrPort(b, p.peer)
}

func (p *pipe) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// errFutureDeadline says that a pipe knows the two deadlines that the library sets: a time
// long gone, and none.
var errFutureDeadline = errors.New("bare: a pipe has no deadlines in the future")

func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	past := false
	select {
	case <-p.expired:
		past = true
	default:
	}
	switch {
	case t.After(time.Now()):
		return errFutureDeadline
	case t.IsZero() && past:
		p.expired = make(chan struct{})
	case !t.IsZero() && !past:
		close(p.expired)
	}
	return nil
}

func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *pipe) LocalAddr() net.Addr              { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// quiet is a logger that says nothing.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger { return quiet{} }

func (quiet) Trace(string)          {}
func (quiet) Tracef(string, ...any) {}
func (quiet) Debug(string)          {}
func (quiet) Debugf(string, ...any) {}
func (quiet) Info(string)           {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warn(string)           {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Error(string)          {}
func (quiet) Errorf(string, ...any) {}
