package ws

import (
	"context"
	"errors"
	"sync"

	"github.com/coder/websocket"

	"tsubame/signal/session"
)

// transport queues the messages of one session and writes them in a goroutine of its own,
// which is there only while there is something to write: messages are seconds apart, and a
// goroutine that waits keeps the stack that writing took.
type transport struct {
	conn     *websocket.Conn
	out      *outlet
	maxBytes int
	written  chan struct{} // closed when all is written and the socket closed

	mu      sync.Mutex
	queue   [][]byte
	bytes   int
	running bool // there is a goroutine, which looks at the queue once more before it ends
	failed  bool
	closing bool
	code    int
	reason  string
}

func newTransport(conn *websocket.Conn, out *outlet, maxBytes int) *transport {
	return &transport{conn: conn, out: out, maxBytes: maxBytes, written: make(chan struct{})}
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

// signal sees to it that what was changed is acted on. The lock is held.
func (t *transport) signal() {
	if !t.running {
		t.running = true
		go t.run()
	}
}

// next returns the next messages, some batchBytes at most but one at least; or none, and
// whether to close, and then the goroutine that asked has nothing more to do.
func (t *transport) next() (messages [][]byte, closing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.queue = nil
		t.running = t.closing // once it closes, nothing is ever begun again
		return nil, t.closing
	}
	n, size := 1, len(t.queue[0])
	for n < len(t.queue) && size+len(t.queue[n]) <= batchBytes {
		size += len(t.queue[n])
		n++
	}
	messages = t.queue[:n:n]
	t.queue = t.queue[n:]
	return messages, false
}

// took takes messages out of the count. They stay in while they are being written, since
// that is where the messages of a slow reader are.
func (t *transport) took(messages [][]byte) {
	t.mu.Lock()
	for i, m := range messages {
		t.bytes = max(0, t.bytes-len(m))
		messages[i] = nil
	}
	t.mu.Unlock()
}

// run writes what there is. The session closes the transport in the end, if only because the
// reader sees the failure of the socket too.
func (t *transport) run() {
	for {
		messages, closing := t.next()
		if len(messages) == 0 {
			if closing {
				t.finish()
				close(t.written)
			}
			return
		}
		if !t.failed { // of the one goroutine that runs; the lock orders it before the next
			t.failed = t.write(messages) != nil
		}
		t.took(messages)
	}
}

// write sends messages with one system call, if the kernel has room for them.
func (t *transport) write(messages [][]byte) error {
	t.out.gather()
	var failed error
	for _, m := range messages {
		// The outlet does not wait, hence no deadline.
		if err := t.conn.Write(context.Background(), websocket.MessageText, m); err != nil {
			failed = err
			break
		}
	}
	return errors.Join(failed, t.out.flush())
}

func (t *transport) finish() {
	if t.failed || t.code == 0 {
		t.conn.CloseNow()
		return
	}
	t.conn.Close(websocket.StatusCode(t.code), t.reason)
}
