package ws

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tape is a connection that notes each write.
type tape struct {
	net.Conn // nil: nothing else is called
	writes   []string
	deadline time.Time
	closed   bool
	fail     error
	during   func() // called by a write
}

func (t *tape) Write(b []byte) (int, error) {
	if t.fail != nil {
		return 0, t.fail
	}
	t.writes = append(t.writes, string(b))
	if f := t.during; f != nil {
		t.during = nil
		f()
	}
	return len(b), nil
}

func (t *tape) SetWriteDeadline(at time.Time) error { t.deadline = at; return nil }
func (t *tape) Close() error                        { t.closed = true; return nil }

func TestWhatIsGatheredLeavesWithOneWrite(t *testing.T) {
	conn := &tape{}
	o := &outlet{conn: conn, timeout: time.Hour}
	io.WriteString(o, "alone")
	o.gather()
	for _, s := range []string{"header", "payload", "pong"} {
		io.WriteString(o, s)
	}
	// One that comes while the others are being written follows them, before flush returns.
	conn.during = func() { io.WriteString(o, "late") }
	if err := o.flush(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(o, "close")
	if got := strings.Join(conn.writes, " "); got != "alone headerpayloadpong late close" {
		t.Errorf("wrote %q", got)
	}
	if left := time.Until(conn.deadline); left < 50*time.Minute {
		t.Errorf("%v left for the last write", left)
	}
}

func TestAFailedFlushClosesTheConnection(t *testing.T) {
	conn := &tape{fail: errors.New("reset")}
	o := &outlet{conn: conn}
	o.gather()
	if n, err := io.WriteString(o, "x"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if err := o.flush(); !errors.Is(err, conn.fail) || !conn.closed {
		t.Errorf("error %v, closed %t", err, conn.closed)
	}
	if _, err := io.WriteString(o, "y"); !errors.Is(err, conn.fail) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestMessagesAreTakenByTheBatch(t *testing.T) {
	tr := newTransport(nil, nil, 1<<20)
	tr.running = true // by this test
	for _, n := range []int{batchBytes / 2, batchBytes / 2, 1, batchBytes + 1, 2} {
		if !tr.Send(make([]byte, n)) {
			t.Fatal("the queue is full")
		}
	}
	for _, want := range []int{2, 1, 1, 1} {
		messages, _ := tr.next()
		if len(messages) != want {
			t.Errorf("%d messages, want %d", len(messages), want)
		}
		tr.took(messages)
	}
	if messages, _ := tr.next(); len(messages) != 0 || tr.bytes != 0 || tr.running {
		t.Errorf("%d messages, %d bytes are left", len(messages), tr.bytes)
	}
}
