package entry

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// httpListener gives connections to an HTTP server, one at a time and without a queue: what
// nobody takes is closed by who offers it.
type httpListener struct {
	conns   chan net.Conn
	closed  chan struct{}
	closing sync.Once

	mu   sync.Mutex
	addr net.Addr
}

func newHTTPListener() *httpListener {
	return &httpListener{conns: make(chan net.Conn), closed: make(chan struct{}), addr: &net.TCPAddr{}}
}

// Accept implements net.Listener.
func (l *httpListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *httpListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener: the address of the TLS port.
func (l *httpListener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addr
}

func (l *httpListener) setAddr(a net.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addr = a
}

// offer reports whether somebody took the connection within d.
func (l *httpListener) offer(c net.Conn, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case l.conns <- c:
		return true
	case <-l.closed:
	case <-t.C:
	}
	return false
}

// sniffedConn is TLS of which the first bytes were read already. net/http asks it for the
// state of TLS as it asks a tls.Conn.
type sniffedConn struct {
	*tls.Conn
	first []byte
}

// Read implements net.Conn.
func (s *sniffedConn) Read(b []byte) (int, error) {
	if len(s.first) == 0 {
		return s.Conn.Read(b)
	}
	n := copy(b, s.first)
	s.first = s.first[n:]
	return n, nil
}

// giveHTTP hands a connection to HTTP's server; false: the caller closes it.
func (e *Entry) giveHTTP(c *conn, t *tls.Conn, first []byte) bool {
	if !e.room.settle(c) {
		return false
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return false
	}
	c.handed = true
	e.mu.Unlock()
	c.without()
	var w net.Conn = t
	if len(first) > 0 {
		w = &sniffedConn{t, first}
	}
	if !e.http.offer(w, e.cfg.SniffTimeout) {
		e.counts.inc(httpRefused)
		return false
	}
	e.counts.inc(httpConns)
	return true
}

// redirect answers a plain request on the TLS port: the same place by https, or 400.
func (e *Entry) redirect(c *conn) {
	request, err := http.ReadRequest(bufio.NewReaderSize(io.LimitReader(c, maxRequest), SniffBytes))
	to, ok := "", false
	if err == nil {
		to, ok = secure(request)
	}
	if !ok {
		e.counts.inc(badRequest)
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	} else {
		e.counts.inc(redirected)
		fmt.Fprintf(c, "HTTP/1.1 308 Permanent Redirect\r\nLocation: %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", to)
	}
	// Closed at once, what the client has sent meanwhile would reset the connection before
	// it has read the answer.
	c.CloseWrite()
	io.CopyN(io.Discard, c, maxRequest)
}

// secure is the URL of a request by https; false: there is no telling.
func secure(r *http.Request) (string, bool) {
	if !isHost(r.Host) || r.Method == http.MethodConnect {
		return "", false
	}
	u := url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path, u.RawPath = "/", "" // OPTIONS *
	}
	return u.String(), true
}

// isHost reports whether s is a host name or an address, with a port or not, and nothing that
// would make the rest of a URL mean something else.
func isHost(s string) bool {
	if s == "" || len(s) > maxName+len(":65535") {
		return false
	}
	u, err := url.Parse("https://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && r != ':' && r != '[' && r != ']' &&
			(r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}
