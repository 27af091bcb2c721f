// Package entry is where TCP comes in: it accepts connections, finds out what each speaks and
// hands it to whom that concerns. On the plain port (3478) that is TURN and ICE-TCP; on the
// TLS port (443) it is these two, TLS around them or around HTTP, plain HTTP, which is told to
// use https, and TLS for names of somebody else, which is passed on as it is. It never reads
// more than it needs to decide, and never tries a second protocol on bytes that were not of
// the first: what is unknown is closed without a word.
//
// A connection goes: room (bounds) -> PROXY header, if it comes from a configured proxy ->
// Classify -> TLS, its name, its ALPN or Classify once more -> the stream callback, or HTTP's
// listener, or a target. It has one goroutine all that way, the stream callback included; what
// HTTP has got is served and closed by its server. Everything exported may be called from any
// goroutine.
//
// Every bound, where it is, and what happens at it:
//
//	connections                32,768  Config.MaxConnections    closed at once
//	 of one address            4,096   Config.MaxPerAddress     closed at once
//	 not known for what        2,048   Config.MaxHalfOpen       the oldest is closed
//	  of one address           512     Config.MaxHalfOpenPer    its oldest is closed
//	PROXY header               5 s     Config.HeaderTimeout     closed
//	 bytes, v1 and v2          107,536 maxProxyV1, maxProxyV2   closed
//	first bytes                5 s     Config.SniffTimeout      closed
//	 of them                   16      SniffBytes               decided
//	TLS handshake              10 s    Config.HandshakeTimeout  closed
//	 ClientHello               16 KiB  maxHello                 closed
//	 server name               253     maxName                  unrecognized_name
//	 computed at a time        2/CPU   Config.MaxHandshakes     waits
//	 waiting for that          2 s     Config.QueueTimeout      closed
//	plain HTTP request         4 KiB   maxRequest               400
//	target of a pass-through   5 s     Config.DialTimeout       closed
//	 client after its target   30 s    passLinger               closed
//	waiting for HTTP's server  5 s     Config.SniffTimeout      closed
//	log lines of faults        1/s     faultInterval            counted alone
//
// How long a passed-through connection may idle is its target's to say. What HTTP and streams hold is theirs to bound.
package entry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/stream"
)

// ServeStream serves a connection that speaks TURN or ICE-TCP, as info.Carrier says, and
// returns when it is over. first are bytes of it that were read already; they belong to the
// callee. The connection has no deadlines set. It is closed when the callback returns.
type ServeStream func(c net.Conn, first []byte, info stream.Info)

// Entry accepts and hands on. Close ends it.
type Entry struct {
	cfg    Config
	serve  ServeStream
	tls    *tls.Config
	refuse *tls.Config // without certificates: unrecognized_name
	certs  *certificates
	room   room
	slots  chan struct{} // a handshake that computes has put one in
	http   *httpListener
	counts counters
	faults faultLog

	mu        sync.Mutex
	listeners []net.Listener
	closed    bool
	ctx       context.Context // done when the entry is closed
	cancel    context.CancelFunc
	running   sync.WaitGroup // loops of accepting, connections that were not handed to HTTP
}

// New returns an entry without listeners. It reads the certificate files: one that is missing
// or bad is an error now, and later only a line in the log.
func New(cfg Config, serve ServeStream) (*Entry, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Entry{cfg: cfg, serve: serve, slots: make(chan struct{}, cfg.MaxHandshakes)}
	e.faults.log = cfg.Log
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.room = room{
		counts: &e.counts, max: cfg.MaxConnections, maxPer: cfg.MaxPerAddress,
		maxHalf: cfg.MaxHalfOpen, maxHalfPer: cfg.MaxHalfOpenPer,
		conns: make(map[*conn]struct{}), sources: make(map[netip.Addr]*source),
	}
	e.http = newHTTPListener()
	if e.certs, err = loadCertificates(cfg, &e.counts); err != nil {
		return nil, err
	}
	e.configureTLS()
	return e, nil
}

// AddPlain accepts TURN and ICE-TCP from l, which the entry closes at its end.
func (e *Entry) AddPlain(l net.Listener) { e.add(l, e.servePlain) }

// AddTLS accepts everything from l, which the entry closes at its end.
func (e *Entry) AddTLS(l net.Listener) {
	e.http.setAddr(l.Addr())
	e.add(l, e.serveAny)
}

// HTTP returns the listener of connections that speak HTTP inside TLS, for http.Server.Serve.
// Their requests have TLS and RemoteAddr set; a PROXY header's address is RemoteAddr's. Its
// Close leaves the entry as it is: HTTP is closed at once then.
func (e *Entry) HTTP() net.Listener { return e.http }

// Reload reads the certificate files again now, changed or not. Pairs that are bad keep what
// they were; the error tells which.
func (e *Entry) Reload() error { return e.certs.reload(true) }

func (e *Entry) add(l net.Listener, serve func(*conn)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		l.Close()
		return
	}
	e.listeners = append(e.listeners, l)
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		e.accept(l, serve)
	}()
}

// Bounds of the wait after an accept that failed: the process has no descriptor left, say,
// which asking again at once does not mend.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

