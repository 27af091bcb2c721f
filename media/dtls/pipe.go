package dtls

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// queueLength is how many datagrams wait for an endpoint's goroutine. A client's flight is
// one to three; when more come than are read, the oldest goes, because the newest is the
// one that a client has just repeated.
const queueLength = 16

// pipe is the packet connection between the DTLS library and a shard: datagrams go in by
// push from the shard, and come out by the function write on the library's goroutines.
//
// The library closes it, or the endpoint does by hangUp, which ends reading alone: what has
// to be said in parting can still be written.
type pipe struct {
	in    chan []byte
	write func([]byte)

	hung   chan struct{} // closed by hangUp
	hangUp func()
	ended  chan struct{} // closed when a read met that end
	end    func()
	over   chan struct{} // closed by Close

	mu      sync.Mutex
	expired chan struct{} // closed while the read deadline is in the past
	closed  bool

	muted atomic.Bool // nothing is written any more, for good
}

func newPipe(write func([]byte)) *pipe {
	p := &pipe{
		in:      make(chan []byte, queueLength),
		write:   write,
		hung:    make(chan struct{}),
		ended:   make(chan struct{}),
		over:    make(chan struct{}),
		expired: make(chan struct{}),
	}
	p.hangUp = sync.OnceFunc(func() { close(p.hung) })
	p.end = sync.OnceFunc(func() { close(p.ended) })
	return p
}

// mute lets nothing out any more but what is being written already, which has its sequence
// numbers. It does not wait for that: what is written may be on its way to who calls mute.
func (p *pipe) mute() { p.muted.Store(true) }

// isMuted reports whether mute was called.
func (p *pipe) isMuted() bool { return p.muted.Load() }

// left waits until the library has read its last, on a pipe that was hung up, and reports
// whether that was because the session is over; if not, the library has done all that it
// does about each datagram that it read.
func (p *pipe) left() (over bool) {
	select {
	case <-p.over:
		return true
	case <-p.ended:
		return false
	}
}

// rest returns the datagrams that nobody has read, when nobody pushes any more.
func (p *pipe) rest() (datagrams [][]byte) {
	for {
		select {
		case b := <-p.in:
			datagrams = append(datagrams, b)
		default:
			return datagrams
		}
	}
}

// push queues a datagram, which the pipe then owns, and returns how many older ones had to
// go for it. It never blocks. One goroutine at a time may call it.
func (p *pipe) push(b []byte) (dropped int) {
	for {
		select {
		case p.in <- b:
			return dropped
		default:
		}
		select {
		case <-p.in:
			dropped++
		default: // the reader was faster
		}
	}
}

// isHung reports whether reading has ended.
func (p *pipe) isHung() bool {
	select {
	case <-p.hung:
		return true
	default:
		return false
	}
}

// ReadFrom implements net.PacketConn.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	expired := p.expired
	p.mu.Unlock()
	select {
	case <-p.hung: // first, or a flood would keep a closed endpoint reading
		p.end()
		return 0, nil, io.EOF
	default:
	}
	select {
	case datagram := <-p.in:
		return copy(b, datagram), pipeAddr{}, nil
	case <-p.hung:
		p.end()
		return 0, nil, io.EOF
	case <-expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// WriteTo implements net.PacketConn. There is one peer, whatever the address says.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	if !p.isMuted() {
		p.write(b)
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (p *pipe) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.over)
	}
	p.mu.Unlock()
	p.hangUp()
	return nil
}

// errFutureDeadline says that the pipe knows deadlines as the library uses them: a time
// long gone to interrupt a read, and the zero time to take that back.
var errFutureDeadline = errors.New("dtls: a pipe has no deadlines in the future")

// SetReadDeadline implements net.PacketConn for times in the past and the zero time.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	isExpired := false
	select {
	case <-p.expired:
		isExpired = true
	default:
	}
	switch {
	case t.IsZero():
		if isExpired {
			p.expired = make(chan struct{})
		}
	case t.After(time.Now()):
		return errFutureDeadline
	case !isExpired:
		close(p.expired)
	}
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing never waits, so there is nothing to
// interrupt.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.PacketConn.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// LocalAddr implements net.PacketConn.
func (p *pipe) LocalAddr() net.Addr { return pipeAddr{} }

// pipeAddr stands for either end: which flow the records take is the shard's business.
type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
