package hooks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tsubame/signal/channel"
	"tsubame/signal/journal"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// application is a real HTTP server on loopback, which ends with the test.
func application(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// answers is an application that always says the same.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// callerTo is a caller of the application, without TLS.
func callerTo(t testing.TB, url string, timeout time.Duration) *caller {
	t.Helper()
	c := newCaller("test", 4, false)
	setRoute(t, c, target{url: url, timeout: timeout}, trust{})
	t.Cleanup(c.close)
	return c
}

func setRoute(t testing.TB, c *caller, to target, in trust) {
	t.Helper()
	m, err := in.load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.plan(to, m)
	if err != nil {
		t.Fatal(err)
	}
	c.swap(r)
}

// ask calls with a small body.
func ask(c *caller) (string, *failure) {
	answer, f := c.call(context.Background(), c.route.Load(), []byte(`{"a":1}`))
	return string(answer), f
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // PEM
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	der := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true}, nil, a.key, &a.key.PublicKey)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.file = cert, a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, c, by *x509.Certificate, key *ecdsa.PrivateKey, public *ecdsa.PublicKey) []byte {
	t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// issue writes a certificate for 127.0.0.1 and its key.
func (a *authority) issue(name string) (chain, key string) {
	a.t.Helper()
	k := newKey(a.t)
	der := sign(a.t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, a.cert, a.key, &k.PublicKey)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", private)
}

// serve starts an application with a certificate of this authority. mutual: it wants one of
// the client.
func (a *authority) serve(mutual bool, h http.HandlerFunc) *httptest.Server {
	a.t.Helper()
	chain, key := a.issue("server")
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		a.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if mutual {
		s.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		s.TLS.ClientCAs = x509.NewCertPool()
		s.TLS.ClientCAs.AddCert(a.cert)
	}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s
}

// pages is a journal in memory.
type pages struct {
	mu     sync.Mutex
	lines  map[journal.Kind][]string
	refuse bool
	wrote  chan struct{} // of one: something was written
}

func newPages() *pages {
	return &pages{lines: map[journal.Kind][]string{}, wrote: make(chan struct{}, 1)}
}

func (p *pages) Write(k journal.Kind, line []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return false
	}
	p.lines[k] = append(p.lines[k], string(line))
	select {
	case p.wrote <- struct{}{}:
	default:
	}
	return true
}

func (p *pages) of(k journal.Kind) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines[k])
}

// one returns the only line of a kind, decoded.
func (p *pages) one(t *testing.T, k journal.Kind) map[string]any {
	t.Helper()
	all := p.of(k)
	if len(all) != 1 {
		t.Fatalf("%s has %d lines: %q", k.File(), len(all), all)
	}
	m := map[string]any{}
	if err := json.Unmarshal([]byte(all[0]), &m); err != nil {
		t.Fatalf("%s: %v", all[0], err)
	}
	return m
}

// everything is all that was written.
func (p *pages) everything() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, lines := range p.lines {
		b.WriteString(strings.Join(lines, "\n"))
	}
	return b.String()
}

// begin starts hooks that end with the test.
func begin(t testing.TB, cfg Config) (*Hooks, *pages) {
	t.Helper()
	p := newPages()
	if cfg.Journal == nil {
		cfg.Journal = p
	}
	cfg.Webhooks.AuthLog, cfg.Webhooks.StatsLog = true, true
	if cfg.Webhooks.Timeout == 0 {
		cfg.Webhooks.Timeout = patience
	}
	if cfg.Webhooks.QueueEvents == 0 {
		cfg.Webhooks.QueueEvents = 1000
	}
	if cfg.Label == "" {
		cfg.Version, cfg.Label, cfg.NodeName = "1.0", "label", "node@127.0.0.1"
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.Begin()
	t.Cleanup(func() { end(h, patience) })
	return h, p
}

// end closes hooks that may have been closed.
func end(h *Hooks, within time.Duration) error {
	h.mu.RLock()
	closing := h.closing
	h.mu.RUnlock()
	if closing {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return h.Close(ctx)
}

// logTo is a server's log that can be read when the hooks have ended.
func logTo(b *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, nil))
}

// request is what an application was sent.
type request struct {
	path   string
	proto  int // major version of HTTP
	header http.Header
	body   map[string]any
	at     time.Time
}

// records is an application that keeps what it is sent, and answers 200 with body.
type records struct {
	mu   sync.Mutex
	all  []request
	body string
	came chan struct{} // of many: one for each
}

func newRecords(body string) *records {
	return &records{body: body, came: make(chan struct{}, 100_000)}
}

func (a *records) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := request{path: r.URL.Path, proto: r.ProtoMajor, header: r.Header, at: time.Now()}
	if err := json.NewDecoder(r.Body).Decode(&q.body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.all = append(a.all, q)
	a.mu.Unlock()
	a.came <- struct{}{}
	io.WriteString(w, a.body)
}

// wait waits for n requests more and returns all that came.
func (a *records) wait(t testing.TB, n int) []request {
	t.Helper()
	late := time.After(patience)
	for range n {
		select {
		case <-a.came:
		case <-late:
			t.Fatalf("%d requests, want %d", len(a.seen()), n)
		}
	}
	return a.seen()
}

func (a *records) seen() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// verdict authenticates and waits.
func verdict(t testing.TB, h *Hooks, r *webhook.AuthRequest, tok string) channel.Verdict {
	t.Helper()
	answered := make(chan channel.Verdict, 2)
	h.Authenticate(context.Background(), r, tok, func(v channel.Verdict) { answered <- v })
	select {
	case v := <-answered:
		return v
	case <-time.After(patience):
		t.Fatal("no verdict")
	}
	return channel.Verdict{}
}

// client is who joins.
func client() *webhook.AuthRequest {
	return &webhook.AuthRequest{Role: sora.SendRecv, ChannelID: "room", ConnectionID: "CONNECTION",
		Metadata: []byte(`{"access_token":"hunter2","name":"n"}`)}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-late:
			t.Fatalf("not in time: %s", what)
		case <-look.C:
		}
	}
}
