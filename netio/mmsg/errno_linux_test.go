package mmsg

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// fakeKernel stands in for the sending system calls of either implementation. verdict says
// what becomes of each datagram at each attempt, runVerdict, if there is one, of each run.
type fakeKernel struct {
	verdict    func(datagram string) unix.Errno
	runVerdict func(datagrams []string) unix.Errno
	sent       []string
	runs       []int // datagrams in each message that was taken
	calls      int
}

// sendmmsg has the kernel's semantics: a message goes whole or not at all, it stops at the
// first failure, and reports the error only if nothing went before.
func (k *fakeKernel) sendmmsg(_ int, headers []mmsghdr) (int, unix.Errno) {
	k.calls++
	if len(headers) == 0 || len(headers) > maxMessages {
		panic(fmt.Sprintf("sendmmsg of %d messages", len(headers)))
	}
	for i := range headers {
		datagrams := cut(&headers[i].header)
		if errno := k.judge(datagrams); errno != 0 {
			if i == 0 {
				return -1, errno
			}
			return i, 0
		}
		k.sent = append(k.sent, datagrams...)
		k.runs = append(k.runs, len(datagrams))
	}
	return len(headers), 0
}

func (k *fakeKernel) judge(datagrams []string) unix.Errno {
	if len(datagrams) > 1 && k.runVerdict != nil {
		if errno := k.runVerdict(datagrams); errno != 0 {
			return errno
		}
	}
	for _, d := range datagrams {
		if errno := k.verdict(d); errno != 0 {
			return errno
		}
	}
	return 0
}

// cut does with a message what the kernel does: all its bytes in a row, cut anew at multiples
// of the segment size if its control messages have one.
func cut(h *unix.Msghdr) (datagrams []string) {
	var bytes []byte
	for _, v := range unsafe.Slice(h.Iov, h.Iovlen) {
		bytes = append(bytes, unsafe.Slice(v.Base, v.Len)...)
	}
	size := len(bytes)
	messages, err := unix.ParseSocketControlMessage(unsafe.Slice(h.Control, h.Controllen))
	if err != nil {
		panic(err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_UDP && m.Header.Type == unix.UDP_SEGMENT {
			size = int(binary.NativeEndian.Uint16(m.Data))
		}
	}
	for datagram := range slices.Chunk(bytes, size) {
		datagrams = append(datagrams, string(datagram))
	}
	return datagrams
}

// yes is the verdict of a kernel that takes everything.
func yes(string) unix.Errno { return 0 }

func (k *fakeKernel) sendmsg(_ int, p, _ []byte, _ unix.Sockaddr, _ int) (int, error) {
	k.calls++
	if errno := k.verdict(string(p)); errno != 0 {
		return 0, errno
	}
	k.sent = append(k.sent, string(p))
	return len(p), nil
}

// install puts the fake under a socket.
func (k *fakeKernel) install(s Socket) {
	switch s := s.(type) {
	case *batched:
		s.sendmmsg = k.sendmmsg
	case *plain:
		s.sendmsg = k.sendmsg
	}
}

func (k kit) key(port uint16) flow.Key {
	if k.v6 {
		return testKey6(port)
	}
	return testKey(port)
}

// numbers lists "0" to "n-1", without those excluded.
func numbers(n int, without ...int) []string {
	var list []string
	for i := range n {
		if !slices.Contains(without, i) {
			list = append(list, fmt.Sprint(i))
		}
	}
	return list
}

// Row OPS-05.
func TestErrorOnOneDatagramCostsOnlyThatOne(t *testing.T) {
	errnos := map[unix.Errno]TxReason{
		unix.EPERM: TxForbidden, unix.EACCES: TxForbidden,
		unix.ENOBUFS: TxNoBuffers, unix.ENOMEM: TxNoBuffers,
		unix.EMSGSIZE: TxTooBig, unix.ENETUNREACH: TxUnreachable, unix.EHOSTUNREACH: TxUnreachable,
		unix.ECONNREFUSED: TxRefused, unix.EINVAL: TxOther, unix.EIO: TxOther,
	}
	const n = 100
	eachKit(t, func(t *testing.T, k kit) {
		for errno, reason := range errnos {
			for _, bad := range [][]int{{0}, {1}, {63}, {64}, {99}, {0, 1, 2}, {62, 63, 64, 65}, {0, 50, 99}} {
				s, q := k.open(t, Options{}), NewTxQueue(n)
				fake := &fakeKernel{verdict: func(d string) unix.Errno {
					if slices.Contains(bad, number(d)) {
						return errno
					}
					return 0
				}}
				fake.install(s)
				for i := range n {
					put(q, fmt.Sprint(i), k.key(uint16(i)), Audio)
				}
				sent, blocked := s.Send(q)
				if sent != n-len(bad) || blocked || q.Len() != 0 || !slices.Equal(fake.sent, numbers(n, bad...)) {
					t.Fatalf("%v at %v: sent %d, blocked %v, %d left: %q", errno, bad, sent, blocked, q.Len(), fake.sent)
				}
				if got := s.Counters().TxErrors[reason].Load(); got != uint64(len(bad)) {
					t.Errorf("%v at %v: counted %d %v", errno, bad, got, reason)
				}
				if fake.calls > n+2*len(bad) {
					t.Errorf("%v at %v: %d system calls", errno, bad, fake.calls)
				}
			}
		}
	})
}

func number(text string) (n int) {
	fmt.Sscan(text, &n)
	return n
}

// A kernel that refuses everything is asked once for each datagram, not for ever.
func TestErrorOnEveryDatagramEnds(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, q := k.open(t, Options{}), NewTxQueue(200)
		fake := &fakeKernel{verdict: func(string) unix.Errno { return unix.EPERM }}
		fake.install(s)
		for i := range 200 {
			put(q, fmt.Sprint(i), k.key(1), Video)
		}
		sent, blocked := s.Send(q)
		most := 200
		if on, _ := s.GSO(); on {
			most += 200 / 2 // once for each run of at least two, too
		}
		if sent != 0 || blocked || q.Len() != 0 || fake.calls < 200 || fake.calls > most {
			t.Errorf("sent %d, blocked %v, %d left, %d calls", sent, blocked, q.Len(), fake.calls)
		}
	})
}

