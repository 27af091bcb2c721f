package entry

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tsubame/netio/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// waitFor waits until ok holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// authority signs certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	next int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{key: key, cert: cert, pool: pool, next: 2}
}

// pem returns a new certificate for the names and its key, and its serial number.
func (a *authority) pem(t *testing.T, names ...string) (cert, key []byte, serial int64) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial = a.next
	a.next++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), serial
}

// files writes a new certificate into a folder of its own.
func (a *authority) files(t *testing.T, names ...string) (CertificateFiles, int64) {
	t.Helper()
	dir := t.TempDir()
	f := CertificateFiles{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	cert, key, serial := a.pem(t, names...)
	write(t, f.Certificate, cert)
	write(t, f.Key, key)
	return f, serial
}

// write replaces a file as certificate tools do: by another one of the same name.
func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// streams is a ServeStream that notes what it is given and echoes every byte.
type streams struct {
	mu    sync.Mutex
	infos []stream.Info
	errs  []error // of reading
}

func (s *streams) serve(c net.Conn, first []byte, info stream.Info) {
	s.mu.Lock()
	s.infos = append(s.infos, info)
	s.mu.Unlock()
	_, err := c.Write(first)
	if err == nil {
		_, err = io.Copy(c, c)
	}
	s.mu.Lock()
	s.errs = append(s.errs, err)
	s.mu.Unlock()
}

func (s *streams) seen() []stream.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stream.Info(nil), s.infos...)
}

// ended returns the errors of the streams that are over.
func (s *streams) ended() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]error(nil), s.errs...)
}

// rig is an entry with both its listeners on loopback.
type rig struct {
	*Entry
	t          *testing.T
	streams    streams
	plain, tls string
	log        *safeBuffer
	pool       *x509.CertPool
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}
func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start opens an entry; without certificates it has one for turn.example.com.
func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, log: &safeBuffer{}}
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil {
		a := newAuthority(t)
		f, _ := a.files(t, "turn.example.com")
		cfg.Certificates, r.pool = []CertificateFiles{f}, a.pool
	}
	cfg.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := New(cfg, r.streams.serve)
	if err != nil {
		t.Fatal(err)
	}
	r.Entry = e
	for _, p := range []struct {
		add  func(net.Listener)
		addr *string
	}{{e.AddPlain, &r.plain}, {e.AddTLS, &r.tls}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.add(l)
		*p.addr = l.Addr().String()
	}
	t.Cleanup(func() {
		e.Close()
		waitFor(t, "every place is free again", func() bool { open, half := e.room.size(); return open == 0 && half == 0 })
		if len(e.slots) != 0 || len(e.room.sources) != 0 {
			t.Errorf("%d slots and %d sources are left", len(e.slots), len(e.room.sources))
		}
	})
	return r
}

// dial connects and sends b.
func (r *rig) dial(to string, b []byte) *net.TCPConn {
	r.t.Helper()
	nc, err := net.Dial("tcp", to)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := nc.Write(b); err != nil {
		r.t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

// client is a configuration that trusts the rig's certificate.
func (r *rig) client(name string, protocols ...string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: r.pool, NextProtos: protocols}
}

// dialTLS completes a handshake.
func (r *rig) dialTLS(cfg *tls.Config) *tls.Conn {
	r.t.Helper()
	c := tls.Client(r.dial(r.tls, nil), cfg)
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// count waits until a counter has at least reached n.
func (r *rig) count(name string, n uint64) {
	r.t.Helper()
	if _, ok := r.Counters()[name]; !ok {
		r.t.Fatalf("there is no counter %s", name)
	}
	waitFor(r.t, name, func() bool { return r.Counters()[name] >= n })
}

// echoed checks that the streams' server sends b back.
func (r *rig) echoed(c net.Conn, b []byte) {
	r.t.Helper()
	got := make([]byte, len(b))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, b) {
		r.t.Fatalf("%q came back (%v), want %q", got, err, b)
	}
}

// silent checks that the other end closes, by a reset or not, without having sent anything.
func (r *rig) silent(c net.Conn) {
	r.t.Helper()
	b, err := io.ReadAll(c)
	if late, ok := err.(net.Error); ok && late.Timeout() {
		r.t.Fatal("the connection was not closed")
	}
	if len(b) > 0 {
		r.t.Fatalf("%q came back, want nothing", b)
	}
}

// What clients begin with.
var (
	allocate   = []byte("\x00\x03\x00\x08\x21\x12\xa4\x420123456789ab\x00\x19\x00\x04\x11\x00\x00\x00")
	binding    = []byte("\x00\x01\x00\x00\x21\x12\xa4\x420123456789ab")
	framed     = append([]byte{0, 20}, binding...)
	channel    = []byte("\x40\x00\x00\x04data")
	sshBanner  = []byte("SSH-2.0-OpenSSH_9.9\r\n")
	getRequest = []byte("GET / HTTP/1.1\r\nHost: turn.example.com\r\n\r\n")
)

// portOf returns an address of TCP as a value.
func portOf(a net.Addr) netip.AddrPort { return addrPort(a) }
