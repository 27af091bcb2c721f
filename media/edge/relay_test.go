package edge

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/steer"
	"tsubame/turnsrv"
)

// Our addresses that tests relay to; the second one is IPv6.
var ourAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// testPipe is a stream whose other end is the test.
type testPipe struct {
	in       [][]byte
	out      []sentFrame
	refuse   [mmsg.Classes]bool
	holding  bool
	discard  bool // what is sent
	unread   int  // sent since the last Flush
	closed   bool
	place    uint32
	onFrames func(sentFrame)
	proven   int // how often
	unproven int
}

type sentFrame struct {
	class mmsg.Class
	bytes []byte
}

func (s *testPipe) Next() ([]byte, bool) {
	if len(s.in) == 0 {
		return nil, false
	}
	b := s.in[0]
	s.in, s.holding = s.in[1:], true
	return b, true
}

func (s *testPipe) Release() { s.holding = false }

func (s *testPipe) Send(c mmsg.Class, b []byte) bool {
	if s.refuse[c] || s.closed {
		return false
	}
	s.unread++
	if s.discard {
		return true
	}
	f := sentFrame{c, slices.Clone(b)}
	if s.out = append(s.out, f); s.onFrames != nil {
		s.onFrames(f)
	}
	return true
}

func (s *testPipe) Flush()   { s.unread = 0 }
func (s *testPipe) Prove()   { s.proven++ }
func (s *testPipe) Unprove() { s.unproven++ }
func (s *testPipe) Close()   { s.closed = true }

// stream opens a stream from remote; its home is where steering says.
func (r *rig) stream(c flow.Carrier, local, remote string, tls bool) (*testPipe, flow.Key) {
	r.t.Helper()
	place, ok := r.p.streams.free.Get()
	if !ok {
		r.t.Fatal("no room for a stream")
	}
	k := key(local, remote)
	k.Via = flow.OverStream(c, place)
	s := &testPipe{place: place}
	r.p.openStream(place, s, k, tls)
	r.pipes[k] = s
	s.onFrames = func(f sentFrame) {
		if c == flow.FramedStream {
			r.sent = append(r.sent, datagram{shard: steer.ShardOfKey(k, len(r.p.shards)), key: k, bytes: f.bytes})
		}
	}
	return s, k
}

// hangUp ends a stream from the other side.
func (r *rig) hangUp(k flow.Key) {
	s := r.pipes[k]
	s.closed = true
	r.p.streamOver(s.place)
	delete(r.pipes, k)
	r.settle()
}

// relay is a TURN client: one allocation, and the path to us through it.
type relay struct {
	r        *rig
	shard    int
	base     flow.Key // the flow to the TURN server
	path     flow.Key // as the plane knows what comes through the relay
	username string
	password string
	nonce    stun.Nonce
	mapped   netip.AddrPort // the relayed transport address
	peer     netip.AddrPort // our address behind the relay
	channel  uint16
	pipe     *testPipe // nil: over UDP
	answers  []*stun.Message
	released bool // the client has forgotten it
}

