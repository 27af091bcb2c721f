package turnsrv

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/turnsrv/stunwire"
)

const (
	testRealm    = "turn.example.com"
	testPassword = "0123456789abcdefghijklmn"
	start        = mono.Time(time.Hour) // of the tests' clock
)

// Our candidates in tests, at places 0 and 1.
var (
	ours4 = Address{flow.AddrOf(netip.MustParseAddr("203.0.113.5")), 3478}
	ours6 = Address{flow.AddrOf(netip.MustParseAddr("2001:db8:5::5")), 3478}
)

// world is a server, its clock and its accounts.
type world struct {
	t        testing.TB
	s        *Server
	now      mono.Time
	accounts map[string]Account
	out      [MaxResponse]byte
	tx       uint64
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, now: start, accounts: make(map[string]Account)}
	cfg := Config{Realm: testRealm, Secret: [32]byte{1, 2, 3}, Allocations: 1024}
	for _, f := range change {
		f(&cfg)
	}
	w.s = NewServer(cfg, func(username []byte) (Account, bool) {
		a, ok := w.accounts[string(username)]
		return a, ok
	})
	w.s.SetAddresses([]Address{ours4, ours6})
	return w
}

// connect makes connection number n with credentials "user<n>" and testPassword.
func (w *world) connect(n uint32) *client {
	name := fmt.Sprint("user", n)
	if _, ok := w.accounts[name]; !ok {
		w.accounts[name] = Account{Connection: n, Serial: 7, Key: LongTermKey(name, testRealm, testPassword), Book: new(Book)}
	}
	return &client{w: w, username: name, realm: testRealm, password: testPassword,
		k: flow.KeyOf(netip.MustParseAddr("203.0.113.5"), netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 40000))}
}

// client is one flow with one connection's credentials.
type client struct {
	w                         *world
	k                         flow.Key
	username, realm, password string
	nonce                     string
}

// from returns the same client behind another port: another flow.
func (c *client) from(port uint16) *client {
	other := *c
	other.k.Port, other.nonce = port, ""
	return &other
}

func (c *client) book() *Book { return c.w.accounts[c.username].Book }

// raw is an attribute as a pion/stun setter.
func raw(typ stun.AttrType, v ...byte) stun.Setter { return stun.RawAttribute{Type: typ, Value: v} }

// Attributes that many requests have.
var (
	overUDP = raw(stun.AttrRequestedTransport, 17, 0, 0, 0)
	want4   = raw(stun.AttrRequestedAddressFamily, 1, 0, 0, 0)
	want6   = raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0)
	both    = raw(attrAdditionalAddressFamily, 2, 0, 0, 0)
)

func lifetime(seconds uint32) stun.Setter {
	return raw(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, seconds)...)
}

func channelNumber(n uint16) stun.Setter {
	return raw(stun.AttrChannelNumber, byte(n>>8), byte(n), 0, 0)
}

// toPeer is a XOR-PEER-ADDRESS. It keeps the spelling: an IPv4 address in an IPv6 address stays so.
type toPeer netip.AddrPort

func peerAt(a Address) stun.Setter {
	return toPeer(netip.AddrPortFrom(a.Addr.Netip(), a.Port))
}

func (p toPeer) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(p)
	ip := ap.Addr().AsSlice()
	v := []byte{0, family4, 0, 0}
	if len(ip) == 16 {
		v[1] = family6
	}
	binary.BigEndian.PutUint16(v[2:], ap.Port()^(stunwire.MagicCookie>>16))
	mask := append(binary.BigEndian.AppendUint32(nil, stunwire.MagicCookie), m.TransactionID[:]...)
	for i := range ip {
		v = append(v, ip[i]^mask[i])
	}
	m.Add(stun.AttrXORPeerAddress, v)
	return nil
}

// build makes a message of ours without credentials.
func (w *world) build(method stun.Method, class stun.MessageClass, setters ...stun.Setter) *stun.Message {
	w.t.Helper()
	w.tx++
	var tx [12]byte
	binary.BigEndian.PutUint64(tx[4:], w.tx)
	m, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(tx), stun.NewType(method, class)}, setters...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// signed makes a request with c's credentials and the nonce that it has.
func (c *client) signed(method stun.Method, setters ...stun.Setter) []byte {
	c.w.t.Helper()
	setters = append(setters, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
		stun.NewLongTermIntegrity(c.username, c.realm, c.password), stun.Fingerprint)
	return c.w.build(method, stun.ClassRequest, setters...).Raw
}

// handle gives the server bytes on c's flow.
func (c *client) handle(b []byte) Result {
	c.w.t.Helper()
	if !Is(b) {
		c.w.t.Fatalf("not for TURN: %x", b)
	}
	return c.w.s.Handle(c.w.now, c.k, b, c.w.out[:])
}

