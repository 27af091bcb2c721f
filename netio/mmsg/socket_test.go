package mmsg

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// kit opens sockets of one implementation and family.
type kit struct {
	plain, v6, noGSO bool
}

// eachKit runs one test over both implementations, the batched one with runs and without, and
// both families.
func eachKit(t *testing.T, f func(t *testing.T, k kit)) {
	for _, v6 := range []bool{false, true} {
		family := map[bool]string{false: " IPv4", true: " IPv6"}[v6]
		t.Run("runs"+family, func(t *testing.T) { f(t, kit{v6: v6}) })
		t.Run("batched"+family, func(t *testing.T) { f(t, kit{v6: v6, noGSO: true}) })
		t.Run("plain"+family, func(t *testing.T) { f(t, kit{v6: v6, plain: true}) })
	}
}

func (k kit) open(t testing.TB, o Options) Socket {
	t.Helper()
	o.Plain, o.IPv6, o.NoGSO = k.plain, k.v6, k.noGSO
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (k kit) loopback() netip.Addr {
	if k.v6 {
		return netip.IPv6Loopback()
	}
	return netip.MustParseAddr("127.0.0.1")
}

// client opens a standard library socket on the loopback address.
func (k kit) client(t testing.TB) *net.UDPConn {
	t.Helper()
	return listen(t, netip.AddrPortFrom(k.loopback(), 0))
}

func listen(t testing.TB, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func sendTo(t testing.TB, c *net.UDPConn, to netip.AddrPort, p []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(p, to); err != nil {
		t.Fatal(err)
	}
}

// receive reads one datagram from the client.
func receive(t testing.TB, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), from
}

// await receives into b until want datagrams have been taken from the kernel.
func await(t testing.TB, s Socket, b *RxBatch, want int) {
	t.Helper()
	for taken := 0; taken < want; {
		fds := []unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 10000); err == unix.EINTR {
			continue
		} else if err != nil || n == 0 {
			t.Fatalf("%d of %d datagrams came: %v", taken, want, err)
		}
		n, err := s.Recv(b)
		if err != nil {
			t.Fatal(err)
		}
		taken += n
	}
}

func TestRecvDeliversBytesAndKey(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, c, b := k.open(t, Options{}), k.client(t), NewRxBatch(8)
		sizes := []int{1, 28, 1200, SlotSize - 1, SlotSize}
		for i, size := range sizes {
			sendTo(t, c, reach(k, s), bytes.Repeat([]byte{byte(i + 1)}, size))
		}
		await(t, s, b, len(sizes))
		if b.Len() != len(sizes) {
			t.Fatalf("%d datagrams delivered", b.Len())
		}
		total := 0
		for i, size := range sizes {
			total += size
			if !bytes.Equal(b.Packet(i), bytes.Repeat([]byte{byte(i + 1)}, size)) {
				t.Errorf("datagram %d of %d bytes arrived as %d other ones", i, size, len(b.Packet(i)))
			}
			if want := flow.KeyOf(k.loopback(), addrOf(c)); b.Key(i) != want {
				t.Errorf("datagram %d: key %v, want %v", i, b.Key(i), want)
			}
		}
		n := s.Counters()
		if n.RxPackets.Load() != uint64(len(sizes)) || n.RxBytes.Load() != uint64(total) {
			t.Errorf("counted %d datagrams, %d bytes", n.RxPackets.Load(), n.RxBytes.Load())
		}
	})
}

// Row ICE-01.
func TestRecvDropsOversizedAndEmptyDatagrams(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, c, b := k.open(t, Options{RecvBuffer: 1 << 20}), k.client(t), NewRxBatch(16)
		to := reach(k, s)
		sent := []int{3, SlotSize + 1, 0, 65507, 5, 4000, 0}
		for _, size := range sent {
			sendTo(t, c, to, bytes.Repeat([]byte{7}, size))
		}
		await(t, s, b, len(sent))
		if b.Len() != 2 || len(b.Packet(0)) != 3 || len(b.Packet(1)) != 5 {
			t.Fatalf("%d datagrams delivered", b.Len())
		}
		n := s.Counters()
		if cut, empty := n.RxDropped[RxTruncated].Load(), n.RxDropped[RxEmpty].Load(); cut != 3 || empty != 2 {
			t.Errorf("counted %d truncated and %d empty", cut, empty)
		}
		if n.RxPackets.Load() != 2 {
			t.Errorf("counted %d delivered", n.RxPackets.Load())
		}
		// A truncated datagram leaves its mark in the slot's header; the next user of the
		// slot must not see it.
		b.Reset()
		sendTo(t, c, to, []byte("clean"))
		sendTo(t, c, to, []byte("slots"))
		await(t, s, b, 2)
		if b.Len() != 2 || string(b.Packet(0)) != "clean" || string(b.Packet(1)) != "slots" {
			t.Errorf("%d datagrams delivered in used slots", b.Len())
		}
	})
}

