package hooks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
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
	c := newCaller(4, false)
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
	if err := c.set(to, m); err != nil {
		t.Fatal(err)
	}
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
