package dtls

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

var somewhere = netip.MustParseAddr("192.0.2.1")

// outcome is one call of Done.
type outcome struct {
	id     uint64
	result Result
	err    error
}

// recorder is a Sink that keeps what it hears. deliver, if set, gets each datagram.
type recorder struct {
	deliver func([]byte)

	done   chan outcome
	closed chan uint64
	sent   atomic.Int64 // datagrams
	bytes  atomic.Int64
}

func newRecorder() *recorder {
	return &recorder{done: make(chan outcome, 16), closed: make(chan uint64, 16)}
}

func (r *recorder) Records(_ uint64, b []byte) {
	r.sent.Add(1)
	r.bytes.Add(int64(len(b)))
	if r.deliver != nil {
		r.deliver(append([]byte(nil), b...))
	}
}

func (r *recorder) Done(id uint64, result Result, err error) { r.done <- outcome{id, result, err} }
func (r *recorder) Closed(id uint64)                         { r.closed <- id }

// wait receives from c or fails.
func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
	}
	panic("unreachable")
}

// until polls cond.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(time.Millisecond)
	}
}

// newTestServer makes a server that has ended all endpoints when the test ends.
func newTestServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wait)
	return s
}

var clientCertificate = sync.OnceValue(func() tls.Certificate {
	c, err := newCertificate()
	if err != nil {
		panic(err)
	}
	return c
})

// session is a client of the library, joined to an endpoint in memory. toServer and
// toClient may be replaced before connect; each passes a datagram on, or does not.
type session struct {
	server   *Server
	sink     *recorder
	endpoint *Endpoint
	wire     *pipe // the client's end

	toServer func([]byte)
	toClient func([]byte)
}

func newSession(t testing.TB, s *Server) *session {
	t.Helper()
	x := &session{server: s, sink: newRecorder()}
	x.toClient = func(b []byte) { x.wire.push(b) }
	x.toServer = func(b []byte) { x.endpoint.Feed(b) }
	x.wire = newPipe(func(b []byte) { x.toServer(append([]byte(nil), b...)) })
	x.sink.deliver = func(b []byte) { x.toClient(b) }
	var err error
	if x.endpoint, err = s.Start(1, somewhere, x.sink); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.endpoint.Close)
	return x
}

// client makes the client; the options come after the defaults.
func (x *session) client(t testing.TB, options ...piondtls.ClientOption) *piondtls.Conn {
	t.Helper()
	all := []piondtls.ClientOption{
		piondtls.WithCertificates(clientCertificate()),
		piondtls.WithInsecureSkipVerify(true),
		piondtls.WithSRTPProtectionProfiles(profiles...),
		piondtls.WithFlightInterval(20 * time.Millisecond),
		piondtls.WithLoggerFactory(quiet{}),
	}
	conn, err := piondtls.ClientWithOptions(x.wire, pipeAddr{}, append(all, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connect completes a handshake or fails the test.
func (x *session) connect(t testing.TB, options ...piondtls.ClientOption) (*piondtls.Conn, Result) {
	t.Helper()
	conn := x.client(t, options...)
	if err := conn.Handshake(); err != nil {
		t.Fatalf("client: %v", err)
	}
	o := wait(t, x.sink.done, "Done")
	if o.err != nil {
		t.Fatalf("server: %v", o.err)
	}
	return conn, o.result
}

// mustFail runs a handshake that has to end with want (nil: any error) at the server.
func (x *session) mustFail(t testing.TB, want error, options ...piondtls.ClientOption) error {
	t.Helper()
	conn := x.client(t, options...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = conn.Handshake() // it may well think that it has finished
	}()
	o := wait(t, x.sink.done, "Done")
	_ = conn.Close()
	wait(t, ended, "end of the client")
	if o.err == nil {
		t.Fatal("the handshake succeeded")
	}
	if want != nil && !errors.Is(o.err, want) {
		t.Fatalf("error %v, want %v", o.err, want)
	}
	if o.result.PeerCertificate != nil || o.result.Keys.LocalKey != nil {
		t.Fatal("a failed handshake came with keys")
	}
	return o.err
}