func TestRecvOfNothingReturnsAtOnce(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, b := k.open(t, Options{}), NewRxBatch(8)
		if n, err := s.Recv(b); n != 0 || err != nil {
			t.Errorf("received %d, %v", n, err)
		}
		if s.Counters().RxIdle.Load() != 1 {
			t.Error("not counted")
		}
	})
}

func TestRecvStopsWhenTheBatchIsFull(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, c, b := k.open(t, Options{}), k.client(t), NewRxBatch(4)
		for i := range 10 {
			sendTo(t, c, reach(k, s), []byte{byte(i)})
		}
		next := byte(0)
		for _, want := range []int{4, 4, 2} {
			b.Reset()
			await(t, s, b, want)
			if n, err := s.Recv(b); want == 4 && (n != 0 || err != nil) {
				t.Fatalf("a full batch took %d more, %v", n, err)
			}
			for i := range b.Len() {
				if b.Packet(i)[0] != next {
					t.Fatalf("datagram %d came as %d", b.Packet(i)[0], next)
				}
				next++
			}
		}
		if next != 10 {
			t.Errorf("%d datagrams came", next)
		}
	})
}

func TestRecvAppends(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, c, b := k.open(t, Options{}), k.client(t), NewRxBatch(4)
		b.Append(testKey(1), []byte("before"))
		sendTo(t, c, reach(k, s), []byte("after"))
		await(t, s, b, 1)
		if b.Len() != 2 || string(b.Packet(0)) != "before" || string(b.Packet(1)) != "after" {
			t.Errorf("%d datagrams", b.Len())
		}
	})
}

// A shard has one batch for the sockets of both families, whose addresses and control messages
// differ in length: what the kernel wrote into a slot for one must not limit the other.
func TestBatchServesBothFamiliesInTurn(t *testing.T) {
	for _, plain := range []bool{false, true} {
		b := NewRxBatch(2)
		kits := []kit{{plain: plain}, {plain: plain, v6: true}, {plain: plain}}
		for turn, k := range kits {
			s, c := k.open(t, Options{}), k.client(t)
			b.Reset()
			for i := range 2 {
				sendTo(t, c, reach(k, s), []byte{byte(turn), byte(i)})
			}
			await(t, s, b, 2)
			if b.Len() != 2 {
				t.Fatalf("plain %v, turn %d: %d datagrams, %d without an address", plain, turn, b.Len(), s.Counters().RxDropped[RxUnaddressed].Load())
			}
			for i := range 2 {
				if want := flow.KeyOf(k.loopback(), addrOf(c)); b.Key(i) != want || b.Packet(i)[0] != byte(turn) {
					t.Errorf("plain %v, turn %d: key %v, want %v", plain, turn, b.Key(i), want)
				}
			}
		}
	}
}

func TestSendReachesEveryFlowInOrder(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		const each = 50
		s, q := k.open(t, Options{}), NewTxQueue(512)
		clients := []*net.UDPConn{k.client(t), k.client(t), k.client(t)}
		for i := range each {
			for _, c := range clients {
				put(q, fmt.Sprintf("%v %d", addrOf(c), i), flow.KeyOf(k.loopback(), addrOf(c)), Video)
			}
		}
		if n, blocked := s.Send(q); n != 3*each || blocked || q.Len() != 0 {
			t.Fatalf("sent %d, blocked %v, %d left", n, blocked, q.Len())
		}
		for _, c := range clients {
			for i := range each {
				got, from := receive(t, c)
				if want := fmt.Sprintf("%v %d", addrOf(c), i); got != want || from != reach(k, s) {
					t.Fatalf("%q from %v, want %q", got, from, want)
				}
			}
		}
		if n := s.Counters(); n.TxPackets.Load() != 3*each || n.TxBytes.Load() == 0 {
			t.Errorf("counted %d datagrams, %d bytes", n.TxPackets.Load(), n.TxBytes.Load())
		}
	})
}

