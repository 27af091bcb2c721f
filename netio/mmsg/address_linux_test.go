package mmsg

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg/netns"
)

// echo answers everything in b over the flow that it came by.
func echo(b *RxBatch, q *TxQueue, s Socket) {
	for i := range b.Len() {
		put(q, string(b.Packet(i)), b.Key(i), Control)
	}
	s.Send(q)
}

// callAndAnswer sends one datagram from c to the server's address at, has the server echo it,
// and returns the key that the server saw and the source of the answer.
func callAndAnswer(t *testing.T, s Socket, c *net.UDPConn, at netip.Addr) (flow.Key, netip.AddrPort) {
	t.Helper()
	b, q := NewRxBatch(4), NewTxQueue(4)
	sendTo(t, c, netip.AddrPortFrom(at, s.LocalPort()), []byte("ping"))
	await(t, s, b, 1)
	if b.Len() != 1 {
		t.Fatalf("%d datagrams", b.Len())
	}
	echo(b, q, s)
	_, from := receive(t, c)
	return b.Key(0), from
}

// Row OPS-06.
func TestAnswerLeavesFromTheLoopbackAddressThatWasHit(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := kit{plain: plain}.open(t, Options{})
		for _, call := range [][2]string{
			{"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "127.0.0.3"}, {"127.0.0.3", "127.0.0.3"}, {"127.0.0.2", "127.9.9.9"},
		} {
			client, hit := netip.MustParseAddr(call[0]), netip.MustParseAddr(call[1])
			c := listen(t, netip.AddrPortFrom(client, 0))
			key, from := callAndAnswer(t, s, c, hit)
			if key != flow.KeyOf(hit, addrOf(c)) {
				t.Errorf("plain %v: call from %v to %v has key %v", plain, client, hit, key)
			}
			if from != netip.AddrPortFrom(hit, s.LocalPort()) {
				t.Errorf("plain %v: call from %v to %v was answered from %v", plain, client, hit, from)
			}
		}
	}
}

// twoHosts makes a server and a client namespace on one link. The server has two addresses of
// each family on its one interface, the client has one of each.
func twoHosts(t *testing.T) (server, client *netns.Namespace) {
	server, client = netns.New(t), netns.New(t)
	server.Join("server0", client, "client0")
	for _, addr := range []string{"192.0.2.1/24 brd 192.0.2.255", "192.0.2.2/24", "2001:db8::1/64 nodad", "2001:db8::2/64 nodad"} {
		server.IP("addr add " + addr + " dev server0")
	}
	for _, addr := range []string{"192.0.2.9/24", "2001:db8::9/64 nodad"} {
		client.IP("addr add " + addr + " dev client0")
	}
	return server, client
}

// Row OPS-06.
func TestAnswerLeavesFromTheInterfaceAddressThatWasHit(t *testing.T) {
	server, client := twoHosts(t)
	eachKit(t, func(t *testing.T, k kit) {
		var s Socket
		server.Do(func() { s = k.open(t, Options{}) })
		own, hits := "192.0.2.9", []string{"192.0.2.1", "192.0.2.2"}
		if k.v6 {
			own, hits = "2001:db8::9", []string{"2001:db8::1", "2001:db8::2"}
		}
		var c *net.UDPConn
		client.Do(func() { c = listen(t, netip.AddrPortFrom(netip.MustParseAddr(own), 0)) })
		unnamed := map[netip.Addr]int{}
		for _, text := range hits {
			hit := netip.MustParseAddr(text)
			key, from := callAndAnswer(t, s, c, hit)
			if key != flow.KeyOf(hit, addrOf(c)) || from != netip.AddrPortFrom(hit, s.LocalPort()) {
				t.Errorf("call to %v has key %v and was answered from %v", hit, key, from)
			}
			// The counter-test: without its source named, the answer leaves from the same
			// address whichever was hit.
			key.Local = flow.Addr{}
			q := NewTxQueue(1)
			put(q, "unnamed", key, Control)
			s.Send(q)
			_, from = receive(t, c)
			unnamed[from.Addr()]++
		}
		if len(unnamed) != 1 {
			t.Errorf("answers without a source came from %v: this test shows nothing here", unnamed)
		}
	})
}