func TestFullSocketKeepsTheTail(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		for _, room := range []int{0, 1, 63, 64, 65, 99} {
			s, q := k.open(t, Options{}), NewTxQueue(100)
			left := room
			fake := &fakeKernel{verdict: func(string) unix.Errno {
				if left == 0 {
					return unix.EAGAIN
				}
				left--
				return 0
			}}
			fake.install(s)
			for i := range 100 {
				put(q, fmt.Sprint(i), k.key(uint16(i)), Video)
			}
			sent, blocked := s.Send(q)
			if sent != room || !blocked || q.Len() != 100-room {
				t.Fatalf("room for %d: sent %d, blocked %v, %d left", room, sent, blocked, q.Len())
			}
			if s.Counters().TxBlocked.Load() != 1 {
				t.Errorf("room for %d: counted %d times", room, s.Counters().TxBlocked.Load())
			}
			left = 100
			if sent, blocked := s.Send(q); sent != 100-room || blocked || q.Len() != 0 {
				t.Fatalf("room for %d: then sent %d, blocked %v, %d left", room, sent, blocked, q.Len())
			}
			if !slices.Equal(fake.sent, numbers(100)) {
				t.Errorf("room for %d: order %s", room, strings.Join(fake.sent, " "))
			}
		}
	})
}

func TestInterruptedSendIsRepeated(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, q := k.open(t, Options{}), NewTxQueue(100)
		interrupts := map[string]int{"0": 3, "40": 1, "99": 2}
		fake := &fakeKernel{verdict: func(d string) unix.Errno {
			if interrupts[d] > 0 { // it comes before anything is done with a message, or a run
				interrupts[d]--
				return unix.EINTR
			}
			return 0
		}}
		fake.install(s)
		for i := range 100 {
			put(q, fmt.Sprint(i), k.key(1), Video)
		}
		if sent, blocked := s.Send(q); sent != 100 || blocked || !slices.Equal(fake.sent, numbers(100)) {
			t.Errorf("sent %d, blocked %v", sent, blocked)
		}
	})
}

