package entry

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// target is another web server: TLS for other.example.com with h2, which echoes.
type target struct {
	addr  string
	pool  *authority
	heads chan []byte // PROXY headers, if asked for
}

func startTarget(t *testing.T, header int) *target {
	t.Helper()
	a := newAuthority(t)
	cert, key, _ := a.pem(t, "other.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &target{addr: l.Addr().String(), pool: a, heads: make(chan []byte, 100)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				head := make([]byte, header)
				if _, err := io.ReadFull(nc, head); err != nil {
					return
				}
				g.heads <- head
				c := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-over
	})
	return g
}

func TestOtherNamesArePassedThroughByteForByte(t *testing.T) {
	g := startTarget(t, 0)
	r := start(t, Config{Passthrough: g.addr})
	cfg := &tls.Config{ServerName: "other.example.com", RootCAs: g.pool.pool, NextProtos: []string{"h2"}}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg.MinVersion, cfg.MaxVersion = version, version
		c := r.dialTLS(cfg)
		if s := c.ConnectionState(); s.NegotiatedProtocol != "h2" || s.Version != version {
			t.Fatalf("%+v", s)
		}
		sent := make([]byte, 1<<20)
		rand.Read(sent)
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes came back, %v; want the %d that were sent", len(got), err, len(sent))
		}
	}
	r.count("entry_passed_through", 2)
	r.dialTLS(r.client("turn.example.com")) // is still ours
	r.count("entry_tls_streams", 1)
}

// The target sees just the bytes that the client sent, in whatever pieces they came: nothing
// of ours is between them, nor is anything of ours sent to the client.
func TestPassedBytesAreNeitherMoreNorLess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, Config{Passthrough: l.Addr().String()})
	sent := append(clientHello(t, &tls.Config{ServerName: "other.example.com"}), "and what is sent right behind it"...)
	nc := r.dial(r.tls, nil)
	go func() {
		for piece := range slices.Chunk(sent, 100) {
			nc.Write(piece)
		}
		nc.CloseWrite()
	}()
	at, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	at.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(at); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(sent))
	}
	if _, err := io.WriteString(at, "an answer"); err != nil {
		t.Fatal(err)
	}
	at.Close()
	if got, err := io.ReadAll(nc); err != nil || string(got) != "an answer" {
		t.Errorf("%q, %v", got, err)
	}
}

// All that stood behind a PROXY header was read with it, more than crypto/tls asks for.
func TestBytesThatWereReadWithTheProxyHeaderArePassedOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, Config{Passthrough: l.Addr().String(), ProxyPeers: everybody})
	hello := clientHello(t, &tls.Config{ServerName: "other.example.com", CurvePreferences: []tls.CurveID{tls.X25519}})
	if len(hello) > 500 {
		t.Fatalf("a ClientHello of %d bytes is too long for this test", len(hello))
	}
	sent := append(hello, bytes.Repeat([]byte("0123456789"), 100)...)
	nc := r.dial(r.tls, append([]byte(v2Local), sent...))
	nc.CloseWrite()
	at, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	at.SetDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(at); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes, %v; want the %d that were sent", len(got), err, len(sent))
	}
}

func TestTargetIsToldTheClientsAddress(t *testing.T) {
	for version, size := range map[int]int{1: len(v1IPv4), 2: len(v2IPv4)} {
		g := startTarget(t, size)
		r := start(t, Config{Passthrough: g.addr, PassthroughProxy: version, ProxyPeers: everybody})
		c := tls.Client(r.dial(r.tls, []byte(v1IPv4)), &tls.Config{ServerName: "other.example.com", RootCAs: g.pool.pool})
		defer c.Close()
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		want := map[int]string{1: v1IPv4, 2: v2IPv4}[version]
		if head := <-g.heads; string(head) != want {
			t.Errorf("%q, want %q", head, want)
		}
	}
}

// Row TURN-13.
func TestOversizeNamesAreNotPassedThrough(t *testing.T) {
	g := startTarget(t, 0)
	r := start(t, Config{Passthrough: g.addr})
	cfg := &tls.Config{ServerName: strings.Repeat("a.", 130) + "example.com"}
	if err := tls.Client(r.dial(r.tls, nil), cfg).Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("%v, want the alert unrecognized_name", err)
	}
	r.count("entry_tls_name_refused", 1)
}

func TestTargetThatIsDownClosesTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	r := start(t, Config{Passthrough: addr})
	r.silent(r.dial(r.tls, clientHello(t, &tls.Config{ServerName: "other.example.com"})))
	r.count("entry_passthrough_errors", 1)
	waitFor(t, "the log says so", func() bool { return strings.Contains(r.log.String(), addr) })
}

func TestCloseEndsWhatIsPassedThrough(t *testing.T) {
	g := startTarget(t, 0)
	r := start(t, Config{Passthrough: g.addr})
	c := r.dialTLS(&tls.Config{ServerName: "other.example.com", RootCAs: g.pool.pool})
	r.Close()
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%q", b)
	}
}

func TestTargetThatIsOurselvesIsRefused(t *testing.T) {
	probe, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(probe.Addr().(*net.TCPAddr).Port)
	r := start(t, Config{Passthrough: net.JoinHostPort("127.0.0.1", port)})
	r.AddTLS(probe)
	began := time.Now()
	for range 20 {
		r.silent(r.dial(r.tls, clientHello(t, &tls.Config{ServerName: "other.example.com"})))
	}
	r.count("entry_passthrough_errors", 20)
	if n := r.Counters()["entry_passed_through"]; n != 0 {
		t.Errorf("%d were passed on", n)
	}
	if n := strings.Count(r.log.String(), "without end"); n == 0 || n > 1+int(time.Since(began)/faultInterval) {
		t.Errorf("%d lines in the log, want one a second", n)
	}
}
