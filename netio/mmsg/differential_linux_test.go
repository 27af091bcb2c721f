package mmsg

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"tsubame/netio/flow"
)

// script is a reproducible mix of datagrams: which client sends, to which address of the
// server, and what. Some are empty and some too long.
type script struct {
	clients []netip.Addr
	hits    []netip.Addr
	steps   []step
}

type step struct {
	client, hit int
	payload     []byte
}

func newScript(seed uint64, v6 bool, n int) script {
	r := rand.New(rand.NewPCG(seed, 1))
	s := script{
		clients: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.1.2.3")},
		hits:    []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.3")},
	}
	if v6 {
		s.clients = []netip.Addr{netip.IPv6Loopback(), netip.IPv6Loopback(), netip.IPv6Loopback()}
		s.hits = []netip.Addr{netip.IPv6Loopback()}
	}
	for range n {
		size := r.IntN(SlotSize + 1)
		switch r.IntN(20) {
		case 0:
			size = 0
		case 1:
			size = SlotSize + 1 + r.IntN(4000)
		}
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		s.steps = append(s.steps, step{r.IntN(len(s.clients)), r.IntN(len(s.hits)), p})
	}
	return s
}

// TestImplementationsReceiveTheSame plays one script at both implementations: they deliver
// the same bytes with the same keys in the same order, and count the same.
func TestImplementationsReceiveTheSame(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for seed := range uint64(5) {
			play := newScript(seed, v6, 300)
			clients := make([]*net.UDPConn, len(play.clients))
			for i, at := range play.clients {
				clients[i] = listen(t, netip.AddrPortFrom(at, 0))
			}
			fast := deliver(t, kit{plain: false, v6: v6}, play, clients)
			slow := deliver(t, kit{plain: true, v6: v6}, play, clients)
			if !slices.Equal(fast, slow) {
				t.Errorf("IPv6 %v, seed %d: the implementations differ", v6, seed)
			}
			if len(fast) < 200 {
				t.Errorf("IPv6 %v, seed %d: only %d results", v6, seed, len(fast))
			}
		}
	}
}

func deliver(t *testing.T, k kit, play script, clients []*net.UDPConn) (got []string) {
	t.Helper()
	s := k.open(t, Options{RecvBuffer: 1 << 20})
	b := NewRxBatch(7) // small and odd, so that batches end anywhere
	for i, step := range play.steps {
		sendTo(t, clients[step.client], netip.AddrPortFrom(play.hits[step.hit], s.LocalPort()), step.payload)
		if i%11 != 10 && i != len(play.steps)-1 {
			continue
		}
		for taken := uint64(0); taken <= uint64(i); {
			b.Reset()
			await(t, s, b, 1)
			for j := range b.Len() {
				got = append(got, fmt.Sprintf("%v %x", b.Key(j), b.Packet(j)))
			}
			n := s.Counters()
			taken = n.RxPackets.Load() + n.RxDropped[RxTruncated].Load() + n.RxDropped[RxEmpty].Load()
		}
	}
	n := s.Counters()
	return append(got, fmt.Sprint(n.RxPackets.Load(), n.RxBytes.Load(), n.RxDropped[RxTruncated].Load(), n.RxDropped[RxEmpty].Load(), n.RxErrors.Load()))
}

// TestImplementationsSendTheSame queues one mix of datagrams twice: every client receives the
// same from both implementations.
func TestImplementationsSendTheSame(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		play := newScript(77, v6, 150)
		results := map[bool][]string{}
		clients := make([]*net.UDPConn, len(play.clients))
		for i, at := range play.clients {
			clients[i] = listen(t, netip.AddrPortFrom(at, 0))
		}
		for _, plain := range []bool{false, true} {
			s, q := kit{plain: plain, v6: v6}.open(t, Options{}), NewTxQueue(512)
			due := make([]int, len(clients))
			for _, step := range play.steps {
				if len(step.payload) == 0 || len(step.payload) > SlotSize {
					continue
				}
				q.Commit(copy(q.Slot(), step.payload), flow.KeyOf(play.hits[step.hit], addrOf(clients[step.client])), Audio)
				due[step.client]++
			}
			s.Send(q)
			for i, c := range clients {
				for range due[i] {
					p, from := receive(t, c)
					results[plain] = append(results[plain], fmt.Sprintf("%d %v %x", i, from.Addr(), p))
				}
			}
		}
		if !slices.Equal(results[false], results[true]) || len(results[true]) < 100 {
			t.Errorf("IPv6 %v: the implementations differ over %d datagrams", v6, len(results[true]))
		}
	}
}
