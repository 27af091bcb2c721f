package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/netio"
	"tsubame/netio/flow"
	framing "tsubame/netio/stream"
)

const (
	pullBuffer = 256 << 10 // bytes read of a stream at once
	maxPulls   = 64        // of those in one poll: one stream must not stop the rest
	maxPending = 1 << 20   // bytes that the server has not taken; a client that waits for more has failed
)

var (
	errStuck  = errors.New("load: the TURN server does not read its stream")
	errAgain  = error(again{})
	errClosed = errors.New("load: the TURN server closed the stream")
)

// again is the error of a stream that has nothing more now. Package tls takes it for a timeout
// that ends nothing.
type again struct{}

func (again) Error() string   { return "load: nothing more has come" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// carrier is one client's stream to the TURN server. During the handshake it is an ordinary
// connection; from then on it belongs to a shard, which reads it by polling, and no poller of the
// runtime knows of it: so that the server does not pay for waking anybody.
type carrier struct {
	net.Conn           // until the shard has it
	fd       int       // from then on; -1: it is closed, or not the shard's yet
	tls      *tls.Conn // over this carrier; nil: there is none
	out      []byte    // what the kernel has not taken
	rest     []byte    // of a frame that is not whole
	queued   bool      // it is in the shard's list of those that have something to write
}

// carrierOptions say where a stream goes.
type carrierOptions struct {
	from     netip.Addr // if the server is on loopback too
	to       netip.AddrPort
	name     string // of the certificate
	tls      bool
	insecure bool
}

// unverified reports whether any certificate will do: on loopback nobody is in between.
func (o *carrierOptions) unverified() bool { return o.insecure || o.to.Addr().Unmap().IsLoopback() }

// dialCarrier connects a stream.
func dialCarrier(ctx context.Context, o carrierOptions) (*carrier, error) {
	d := &net.Dialer{}
	if o.to.Addr().Is4() && o.to.Addr().IsLoopback() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.from, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", o.to.String())
	if err != nil {
		return nil, err
	}
	c := &carrier{Conn: conn, fd: -1}
	if o.tls {
		c.tls = tls.Client(c, &tls.Config{
			ServerName: o.name, InsecureSkipVerify: o.unverified(),
		})
		if err := c.tls.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if err := c.take(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// take takes the connection away from the runtime's poller. Nothing has been read that was not
// asked for.
func (c *carrier) take() error {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return err
	}
	if dupErr != nil {
		return dupErr
	}
	if err := c.Conn.Close(); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	c.fd = fd // its O_NONBLOCK is that of the connection
	return nil
}

// Read is what TLS reads by: never waiting, once the shard has the stream.
func (c *carrier) Read(b []byte) (int, error) {
	if c.fd < 0 {
		return c.Conn.Read(b)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, errAgain
	case errno != 0:
		return 0, fmt.Errorf("load: TURN: %w", errno)
	case n == 0:
		return 0, errClosed
	}
	return int(n), nil
}

// Write keeps b until the next flush.
func (c *carrier) Write(b []byte) (int, error) {
	if c.fd < 0 {
		return c.Conn.Write(b)
	}
	c.out = append(c.out, b...)
	return len(b), nil
}

// put queues a frame; over TLS it is a record of its own, as browsers do it.
func (c *carrier) put(b []byte) error {
	if len(c.out) > maxPending {
		return errStuck
	}
	if c.tls == nil {
		c.out = append(c.out, b...)
		return nil
	}
	_, err := c.tls.Write(b)
	return err
}

// pull reads what has come; again: nothing has.
func (c *carrier) pull(b []byte) (int, error) {
	if c.tls == nil {
		return c.Read(b)
	}
	return c.tls.Read(b)
}

// flush gives the kernel what it takes, and reports whether nothing is left.
func (c *carrier) flush() (empty bool, err error) {
	sent := 0
	for sent < len(c.out) {
		b := c.out[sent:]
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == unix.EAGAIN || errno == unix.EINTR {
			break
		}
		if errno != 0 {
			return false, fmt.Errorf("load: TURN: %w", errno)
		}
		sent += int(n)
	}
	c.out = c.out[:copy(c.out, c.out[sent:])]
	return len(c.out) == 0, nil
}

// close closes the stream; it may have been closed before.
func (c *carrier) close() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
		c.Conn, c.tls, c.out, c.rest = nil, nil, nil, nil
	}
}

// carried is what a shard has for streams.
type carried struct {
	buffer  []byte  // what is read, the rest of the read before in front
	writing []*peer // those that have something to write
	seen    uint64  // packets that were measured at the last look
}

// arriving reports whether measured packets have come by streams since the last call. Unlike a
// socket of datagrams, a stream that was empty a moment ago may have more behind it: in the
// server's buffers, which go on when there is room.
func (s *shard) arriving() bool {
	before := s.carried.seen
	s.carried.seen = s.total.forwarded
	return s.scenario.TURN.stream() && s.carried.seen > before
}

// write queues a frame for a peer's stream.
func (s *shard) write(p *peer, frame []byte) {
	c := p.relay.carrier
	if c.fd < 0 {
		return
	}
	if err := c.put(frame); err != nil {
		s.broken(p, err)
		return
	}
	s.hasOutput(p)
}

// hasOutput notes that there is something to be flushed.
func (s *shard) hasOutput(p *peer) {
	if c := p.relay.carrier; !c.queued && len(c.out) > 0 {
		c.queued = true
		s.carried.writing = append(s.carried.writing, p)
	}
}

// broken ends a stream and its client.
func (s *shard) broken(p *peer, err error) {
	p.relay.close()
	p.client.fail(err)
}

// flushStreams writes what is queued for streams.
func (s *shard) flushStreams() {
	keep := s.carried.writing[:0]
	for _, p := range s.carried.writing {
		c := p.relay.carrier
		if c.queued = false; c.fd < 0 {
			continue
		}
		empty, err := c.flush()
		if err != nil {
			s.broken(p, err)
		} else if !empty {
			c.queued = true
			keep = append(keep, p)
		}
	}
	clear(s.carried.writing[len(keep):])
	s.carried.writing = keep
}

// pollStreams reads the streams of all peers, and reports whether they are empty then. Publishers
// send in between.
func (s *shard) pollStreams() (empty bool) {
	if !s.scenario.TURN.stream() {
		return true
	}
	if s.carried.buffer == nil {
		s.carried.buffer = make([]byte, pullBuffer)
	}
	empty = true
	for _, p := range s.peers {
		if p.relay == nil || p.relay.carrier.fd < 0 {
			continue
		}
		s.now = netio.Now()
		if !s.pullAll(p) {
			empty = false
		}
		s.feedbacks()
		s.sendDue()
	}
	return empty
}

// pullAll reads one stream until it is empty; false: it is not, after as much as one poll reads.
func (s *shard) pullAll(p *peer) (empty bool) {
	c, buffer := p.relay.carrier, s.carried.buffer
	for range maxPulls {
		have := copy(buffer, c.rest)
		n, err := c.pull(buffer[have:])
		if errors.Is(err, errAgain) {
			s.hasOutput(p) // TLS may have answered by itself
			return true
		}
		if err != nil {
			s.broken(p, err)
			return true
		}
		if !s.frames(p, buffer[:have+n]) || c.tls == nil && n < len(buffer)-have {
			return true
		}
	}
	return false
}

// frames takes what stands in b and keeps the rest; false: the stream has ended.
func (s *shard) frames(p *peer, b []byte) bool {
	c := p.relay.carrier
	var arrived int64
	if s.latency {
		arrived = time.Now().UnixNano()
	}
	for {
		frame, n, err := framing.Deframer(flow.TURNStream).Peek(b)
		if err != nil {
			s.broken(p, err)
			return false
		}
		if n == 0 {
			c.rest = append(c.rest[:0], b...)
			return true
		}
		b = b[n:]
		if len(frame) == 0 {
			continue
		}
		s.received++
		frame = slices.Clip(frame) // package stun uses what is behind a message for itself
		if s.datagram(p, frame, arrived); c.fd < 0 {
			return false
		}
	}
}
