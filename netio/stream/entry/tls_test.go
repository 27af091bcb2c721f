package entry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tsubame/netio/flow"
)

// serveHTTP runs a server on the entry's HTTP connections that answers with what it knows of
// its client.
func (r *rig) serveHTTP() *http.Server {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.TLS == nil {
			http.Error(w, "no TLS", http.StatusInternalServerError)
			return
		}
		local := q.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		io.WriteString(w, strings.Join([]string{q.RemoteAddr, local, q.TLS.ServerName, q.TLS.NegotiatedProtocol, q.Host}, " "))
	})}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := s.Serve(r.HTTP()); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			r.t.Error(err)
		}
	}()
	r.t.Cleanup(func() {
		s.Close()
		<-over
	})
	return s
}

// get asks for a page over an established connection.
func get(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: turn.example.com\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200 OK\r\n")) {
		t.Fatalf("%q, %v", b, err)
	}
	_, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	return string(body)
}

func TestALPNDecidesWhatIsInsideTLS(t *testing.T) {
	r := start(t, Config{})
	r.serveHTTP()
	c := r.dialTLS(r.client("turn.example.com", "h2", "http/1.1"))
	want := strings.Join([]string{c.LocalAddr().String(), r.tls, "turn.example.com", "http/1.1", "turn.example.com"}, " ")
	if got := get(t, c); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, protocol := range []string{"stun.turn", "stun.nat-discovery"} {
		before := len(r.streams.seen())
		c := r.dialTLS(r.client("turn.example.com", protocol))
		if _, err := c.Write(allocate); err != nil {
			t.Fatal(err)
		}
		r.echoed(c, allocate)
		if info := r.streams.seen()[before]; info.Carrier != flow.TURNStream || !info.TLS || info.Remote != portOf(c.LocalAddr()) {
			t.Errorf("%s: %v", protocol, info)
		}
	}
	r.count("entry_tls_streams", 3)
	r.count("entry_http", 1)
}

func TestWithoutALPNTheBytesInsideDecide(t *testing.T) {
	r := start(t, Config{})
	r.serveHTTP()
	c := r.dialTLS(r.client("turn.example.com"))
	want := strings.Join([]string{c.LocalAddr().String(), r.tls, "turn.example.com", "", "turn.example.com"}, " ")
	if got := strings.TrimSpace(get(t, c)); got != strings.TrimSpace(want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, p := range []struct {
		first   []byte
		carrier flow.Carrier
	}{{allocate, flow.TURNStream}, {framed, flow.FramedStream}} {
		before := len(r.streams.seen())
		c := r.dialTLS(r.client("turn.example.com"))
		for i := range p.first {
			if _, err := c.Write(p.first[i : i+1]); err != nil { // a record each
				t.Fatal(err)
			}
		}
		r.echoed(c, p.first)
		if info := r.streams.seen()[before]; info.Carrier != p.carrier || !info.TLS {
			t.Errorf("%v", info)
		}
	}
}

// Row TURN-14.
func TestWhatIsUnknownInsideTLSIsClosed(t *testing.T) {
	r := start(t, Config{SniffTimeout: 50 * time.Millisecond})
	for _, first := range [][]byte{sshBanner, channel, []byte(v1IPv4), clientHello(t, r.client("turn.example.com")), nil} {
		c := r.dialTLS(r.client("turn.example.com"))
		if _, err := c.Write(first); err != nil {
			t.Fatal(err)
		}
		r.silent(c)
	}
	r.count("entry_unknown_protocol", 4)
	r.count("entry_sniff_timeout", 1)
}

// coturn's client offers http/1.1 before TURN; no client of HTTP offers TURN.
func TestWhoOffersTURNBesideHTTPWantsTURN(t *testing.T) {
	r := start(t, Config{})
	r.serveHTTP()
	c := r.dialTLS(r.client("turn.example.com", "http/1.1", "stun.turn", "stun.nat-discovery"))
	if got := c.ConnectionState().NegotiatedProtocol; got != "stun.turn" {
		t.Errorf("chose %q", got)
	}
	if _, err := c.Write(allocate); err != nil {
		t.Fatal(err)
	}
	r.echoed(c, allocate)
}

// What ALPN said is not tried as anything else: HTTP that called itself TURN does not reach
// the HTTP server, nor the other way round. Who offers nothing of ours gets no connection.
//
// Rows TURN-13 and TURN-14.
func TestALPNThatDoesNotFitIsRefused(t *testing.T) {
	r := start(t, Config{})
	r.serveHTTP()
	c := r.dialTLS(r.client("turn.example.com", "stun.turn"))
	if _, err := c.Write(getRequest); err != nil {
		t.Fatal(err)
	}
	r.echoed(c, getRequest) // by the streams' server
	if n := r.Counters()["entry_http"]; n != 0 {
		t.Errorf("%d requests reached HTTP", n)
	}
	c = r.dialTLS(r.client("turn.example.com", "http/1.1"))
	if _, err := c.Write(append(bytes.Clone(allocate), "\r\n\r\n"...)); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(c); !bytes.HasPrefix(b, []byte("HTTP/1.1 400 ")) {
		t.Errorf("%q", b)
	}
	if n := len(r.streams.seen()); n != 1 {
		t.Errorf("%d streams, want that of the first client", n)
	}
	for _, protocols := range [][]string{{"h2"}, {"webrtc"}, {"acme-tls/1"}, {"h2", "ftp"}} {
		nc := tls.Client(r.dial(r.tls, nil), r.client("turn.example.com", protocols...))
		if err := nc.Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%v: %v, want the alert no_application_protocol", protocols, err)
		}
	}
	r.count("entry_tls_failed", 4)
}

