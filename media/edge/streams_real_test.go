package edge

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/stream"
)

// served is a running plane, with sockets, and a TCP port whose connections it gets.
type served struct {
	t      *testing.T
	p      *Plane
	l      net.Listener
	events chan Event
	ended  chan error // of each stream
}

func serve(t *testing.T, carrier flow.Carrier, streams int) *served {
	t.Helper()
	p, err := Open(Config{Net: netio.Config{IPv4: true, Shards: 2}, MaxConnections: 16, MaxStreams: streams})
	if err != nil {
		t.Fatal(err)
	}
	p.SetAddresses([]netip.Addr{netip.MustParseAddr("127.0.0.1")})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, p: p, l: l, events: make(chan Event, 8), ended: make(chan error, 8)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			info := stream.Info{
				Local: c.LocalAddr().(*net.TCPAddr).AddrPort(), Remote: c.RemoteAddr().(*net.TCPAddr).AddrPort(), Carrier: carrier,
			}
			go func() { s.ended <- stream.Serve(c, nil, info, p.Streams(), stream.Config{}) }()
		}
	}()
	return s
}

func (s *served) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp4", s.l.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *served) close() {
	s.t.Helper()
	s.l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.p.Close(ctx); err != nil {
		s.t.Error(err)
	}
}

// read returns the next frame of a stream of TURN.
func readTURN(t *testing.T, c net.Conn) []byte {
	t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] < 0x40 {
		n += 16
	}
	rest := make([]byte, (n+3)&^3)
	if _, err := io.ReadFull(c, rest); err != nil {
		t.Fatal(err)
	}
	return append(head, rest...)
}

// exchange sends a request and returns the answer.
func exchange(t *testing.T, c net.Conn, b []byte) *stun.Message {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	m := &stun.Message{Raw: readTURN(t, c)}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCheckThroughATURNServerOverTCP(t *testing.T) {
	s := serve(t, flow.TURNStream, 0)
	conn, err := s.p.Open(func(e Event) { s.events <- e })
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial()
	v := &relay{r: &rig{t: t}, peer: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.p.Port())), pipe: &testPipe{}}
	v.username, v.password = conn.TURNCredentials()
	allocate := []stun.Setter{
		stun.NewType(stun.MethodAllocate, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}},
	}
	v.nonce = nonceOf(t, exchange(t, c, v.build(allocate...)))
	if m := exchange(t, c, v.build(allocate...)); codeOf(m) != 0 {
		t.Fatalf("Allocate: %v", m)
	}
	if m := exchange(t, c, v.build(stun.NewType(stun.MethodChannelBind, stun.ClassRequest), peerAddress(v.peer),
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 0x00, 0, 0}})); codeOf(m) != 0 {
		t.Fatalf("ChannelBind: %v", m)
	}
	v.channel = 0x4000
	ufrag, password := conn.Credentials()
	if _, err := c.Write(v.wrap(buildCheck(t, ufrag, password, true))); err != nil {
		t.Fatal(err)
	}
	inner, ok := v.unwrap(readTURN(t, c))
	m := &stun.Message{Raw: inner}
	if !ok || m.Decode() != nil || m.Type != stun.BindingSuccess {
		t.Fatalf("answer %x", inner)
	}
	conn.Close()
	if e := <-s.events; e.Kind != Closed {
		t.Errorf("event %v", e)
	}
	s.close()
	if why := <-s.ended; !errors.Is(why, stream.Closed) {
		t.Errorf("the stream ended because: %v", why)
	}
	if n := s.p.Counters()["turn_tcp_in"]; n != 4 {
		t.Errorf("turn_tcp_in %d", n)
	}
}

func TestCheckOverICETCP(t *testing.T) {
	s := serve(t, flow.FramedStream, 0)
	conn, err := s.p.Open(func(e Event) { s.events <- e })
	if err != nil {
		t.Fatal(err)
	}
	c := s.dial()
	ufrag, password := conn.Credentials()
	check := buildCheck(t, ufrag, password, true)
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(check))), check...)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	m := &stun.Message{Raw: make([]byte, binary.BigEndian.Uint16(head))}
	if _, err := io.ReadFull(c, m.Raw); err != nil {
		t.Fatal(err)
	}
	if m.Decode() != nil || m.Type != stun.BindingSuccess {
		t.Fatalf("answer %v", m)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil || mapped.String() != c.LocalAddr().String() {
		t.Errorf("mapped %v, %v; want %v", mapped, err, c.LocalAddr())
	}
	s.close()
}

// At the bound a further stream is refused; one that ends makes room.
func TestStreamsAreBounded(t *testing.T) {
	s := serve(t, flow.FramedStream, 1)
	first := s.dial()
	if _, err := first.Write([]byte{0, 1, 99}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first stream", func() bool { return s.p.Counters()["ice_tcp_in"] == 1 })
	second := s.dial()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a stream too many was served")
	}
	if why := <-s.ended; !errors.Is(why, stream.Refused) {
		t.Errorf("it ended because: %v", why)
	}
	first.Close()
	if why := <-s.ended; !errors.Is(why, stream.PeerClosed) {
		t.Errorf("the first one ended because: %v", why)
	}
	waitFor(t, "a free place", func() bool { return s.p.Counters()["streams_free"] == 1 })
	third := s.dial()
	if _, err := third.Write([]byte{0, 1, 99}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the third stream", func() bool { return s.p.Counters()["ice_tcp_in"] == 2 })
	s.close()
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if waitUntil(ctx, cond) != nil {
		t.Fatalf("not within 30 s: %s", what)
	}
}
