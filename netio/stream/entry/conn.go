package entry

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// conn is one accepted connection, with the addresses that a PROXY header tells. Until it is
// handed on, its bytes are read by one goroutine, which puts back what it only looked at.
type conn struct {
	net.Conn
	entry         *Entry
	local, remote netip.AddrPort
	first         []byte // read from Conn, not yet by Read
	place         place
	closing       sync.Once
	handed        bool // the HTTP server closes it; under the entry's mutex
}

func newConn(e *Entry, c net.Conn) *conn {
	return &conn{Conn: c, entry: e, local: addrPort(c.LocalAddr()), remote: addrPort(c.RemoteAddr())}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	if c.first = c.first[n:]; len(c.first) == 0 {
		c.first = nil
	}
	return n, nil
}

// LocalAddr and RemoteAddr implement net.Conn: what the PROXY header says, if there was one.
func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// Close implements net.Conn; the place is free from then on.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() { c.entry.room.leave(c) })
	return err
}

// CloseWrite ends one direction, as crypto/tls and HTTP's server do where they can.
func (c *conn) CloseWrite() error {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		return t.CloseWrite()
	}
	return nil
}

// NetConn returns the connection below, as crypto/tls does: its socket has options.
func (c *conn) NetConn() net.Conn { return c.Conn }

// within sets one deadline for all that is read and written from now on.
func (c *conn) within(d time.Duration) { c.SetDeadline(time.Now().Add(d)) }

// without takes it away.
func (c *conn) without() { c.SetDeadline(time.Time{}) }
