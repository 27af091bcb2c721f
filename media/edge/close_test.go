package edge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tsubame/media/dtls"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/netio"
)

// openPlane opens a plane on real sockets.
func openPlane(t *testing.T) *Plane {
	t.Helper()
	p, err := Open(Config{Net: netio.Config{IPv4: true, Shards: 2}, MaxConnections: 16})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// client is a peer's socket on loopback.
type client struct {
	t *testing.T
	*net.UDPConn
}

func dial(t *testing.T, p *Plane) client {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(p.Port()))
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return client{t, c}
}

// ask sends a datagram and waits for one.
func (c client) ask(b []byte) []byte {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err != nil {
		c.t.Fatal(err)
	}
	return buf[:n]
}

func TestPlaneClosesItsConnections(t *testing.T) {
	p := openPlane(t)
	events := make(chan Event, 8)
	c, err := p.Open(func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	ufrag, password := c.Credentials()
	dial(t, p).ask(buildCheck(t, ufrag, password, true))
	if _, err := p.Open(func(Event) {}); err != nil { // one that nobody checks
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e != (Event{Kind: Closed, Reason: ReasonRequested}) {
		t.Fatalf("event %v", e)
	}
	if n := p.arena.Outstanding(); n != 0 {
		t.Fatalf("%d buffers not given back", n)
	}
	if _, err := p.Open(func(Event) {}); !errors.Is(err, ErrFull) {
		t.Fatalf("Open after Close says %v", err)
	}
}

// Connections that are opened while the plane closes are refused or closed with the rest.
func TestPlaneClosesWhileConnectionsOpen(t *testing.T) {
	for range 20 {
		p := openPlane(t)
		var openers sync.WaitGroup
		for range 4 {
			openers.Go(func() {
				for {
					c, err := p.Open(func(Event) {})
					if err != nil && p.ended.Load() {
						return
					}
					if err == nil {
						c.Close()
					}
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := p.Close(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		openers.Wait()
	}
}

// A plane that is not given the time to end its connections still ends their handshakes and
// lets go of whoever waits for it.
func TestPlaneThatMayNotWaitStillEnds(t *testing.T) {
	p := openPlane(t)
	c, err := p.Open(func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	ufrag, password := c.Credentials()
	peer := dial(t, p)
	peer.ask(buildCheck(t, ufrag, password, true))
	if _, err := peer.Write([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}); err != nil {
		t.Fatal(err)
	}
	track, err := c.Publish(videoIn)
	if err != nil {
		t.Fatal(err)
	}
	for p.Counters()["handshakes"] == 0 || p.tracks.Live(track) == nil {
		<-time.After(time.Millisecond)
	}
	tap, err := router.NewTap(4)
	if err != nil {
		t.Fatal(err)
	}
	p.OpenTap(track, tap)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	begin := time.Now()
	if err := p.Close(now); !errors.Is(err, context.Canceled) {
		t.Fatalf("Close says %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Fatalf("Close took %v: it waited for a handshake's deadline", d)
	}
	if !tap.Left() {
		t.Fatal("the tap's reader would wait for good")
	}
	// What comes now is let go.
	c.SetRemote(param.Remote{})
	c.Done(0, dtls.Result{}, dtls.ErrClosed)
	c.Close()
	p.CloseTap(track, tap)
}

func TestLaneIsEmptiedAtShutdown(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	r.deliver(0, pathA, p.check(true))
	r.deliver(1, pathB, p.check(true)) // into shard 0's media lane
	if _, err := p.c.Publish(videoIn); err != nil {
		t.Fatal(err)
	}
	tap, err := router.NewTap(4)
	if err != nil {
		t.Fatal(err)
	}
	r.p.OpenTap(param.TrackID{}, tap)
	for _, s := range r.p.shards {
		s.shutdown()
	}
	if n := r.p.arena.Outstanding(); n != 0 {
		t.Fatalf("%d buffers are left in a lane", n)
	}
	if r.p.tracks.Free() != r.p.tracks.Len() {
		t.Fatal("the track of a command that nobody read is lost")
	}
	if !tap.Left() {
		t.Fatal("a tap whose command nobody read waits for good")
	}
}
