package netio

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"tsubame/netio/mmsg"
	"tsubame/netio/mmsg/netns"
	"tsubame/netio/mono"
)

// sysctl writes a setting of the namespace that the caller is in.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// A neighbour that does not answer ARP holds the datagrams to it in the socket's buffer, so
// the socket is really full: the shard keeps the tail and sleeps until the kernel gives up on
// the neighbour and room is there again. Nothing else in the world makes it run meanwhile.
//
// Row OPS-05.
func TestFullSocketIsResumedWhenItHasRoom(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		ns, silent := netns.New(t), netns.New(t)
		ns.Join("veth0", silent, "veth1")
		ns.IP("addr add 192.0.2.1/24 dev veth0")
		var g *Group
		ns.Do(func() {
			sysctl(t, "ipv4/neigh/veth0/retrans_time_ms", "50")
			g = open(t, Config{IPv4: true, Shards: 1, SendBuffer: 4096, Plain: plain})
		})
		const queued = 12
		done := make(chan struct{})
		filled := false
		g.Start(0, &funcs{timers: func(_ mono.Time, out *mmsg.TxQueue) mono.Time {
			for i := range queued {
				if filled {
					break
				}
				slot := out.Slot()
				slot[0] = byte(i)
				// Each longer than the one before, so that they do not leave as one run,
				// which would find room as a whole.
				out.Commit(1200+i, flowTo(netip.MustParseAddrPort("192.0.2.77:9")), mmsg.Audio)
			}
			if filled && out.Len() == 0 {
				select {
				case <-done:
				default:
					close(done)
				}
			}
			filled = true
			return mono.Never
		}})
		await(t, "the queue to drain", done)
		g.Stop()
		s := g.Stats(0)
		if s.TxBlocked == 0 {
			t.Error("the socket was never full: nothing was shown")
		}
		if s.TxDropped != [mmsg.Classes]uint64{} || s.TxPackets+sum(s.TxErrors[:]) != queued {
			t.Errorf("sent %d, errors %v, dropped %v of %d", s.TxPackets, s.TxErrors, s.TxDropped, queued)
		}
		if s.Loops > 10*queued {
			t.Errorf("%d iterations for %d datagrams", s.Loops, queued)
		}
	})
}

func sum(list []uint64) (n uint64) {
	for _, v := range list {
		n += v
	}
	return n
}

// Row OPS-06.
func TestGroupServesWhereIPv6IsOff(t *testing.T) {
	ns := netns.New(t)
	ns.Do(func() {
		sysctl(t, "ipv6/conf/all/disable_ipv6", "1")
		g := open(t, Config{Shards: 2})
		for i := range 2 {
			g.Start(i, &funcs{batch: echo})
		}
		c := listen(t, loopback4)
		send(t, c, netip.AddrPortFrom(loopback4, uint16(g.Port())), "x")
		if got, _ := receive(t, c); got != "x" {
			t.Errorf("received %q", got)
		}
	})
}

// The whole way, with one server that has two addresses on one interface.
//
// Row OPS-06.
func TestGroupAnswersFromTheInterfaceAddressThatWasHit(t *testing.T) {
	server, client := netns.New(t), netns.New(t)
	server.Join("server0", client, "client0")
	for _, addr := range []string{"192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64 nodad", "2001:db8::2/64 nodad"} {
		server.IP("addr add " + addr + " dev server0")
	}
	for _, addr := range []string{"192.0.2.9/24", "2001:db8::9/64 nodad"} {
		client.IP("addr add " + addr + " dev client0")
	}
	eachPath(t, func(t *testing.T, plain bool) {
		var g *Group
		server.Do(func() { g = open(t, Config{Shards: 2, Plain: plain}) })
		for i := range 2 {
			g.Start(i, &funcs{batch: echo})
		}
		for own, hits := range map[string][]string{"192.0.2.9": {"192.0.2.1", "192.0.2.2"}, "2001:db8::9": {"2001:db8::1", "2001:db8::2"}} {
			var c *net.UDPConn
			client.Do(func() { c = listen(t, netip.MustParseAddr(own)) })
			for _, hit := range hits {
				to := netip.AddrPortFrom(netip.MustParseAddr(hit), uint16(g.Port()))
				send(t, c, to, hit)
				if got, from := receive(t, c); got != hit || from != to {
					t.Errorf("a call to %v was answered %q from %v", to, got, from)
				}
			}
		}
	})
}
