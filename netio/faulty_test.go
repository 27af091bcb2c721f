package netio

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mmsg/mmsgtest"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
)

// faulty opens a group with one shard, whose sockets fail on demand: IPv4, then IPv6.
func faulty(t *testing.T, plain bool) (*Group, []*mmsgtest.Faulty) {
	var sockets []*mmsgtest.Faulty
	g := open(t, Config{Shards: 1, Plain: plain, Wrap: func(_ int, s mmsg.Socket) mmsg.Socket {
		f := &mmsgtest.Faulty{Socket: s, IPv6: len(sockets) == 1}
		sockets = append(sockets, f)
		return f
	}})
	return g, sockets
}

// A socket that fails whenever it is read, while it is readable all the time, gets rests: the
// shard does not spin, serves its other socket, and comes back when the failure is over.
//
// Row OPS-05.
func TestFailingRecvDoesNotSpin(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g, sockets := faulty(t, plain)
		k := &ticker{period: 20 * time.Millisecond, done: make(chan struct{})}
		sockets[0].RecvErrors.Store(1 << 60)
		c4, c6 := listen(t, loopback4), listen(t, loopback6)
		to4, to6 := netip.AddrPortFrom(loopback4, uint16(g.Port())), netip.AddrPortFrom(loopback6, uint16(g.Port()))
		send(t, c4, to4, "late")
		began := time.Now()
		g.Start(0, &funcs{batch: echo, timers: k.HandleTimers})
		await(t, "100 ms", k.done)
		if n, took := sockets[0].Recvs.Load(), time.Since(began); n > int64(took/restRecv)+patienceRecv+1 {
			t.Errorf("a failing socket was read %d times in %v", n, took)
		}
		send(t, c6, to6, "meanwhile")
		if got, _ := receive(t, c6); got != "meanwhile" {
			t.Errorf("received %q", got)
		}
		sockets[0].RecvErrors.Store(0)
		if got, _ := receive(t, c4); got != "late" {
			t.Errorf("received %q", got)
		}
		if g.Stats(0).Rests == 0 {
			t.Error("no rest was counted")
		}
	})
}

// A single failure costs no rest.
func TestOneFailedRecvIsNoReasonToRest(t *testing.T) {
	g, sockets := faulty(t, false)
	sockets[0].RecvErrors.Store(patienceRecv - 1)
	c := listen(t, loopback4)
	send(t, c, netip.AddrPortFrom(loopback4, uint16(g.Port())), "x")
	g.Start(0, &funcs{batch: echo})
	receive(t, c)
	if n := g.Stats(0).Rests; n != 0 {
		t.Errorf("%d rests", n)
	}
}

// A socket that never takes anything although it is writable: the queue fills, its oldest
// Video goes, Audio is refused when nothing else is left, and the other family goes on.
//
// Row OPS-05.
func TestFullSocketDropsTheOldestVideo(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g, sockets := faulty(t, plain)
		sockets[0].Full.Store(true)
		c4, c6 := listen(t, loopback4), listen(t, loopback6)
		to4 := flow.KeyOf(loopback4, addrOf(c4))
		r, handled := ring.NewMPSC[int](8), make(chan bool)
		h := mailbox(r, func(n int, out *mmsg.TxQueue) {
			ok := true
			for i := range max(n, -n) {
				if n > 0 {
					ok = put(out, fmt.Append(nil, "audio ", i), to4, mmsg.Audio)
				} else {
					ok = put(out, fmt.Append(nil, "video ", i), to4, mmsg.Video)
				}
			}
			handled <- ok
		})
		h.batch = echo
		g.Start(0, h)
		queue := func(n int) bool {
			t.Helper()
			r.TryPush(n)
			g.Waker(0).Wake()
			return await(t, "a message to be handled", handled)
		}
		if !queue(-2 * txSlots) {
			t.Error("no room for Video among Video")
		}
		send(t, c6, netip.AddrPortFrom(loopback6, uint16(g.Port())), "meanwhile")
		if got, _ := receive(t, c6); got != "meanwhile" {
			t.Errorf("received %q", got)
		}
		if !queue(txSlots) {
			t.Error("Audio did not drive out Video")
		}
		if queue(1) {
			t.Error("room for Audio in a queue full of it")
		}
		s := g.Stats(0)
		if s.TxDropped[mmsg.Video] != 2*txSlots || s.TxDropped[mmsg.Audio] != 0 || s.TxRefused != 1 {
			t.Errorf("dropped %v, refused %d", s.TxDropped, s.TxRefused)
		}
		sockets[0].Full.Store(false)
		for i := range 100 { // what surely fits into the client's buffer
			if got, _ := receive(t, c4); got != fmt.Sprint("audio ", i) {
				t.Fatalf("received %q, want audio %d", got, i)
			}
		}
		g.Stop()
		if s := g.Stats(0); s.TxPackets != txSlots+1 || s.TxDropped[mmsg.Audio] != 0 {
			t.Errorf("sent %d, dropped %v", s.TxPackets, s.TxDropped)
		}
	})
}

// While a socket is full the shard sleeps, although poll says that it is writable.
func TestBlockedTailDoesNotSpin(t *testing.T) {
	eachPath(t, func(t *testing.T, plain bool) {
		g, sockets := faulty(t, plain)
		sockets[0].Full.Store(true)
		c4, c6 := listen(t, loopback4), listen(t, loopback6)
		to4 := flow.KeyOf(loopback4, addrOf(c4))
		k := &ticker{period: 20 * time.Millisecond, done: make(chan struct{})}
		queued, began := false, time.Now()
		g.Start(0, &funcs{
			batch: echo,
			timers: func(now mono.Time, out *mmsg.TxQueue) mono.Time {
				if !queued {
					queued = put(out, []byte("tail"), to4, mmsg.Audio)
				}
				return k.HandleTimers(now, out)
			},
		})
		await(t, "100 ms", k.done)
		if n, took := sockets[0].Sends.Load(), time.Since(began); n > int64(took/restSend)+patienceSend+1 {
			t.Errorf("%d calls of Send in %v", n, took)
		}
		send(t, c6, netip.AddrPortFrom(loopback6, uint16(g.Port())), "meanwhile")
		if got, _ := receive(t, c6); got != "meanwhile" {
			t.Errorf("received %q", got)
		}
		sockets[0].Full.Store(false)
		if got, _ := receive(t, c4); got != "tail" {
			t.Errorf("received %q", got)
		}
	})
}
