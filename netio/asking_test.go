package netio

import (
	"net/netip"
	"testing"

	"tsubame/netio/mmsg"
	"tsubame/netio/mmsg/mmsgtest"
	"tsubame/netio/mono"
)

// After a sleep a shard asks only the sockets that have something, and each of them once, as
// long as its answer fits the batch.
func TestSocketsWithNothingAreNotAsked(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		var sockets []*mmsgtest.Faulty
		g := open(t, Config{Shards: 1, Plain: plain, Wrap: func(_ int, s mmsg.Socket) mmsg.Socket {
			sockets = append(sockets, &mmsgtest.Faulty{Socket: s})
			return sockets[len(sockets)-1]
		}})
		g.Start(0, &funcs{batch: echo})
		c, to := listen(t, loopback4), netip.AddrPortFrom(loopback4, uint16(g.Port()))
		const calls = 100
		for range calls {
			send(t, c, to, "x")
			receive(t, c)
		}
		g.Stop()
		// One more each: at the start nobody has told yet.
		if v4, v6 := sockets[0].Recvs.Load(), sockets[1].Recvs.Load(); v4 > calls+1 || v6 > 1 {
			t.Errorf("for %d datagrams IPv4 was asked %d times, IPv6 %d", calls, v4, v6)
		}
		if s := g.Stats(0); s.RxPackets != calls {
			t.Errorf("received %d of %d", s.RxPackets, calls)
		}
	})
}

// What does not fit one batch is fetched without a sleep in between, and from all sockets.
func TestFullBatchIsFollowedByAnother(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		h := &funcs{}
		g := open(t, Config{Shards: 1, Plain: plain})
		s, thread := carried(g, h)
		got := 0
		h.batch = func(_ mono.Time, in *mmsg.RxBatch, _ *mmsg.TxQueue) { got += in.Len() }
		c, c6 := listen(t, loopback4), listen(t, loopback6)
		s.turn() // finds nothing
		for range 2*rxSlots + 1 {
			send(t, c, netip.AddrPortFrom(loopback4, s.ports[0].socket.LocalPort()), "x")
		}
		s.next = Now().Add(patience)
		thread.sleep()
		send(t, c6, netip.AddrPortFrom(loopback6, s.ports[0].socket.LocalPort()), "x")
		for turns := 1; ; turns++ {
			if s.turn(); !s.busy {
				if got != 2*rxSlots+2 || turns != 3 {
					t.Errorf("%d datagrams in %d turns", got, turns)
				}
				return
			}
		}
	})
}