func TestSendLeavesTheOtherFamilyQueued(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, q, c := k.open(t, Options{}), NewTxQueue(8), k.client(t)
		other := testKey(9)
		if !k.v6 {
			other = testKey6(9)
		}
		put(q, "theirs 1", other, Audio)
		put(q, "ours", flow.KeyOf(k.loopback(), addrOf(c)), Audio)
		put(q, "theirs 2", other, Audio)
		if n, blocked := s.Send(q); n != 1 || blocked {
			t.Fatalf("sent %d, blocked %v", n, blocked)
		}
		if got := fmt.Sprint(texts(q)); got != "[theirs 1 theirs 2]" {
			t.Errorf("queued %s", got)
		}
		if got, _ := receive(t, c); got != "ours" {
			t.Errorf("received %q", got)
		}
	})
}

// A datagram without a local address of ours leaves from where the routing table says.
func TestSendWithoutLocalAddress(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, q, c := k.open(t, Options{}), NewTxQueue(8), k.client(t)
		put(q, "x", flow.KeyOf(netip.Addr{}, addrOf(c)), Audio)
		s.Send(q)
		if _, from := receive(t, c); from != reach(k, s) {
			t.Errorf("came from %v", from)
		}
	})
}

// Row OPS-05, with errors that the kernel itself makes.
func TestSendSkipsWhatTheKernelRefuses(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, q, c := k.open(t, Options{}), NewTxQueue(16), k.client(t)
		good := flow.KeyOf(k.loopback(), addrOf(c))
		foreign := good // an address that is not ours cannot be the source
		foreign.Local[15] ^= 0x55
		foreign.Local[12] ^= 0x55
		noPort := good
		noPort.Port = 0
		put(q, "1", good, Audio)
		put(q, "foreign", foreign, Audio)
		put(q, "2", good, Audio)
		put(q, "no port", noPort, Audio)
		put(q, "no port", noPort, Audio)
		put(q, "3", good, Audio)
		if n, blocked := s.Send(q); n != 3 || blocked || q.Len() != 0 {
			t.Fatalf("sent %d, blocked %v, %d left", n, blocked, q.Len())
		}
		for _, want := range []string{"1", "2", "3"} {
			if got, _ := receive(t, c); got != want {
				t.Errorf("received %q, want %q", got, want)
			}
		}
		failed := uint64(0)
		for i := range s.Counters().TxErrors {
			failed += s.Counters().TxErrors[i].Load()
		}
		if failed != 3 {
			t.Errorf("counted %d errors", failed)
		}
	})
}

func TestTakenPortIsAnError(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		for _, holder := range []Membership{Alone, First} {
			for _, second := range []Membership{Alone, First} {
				s := k.open(t, Options{Membership: holder})
				other, err := Open(Options{IPv6: k.v6, Plain: k.plain, Port: s.LocalPort(), Membership: second})
				if !errors.Is(err, unix.EADDRINUSE) {
					t.Errorf("membership %d beside %d: %v", second, holder, err)
				}
				if err == nil {
					other.Close()
				}
			}
		}
	})
}

func TestBufferSizesTellWhatTheKernelGranted(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s := k.open(t, Options{RecvBuffer: 100_000, SendBuffer: 90_000, NoForce: true})
		recv, send, err := BufferSizes(s.FD())
		if err != nil || recv != 100_000 || send != 90_000 {
			t.Errorf("buffers of %d and %d, %v", recv, send, err)
		}
		s = k.open(t, Options{RecvBuffer: 1 << 30, SendBuffer: 1 << 30, NoForce: true})
		recv, send, err = BufferSizes(s.FD())
		if err != nil || recv >= 1<<30 || send >= 1<<30 || recv == 0 || send == 0 {
			t.Errorf("buffers of %d and %d without the right to them, %v", recv, send, err)
		}
	})
}

// reach is where a client of k's family reaches s.
func reach(k kit, s Socket) netip.AddrPort {
	return netip.AddrPortFrom(k.loopback(), s.LocalPort())
}
