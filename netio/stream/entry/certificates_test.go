package entry

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// served returns the serial number of the certificate that a client is shown.
func (r *rig) served(cfg *tls.Config) (int64, error) {
	nc, err := net.Dial("tcp", r.tls)
	if err != nil {
		return 0, err
	}
	c := tls.Client(nc, cfg)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestCertificateIsChosenByName(t *testing.T) {
	a := newAuthority(t)
	first, turn := a.files(t, "turn.example.com", "alias.example.com")
	second, wildcard := a.files(t, "*.example.com")
	third, web := a.files(t, "WWW.example.org")
	r := start(t, Config{Certificates: []CertificateFiles{first, second, third}})
	for name, want := range map[string]int64{
		"turn.example.com": turn, "alias.example.com": turn, "x.example.com": wildcard, "www.example.org": web,
		"x.y.example.com": 0, "example.com": 0, "example.org": 0, "com": 0,
	} {
		if got, err := r.served(&tls.Config{ServerName: name, RootCAs: a.pool}); got != want || (err == nil) != (want != 0) {
			t.Errorf("%s: certificate %d, %v; want %d", name, got, err, want)
		}
	}
	if got, err := r.served(&tls.Config{InsecureSkipVerify: true}); got != turn || err != nil {
		t.Errorf("no name: certificate %d, %v; want the first one, %d", got, err, turn)
	}
}

func TestCertificateIsChosenByWhatTheClientCanVerify(t *testing.T) {
	a := newAuthority(t)
	elliptic, serial := a.files(t, "turn.example.com")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(99), DNSNames: []string{"turn.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	classic, _ := a.files(t, "turn.example.com")
	write(t, classic.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, classic.Key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	r := start(t, Config{Certificates: []CertificateFiles{elliptic, classic}})
	cfg := &tls.Config{ServerName: "turn.example.com", RootCAs: a.pool, MaxVersion: tls.VersionTLS12}
	for suite, want := range map[uint16]int64{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: serial, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 99} {
		cfg.CipherSuites = []uint16{suite}
		if got, err := r.served(cfg); got != want || err != nil {
			t.Errorf("%s: certificate %d, %v; want %d", tls.CipherSuiteName(suite), got, err, want)
		}
	}
}

// Row TURN-13.
func TestCertificateIsReloadedDuringAFloodOfHandshakes(t *testing.T) {
	a := newAuthority(t)
	f, serial := a.files(t, "turn.example.com")
	r := start(t, Config{Certificates: []CertificateFiles{f}, ReloadInterval: time.Millisecond})
	cfg := &tls.Config{ServerName: "turn.example.com", RootCAs: a.pool}

	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 8 {
		flood.Add(1)
		go func() {
			defer flood.Done()
			last := int64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := r.served(cfg)
				if err != nil || got < last {
					t.Errorf("certificate %d after %d: %v", got, last, err)
					return
				}
				last = got
			}
		}()
	}
	for range 10 {
		var cert, key []byte
		before := serial
		cert, key, serial = a.pem(t, "turn.example.com")
		write(t, f.Certificate, cert) // the key does not fit for a moment
		waitFor(t, "the old certificate is served while the pair does not fit", func() bool {
			got, err := r.served(cfg)
			return err == nil && got == before
		})
		write(t, f.Key, key)
		waitFor(t, "the new certificate is served", func() bool { got, err := r.served(cfg); return err == nil && got == serial })
	}
	close(stop)
	flood.Wait()
	if n := r.Counters()["entry_tls_failed"]; n != 0 {
		t.Errorf("%d handshakes failed", n)
	}
}

func TestBadCertificateKeepsTheOneBeforeAndIsLoggedOnce(t *testing.T) {
	a := newAuthority(t)
	f, serial := a.files(t, "turn.example.com")
	r := start(t, Config{Certificates: []CertificateFiles{f}, ReloadInterval: time.Nanosecond})
	cfg := &tls.Config{ServerName: "turn.example.com", RootCAs: a.pool}
	bad := func(what string, n uint64) {
		t.Helper()
		for range 5 { // each looks at the files
			if got, err := r.served(cfg); got != serial || err != nil {
				t.Errorf("%s: certificate %d, %v; want %d", what, got, err, serial)
			}
		}
		if got := r.Counters()["entry_certificate_errors"]; got != n {
			t.Errorf("%s: %d errors counted, want %d", what, got, n)
		}
		if got := strings.Count(r.log.String(), "the ones before stay"); got != int(n) {
			t.Errorf("%s: %d lines in the log, want %d", what, got, n)
		}
	}
	good, err := os.ReadFile(f.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f.Certificate, []byte("no certificate"))
	bad("garbage", 1)
	if err := os.Remove(f.Certificate); err != nil {
		t.Fatal(err)
	}
	bad("no file", 2)
	if err := r.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload: %v", err)
	}
	write(t, f.Certificate, good)
	if got, err := r.served(cfg); got != serial || err != nil {
		t.Errorf("certificate %d, %v; want %d", got, err, serial)
	}
	cert, key, next := a.pem(t, "turn.example.com", "new.example.com")
	write(t, f.Key, key)
	write(t, f.Certificate, cert)
	if err := r.Reload(); err != nil {
		t.Error(err)
	}
	cfg.ServerName = "new.example.com"
	if got, err := r.served(cfg); got != next || err != nil {
		t.Errorf("certificate %d, %v; want %d, with its new name", got, err, next)
	}
}

// Between two looks the files may do what they want.
func TestFilesAreNotLookedAtByEveryHandshake(t *testing.T) {
	a := newAuthority(t)
	f, serial := a.files(t, "turn.example.com")
	r := start(t, Config{Certificates: []CertificateFiles{f}, ReloadInterval: time.Hour})
	cfg := &tls.Config{ServerName: "turn.example.com", RootCAs: a.pool}
	if _, err := r.served(cfg); err != nil {
		t.Fatal(err)
	}
	cert, key, _ := a.pem(t, "turn.example.com")
	write(t, f.Certificate, cert)
	write(t, f.Key, key)
	if got, err := r.served(cfg); got != serial || err != nil {
		t.Errorf("certificate %d, %v; want %d", got, err, serial)
	}
}

func TestCertificatesOfTheHook(t *testing.T) {
	a := newAuthority(t)
	f, file := a.files(t, "turn.example.com")
	cert, key, serial := a.pem(t, "acme.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	hook := func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, info.ServerName+" "+strings.Join(info.SupportedProtos, ","))
		return &pair, nil
	}
	r := start(t, Config{Certificates: []CertificateFiles{f}, Names: []string{"ACME.example.com"}, GetCertificate: hook})
	for name, want := range map[string]int64{"acme.example.com": serial, "turn.example.com": file} {
		if got, err := r.served(&tls.Config{ServerName: name, RootCAs: a.pool}); got != want || err != nil {
			t.Errorf("%s: certificate %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := r.served(&tls.Config{ServerName: "other.example.com", RootCAs: a.pool}); err == nil {
		t.Error("a name that is nobody's was served")
	}
	// A challenge (RFC 8737): the handshake is the answer, and nothing follows it.
	nc := r.dial(r.tls, nil)
	c := tls.Client(nc, &tls.Config{ServerName: "acme.example.com", RootCAs: a.pool, NextProtos: []string{"acme-tls/1"}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != "acme-tls/1" {
		t.Errorf("protocol %q", got)
	}
	r.silent(c)
	r.count("entry_acme_challenges", 1)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"acme.example.com ", "acme.example.com acme-tls/1"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// A client that cannot be given a certificate yet is refused, and TURN without TLS goes on.
func TestHookWithoutACertificateYet(t *testing.T) {
	r := start(t, Config{Names: []string{"acme.example.com"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("not obtained yet")
	}})
	if _, err := r.served(&tls.Config{ServerName: "acme.example.com"}); err == nil {
		t.Error("no error")
	}
	r.count("entry_tls_failed", 1)
	nc := r.dial(r.tls, allocate)
	r.echoed(nc, allocate)
	if !bytes.Contains([]byte(r.log.String()), []byte("not obtained yet")) {
		t.Error("the log does not say why")
	}
}
