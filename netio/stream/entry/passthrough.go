package entry

import (
	"context"
	"io"
	"net"
)

// passThrough connects to the target, writes what was read of the ClientHello and copies both
// ways until both ends have closed.
func (e *Entry) passThrough(c *conn, hello []byte) {
	if !e.room.settle(c) {
		return
	}
	target, err := e.dial()
	if err != nil {
		e.counts.inc(passthroughError)
		e.cfg.Log.Warn("pass-through", "target", e.cfg.Passthrough, "err", err)
		return
	}
	defer target.Close()
	c.without()
	if e.cfg.PassthroughProxy != 0 {
		header, err := proxyHeader(e.cfg.PassthroughProxy, c.remote, c.local)
		if err != nil {
			e.counts.inc(passthroughError)
			e.cfg.Log.Warn("pass-through", "remote", c.remote, "err", err)
			return
		}
		hello = append(header, hello...)
	}
	e.counts.inc(passedThrough)
	c.unread(hello)
	up := make(chan struct{})
	go func() {
		defer close(up)
		copyStream(target, c)
	}()
	copyStream(c, target)
	<-up
}

// dial connects to the target, until the entry is closed.
func (e *Entry) dial() (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.DialTimeout)
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-e.done:
			cancel()
		case <-stopped:
		}
	}()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.cfg.Passthrough)
	if err != nil {
		return nil, err
	}
	return nc.(*net.TCPConn), nil
}

// halfCloser is what both ends are.
type halfCloser interface {
	io.ReadWriter
	CloseWrite() error
	Close() error
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
