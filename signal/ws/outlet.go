package ws

import (
	"net"
	"sync"
	"time"
)

// outlet is where the WebSocket library writes frames to. In between gather and flush it
// keeps them, so that a frame, which the library writes in two pieces, and the frames behind
// it leave with one system call. Any goroutine may write; one at a time gathers.
type outlet struct {
	conn    net.Conn
	timeout time.Duration // of one write to conn

	mu        sync.Mutex
	gathering bool
	held      *[]byte // nil: none
}

// batchBytes is how much is gathered before it is flushed, but for one more message.
const batchBytes = 64 << 10

// rooms holds room for what is gathered; it is in use only while something is written.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// keepRoom is the most room that is kept for the next time.
const keepRoom = 2 * batchBytes

// Write implements io.Writer. What the library writes by itself, a pong or a close frame, goes
// out at once, or behind what is gathered.
func (o *outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	if o.gathering {
		if o.held == nil {
			o.held = rooms.Get().(*[]byte)
		}
		*o.held = append(*o.held, b...)
		o.mu.Unlock()
		return len(b), nil
	}
	o.mu.Unlock()
	return o.write(b)
}

func (o *outlet) write(b []byte) (int, error) {
	o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
	return o.conn.Write(b)
}

// gather begins to keep what is written.
func (o *outlet) gather() {
	o.mu.Lock()
	o.gathering = true
	o.mu.Unlock()
}

// flush sends what was kept, and keeps nothing from then on. An error closes the connection,
// so that the reader learns of it too.
func (o *outlet) flush() error {
	o.mu.Lock()
	held := o.held
	o.held = nil
	if held == nil {
		o.gathering = false
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()
	_, err := o.write(*held)
	if *held = (*held)[:0]; cap(*held) <= keepRoom {
		rooms.Put(held)
	}
	if err != nil {
		o.conn.Close()
		o.mu.Lock()
		o.gathering = false
		o.mu.Unlock()
		return err
	}
	return o.flush() // a pong may have come in between
}