// over returns a relay for a connection over flow base, with a permission for our address
// number peer, and none of its channels bound. It is the connection's allocation number n.
func (p *peer) over(base flow.Key, shard, n, peer int) *relay {
	r := p.r
	r.t.Helper()
	if !r.addressed {
		r.addressed = true
		r.p.SetAddresses(ourAddresses)
		r.settle()
	}
	v := &relay{r: r, shard: shard, base: base, path: base, pipe: r.pipes[base]}
	v.path.Via = base.Via.Relayed(n, peer)
	v.peer = netip.AddrPortFrom(ourAddresses[peer], r.p.port())
	v.username, v.password = p.c.TURNCredentials()
	if v.pipe != nil {
		v.shard = steer.ShardOfKey(base, len(r.p.shards))
		v.pipe.onFrames = func(f sentFrame) { v.sent(f.bytes) }
	}
	r.relays[v.path] = v
	family := byte(1)
	if ourAddresses[peer].Is6() {
		family = 2
	}
	allocate := []stun.Setter{
		stun.NewType(stun.MethodAllocate, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}},
		stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{family, 0, 0, 0}},
	}
	m := v.ask(allocate...)
	if code := codeOf(m); code != 401 {
		r.t.Fatalf("an Allocate without credentials: %v", m)
	}
	v.nonce = nonceOf(r.t, m)
	m = v.ask(allocate...)
	var at stun.XORMappedAddress
	if err := at.GetFromAs(m, stun.AttrXORRelayedAddress); m.Type.Class != stun.ClassSuccessResponse || err != nil {
		r.t.Fatalf("Allocate: %v, code %d, %v", m, codeOf(m), err)
	}
	addr, _ := netip.AddrFromSlice(at.IP)
	v.mapped = netip.AddrPortFrom(addr.Unmap(), uint16(at.Port))
	if m = v.ask(stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), peerAddress(v.peer)); codeOf(m) != 0 {
		r.t.Fatalf("CreatePermission: %v", m)
	}
	return v
}

// bind binds a channel.
func (v *relay) bind(channel uint16) {
	v.r.t.Helper()
	m := v.ask(stun.NewType(stun.MethodChannelBind, stun.ClassRequest), peerAddress(v.peer),
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(channel >> 8), byte(channel), 0, 0}})
	if codeOf(m) != 0 {
		v.r.t.Fatalf("ChannelBind: %v", m)
	}
	v.channel = channel
}

// release ends the allocation.
func (v *relay) release() {
	v.r.t.Helper()
	m := v.ask(stun.NewType(stun.MethodRefresh, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrLifetime, Value: []byte{0, 0, 0, 0}})
	if codeOf(m) != 0 {
		v.r.t.Fatalf("Refresh: %v", m)
	}
}

// ask sends a request and returns the answer.
func (v *relay) ask(setters ...stun.Setter) *stun.Message {
	v.r.t.Helper()
	v.answers = nil
	v.raw(v.build(setters...))
	if len(v.answers) != 1 {
		v.r.t.Fatalf("%d answers", len(v.answers))
	}
	return v.answers[0]
}

// build makes a request, signed as soon as there is a nonce to sign with.
func (v *relay) build(setters ...stun.Setter) []byte {
	v.r.t.Helper()
	all := append([]stun.Setter{stun.TransactionID}, setters...)
	if len(v.nonce) > 0 {
		all = append(all, stun.NewUsername(v.username), stun.NewRealm(defaultRealm), v.nonce,
			stun.NewLongTermIntegrity(v.username, defaultRealm, v.password))
	}
	m, err := stun.Build(all...)
	if err != nil {
		v.r.t.Fatal(err)
	}
	return m.Raw
}

// raw sends bytes over the flow to the TURN server and lets the plane handle them.
func (v *relay) raw(b []byte) {
	if v.pipe == nil {
		v.r.deliver(v.shard, v.base, b)
		v.r.drainReplies(v)
		return
	}
	v.pipe.in = append(v.pipe.in, b)
	v.r.p.streamReady(v.pipe.place)
	v.r.settle()
}

// wrap wraps a datagram for the relay: as ChannelData once a channel is bound.
func (v *relay) wrap(b []byte) []byte {
	if v.channel != 0 {
		out := binary.BigEndian.AppendUint16(nil, v.channel)
		out = binary.BigEndian.AppendUint16(out, uint16(len(b)))
		out = append(out, b...)
		for v.pipe != nil && len(out)%4 != 0 {
			out = append(out, 0)
		}
		return out
	}
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(v.peer), stun.RawAttribute{Type: stun.AttrData, Value: b})
	if err != nil {
		v.r.t.Fatal(err)
	}
	return m.Raw
}