// Row TURN-13.
func TestVersionsBefore12AreRefused(t *testing.T) {
	r := start(t, Config{})
	old := r.client("turn.example.com")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(r.dial(r.tls, nil), old).Handshake(); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("%v, want the alert protocol_version", err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := r.client("turn.example.com")
		cfg.MaxVersion = version
		if got := r.dialTLS(cfg).ConnectionState().Version; got != version {
			t.Errorf("version %x, want %x", got, version)
		}
	}
}

// Row TURN-13.
func TestUnknownAndOversizeNamesAreRefused(t *testing.T) {
	r := start(t, Config{})
	long := strings.Repeat("a23456789.", 26) + "example.com"
	for _, name := range []string{"other.example.com", "x.turn.example.com", "example.com", long, strings.Repeat("a", 4000)} {
		cfg := r.client(name)
		if err := tls.Client(r.dial(r.tls, nil), cfg).Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%.20s: %v, want the alert unrecognized_name", name, err)
		}
	}
	r.count("entry_tls_name_refused", 5)
	// A list of names that is longer than a ClientHello may be ends it before it is read.
	huge := r.client(strings.Repeat("a", 40000))
	if err := tls.Client(r.dial(r.tls, nil), huge).Handshake(); err == nil {
		t.Error("a name of 40,000 characters was taken")
	}
	r.count("entry_tls_failed", 6)
	waitFor(t, "the log tells why", func() bool { return strings.Contains(r.log.String(), errTooLong.Error()) })
	// In any case, and without one, it is us.
	r.dialTLS(&tls.Config{ServerName: "TURN.Example.Com", RootCAs: r.pool})
	none := &tls.Config{InsecureSkipVerify: true}
	r.dialTLS(none)
}

// Rows TURN-09 and TURN-13.
func TestHandshakeHasADeadline(t *testing.T) {
	r := start(t, Config{HandshakeTimeout: 60 * time.Millisecond})
	hello := clientHello(t, r.client("turn.example.com"))
	r.silent(r.dial(r.tls, hello[:20])) // the ClientHello never ends
	nc := r.dial(r.tls, hello)          // the client never answers
	if b, err := io.ReadAll(nc); len(b) == 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d bytes, %v; want the server's side of the handshake", len(b), err)
	}
	nc = r.dial(r.tls, nil)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, b := range hello {
		if _, err := nc.Write([]byte{b}); err != nil {
			break
		}
		<-tick.C
		if r.Counters()["entry_tls_failed"] == 3 {
			break
		}
	}
	r.count("entry_tls_failed", 3)
}

// Row TURN-09.
func TestHandshakeMayComeByteByByte(t *testing.T) {
	r := start(t, Config{})
	c := tls.Client(byteByByte{r.dial(r.tls, nil)}, r.client("turn.example.com", "stun.turn"))
	defer c.Close()
	if _, err := c.Write(allocate); err != nil {
		t.Fatal(err)
	}
	r.echoed(c, allocate)
}

// byteByByte writes and reads one byte at a time.
type byteByByte struct{ *net.TCPConn }