// A datagram to the broadcast address is answered from an address of ours, which the kernel
// names; answering from the broadcast address itself would fail.
func TestBroadcastIsKeyedByAnAddressOfOurs(t *testing.T) {
	server, client := twoHosts(t)
	for _, plain := range []bool{false, true} {
		var s Socket
		server.Do(func() { s = kit{plain: plain}.open(t, Options{}) })
		var c *net.UDPConn
		client.Do(func() { c = listen(t, netip.MustParseAddrPort("192.0.2.9:0")) })
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
		if err != nil {
			t.Fatal(err)
		}
		key, from := callAndAnswer(t, s, c, netip.MustParseAddr("192.0.2.255"))
		if want := netip.MustParseAddr("192.0.2.1"); key.Local.Netip() != want || from.Addr() != want {
			t.Errorf("plain %v: keyed by %v, answered from %v", plain, key.Local.Netip(), from)
		}
	}
}

// Row OPS-05, with a network that is really unreachable.
func TestUnreachableNetworkCostsOnlyItsOwnDatagrams(t *testing.T) {
	server, client := twoHosts(t)
	eachKit(t, func(t *testing.T, k kit) {
		var s Socket
		server.Do(func() { s = k.open(t, Options{}) })
		own, hit, lost := "192.0.2.9", "192.0.2.2", "203.0.113.1:9"
		if k.v6 {
			own, hit, lost = "2001:db8::9", "2001:db8::2", "[2001:db8:ffff::1]:9"
		}
		var c *net.UDPConn
		client.Do(func() { c = listen(t, netip.AddrPortFrom(netip.MustParseAddr(own), 0)) })
		local, q := netip.MustParseAddr(hit), NewTxQueue(100)
		for i := range 50 {
			put(q, "lost", flow.KeyOf(local, netip.MustParseAddrPort(lost)), Video)
			put(q, fmt.Sprint(i), flow.KeyOf(local, addrOf(c)), Video)
		}
		if sent, blocked := s.Send(q); sent != 50 || blocked || q.Len() != 0 {
			t.Fatalf("sent %d, blocked %v, %d left", sent, blocked, q.Len())
		}
		for i := range 50 {
			if got, _ := receive(t, c); got != fmt.Sprint(i) {
				t.Fatalf("received %q, want %d", got, i)
			}
		}
		if got := s.Counters().TxErrors[TxUnreachable].Load(); got != 50 {
			t.Errorf("counted %d unreachable", got)
		}
	})
}

// A datagram larger than the link is cut into fragments, not refused, whatever the network
// claims the path can carry.
func TestLargeDatagramsPassSmallLinks(t *testing.T) {
	server, client := twoHosts(t)
	server.IP("link set server0 mtu 1280")
	eachKit(t, func(t *testing.T, k kit) {
		var s Socket
		server.Do(func() { s = k.open(t, Options{}) })
		level, option, mode := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT
		own, local := "192.0.2.9", "192.0.2.1"
		if k.v6 {
			level, option, mode = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT
			own, local = "2001:db8::9", "2001:db8::1"
		}
		if got, err := unix.GetsockoptInt(s.FD(), level, option); err != nil || got != mode {
			t.Errorf("path MTU mode %d, want %d, %v", got, mode, err)
		}
		var c *net.UDPConn
		client.Do(func() { c = listen(t, netip.AddrPortFrom(netip.MustParseAddr(own), 0)) })
		q := NewTxQueue(1)
		q.Slot()
		q.Commit(SlotSize, flow.KeyOf(netip.MustParseAddr(local), addrOf(c)), Control)
		if sent, _ := s.Send(q); sent != 1 {
			t.Fatalf("refused: %d too big", s.Counters().TxErrors[TxTooBig].Load())
		}
		if got, _ := receive(t, c); len(got) != SlotSize {
			t.Errorf("%d bytes arrived", len(got))
		}
	})
}

// clientIn opens a client in a namespace.
func clientIn(t *testing.T, n *netns.Namespace, at string) (c *net.UDPConn) {
	t.Helper()
	n.Do(func() { c = listen(t, netip.AddrPortFrom(netip.MustParseAddr(at), 0)) })
	return c
}