// answer gives the server bytes and decodes the answer.
func (c *client) answer(b []byte) (*stun.Message, Reason) {
	c.w.t.Helper()
	r := c.handle(b)
	if r.Outcome != Reply {
		c.w.t.Fatalf("no answer: %+v", r)
	}
	m := &stun.Message{Raw: append([]byte(nil), c.w.out[:r.Size]...)}
	if err := m.Decode(); err != nil {
		c.w.t.Fatal(err)
	}
	if m.TransactionID != [12]byte(b[8:20]) {
		c.w.t.Fatal("the answer has another transaction id")
	}
	return m, r.Reason
}

// prove fetches a nonce if c has none.
func (c *client) prove() {
	c.w.t.Helper()
	if c.nonce != "" {
		return
	}
	m, _ := c.answer(c.w.build(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw)
	var nonce stun.Nonce
	if err := nonce.GetFrom(m); err != nil {
		c.w.t.Fatal(err)
	}
	c.nonce = string(nonce)
}

// ask sends a signed request and returns the answer, whose integrity is right, and its error
// code, 0 for a success.
func (c *client) ask(method stun.Method, setters ...stun.Setter) (*stun.Message, int) {
	c.w.t.Helper()
	c.prove()
	m, _ := c.answer(c.signed(method, setters...))
	code := codeOf(c.w.t, m)
	if code != 401 && code != 438 {
		if err := stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(m); err != nil {
			c.w.t.Fatalf("answer of %d: %v", code, err)
		}
	}
	return m, code
}

// codeOf returns the error code of an answer, 0 for a success.
func codeOf(t testing.TB, m *stun.Message) int {
	t.Helper()
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		t.Fatal(err)
	}
	if len(code.Reason) != 0 {
		t.Fatalf("a reason phrase: %q", code.Reason)
	}
	return int(code.Code)
}

// must asks and wants a success.
func (c *client) must(method stun.Method, setters ...stun.Setter) *stun.Message {
	c.w.t.Helper()
	m, code := c.ask(method, setters...)
	if code != 0 {
		c.w.t.Fatalf("%v: %d", method, code)
	}
	return m
}

// refused asks and wants an error.
func (c *client) refused(want int, method stun.Method, setters ...stun.Setter) *stun.Message {
	c.w.t.Helper()
	m, code := c.ask(method, setters...)
	if code != want {
		c.w.t.Fatalf("%v: %d, want %d", method, code, want)
	}
	return m
}

func (c *client) allocate(setters ...stun.Setter) *stun.Message {
	c.w.t.Helper()
	return c.must(stun.MethodAllocate, append(setters, overUDP)...)
}

// indicate sends data in a Send indication.
func (c *client) indicate(peer stun.Setter, data string) Result {
	c.w.t.Helper()
	return c.handle(c.w.build(stun.MethodSend, stun.ClassIndication, peer, raw(stun.AttrData, []byte(data)...)).Raw)
}

// channelData is ChannelData as it is on the wire, unpadded.
func channelData(channel uint16, data string) []byte {
	b := make([]byte, ChannelHeader+len(data))
	PutChannelHeader(b, channel, len(data))
	copy(b[ChannelHeader:], data)
	return b
}

// granted returns the seconds of an answer.
func granted(t testing.TB, m *stun.Message) uint32 {
	t.Helper()
	v, err := m.Get(stun.AttrLifetime)
	if err != nil || len(v) != 4 {
		t.Fatal("no lifetime in the answer")
	}
	return binary.BigEndian.Uint32(v)
}

// relayedAddresses returns the XOR-RELAYED-ADDRESSes of an answer.
func relayedAddresses(t testing.TB, m *stun.Message) (all []netip.AddrPort) {
	t.Helper()
	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORRelayedAddress {
			continue
		}
		one := stun.Message{TransactionID: m.TransactionID}
		one.Add(stun.AttrXORMappedAddress, a.Value)
		var x stun.XORMappedAddress
		if err := x.GetFrom(&one); err != nil {
			t.Fatal(err)
		}
		ip, _ := netip.AddrFromSlice(x.IP)
		all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(x.Port)))
	}
	return all
}

// pass lets time go by, with Expire called as a shard does.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	until := w.now.Add(d)
	for next := w.s.Deadline(); next != mono.Never && next <= until; next = w.s.Deadline() {
		if next < w.now {
			next = w.now
		}
		w.now = next
		w.s.Expire(w.now)
	}
	w.now = until
	w.s.Expire(w.now)
}

func (w *world) allocations() int { return int(w.s.Counters.Allocations.Load()) }

func (w *world) count(r Reason) uint64 { return w.s.Counters.Reasons[r].Load() }