func (b byteByByte) Read(p []byte) (int, error) { return b.TCPConn.Read(p[:min(1, len(p))]) }
func (b byteByByte) Write(p []byte) (int, error) {
	for i := range p {
		if n, err := b.TCPConn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(p), nil
}

func TestSessionsAreResumed(t *testing.T) {
	r := start(t, Config{})
	cfg := r.client("turn.example.com", "stun.turn")
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, want := range []bool{false, true} {
		c := r.dialTLS(cfg)
		if _, err := c.Write(allocate); err != nil {
			t.Fatal(err)
		}
		r.echoed(c, allocate) // the ticket has come with it
		if got := c.ConnectionState().DidResume; got != want {
			t.Errorf("resumed: %v, want %v", got, want)
		}
	}
}

func TestHTTPBehindAProxyHasTheClientsAddress(t *testing.T) {
	r := start(t, Config{ProxyPeers: everybody})
	r.serveHTTP()
	for _, protocols := range [][]string{{"http/1.1"}, nil} {
		nc := r.dial(r.tls, []byte(v2IPv6))
		c := tls.Client(nc, r.client("turn.example.com", protocols...))
		if got := get(t, c); !strings.HasPrefix(got, "[2001:db8::1]:56324 [2001:db8::2]:443 ") {
			t.Errorf("%q", got)
		}
	}
}

func TestPlainHTTPIsToldToUseHTTPS(t *testing.T) {
	r := start(t, Config{})
	for _, c := range []struct{ request, location string }{
		{"GET / HTTP/1.1\r\nHost: turn.example.com\r\n\r\n", "https://turn.example.com/"},
		{"GET /a%2Fb/c?d=e%20f&g HTTP/1.1\r\nHost: Other.Example:8443\r\n\r\n", "https://Other.Example:8443/a%2Fb/c?d=e%20f&g"},
		{"POST /whip/a HTTP/1.1\r\nHost: [2001:db8::1]\r\nContent-Length: 4000\r\n\r\nv=0", "https://[2001:db8::1]/whip/a"},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "https://a/"},
		{"GET http://a.example/b HTTP/1.1\r\nHost: c.example\r\n\r\n", "https://a.example/b"},
		{"GET //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", "https://a//evil.example/"},
	} {
		nc := r.dial(r.tls, []byte(c.request))
		nc.CloseWrite()
		want := "HTTP/1.1 308 Permanent Redirect\r\nLocation: " + c.location + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
		if got, err := io.ReadAll(nc); string(got) != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", c.request, got, err, want)
		}
	}
	r.count("entry_redirected", 6)
	for _, request := range []string{
		"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 300) + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxRequest) + "\r\n\r\n",
		"GET garbage\r\n\r\n", "GET / SSH/2.0\r\nHost: a\r\n\r\n",
	} {
		nc := r.dial(r.tls, []byte(request))
		nc.CloseWrite()
		if got, err := io.ReadAll(nc); !bytes.HasPrefix(got, []byte("HTTP/1.1 400 Bad Request\r\n")) || err != nil {
			t.Errorf("%.60q: %q, %v", request, got, err)
		}
	}
	r.count("entry_bad_requests", 13)
}

func TestHTTPThatNobodyServesIsClosed(t *testing.T) {
	r := start(t, Config{SniffTimeout: 50 * time.Millisecond})
	r.silent(r.dialTLS(r.client("turn.example.com", "http/1.1")))
	r.count("entry_http_refused", 1)
	r.HTTP().Close()
	r.silent(r.dialTLS(r.client("turn.example.com", "http/1.1")))
	r.count("entry_http_refused", 2)
	if _, err := r.HTTP().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if got := r.HTTP().Addr().String(); got != r.tls {
		t.Errorf("%s, want %s", got, r.tls)
	}
}

func TestConfigurationsThatCannotWorkAreErrors(t *testing.T) {
	good, _ := newAuthority(t).files(t, "a")
	for name, cfg := range map[string]Config{
		"no port in the target":     {Passthrough: "localhost"},
		"PROXY version 3":           {PassthroughProxy: 3},
		"names, no certificates":    {Names: []string{"a"}},
		"a certificate that is not": {Certificates: []CertificateFiles{{"/nowhere/cert.pem", good.Key}}},
		"a key that is not":         {Certificates: []CertificateFiles{{good.Certificate, "/nowhere/key.pem"}}},
		"a certificate as the key":  {Certificates: []CertificateFiles{{good.Certificate, good.Certificate}}},
	} {
		if e, err := New(cfg, nil); err == nil {
			t.Errorf("%s: no error", name)
			e.Close()
		}
	}
	if !isPeer([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, netip.MustParseAddr("::ffff:10.1.2.3")) {
		t.Error("IPv4 that came to a socket of both families is not of its network")
	}
}
