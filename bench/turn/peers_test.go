package turn

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// foreign are addresses that are not the server's, in every spelling.
var foreign = []string{
	"127.0.0.2", "127.255.255.254", "0.0.0.0", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
	"100.64.0.1", "169.254.0.1", "169.254.169.254", "198.18.0.1", "192.0.2.1", "8.8.8.8",
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",

	"::", "::2", "fe80::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "2001:db8::1", "2606:4700::1111",
	// IPv4 in IPv6: the server's own address is among what these spell.
	"::ffff:127.0.0.1", "::ffff:127.0.0.2", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
	"::127.0.0.1", "::10.0.0.1", "::ffff:0:127.0.0.1",
	"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::127.0.0.1",
	"2002:7f00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
	"2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
	"fe80::5efe:127.0.0.1", "fe80::200:5efe:10.0.0.1", "2001:db8::5efe:127.0.0.1",
}

// Row TURN-01.
// Row TURN-02.
func TestEveryOtherPeerIsForbidden(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v, additionally(family6))
		own := w.candidate(server4)
		for _, text := range foreign {
			p := netip.AddrPortFrom(netip.MustParseAddr(text), own.Port())
			if got := codeOf(c.permit(p)); got != stun.CodeForbidden {
				t.Errorf("permission for %v: %d", p, got)
			}
			if got := codeOf(c.bind(firstChannel, p)); got != stun.CodeForbidden {
				t.Errorf("channel to %v: %d", p, got)
			}
			c.send(c.sendIndication(p, []byte("hello")))
		}
		w.waitGrown("turn_foreign_peer", uint64(len(foreign)))
		// All or nothing: a good one among them changes nothing.
		mixed := c.request(stun.MethodCreatePermission, peerAddress(own), peerAddress(netip.MustParseAddrPort("10.0.0.1:9")))
		c.require(mixed, stun.CodeForbidden)
		c.send(c.sendIndication(own, []byte("hello")))
		w.waitGrown("turn_unpermitted", 1)
		if n := w.grown("turn_indication", "turn_channel_data", "turn_create_permission", "turn_channel_bind"); n != 0 {
			t.Errorf("%d were taken", n)
		}
	})
}

// The server's own host has other ports, with something behind them: its TCP and TLS,
// and somebody who listens for what leaves the process.
//
// Row TURN-01.
func TestOurOtherPortsAreForbidden(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	victim, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server4, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	as := w.connect()
	sent := uint64(0)
	for _, v := range []way{overUDP, overTCP, overTLS} {
		c := w.allocated(as, v, family(family4))
		c.requireOK(c.permit(w.candidate(server4))) // of the address, for all ports
		for name, port := range map[string]int{
			"zero": 0, "TCP": w.TCPPort(), "TLS": w.TLSPort(), "next": w.UDPPort() + 1, "DNS": 53,
			"a listener": victim.LocalAddr().(*net.UDPAddr).Port, "the client's own": int(c.local().Port()),
		} {
			p := netip.AddrPortFrom(server4, uint16(port))
			if got := codeOf(c.bind(firstChannel, p)); got != stun.CodeForbidden {
				t.Errorf("channel to port %s: %d", name, got)
			}
			c.send(c.sendIndication(p, []byte("hello")))
			sent++
		}
	}
	w.waitGrown("turn_foreign_peer", sent)
	if err := victim.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, from, err := victim.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a listener was sent %q by %v, %v", b[:n], from, err)
	}
}

// RFC 6062's and RFC 8016's methods are none of ours, and not answered.
//
// Row TURN-01.
// Row TURN-11.
func TestConnectAndMobilityAreNotOffered(t *testing.T) {
	eachWay(t, func(t *testing.T, w *world, v way) {
		c := w.allocated(w.connect(), v, family(family4))
		for _, method := range []stun.Method{stun.MethodConnect, stun.MethodConnectionBind, stun.MethodConnectionAttempt} {
			c.send(c.signed(method, peerAddress(w.candidate(server4))).Raw)
		}
		w.waitGrown("turn_unexpected", 3)
		const mobilityTicket = stun.AttrType(0x8030) // comprehension is optional, and ours is none
		answer := c.refresh(600, stun.RawAttribute{Type: mobilityTicket, Value: []byte("ticket")})
		c.requireOK(answer)
		if answer.Contains(mobilityTicket) {
			t.Error("a ticket was given")
		}
	})
}
