package entry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// from is the PROXY header of a client.
func from(address string) []byte {
	a := netip.AddrPortFrom(netip.MustParseAddr(address), 1000)
	b, err := proxyHeader(2, a, a)
	if err != nil {
		panic(err)
	}
	return b
}

// established returns a connection that is a stream.
func (r *rig) established(header []byte) *net.TCPConn {
	r.t.Helper()
	before := len(r.streams.seen())
	nc := r.dial(r.plain, append(header, allocate...))
	r.echoed(nc, allocate)
	waitFor(r.t, "the stream", func() bool { return len(r.streams.seen()) > before })
	return nc
}

// alive checks that a stream still echoes.
func (r *rig) alive(nc net.Conn) {
	r.t.Helper()
	if _, err := io.WriteString(nc, "still here"); err != nil {
		r.t.Fatal(err)
	}
	r.echoed(nc, []byte("still here"))
}

// Row ICE-13.
func TestConnectionsHaveABound(t *testing.T) {
	r := start(t, Config{MaxConnections: 3})
	first, second := r.established(nil), r.established(nil)
	r.dial(r.plain, nil)
	waitFor(t, "three are open", func() bool { return r.Counters()["entry_open"] == 3 })
	r.silent(r.dial(r.plain, nil))
	r.silent(r.dial(r.tls, nil))
	r.count("entry_refused_full", 2)
	r.alive(second)
	first.Close()
	waitFor(t, "one place is free", func() bool { return r.Counters()["entry_open"] == 2 })
	r.alive(r.established(nil))
}

// Row ICE-13.
func TestConnectionsOfOneAddressHaveABound(t *testing.T) {
	r := start(t, Config{MaxPerAddress: 2, ProxyPeers: everybody})
	first, second := r.established(from("2001:db8:1:2::1")), r.established(from("2001:db8:1:2:ffff::1"))
	r.silent(r.dial(r.plain, append(from("2001:db8:1:2:3:4:5:6"), allocate...))) // the same /64
	r.count("entry_refused_address", 1)
	other := r.established(from("2001:db8:1:3::1"))
	first.Close()
	waitFor(t, "one place is free", func() bool { return r.Counters()["entry_open"] == 2 })
	r.alive(r.established(from("2001:db8:1:2::9")))
	r.alive(second)
	r.alive(other)
}

// Row ICE-13.
func TestOldestHalfOpenConnectionMakesRoom(t *testing.T) {
	r := start(t, Config{MaxHalfOpen: 3})
	stream := r.established(nil)
	silent := make([]net.Conn, 5)
	for i := range silent {
		silent[i] = r.dial(r.tls, nil)
		r.count("entry_accepted", uint64(i+2))
	}
	r.silent(silent[0])
	r.silent(silent[1])
	r.count("entry_evicted", 2)
	if n := r.Counters()["entry_half_open"]; n != 3 {
		t.Errorf("%d are half open, want 3", n)
	}
	r.alive(stream)
	for _, nc := range silent[2:] { // they have their places and may still speak
		if _, err := nc.Write(allocate); err != nil {
			t.Fatal(err)
		}
		r.echoed(nc, allocate)
	}
}

// Row ICE-13.
func TestOldestHalfOpenConnectionOfTheSameAddressMakesRoom(t *testing.T) {
	r := start(t, Config{MaxHalfOpenPer: 2, ProxyPeers: everybody})
	other := r.dial(r.plain, from("192.0.2.1"))
	r.count("entry_proxied", 1)
	flood := make([]net.Conn, 5)
	for i := range flood {
		flood[i] = r.dial(r.plain, from("192.0.2.2"))
		r.count("entry_proxied", uint64(i+2))
		waitFor(t, "it is counted", func() bool {
			r.room.mu.Lock()
			defer r.room.mu.Unlock()
			s := r.room.sources[netip.MustParseAddr("192.0.2.2")]
			return s != nil && s.half.Len() == min(i+1, 2) && r.counts.load(evicted) == uint64(max(0, i-1))
		})
	}
	for _, nc := range flood[:3] {
		r.silent(nc)
	}
	for _, nc := range append(flood[3:], other) {
		if _, err := nc.Write(allocate); err != nil {
			t.Fatal(err)
		}
		r.echoed(nc, allocate)
	}
}

