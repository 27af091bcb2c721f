package stream

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tsubame/netio/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// home is a sink whose home shard is the test.
type home struct {
	refuse bool
	opened chan *Stream
	ready  chan *Stream
	gone   chan *Stream
	over   chan error // what Serve returned

	patience time.Duration
}

func newHome() *home {
	return &home{
		opened: make(chan *Stream, 1000), ready: make(chan *Stream, 1000),
		gone: make(chan *Stream, 1000), over: make(chan error, 1000),
		patience: patience,
	}
}

// virtualHome is for tests whose clock is virtual.
func virtualHome() *home {
	h := newHome()
	h.patience = 24 * time.Hour
	return h
}

func (h *home) Open(s *Stream) bool {
	if h.refuse {
		return false
	}
	s.SetPlace(7)
	h.opened <- s
	return true
}

func (h *home) Ready(s *Stream) { h.ready <- s }
func (h *home) Gone(s *Stream)  { h.gone <- s }

// serve runs a stream over c and returns it once the sink has admitted it.
func (h *home) serve(t testing.TB, c net.Conn, first []byte, carrier flow.Carrier, cfg Config) *Stream {
	t.Helper()
	info := Info{
		Local:   netip.MustParseAddrPort("192.0.2.1:3478"),
		Remote:  netip.MustParseAddrPort("198.51.100.7:4000"),
		Carrier: carrier,
	}
	go func() { h.over <- Serve(c, first, info, h, cfg) }()
	return wait(t, h.opened, "the stream to open")
}

// ended waits for the end and checks why it came.
func (h *home) ended(t testing.TB, want Reason) {
	t.Helper()
	waitFor(t, h.patience, h.gone, "the stream to be gone")
	if err := waitFor(t, h.patience, h.over, "Serve to return"); err != want {
		t.Errorf("ended with %v, want %v", err, want)
	}
}

// frames takes n frames of s, as its home shard does.
func (h *home) frames(t testing.TB, s *Stream, n int) [][]byte {
	t.Helper()
	var got [][]byte
	for len(got) < n {
		f, ok := s.Next()
		if !ok {
			waitFor(t, h.patience, h.ready, "frames")
			continue
		}
		got = append(got, bytes.Clone(f))
		s.Release()
	}
	return got
}

func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	return waitFor(t, patience, c, what)
}

func waitFor[T any](t testing.TB, d time.Duration, c <-chan T, what string) (v T) {
	t.Helper()
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case v = <-c:
	case <-timeout.C:
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// until waits for a condition that nobody tells of.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// tcpPair returns both ends of a connection over the loopback.
func tcpPair(t testing.TB) (server, peer *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return dial(t, l)
}

func dial(t testing.TB, l net.Listener) (server, peer *net.TCPConn) {
	t.Helper()
	p, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); p.Close() })
	return s.(*net.TCPConn), p.(*net.TCPConn)
}

// framedBytes puts the length of RFC 4571 before a frame.
func framedBytes(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(frame))), frame...)
}

func write(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, c net.Conn, n int) []byte {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// numbered is a frame of n bytes that tells which one it is.
func numbered(i, n int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, n)
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}
