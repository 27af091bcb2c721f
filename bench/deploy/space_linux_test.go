package deploy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/netio/mmsg/netns"
	"tsubame/netio/stream/certtest"
)

// What the files call the server and its names, and where its clients are (RFC 5737, RFC 3849).
const (
	server4, client4 = "192.0.2.1", "192.0.2.9"
	server6, client6 = "2001:db8::1", "2001:db8::9"

	turnName, webName, siteName = "turn.example.com", "sfu.example.com", "www.example.com"
)

// patience bounds everything that is waited for.
const patience = 20 * time.Second

// space is a machine in a network namespace, and another one for its clients.
type space struct {
	t                      *testing.T
	serverSide, clientSide *netns.Namespace
	roots                  *x509.CertPool
	certificate            tls.Certificate
	chainFile, keyFile     string
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{t: t, serverSide: netns.New(t), clientSide: netns.New(t)}
	s.serverSide.Join("server0", s.clientSide, "client0")
	for _, a := range []string{server4 + "/24", server6 + "/64 nodad"} {
		s.serverSide.IP("addr add " + a + " dev server0")
	}
	for _, a := range []string{client4 + "/24", client6 + "/64 nodad"} {
		s.clientSide.IP("addr add " + a + " dev client0")
	}
	s.certify()
	return s
}

// certify makes the certificate of all names, which its clients trust.
func (s *space) certify() {
	s.t.Helper()
	authority := certtest.New(s.t)
	pair := authority.Issue(s.t, turnName, webName, siteName)
	s.roots, s.certificate = authority.Pool, pair.TLS(s.t)
	s.chainFile, s.keyFile = pair.Files(s.t)
}

// dial connects from the clients' namespace.
func (s *space) dial(address string) net.Conn {
	s.t.Helper()
	var conn net.Conn
	var err error
	s.clientSide.Do(func() { conn, err = net.DialTimeout("tcp", address, patience) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// secure is dial, with TLS to a name.
func (s *space) secure(address, name string) *tls.Conn {
	s.t.Helper()
	conn := tls.Client(s.dial(address), &tls.Config{ServerName: name, RootCAs: s.roots})
	if err := conn.Handshake(); err != nil {
		s.t.Fatalf("TLS with %s: %v", name, err)
	}
	return conn
}

// browser is an HTTP client in a namespace that finds every name at the address given.
func (s *space) browser(from *netns.Namespace, address string) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.roots},
		DialContext: func(_ context.Context, _, _ string) (conn net.Conn, err error) {
			from.Do(func() { conn, err = net.DialTimeout("tcp", address, patience) })
			return conn, err
		},
	}}
}

// listen opens a port in the server's namespace until the test ends.
func (s *space) listen(address string) net.Listener {
	s.t.Helper()
	var l net.Listener
	var err error
	s.serverSide.Do(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	return l
}

// mirror stands for a server behind nginx: it hands over the first line that comes, which is to
// be a PROXY header, and sends back what follows.
func (s *space) mirror(address string, ending *tls.Config) <-chan string {
	s.t.Helper()
	l, headers := s.listen(address), make(chan string, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				r := bufio.NewReader(conn)
				header, err := r.ReadString('\n')
				if err != nil {
					return // the test waits for a header in vain, and says so
				}
				headers <- header
				var what io.ReadWriter = struct {
					io.Reader
					io.Writer
				}{r, conn}
				if ending != nil {
					what = tls.Server(buffered{conn, r}, ending)
				}
				_, _ = io.Copy(what, what)
			}()
		}
	}()
	return headers
}

// buffered is a connection of which something has been read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// proxied is what a PROXY header says (version 1, "PROXY TCP4 source destination port port").
type proxied struct{ source, destination netip.AddrPort }

func parseHeader(header string) (p proxied, err error) {
	f := strings.Fields(header)
	if len(f) != 6 || f[0] != "PROXY" || !strings.HasSuffix(header, "\r\n") {
		return p, errors.New("no header with two addresses")
	}
	for i, to := range []*netip.AddrPort{&p.source, &p.destination} {
		a, err := netip.ParseAddr(f[2+i])
		if err != nil {
			return p, err
		}
		if family := map[bool]string{true: "TCP4", false: "TCP6"}[a.Is4()]; family != f[1] {
			return p, errors.New("an address of another family")
		}
		ap, err := netip.ParseAddrPort(net.JoinHostPort(f[2+i], f[4+i]))
		if err != nil {
			return p, err
		}
		*to = ap
	}
	return p, nil
}

// requireHeader waits for the header of the next connection, which has to name its client.
func (s *space) requireHeader(headers <-chan string, client net.Conn) proxied {
	s.t.Helper()
	select {
	case header := <-headers:
		p, err := parseHeader(header)
		if err != nil {
			s.t.Fatalf("%q: %v", header, err)
		}
		if p.source.String() != client.LocalAddr().String() {
			s.t.Errorf("%q for a client at %v", header, client.LocalAddr())
		}
		return p
	case <-time.After(patience):
		s.t.Fatal("nobody was connected")
		return proxied{}
	}
}

// requireEcho sends a STUN Binding request and waits until it comes back.
func (s *space) requireEcho(conn net.Conn) {
	s.t.Helper()
	request := []byte("\x00\x01\x00\x00\x21\x12\xa4\x42Tsubame tests")[:20]
	if _, err := conn.Write(request); err != nil {
		s.t.Fatal(err)
	}
	got := make([]byte, len(request))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(request) {
		s.t.Fatalf("%q, %v", got, err)
	}
}

// repository returns the text of a file.
func repository(t *testing.T, name string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
