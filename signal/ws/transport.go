package ws

import (
	"context"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tsubame/signal/session"
)

// transport queues the messages of one session and writes them in a goroutine of its own.
type transport struct {
	conn     *websocket.Conn
	maxBytes int
	timeout  time.Duration
	wake     chan struct{}

	mu      sync.Mutex
	queue   [][]byte
	bytes   int
	closing bool
	code    int
	reason  string
}

func newTransport(conn *websocket.Conn, maxBytes int, timeout time.Duration) *transport {
	return &transport{conn: conn, maxBytes: maxBytes, timeout: timeout, wake: make(chan struct{}, 1)}
}

// Send implements channel.Transport. The queue may go over its bound by one message: that
// an offer to a large channel is long is no fault of the client.
func (t *transport) Send(json []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || t.bytes >= t.maxBytes {
		return false
	}
	t.queue = append(t.queue, json)
	t.bytes += len(json)
	t.signal()
	return true
}

// Close implements channel.Transport. A slow reader does not get what it has not read.
func (t *transport) Close(code int, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return
	}
	t.closing, t.code, t.reason = true, code, reason
	if code == 0 || reason == session.ReasonSlowReader {
		t.queue, t.bytes = nil, 0
	}
	t.signal()
}

func (t *transport) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// next returns the next message, whether there is none for now, and whether to close.
func (t *transport) next() (message []byte, ok, closing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return nil, false, t.closing
	}
	message = t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
	return message, true, false
}

// written takes a message out of the count. It stays in while it is being written, since
// that is where the messages of a slow reader are.
func (t *transport) written(n int) {
	t.mu.Lock()
	t.bytes = max(0, t.bytes-n)
	t.mu.Unlock()
}

// run writes until the session closes the transport or the socket fails. The session always
// closes it, if only because the reader sees the failure too.
func (t *transport) run() {
	failed := false
	for {
		message, ok, closing := t.next()
		switch {
		case ok && !failed:
			failed = t.write(message) != nil
			t.written(len(message))
		case ok:
			t.written(len(message))
		case closing:
			t.finish(failed)
			return
		default:
			<-t.wake
		}
	}
}

func (t *transport) write(message []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, message)
}

func (t *transport) finish(failed bool) {
	if failed || t.code == 0 {
		t.conn.CloseNow()
		return
	}
	t.conn.Close(websocket.StatusCode(t.code), t.reason)
}