// Hundreds of clients send a ClientHello and nothing more. What is computed at a time and
// what waits stays within its bounds, streams go on, and a real client still gets in.
//
// Row TURN-13.
func TestFloodOfClientHellosStaysWithinItsBounds(t *testing.T) {
	const flood, half, computed = 400, 50, 2
	r := start(t, Config{MaxHalfOpen: half, MaxHandshakes: computed})
	existing := r.dialTLS(r.client("turn.example.com", "stun.turn"))
	hello := clientHello(t, r.client("turn.example.com"))
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			var held []net.Conn
			for range flood / 8 {
				nc, err := net.Dial("tcp", r.tls)
				if err != nil {
					t.Error(err)
					break
				}
				nc.Write(hello)
				held = append(held, nc)
			}
			<-stop
			for _, nc := range held {
				nc.Close()
			}
		}()
	}
	for r.Counters()["entry_accepted"] < flood+1 {
		c := r.Counters()
		if c["entry_handshakes"] > computed || c["entry_half_open"] > half {
			t.Fatalf("%d handshakes, %d half open", c["entry_handshakes"], c["entry_half_open"])
		}
		r.alive(existing)
	}
	r.count("entry_evicted", flood-half)
	// Nobody of the flood answers, and nobody keeps a handshake from being computed.
	waitFor(t, "no handshake is computed", func() bool { return r.Counters()["entry_handshakes"] == 0 })
	if n := r.Counters()["entry_half_open"]; n == 0 {
		t.Error("nobody of the flood is left")
	}
	c := r.dialTLS(r.client("turn.example.com", "stun.turn"))
	r.alive(c)
	close(stop)
	clients.Wait()
}

// Row TURN-13.
func TestClientHelloWaitsForItsTurnUntilADeadline(t *testing.T) {
	r := start(t, Config{MaxHandshakes: 1, QueueTimeout: 30 * time.Millisecond})
	r.slots <- struct{}{} // somebody computes
	if err := tls.Client(r.dial(r.tls, nil), r.client("turn.example.com")).Handshake(); err == nil {
		t.Error("two handshakes at a time")
	}
	r.count("entry_tls_busy", 1)
	<-r.slots
	r.dialTLS(r.client("turn.example.com"))
}

func TestShutdownWaitsForStreamsAndClosesTheRest(t *testing.T) {
	r := start(t, Config{})
	streams, half := r.established(nil), r.dial(r.tls, nil)
	r.count("entry_accepted", 2)
	over := make(chan error)
	go func() { over <- r.Shutdown(context.Background()) }()
	r.silent(half)
	if nc, err := net.Dial("tcp", r.plain); err == nil {
		nc.SetDeadline(time.Now().Add(patience))
		r.silent(nc)
		nc.Close()
	}
	r.alive(streams)
	streams.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

func TestShutdownClosesStreamsWhenItsTimeIsOver(t *testing.T) {
	r := start(t, Config{})
	nc := r.established(nil)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- r.Shutdown(ctx) }()
	r.alive(nc)
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.silent(nc)
}

func TestCloseLeavesHTTPToItsServer(t *testing.T) {
	r := start(t, Config{})
	s := r.serveHTTP()
	c := r.dialTLS(r.client("turn.example.com", "http/1.1"))
	r.count("entry_http", 1)
	r.Close()
	if got := get(t, c); !strings.HasPrefix(got, c.LocalAddr().String()) {
		t.Errorf("%q", got)
	}
	s.Close()
	late, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.AddPlain(late)
	if nc, err := net.Dial("tcp", late.Addr().String()); err == nil {
		nc.Close()
		t.Error("a closed entry listens")
	}
}

// failing is a listener that cannot accept for a while.
type failing struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 {
		f.left--
		return nil, errors.New("too many open files")
	}
	return f.Listener.Accept()
}

func TestAcceptGoesOnAfterErrors(t *testing.T) {
	r := start(t, Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.AddPlain(&failing{Listener: l, left: 3})
	r.echoed(r.dial(l.Addr().String(), allocate), allocate)
	r.count("entry_accept_errors", 3)
}