func (e *Entry) accept(l net.Listener, serve func(*conn)) {
	backoff := minBackoff
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.counts.inc(acceptErrors)
			e.faults.warn("TCP accept", "listener", l.Addr().String(), "err", err)
			if !e.wait(backoff) {
				return
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		e.begin(newConn(e, nc), serve)
	}
}

// wait is false if the entry was closed in the meantime.
func (e *Entry) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// begin serves a connection on a goroutine of its own, if there is room.
func (e *Entry) begin(c *conn, serve func(*conn)) {
	e.counts.inc(accepted)
	e.mu.Lock()
	if e.closed || !e.room.enter(c) {
		e.mu.Unlock()
		c.Conn.Close()
		return
	}
	e.running.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.running.Done()
		if !e.identify(c) {
			c.Close()
			return
		}
		serve(c)
	}()
}

// identify finds out who is at the other end, asking a proxy, and counts it.
func (e *Entry) identify(c *conn) bool {
	if isPeer(e.cfg.ProxyPeers, c.remote.Addr()) {
		c.within(e.cfg.HeaderTimeout)
		h, err := c.readProxyHeader()
		if err != nil {
			e.counts.inc(proxyBad)
			e.cfg.Log.Debug("PROXY header", "proxy", c.remote, "err", err)
			return false
		}
		e.counts.inc(proxied)
		if !h.Local {
			c.local, c.remote = h.Destination, h.Source
		}
	}
	return e.room.comesFrom(c, c.remote.Addr())
}

// readProxyHeader reads up to the end of the header. What was read beyond it is put back.
func (c *conn) readProxyHeader() (ProxyHeader, error) {
	var buf [maxProxyV2]byte
	for n := 0; ; {
		more, err := c.Conn.Read(buf[n:])
		n += more
		h, size, bad := ParseProxyHeader(buf[:n])
		switch {
		case bad != nil:
			return h, bad
		case size > 0:
			if size < n {
				c.first = append([]byte(nil), buf[size:n]...)
			}
			return h, nil
		case err != nil:
			return h, err
		}
	}
}

// sniff reads as few bytes as tell what r speaks and returns them. It reads no more than
// SniffBytes.
func (e *Entry) sniff(c *conn, r net.Conn) (Kind, []byte) {
	c.within(e.cfg.SniffTimeout)
	first := make([]byte, 0, SniffBytes)
	for {
		n, err := r.Read(first[len(first):SniffBytes])
		first = first[:len(first)+n]
		if kind, enough := Classify(first); enough {
			if kind == Unknown {
				e.counts.inc(unknownProtocol)
			}
			return kind, first
		}
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				e.counts.inc(sniffTimeout)
			} else {
				e.counts.inc(closedEarly)
			}
			return Unknown, first
		}
	}
}

// servePlain serves a connection of the plain port.
func (e *Entry) servePlain(c *conn) {
	defer c.Close()
	switch kind, first := e.sniff(c, c); kind {
	case TURN, ICETCP:
		e.stream(c, c, kind, first)
	case TLS, HTTP:
		e.counts.inc(unknownProtocol) // not here
	}
}

// serveAny serves a connection of the TLS port.
func (e *Entry) serveAny(c *conn) {
	switch kind, first := e.sniff(c, c); kind {
	case TURN, ICETCP:
		e.stream(c, c, kind, first)
	case HTTP:
		c.unread(first)
		e.redirect(c)
	case TLS:
		c.unread(first)
		if e.serveTLS(c) {
			return // HTTP's server closes it
		}
	}
	c.Close()
}

// unread puts bytes back in front of what comes.
func (c *conn) unread(b []byte) { c.first = append(b, c.first...) }

// stream hands a connection over and returns when it is over. w is c, or TLS around it.
func (e *Entry) stream(c *conn, w net.Conn, kind Kind, first []byte) {
	info := stream.Info{Local: c.local, Remote: c.remote, Carrier: flow.TURNStream, TLS: w != net.Conn(c)}
	count := turnStreams
	if kind == ICETCP {
		info.Carrier, count = flow.FramedStream, iceStreams
	}
	if !e.room.settle(c) {
		return
	}
	e.counts.inc(count)
	c.without()
	e.serve(w, first, info)
	w.Close()
}

// Shutdown stops accepting, closes what is half open, and waits for the streams to be over
// until ctx is done; then it is Close. HTTP's connections are its server's.
func (e *Entry) Shutdown(ctx context.Context) error {
	e.stop()
	e.room.each(func(c *conn) {
		if e.room.isHalf(c) {
			c.Conn.Close()
		}
	})
	over := make(chan struct{})
	go func() {
		e.running.Wait()
		close(over)
	}()
	var err error
	select {
	case <-over:
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.Close()
	<-over
	return err
}

// Close stops accepting, closes every connection but those that HTTP's server has, and waits
// for their goroutines.
func (e *Entry) Close() {
	e.stop()
	e.room.each(func(c *conn) {
		if !e.isHanded(c) {
			c.Conn.Close()
		}
	})
	e.running.Wait()
}

// stop closes the listeners.
func (e *Entry) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	e.cancel()
	for _, l := range e.listeners {
		l.Close()
	}
	e.http.Close()
}

func (e *Entry) isHanded(c *conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return c.handed
}