// unwrap takes a datagram out of what the server sent, or reports false for an answer.
func (v *relay) unwrap(b []byte) ([]byte, bool) {
	t := v.r.t
	t.Helper()
	if b[0]>>6 == 1 {
		channel, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		size := len(b)
		if v.pipe != nil {
			if size%4 != 0 {
				t.Fatalf("ChannelData of %d bytes over a stream", size)
			}
			size = min(size, turnsrv.ChannelHeader+n)
		}
		if v.channel == 0 || channel != v.channel || size != turnsrv.ChannelHeader+n || len(b)-size > 3 {
			t.Fatalf("ChannelData of channel %#x with %d bytes in %d; the channel is %#x", channel, n, len(b), v.channel)
		}
		return b[4 : 4+n], true
	}
	m := &stun.Message{Raw: slices.Clone(b)}
	if err := m.Decode(); err != nil {
		t.Fatalf("neither ChannelData nor STUN: %x", b)
	}
	if m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		v.answers = append(v.answers, m)
		return nil, false
	}
	var from stun.XORMappedAddress
	if err := from.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
		t.Fatal(err)
	}
	addr, _ := netip.AddrFromSlice(from.IP)
	if got := netip.AddrPortFrom(addr.Unmap(), uint16(from.Port)); got != v.peer {
		t.Fatalf("data from %v, want %v", got, v.peer)
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		t.Fatal(err)
	}
	return data, true
}

// sent takes a frame that the server sent over the relay's stream.
func (v *relay) sent(b []byte) {
	if v.released {
		return
	}
	if inner, ok := v.unwrap(b); ok {
		v.r.sent = append(v.r.sent, datagram{shard: v.shard, key: v.path, bytes: inner})
	}
}

// drainReplies moves what was sent to a relay's base flow from the rig to the relay.
func (r *rig) drainReplies(v *relay) {
	r.sent = slices.DeleteFunc(r.sent, func(d datagram) bool {
		if d.key != v.base {
			return false
		}
		v.unwrap(d.bytes)
		return true
	})
}

// opened is a datagram as the peer has it that it was sent to.
func (r *rig) opened(d datagram) datagram {
	if v := r.relays[d.key]; v != nil && !v.released {
		if inner, ok := v.unwrap(d.bytes); ok {
			d.bytes = inner
		}
	}
	return d
}

// through delivers datagrams that a path carries that is not plain UDP.
func (r *rig) through(shard int, k flow.Key, datagrams [][]byte) {
	r.t.Helper()
	v := r.relays[k]
	if v == nil { // a stream that is not relayed
		s := r.pipes[k]
		if s == nil {
			return // it is closed
		}
		s.in = append(s.in, datagrams...)
		r.p.streamReady(s.place)
		r.settle()
		return
	}
	wrapped := make([][]byte, len(datagrams))
	for i, b := range datagrams {
		wrapped[i] = v.wrap(b)
	}
	if v.pipe == nil {
		r.deliver(shard, v.base, wrapped...)
		return
	}
	if v.pipe.closed {
		return
	}
	v.pipe.in = append(v.pipe.in, wrapped...)
	r.p.streamReady(v.pipe.place)
	r.settle()
}

// to makes the peer use another path from now on.
func (p *peer) to(k flow.Key, shard int) *peer {
	p.key, p.shard = k, shard
	return p
}

// via makes the peer use a relay from now on.
func (p *peer) via(v *relay) *peer { return p.to(v.path, v.shard) }

func peerAddress(a netip.AddrPort) stun.Setter { return peerAttr(a) }

type peerAttr netip.AddrPort

func (a peerAttr) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(a)
	x := stun.XORMappedAddress{IP: ap.Addr().AsSlice(), Port: int(ap.Port())}
	return x.AddToAs(m, stun.AttrXORPeerAddress)
}

func codeOf(m *stun.Message) int {
	var code stun.ErrorCodeAttribute
	if code.GetFrom(m) != nil {
		return 0
	}
	return int(code.Code)
}

func nonceOf(t testing.TB, m *stun.Message) stun.Nonce {
	t.Helper()
	var n stun.Nonce
	if err := n.GetFrom(m); err != nil {
		t.Fatal(err)
	}
	return n
}
