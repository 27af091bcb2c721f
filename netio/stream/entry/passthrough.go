package entry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"
)

// passLinger is how long a client may leave its side open after the target has closed its own:
// TLS has no use for that, and who wanted to hold a place would only have to not close.
const passLinger = 30 * time.Second

// passThrough connects to the target, writes what was read of the client and copies both ways
// until both ends have closed.
func (e *Entry) passThrough(c *conn, hello []byte) {
	if !e.room.settle(c) {
		return
	}
	c.without()
	target, err := e.dial()
	if err == nil {
		defer target.Close()
		err = e.introduce(target, c, hello)
	}
	if err != nil {
		e.counts.inc(passthroughError)
		e.faults.warn("pass-through", "target", e.cfg.Passthrough, "remote", c.remote, "err", err)
		return
	}
	e.counts.inc(passedThrough)
	var client halfCloser = c
	if t, ok := c.Conn.(*net.TCPConn); ok {
		client = t // between two of these the kernel copies, without buffers of ours
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		copyStream(target, client)
	}()
	copyStream(client, target)
	client.SetReadDeadline(time.Now().Add(passLinger))
	<-up
}

// introduce writes what the target has to see first: the client's address, if it asks for
// that, and the bytes that told us whom they are for.
func (e *Entry) introduce(target net.Conn, c *conn, hello []byte) error {
	var header []byte
	if e.cfg.PassthroughProxy != 0 {
		h, err := proxyHeader(e.cfg.PassthroughProxy, c.remote, c.local)
		if err != nil {
			return err
		}
		header = h
	}
	target.SetWriteDeadline(time.Now().Add(e.cfg.DialTimeout))
	defer target.SetWriteDeadline(time.Time{})
	buffers := net.Buffers{header, hello, c.first}
	c.first = nil
	_, err := buffers.WriteTo(target)
	return err
}

var errOurselves = errors.New("the target is this server: each connection would become another one, without end")

// dial connects to the target, until the entry is closed.
func (e *Entry) dial() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.DialTimeout)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.cfg.Passthrough)
	if err != nil {
		return nil, err
	}
	if e.listensAt(addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr()).Addr()) {
		nc.Close()
		return nil, errOurselves
	}
	return nc.(*net.TCPConn), nil
}

// listensAt reports whether a listener of ours has that address. own is how we are called by
// who is there: if that is the same address, a listener of all addresses is meant as well.
func (e *Entry) listensAt(a netip.AddrPort, own netip.Addr) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.listeners, func(l net.Listener) bool {
		at := addrPort(l.Addr())
		return at == a || at.Port() == a.Port() && at.Addr().IsUnspecified() && a.Addr() == own
	})
}

// halfCloser is what both ends are.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// copyStream copies one way. An end of the bytes is passed on as such; an error ends both
// ways, so that neither waits for an end that will not come.
func copyStream(to, from halfCloser) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	to.CloseWrite()
}
