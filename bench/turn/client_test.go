package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// Attributes and numbers of RFC 8656 that pion/stun has no names for.
const (
	attrAdditionalFamily = stun.AttrType(0x8000)
	attrAddressError     = stun.AttrType(0x8001)

	protocolUDP, protocolTCP = 17, 6
	family4, family6         = 1, 2
	firstChannel             = 0x4000
)

// retransmit is after how long a request over UDP is sent again (RFC 8489 section 6.2.1).
const retransmit = 500 * time.Millisecond

// client is a TURN client made by hand, which says what it is told to. One goroutine uses it.
type client struct {
	t    *testing.T
	conn net.Conn
	v    way
	in   *bufio.Reader // of a stream
	kept [][]byte      // messages that came while something else was waited for

	username, password, realm, nonce string
}

// client connects one with the account's credentials, which it has not shown yet.
func (w *world) client(as account, v way) *client { return w.clientFrom(as, v, netip.AddrPort{}) }

// clientFrom is client, from an address of the caller's choice.
func (w *world) clientFrom(as account, v way, local netip.AddrPort) *client {
	w.t.Helper()
	c := &client{t: w.t, conn: w.open(as, v, local), v: v, username: as.Username, password: as.Credential}
	if v.isStream() {
		c.in = bufio.NewReader(c.conn)
	}
	return c
}

// allocated is client, and has an allocation.
func (w *world) allocated(as account, v way, more ...stun.Setter) *client {
	w.t.Helper()
	c := w.client(as, v)
	c.requireOK(c.allocate(more...))
	return c
}

// next returns the next message, or an error at the deadline.
func (c *client) next(deadline time.Time) ([]byte, error) {
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	if c.in == nil {
		b := make([]byte, 2048)
		n, err := c.conn.Read(b)
		return b[:n], err
	}
	head, err := c.in.Peek(4)
	if err != nil {
		return nil, err
	}
	size := 20 + int(binary.BigEndian.Uint16(head[2:]))
	if head[0] >= firstChannel>>8 { // ChannelData, padded (RFC 8656 section 12.5)
		size = 4 + (int(binary.BigEndian.Uint16(head[2:]))+3)&^3
	}
	if _, err := c.in.Peek(size); err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = c.in.Read(b)
	return b, err
}

// await sends b, over UDP again and again, until a message comes that match accepts.
func (c *client) await(what string, b []byte, match func(m []byte) bool) []byte {
	c.t.Helper()
	for i, m := range c.kept {
		if match(m) {
			c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
			return m
		}
	}
	end := time.Now().Add(patience)
	for sent := false; time.Now().Before(end); {
		if !sent || !c.v.isStream() {
			c.send(b)
			sent = true
		}
		for round := time.Now().Add(retransmit); ; {
			m, err := c.next(round)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				c.t.Fatalf("%s: %v", what, err)
			}
			if match(m) {
				return m
			}
			c.kept = append(c.kept, m)
		}
	}
	c.t.Fatalf("not within %v: %s", patience, what)
	return nil
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// do sends a request and returns the answer to it.
func (c *client) do(m *stun.Message) *stun.Message {
	c.t.Helper()
	answer := new(stun.Message)
	c.await(m.Type.String(), m.Raw, func(b []byte) bool {
		got := &stun.Message{Raw: b}
		if b[0]&0xc0 != 0 || got.Decode() != nil || got.TransactionID != m.TransactionID || got.Type.Class == stun.ClassRequest {
			return false
		}
		answer = got
		return true
	})
	if answer.Type.Method != m.Type.Method {
		c.t.Fatalf("%v was answered by %v", m.Type, answer.Type)
	}
	return answer
}

// message builds one of a client that has shown no credentials.
func (c *client) message(typ stun.MessageType, more ...stun.Setter) *stun.Message {
	c.t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, typ}, more...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// signed builds a request with the client's credentials.
func (c *client) signed(method stun.Method, more ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.message(stun.NewType(method, stun.ClassRequest), append(more,
		stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
		stun.NewLongTermIntegrity(c.username, c.realm, c.password), stun.Fingerprint)...)
}

// challenge asks without credentials and takes realm and nonce from the refusal.
func (c *client) challenge() {
	c.t.Helper()
	answer := c.do(c.message(stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(protocolUDP)))
	c.require(answer, stun.CodeUnauthorized)
	c.learn(answer)
	if c.realm == "" || c.nonce == "" {
		c.t.Fatalf("a challenge without realm or nonce: %v", answer)
	}
}

func (c *client) learn(answer *stun.Message) {
	var realm stun.Realm
	var nonce stun.Nonce
	if realm.GetFrom(answer) == nil && nonce.GetFrom(answer) == nil {
		c.realm, c.nonce = realm.String(), nonce.String()
	}
}

// request sends one with credentials and returns the answer; a client that has not asked before
// gets its nonce first.
func (c *client) request(method stun.Method, more ...stun.Setter) *stun.Message {
	c.t.Helper()
	if c.nonce == "" {
		c.challenge()
	}
	answer := c.do(c.signed(method, more...))
	if answer.Type.Class == stun.ClassSuccessResponse {
		if err := stun.NewLongTermIntegrity(c.username, c.realm, c.password).Check(answer); err != nil {
			c.t.Errorf("the answer to %v: %v", method, err)
		}
	}
	return answer
}

