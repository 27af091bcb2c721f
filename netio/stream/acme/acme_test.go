package acme

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"tsubame/netio/stream"
	"tsubame/netio/stream/entry"
)

// Two kinds of goroutines are certmagic's own and outlive what used them, as the package says.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

const domain = "turn.example.com"

// logged is a log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// server is a manager behind the TLS port that it proves its name by.
type server struct {
	*Manager
	entry *entry.Entry
	addr  string
	log   *logged
}

func start(t *testing.T, a *authority, storage string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	s := &server{addr: l.Addr().String(), log: &logged{}}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	s.Manager, err = New(Config{
		Domains: []string{strings.ToUpper(domain)}, Email: "ops@example.com", Directory: a.URL + "/directory", Storage: storage,
		Port: l.Addr().(*net.TCPAddr).Port, Roots: roots, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.entry, err = entry.New(entry.Config{Names: s.Names(), GetCertificate: s.GetCertificate, Log: log}, func(net.Conn, []byte, stream.Info) {})
	if err != nil {
		t.Fatal(err)
	}
	s.entry.AddTLS(l)
	a.mu.Lock()
	a.target = s.addr
	a.mu.Unlock()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) stop() {
	s.Close()
	s.entry.Close()
}

// handshake connects as a client that trusts the authority.
func (s *server) handshake(a *authority, name string) error {
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		return err
	}
	return c.Close()
}

func TestCertificateIsObtainedThroughTheTLSPortAndKept(t *testing.T) {
	a, storage := newAuthority(t), t.TempDir()
	s := start(t, a, storage)
	waitFor(t, "a client is served", func() bool { return s.handshake(a, domain) == nil })
	waitFor(t, "the log says so", func() bool { return s.log.has("certificate obtained") })
	if n := s.entry.Counters()["entry_acme_challenges"]; n != 1 {
		t.Errorf("%d challenges, want 1", n)
	}
	if err := s.handshake(a, "other.example.com"); err == nil {
		t.Error("a name of somebody else was served")
	}
	s.stop()
	a.mu.Lock()
	if !slices.Equal(a.contacts, []string{"mailto:ops@example.com"}) {
		t.Errorf("contacts %q", a.contacts)
	}
	a.mu.Unlock()

	s = start(t, a, storage)
	defer s.stop()
	waitFor(t, "a client is served after a restart", func() bool { return s.handshake(a, domain) == nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.issued != 1 {
		t.Errorf("%d certificates were asked for, want 1", a.issued)
	}
	err := filepath.WalkDir(storage, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The challenge that would need another port is not taken, and the operator is told.
func TestAuthorityWithoutTLSALPNIsAnErrorInTheLog(t *testing.T) {
	a := newAuthority(t)
	a.offered = []string{"http-01", "dns-01"}
	s := start(t, a, t.TempDir())
	defer s.stop()
	waitFor(t, "the log says so", func() bool { return s.log.has("ACME: no certificate") && s.log.has(domain) })
	if err := s.handshake(a, domain); err == nil {
		t.Error("served without a certificate")
	}
}

func TestCloseGivesUpWhatIsBeingObtained(t *testing.T) {
	a := newAuthority(t)
	a.offered = []string{"http-01"}
	s := start(t, a, t.TempDir())
	waitFor(t, "it has failed once", func() bool { return s.log.has("ACME: no certificate") })
	s.stop() // what is left is found by TestMain
}

func TestStorageThatCannotBeWrittenIsAnErrorAtStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{Domains: []string{domain}, Storage: filepath.Join(file, "in")})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Start(); err == nil {
		t.Error("no error")
	}
}

func TestWarningsOfTheLibraryReachOurLog(t *testing.T) {
	out := &logged{}
	log := zap.New(core{log: slog.New(slog.NewTextHandler(out, nil))}).Named("x").With(zap.String("domain", domain))
	log.Debug("no news")
	log.Info("no news")
	log.Warn("a warning", zap.Int("attempt", 2))
	log.Error("an error", zap.Error(os.ErrPermission))
	for _, want := range []string{
		`level=WARN msg="ACME: a warning" attempt=2 domain=` + domain,
		`level=ERROR msg="ACME: an error" domain=` + domain + ` error="permission denied"`,
	} {
		if !out.has(want) {
			t.Errorf("no %q in %s", want, out.b.String())
		}
	}
	if out.has("no news") {
		t.Error(out.b.String())
	}
}

func TestConfigurationsThatCannotWorkAreErrors(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no domains":     {Storage: "x"},
		"no storage":     {Domains: []string{domain}},
		"a wildcard":     {Domains: []string{"*.example.com"}, Storage: "x"},
		"an address":     {Domains: []string{"192.0.2.1"}, Storage: "x"},
		"not public":     {Domains: []string{"localhost"}, Storage: "x"},
		"nothing at all": {Domains: []string{""}, Storage: "x"},
		"a URL":          {Domains: []string{"https://example.com"}, Storage: "x"},
		"a second, bad":  {Domains: []string{domain, "a b.example.com"}, Storage: "x"},
	} {
		if m, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
			m.Close()
		}
	}
}
