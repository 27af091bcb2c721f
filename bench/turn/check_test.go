package turn

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/turn/v5"

	"tsubame/bench/attack"
)

// answered has a check of the account's connection relayed by wrap, and returns the address that
// the answer says it came from. Unwrap finds the answer in what comes.
func (c *client) answered(as account, wrap func(check []byte) []byte, unwrap func(b []byte) []byte) netip.AddrPort {
	c.t.Helper()
	check := attack.Check(attack.Credentials{Ufrag: as.ufrag, Password: as.password}, false)
	var answer *stun.Message
	c.await("the answer to a check", wrap(check), func(b []byte) bool {
		inner := unwrap(b)
		if inner == nil || !attack.IsSuccess(inner, check, as.password) {
			return false
		}
		answer = &stun.Message{Raw: bytes.Clone(inner)}
		return answer.Decode() == nil
	})
	return c.mapped(answer)
}

// byIndication is answered, by Send indications.
func (c *client) byIndication(as account, to netip.AddrPort) netip.AddrPort {
	c.t.Helper()
	return c.answered(as, func(check []byte) []byte { return c.sendIndication(to, check) }, func(b []byte) []byte {
		data, from := inIndication(b)
		if data != nil && from != to {
			c.t.Errorf("data from %v, not from %v", from, to)
		}
		return data
	})
}

// byChannel is answered, by ChannelData.
func (c *client) byChannel(as account, channel uint16) netip.AddrPort {
	c.t.Helper()
	return c.answered(as, func(check []byte) []byte { return c.channelData(channel, check) },
		func(b []byte) []byte { return inChannel(b, channel) })
}

func TestACheckGoesThroughSendIndications(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		c := w.client(as, v)
		allocation := c.allocate(additionally(family6))
		c.requireOK(allocation)
		for _, a := range []netip.Addr{server4, server6} {
			c.requireOK(c.permit(w.candidate(a)))
			if got, want := c.byIndication(as, w.candidate(a)), c.relayed(allocation, a.Is4()); got != want {
				t.Errorf("to %v: mapped to %v, relayed by %v", a, got, want)
			}
		}
		if n := w.grown("turn_indication"); n < 2 {
			t.Errorf("%d indications were taken", n)
		}
		w.requireGrown("turn_channel_data", 0)
	})
}

func TestACheckGoesThroughChannelData(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		c := w.client(as, v)
		allocation := c.allocate(additionally(family6))
		c.requireOK(allocation)
		for i, a := range []netip.Addr{server4, server6} {
			channel := firstChannel + 7*uint16(i)
			c.requireOK(c.bind(channel, w.candidate(a)))
			if got, want := c.byChannel(as, channel), c.relayed(allocation, a.Is4()); got != want {
				t.Errorf("to %v: mapped to %v, relayed by %v", a, got, want)
			}
		}
		if n := w.grown("turn_channel_data"); n < 2 {
			t.Errorf("%d messages were taken", n)
		}
		w.requireGrown("turn_indication", 0)
	})
}

// Data are taken and sent without a permission no more than they are without an allocation.
func TestDataWithoutAPermissionGoNowhere(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		check := attack.Check(attack.Credentials{Ufrag: as.ufrag, Password: as.password}, false)
		c := w.client(as, v)
		if v.isStream() {
			c.requireOK(c.do(c.message(stun.BindingRequest))) // no stream begins by an indication
		}
		c.send(c.sendIndication(w.candidate(server4), check))
		w.waitGrown("turn_unallocated", 1)
		c.requireOK(c.allocate(family(family4)))
		c.send(c.sendIndication(w.candidate(server4), check))
		w.waitGrown("turn_unpermitted", 1)
		c.send(c.channelData(firstChannel, check))
		w.waitGrown("turn_unbound_channel", 1)
		if n := w.grown("turn_indication", "turn_channel_data", "stun_replies"); n != 0 {
			t.Errorf("%d messages got through", n)
		}
	})
}

