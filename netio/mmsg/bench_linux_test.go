package mmsg

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// feeder sends datagrams of 1100 bytes to s without allocating.
type feeder struct {
	fd      int
	payload []byte
}

func newFeeder(t testing.TB, k kit, s Socket) *feeder {
	t.Helper()
	domain := unix.AF_INET
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: int(s.LocalPort()), Addr: [4]byte{127, 0, 0, 1}}
	if k.v6 {
		domain, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(s.LocalPort()), Addr: [16]byte{15: 1}}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return &feeder{fd, make([]byte, 1100)}
}

func (f *feeder) feed(t testing.TB, n int) {
	for range n {
		if _, err := unix.Write(f.fd, f.payload); err != nil {
			t.Fatal(err)
		}
	}
}

// sink is a bound socket that nobody reads; what does not fit is dropped by the kernel.
func sink(t testing.TB, k kit) flow.Key {
	t.Helper()
	return flow.KeyOf(k.loopback(), addrOf(k.client(t)))
}

func fill(q *TxQueue, n int, to flow.Key) {
	for range n {
		q.Slot()
		q.Commit(1100, to, Video)
	}
}

func TestPacketsCostNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: counts are checked without it")
		return
	}
	eachKit(t, func(t *testing.T, k kit) {
		s, b, q := k.open(t, Options{RecvBuffer: 1 << 20}), NewRxBatch(64), NewTxQueue(64)
		to, f := sink(t, k), newFeeder(t, k, s)
		if n := testing.AllocsPerRun(100, func() {
			fill(q, 64, to)
			if sent, _ := s.Send(q); sent != 64 {
				t.Fatalf("sent %d", sent)
			}
		}); n != 0 {
			t.Errorf("sending 64 datagrams allocates %v times", n)
		}
		if k.plain {
			return // golang.org/x/sys allocates the source address
		}
		if n := testing.AllocsPerRun(100, func() {
			f.feed(t, 64)
			b.Reset()
			for b.Len() < 64 { // loopback delivers before the sending call returns
				if _, err := s.Recv(b); err != nil {
					t.Fatal(err)
				}
			}
			for i := range b.Len() {
				if len(b.Packet(i)) != 1100 || b.Key(i).Port == 0 {
					t.Fatal("wrong datagram")
				}
			}
		}); n != 0 {
			t.Errorf("receiving 64 datagrams allocates %v times", n)
		}
	})
}

func eachBatch(b *testing.B, f func(b *testing.B, k kit, n int)) {
	for _, k := range []kit{{}, {v6: true}, {plain: true}} {
		for _, n := range []int{1, 8, 64} {
			name := fmt.Sprintf("plain=%v/v6=%v/batch=%d", k.plain, k.v6, n)
			b.Run(name, func(b *testing.B) { f(b, k, n) })
		}
	}
}

// BenchmarkRecv is the time for one datagram out of a batch of the given size; filling the
// socket's buffer is not counted.
func BenchmarkRecv(b *testing.B) {
	eachBatch(b, func(b *testing.B, k kit, n int) {
		b.ReportAllocs()
		s, batch := k.open(b, Options{RecvBuffer: 4 << 20}), NewRxBatch(64)
		f := newFeeder(b, k, s)
		const load = 512
		for done := 0; done < b.N; done += load {
			b.StopTimer()
			for sent := 0; sent < load; sent += n {
				f.feed(b, n)
			}
			b.StartTimer()
			batch.Reset()
			for taken := 0; taken < load; {
				if batch.Room() < n {
					batch.Reset()
				}
				got, err := recvAtMost(s, batch, n)
				if err != nil {
					b.Fatal(err)
				}
				taken += got
			}
		}
	})
}

// recvAtMost receives at most n datagrams, by pretending that the batch has no more room.
func recvAtMost(s Socket, batch *RxBatch, n int) (int, error) {
	packets := batch.packets
	batch.packets = packets[: len(packets) : batch.used+n]
	got, err := s.Recv(batch)
	batch.packets = packets[:len(packets)+got]
	return got, err
}

// BenchmarkSend is the time for one datagram of 1100 bytes, delivery over loopback included,
// when so many are queued at a time.
func BenchmarkSend(b *testing.B) {
	eachBatch(b, func(b *testing.B, k kit, n int) {
		b.ReportAllocs()
		s, q := k.open(b, Options{}), NewTxQueue(64)
		to := sink(b, k)
		for done := 0; done < b.N; done += n {
			fill(q, n, to)
			s.Send(q)
		}
	})
}

// BenchmarkQueue is the bookkeeping alone: one slot, one commit, one release.
func BenchmarkQueue(b *testing.B) {
	b.ReportAllocs()
	q, to := NewTxQueue(512), testKey(1)
	var all allSent
	for done := 0; done < b.N; done += 64 {
		fill(q, 64, to)
		q.flush(all, false)
	}
}

type allSent struct{}

func (allSent) send(_ *TxQueue, slots []uint16) (done, sent int) { return len(slots), len(slots) }