// allocate asks for an allocation over UDP.
func (c *client) allocate(more ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.request(stun.MethodAllocate, append([]stun.Setter{transport(protocolUDP)}, more...)...)
}

// permit asks for a permission.
func (c *client) permit(p netip.AddrPort) *stun.Message {
	c.t.Helper()
	return c.request(stun.MethodCreatePermission, peerAddress(p))
}

// bind asks for a channel.
func (c *client) bind(channel uint16, p netip.AddrPort) *stun.Message {
	c.t.Helper()
	return c.request(stun.MethodChannelBind, channelNumber(channel), peerAddress(p))
}

// refresh asks for seconds more, or for the end.
func (c *client) refresh(seconds uint32, more ...stun.Setter) *stun.Message {
	c.t.Helper()
	return c.request(stun.MethodRefresh, append([]stun.Setter{lifetime(seconds)}, more...)...)
}

// codeOf returns the error code of an answer; 0: it is a success.
func codeOf(answer *stun.Message) stun.ErrorCode {
	var code stun.ErrorCodeAttribute
	if answer.Type.Class == stun.ClassSuccessResponse || code.GetFrom(answer) != nil {
		return 0
	}
	return code.Code
}

func (c *client) requireOK(answer *stun.Message) { c.t.Helper(); c.require(answer, 0) }

func (c *client) require(answer *stun.Message, want stun.ErrorCode) {
	c.t.Helper()
	if got := codeOf(answer); got != want {
		c.t.Fatalf("%v: %d, want %d", answer.Type, got, want)
	}
}

// relayed returns the relayed address of a family that an answer tells.
func (c *client) relayed(answer *stun.Message, four bool) netip.AddrPort {
	c.t.Helper()
	var out netip.AddrPort
	err := answer.ForEach(stun.AttrXORRelayedAddress, func(m *stun.Message) error {
		var a stun.XORMappedAddress
		if err := a.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
			return err
		}
		if ip, _ := netip.AddrFromSlice(a.IP); ip.Unmap().Is4() == four {
			out = netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
		}
		return nil
	})
	if err != nil || !out.IsValid() {
		c.t.Fatalf("no relayed address: %v, %v", err, answer)
	}
	return out
}

// mapped returns the XOR-MAPPED-ADDRESS of a message.
func (c *client) mapped(m *stun.Message) netip.AddrPort {
	c.t.Helper()
	var a stun.XORMappedAddress
	if err := a.GetFrom(m); err != nil {
		c.t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(a.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// local returns the client's own address.
func (c *client) local() netip.AddrPort {
	a, _ := netip.ParseAddrPort(c.conn.LocalAddr().String())
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// sendIndication has data relayed to a peer.
func (c *client) sendIndication(to netip.AddrPort, data []byte) []byte {
	c.t.Helper()
	return c.message(stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(to), stun.RawAttribute{Type: stun.AttrData, Value: data}, stun.Fingerprint).Raw
}

// channelData wraps data; over a stream it is padded.
func (c *client) channelData(channel uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	for c.v.isStream() && len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// inIndication returns the data of a Data indication and who it is from; nil: b is none.
func inIndication(b []byte) (data []byte, from netip.AddrPort) {
	m := &stun.Message{Raw: b}
	if b[0]&0xc0 != 0 || m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return nil, from
	}
	var a stun.XORMappedAddress
	data, err := m.Get(stun.AttrData)
	if err != nil || a.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return nil, from
	}
	ip, _ := netip.AddrFromSlice(a.IP)
	return data, netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// inChannel returns the data of ChannelData of one channel; nil: b is none.
func inChannel(b []byte, channel uint16) []byte {
	if len(b) < 4 || binary.BigEndian.Uint16(b) != channel {
		return nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < 4+n {
		return nil
	}
	return b[4 : 4+n]
}

// peerAddress is XOR-PEER-ADDRESS, of the family that it is written in: an IPv6 address that maps
// an IPv4 address stays one.
type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	ip, family := a.Addr().AsSlice(), byte(family4)
	if len(ip) == 16 {
		family = family6
	}
	v := binary.BigEndian.AppendUint16([]byte{0, family}, a.Port()^0x2112)
	for i, b := range ip {
		v = append(v, b^m.Raw[4+i]) // the magic cookie, and the transaction id
	}
	m.Add(stun.AttrXORPeerAddress, v)
	return nil
}

func transport(protocol byte) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{protocol, 0, 0, 0}}
}

func family(f byte) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{f, 0, 0, 0}}
}

func additionally(f byte) stun.Setter {
	return stun.RawAttribute{Type: attrAdditionalFamily, Value: []byte{f, 0, 0, 0}}
}

func lifetime(seconds uint32) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, seconds)}
}

func channelNumber(n uint16) stun.Setter {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

// seconds returns the LIFETIME of an answer.
func (c *client) seconds(answer *stun.Message) uint32 {
	c.t.Helper()
	v, err := answer.Get(stun.AttrLifetime)
	if err != nil || len(v) != 4 {
		c.t.Fatalf("LIFETIME: %v, %x", err, v)
	}
	return binary.BigEndian.Uint32(v)
}