// relay is a client by pion/turn, and what it has allocated.
type relay struct {
	client *turn.Client
	net.PacketConn
	candidate netip.AddrPort // of the server, which it may send to
}

// pion connects one. The test ends it, if nobody does before; the allocation is released then.
func (w *world) pion(as account, v way) *relay {
	w.t.Helper()
	server := w.address(as, v)
	var socket net.PacketConn
	if v.isStream() {
		socket = turn.NewSTUNConn(w.open(as, v, netip.AddrPort{}))
	} else {
		var err error
		if socket, err = net.ListenPacket("udp", net.JoinHostPort(v.server().String(), "0")); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.pionOn(as, v, server, socket)
}

// pionOn is pion, on a socket that is there.
func (w *world) pionOn(as account, v way, server string, socket net.PacketConn) *relay {
	w.t.Helper()
	// Of IPv6 this client asks behind MESSAGE-INTEGRITY, where attributes are to be ignored (RFC
	// 8489 section 14.5): whichever way it comes, it is relayed by IPv4.
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Conn: socket, RTO: retransmit,
		Username: as.Username, Password: as.Credential,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		c.Close()
		socket.Close()
	})
	if err := c.Listen(); err != nil {
		w.t.Fatal(err)
	}
	allocation, err := c.Allocate()
	if err != nil {
		w.t.Fatalf("Allocate by %v: %v", v, err)
	}
	r := &relay{c, allocation, w.candidate(server4)}
	w.t.Cleanup(func() { r.PacketConn.Close() })
	return r
}

// check has a check relayed and requires its answer, as from the relayed address.
func (r *relay) check(t *testing.T, as account) {
	t.Helper()
	check := attack.Check(attack.Credentials{Ufrag: as.ufrag, Password: as.password}, false)
	b := make([]byte, 2048)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := r.WriteTo(check, net.UDPAddrFromAddrPort(r.candidate)); err != nil {
			t.Fatal(err)
		}
		if err := r.SetReadDeadline(time.Now().Add(retransmit)); err != nil {
			t.Fatal(err)
		}
		n, from, err := r.ReadFrom(b)
		if err != nil {
			continue
		}
		if !attack.IsSuccess(b[:n], check, as.password) {
			continue // to an earlier one
		}
		answer := &stun.Message{Raw: bytes.Clone(b[:n])}
		var mapped stun.XORMappedAddress
		if answer.Decode() != nil || mapped.GetFrom(answer) != nil || mapped.String() != r.LocalAddr().String() || from.String() != r.candidate.String() {
			t.Errorf("from %v, mapped to %v; the relayed address is %v", from, mapped, r.LocalAddr())
		}
		return
	}
	t.Fatal("a check was not answered")
}

// A client that many others are made of: it has its first data go by an indication while it binds
// a channel, and releases its allocation at the end.
func TestPionIsRelayed(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		as := w.connect()
		r := w.pion(as, v)
		if _, err := r.client.SendBindingRequest(); err != nil {
			t.Error(err)
		}
		candidate := net.UDPAddrFromAddrPort(r.candidate)
		if err := r.client.CreatePermission(candidate); err != nil {
			t.Error(err)
		}
		if err := r.client.CreatePermission(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: candidate.Port}); err == nil {
			t.Error("permission for somebody else's address")
		}
		eventually(t, "data go by ChannelData", func() (bool, any) {
			r.check(t, as)
			return w.grown("turn_channel_data") > 0, nil
		})
		for _, name := range []string{"turn_indication", "turn_channel_bind", "turn_allocations"} {
			if w.grown(name) == 0 {
				t.Errorf("%s has not grown", name)
			}
		}
		if err := r.PacketConn.Close(); err != nil {
			t.Error(err)
		}
		w.waitGrown("turn_release", 1)
		w.requireGrown("turn_allocations", 0)
	})
}