// failRecv makes the next receiving system calls of s fail with the errors given.
func failRecv(s Socket, errnos ...unix.Errno) {
	switch s := s.(type) {
	case *batched:
		real := s.recvmmsg
		s.recvmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
			if len(errnos) == 0 {
				return real(fd, headers)
			}
			errno := errnos[0]
			errnos = errnos[1:]
			return -1, errno
		}
	case *plain:
		real := s.recvmsg
		s.recvmsg = func(fd int, p, oob []byte, flags int) (int, int, int, unix.Sockaddr, error) {
			if len(errnos) == 0 {
				return real(fd, p, oob, flags)
			}
			errno := errnos[0]
			errnos = errnos[1:]
			return 0, 0, 0, nil, errno
		}
	}
}

func TestInterruptedRecvIsRepeated(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, b, c := k.open(t, Options{}), NewRxBatch(8), k.client(t)
		failRecv(s, unix.EINTR, unix.EINTR)
		sendTo(t, c, reach(k, s), []byte("hello"))
		await(t, s, b, 1)
		if b.Len() != 1 || s.Counters().RxErrors.Load() != 0 {
			t.Errorf("%d datagrams, %d errors", b.Len(), s.Counters().RxErrors.Load())
		}
	})
}

// Row OPS-05.
func TestFailedRecvIsCountedAndTheSocketGoesOn(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, b, c := k.open(t, Options{}), NewRxBatch(8), k.client(t)
		failRecv(s, unix.ECONNREFUSED)
		sendTo(t, c, reach(k, s), []byte("hello"))
		if n, err := s.Recv(b); n != 0 || err != unix.ECONNREFUSED || b.Len() != 0 {
			t.Fatalf("received %d, %v", n, err)
		}
		await(t, s, b, 1)
		if b.Len() != 1 || string(b.Packet(0)) != "hello" || s.Counters().RxErrors.Load() != 1 {
			t.Errorf("%d datagrams, %d errors", b.Len(), s.Counters().RxErrors.Load())
		}
	})
}

// A datagram whose origin or destination the kernel does not tell cannot be answered.
func TestUnaddressedDatagramIsDropped(t *testing.T) {
	eachKit(t, func(t *testing.T, k kit) {
		s, b, c := k.open(t, Options{}), NewRxBatch(8), k.client(t)
		option, level := unix.IP_PKTINFO, unix.IPPROTO_IP
		if k.v6 {
			option, level = unix.IPV6_RECVPKTINFO, unix.IPPROTO_IPV6
		}
		if err := unix.SetsockoptInt(s.FD(), level, option, 0); err != nil {
			t.Fatal(err)
		}
		sendTo(t, c, reach(k, s), []byte("hello"))
		await(t, s, b, 1)
		if b.Len() != 0 || s.Counters().RxDropped[RxUnaddressed].Load() != 1 {
			t.Errorf("%d datagrams, %d dropped", b.Len(), s.Counters().RxDropped[RxUnaddressed].Load())
		}
	})
}

func TestReasonsHaveDistinctNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range TxReason(TxReasons) {
		seen["tx "+r.String()] = true
	}
	for r := range RxReason(RxReasons) {
		seen["rx "+r.String()] = true
	}
	for r := range GSOReason(GSOReasons) {
		seen["gso "+r.String()] = true
	}
	for c := range Class(Classes) {
		seen["class "+c.String()] = true
	}
	if len(seen) != TxReasons+RxReasons+GSOReasons+Classes {
		t.Errorf("%d names: %v", len(seen), seen)
	}
}

func TestHistogramBucketsByPowersOfTwo(t *testing.T) {
	var h Histogram
	for _, n := range []int{1, 2, 3, 4, 7, 8, 63, 64, 127, 128, 9999} {
		h.add(n)
	}
	for i, want := range []uint64{1, 2, 2, 1, 0, 1, 2, 2} {
		if h[i].Load() != want {
			t.Errorf("bucket %d has %d, want %d", i, h[i].Load(), want)
		}
	}
}
