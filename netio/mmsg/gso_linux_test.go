package mmsg

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg/netns"
)

// eachFamily runs a test over both families, with runs on. Where they do not work the test
// fails: what it shows would go unshown.
func eachFamily(t *testing.T, f func(t *testing.T, k kit, s Socket)) {
	for _, k := range []kit{{}, {v6: true}} {
		t.Run(map[bool]string{false: "IPv4", true: "IPv6"}[k.v6], func(t *testing.T) {
			s := k.open(t, Options{})
			if on, why := s.GSO(); !on {
				t.Fatalf("this test needs a kernel with UDP GSO (Linux 4.18): %s", why)
			}
			f(t, k, s)
		})
	}
}

// lettered returns n different datagrams of one length.
func lettered(n, size int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%03d", i)+strings.Repeat("x", size-3))
	}
	return list
}

func queue(q *TxQueue, to flow.Key, datagrams ...string) {
	for _, d := range datagrams {
		put(q, d, to, Video)
	}
}

func TestRunArrivesAsItsDatagrams(t *testing.T) {
	eachFamily(t, func(t *testing.T, k kit, s Socket) {
		c, q := k.client(t), NewTxQueue(256)
		to := flow.KeyOf(k.loopback(), addrOf(c))
		// The middle one is what the kernel alone would cut elsewhere.
		want := slices.Concat(lettered(5, 1000), lettered(1, 999), lettered(3, 1000), lettered(70, 100))
		queue(q, to, want...)
		if sent, blocked := s.Send(q); sent != len(want) || blocked {
			t.Fatalf("sent %d of %d, blocked %v", sent, len(want), blocked)
		}
		for i, d := range want {
			if got, from := receive(t, c); got != d || from != netip.AddrPortFrom(k.loopback(), s.LocalPort()) {
				t.Fatalf("datagram %d has %d bytes, of %d, from %v", i, len(got), len(d), from)
			}
		}
		n := s.Counters()
		if n.TxPackets.Load() != 79 || n.TxInRuns.Load() != 79 || n.TxRuns[2].Load() != 3 || n.TxRuns[6].Load() != 1 { // 6, 4, 64 and 5
			t.Errorf("%d datagrams, %d in runs; messages %v", n.TxPackets.Load(), n.TxInRuns.Load(), &n.TxRuns)
		}
	})
}

func TestSwitchedOffSocketSendsNoRuns(t *testing.T) {
	s, q := kit{noGSO: true}.open(t, Options{}), NewTxQueue(8)
	fake := &fakeKernel{verdict: yes}
	fake.install(s)
	queue(q, testKey(1), lettered(8, 100)...)
	s.Send(q)
	if on, why := s.GSO(); on || why != "switched off" {
		t.Errorf("runs %v: %q", on, why)
	}
	if !slices.Equal(fake.runs, slices.Repeat([]int{1}, 8)) || s.Counters().TxRuns[0].Load() != 8 || s.Counters().TxInRuns.Load() != 0 {
		t.Errorf("messages of %v", fake.runs)
	}
}

// The run must not take the whole socket down, nor other sockets, nor lose a datagram.
func TestDeviceThatCannotEndsRunsOfItsSocketOnly(t *testing.T) {
	eachFamily(t, func(t *testing.T, k kit, s Socket) {
		q, other := NewTxQueue(16), k.open(t, Options{})
		fake := &fakeKernel{verdict: yes, runVerdict: func([]string) unix.Errno { return unix.EIO }}
		fake.install(s)
		want := lettered(8, 100)
		queue(q, k.key(1), want[:4]...)
		queue(q, k.key(2), want[4:]...)
		if sent, blocked := s.Send(q); sent != 8 || blocked || !slices.Equal(fake.sent, want) {
			t.Errorf("sent %d, blocked %v: %q", sent, blocked, fake.sent)
		}
		fake.runVerdict = nil // sticky: also when it would work again
		queue(q, k.key(3), want...)
		s.Send(q)
		if !slices.Equal(fake.runs, slices.Repeat([]int{1}, 16)) {
			t.Errorf("messages of %v", fake.runs)
		}
		if on, why := s.GSO(); on || !strings.Contains(why, "EIO") {
			t.Errorf("runs %v: %q", on, why)
		}
		n := s.Counters()
		if n.GSOErrors[GSODevice].Load() != 1 || n.TxErrors[TxOther].Load() != 0 {
			t.Errorf("counted %d refused runs, %d errors", n.GSOErrors[GSODevice].Load(), n.TxErrors[TxOther].Load())
		}
		if on, why := other.GSO(); !on {
			t.Errorf("another socket: %s", why)
		}
	})
}

func TestWayThatCannotIsSentOneByOneFromThenOn(t *testing.T) {
	for errno, reason := range map[unix.Errno]GSOReason{unix.EINVAL: GSOInvalid, unix.EMSGSIZE: GSOTooBig} {
		eachFamily(t, func(t *testing.T, k kit, s Socket) {
			q, refusals := NewTxQueue(32), 0
			fake := &fakeKernel{verdict: yes, runVerdict: func(d []string) unix.Errno {
				if len(d[0]) == 1000 {
					refusals++
					return errno
				}
				return 0
			}}
			fake.install(s)
			narrow, wide := lettered(6, 1000), lettered(6, 100)
			for range 2 {
				queue(q, k.key(1), narrow...)
				queue(q, k.key(2), wide...)
				queue(q, k.key(1), wide...)
			}
			if sent, blocked := s.Send(q); sent != 36-4 || blocked {
				// 36 into 32 slots: the four oldest went for want of room
				t.Fatalf("sent %d, blocked %v", sent, blocked)
			}
			want := slices.Concat(narrow[4:], wide, wide, narrow, wide, wide)
			if !slices.Equal(fake.sent, want) {
				t.Errorf("sent %.3q", fake.sent)
			}
			ones := slices.Repeat([]int{1}, 6)
			if !slices.Equal(fake.runs, slices.Concat(ones[:2], []int{6}, ones, ones, []int{6}, ones)) {
				t.Errorf("messages of %v", fake.runs)
			}
			if on, _ := s.GSO(); !on || refusals != 1 || s.Counters().GSOErrors[reason].Load() != 1 {
				t.Errorf("on %v, %d refusals, counted %d", on, refusals, s.Counters().GSOErrors[reason].Load())
			}
		})
	}
}

// A reason that has nothing to do with runs costs the datagrams that it is about, and nothing
// is sent differently from then on.
func TestRunRefusedForAnotherReasonIsTriedAgainDatagramByDatagram(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOBUFS, unix.ENETUNREACH, unix.ECONNREFUSED} {
		eachFamily(t, func(t *testing.T, k kit, s Socket) {
			q, once := NewTxQueue(16), errno
			fake := &fakeKernel{verdict: yes, runVerdict: func([]string) (e unix.Errno) { e, once = once, 0; return e }}
			fake.install(s)
			want := lettered(12, 100)
			queue(q, k.key(1), want[:6]...)
			s.Send(q)
			queue(q, k.key(1), want[6:]...)
			s.Send(q)
			if !slices.Equal(fake.sent, want) || !slices.Equal(fake.runs, []int{1, 1, 1, 1, 1, 1, 6}) {
				t.Errorf("messages of %v: %.3q", fake.runs, fake.sent)
			}
			n := s.Counters()
			if n.GSOErrors[GSOOther].Load() != 1 || n.TxPackets.Load() != 12 || n.TxInRuns.Load() != 6 {
				t.Errorf("%d refused runs, %d datagrams, %d in runs", n.GSOErrors[GSOOther].Load(), n.TxPackets.Load(), n.TxInRuns.Load())
			}
		})
	}
}

// A full socket takes a run whole or not at all; what is left goes later, once and in order,
// also if the run was being sent one by one.
func TestFullSocketKeepsWholeRuns(t *testing.T) {
	for room := range 25 {
		for _, refuse := range []bool{false, true} {
			s, q := kit{}.open(t, Options{}), NewTxQueue(24)
			left := room
			fake := &fakeKernel{verdict: yes}
			fake.install(s)
			taken := s.(*batched).sendmmsg
			s.(*batched).sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
				n := len(cut(&headers[0].header)) // one message at a time
				if n > left {
					return -1, unix.EAGAIN
				}
				if refuse && n > 1 {
					return -1, unix.EINVAL
				}
				left -= n
				return taken(fd, headers[:1])
			}
			want := lettered(24, 100)
			for i, d := range want {
				put(q, d, testKey(uint16(i/8)), Video)
			}
			sent, blocked := s.Send(q)
			if blocked != (room < 24) || sent > room || sent <= room-8 || q.Len() != 24-sent {
				t.Fatalf("room for %d: sent %d, blocked %v, %d left", room, sent, blocked, q.Len())
			}
			left = 24
			s.Send(q)
			if !slices.Equal(fake.sent, want) || q.Len() != 0 {
				t.Errorf("room for %d: sent %.3q, %d left", room, fake.sent, q.Len())
			}
		}
	}
}

// While a run waits for a full socket, the oldest Video makes room as ever.
func TestOldestVideoOfAWaitingRunMakesRoom(t *testing.T) {
	s, q := kit{}.open(t, Options{}), NewTxQueue(8)
	full := true
	fake := &fakeKernel{verdict: func(string) unix.Errno {
		if full {
			return unix.EAGAIN
		}
		return 0
	}}
	fake.install(s)
	q.SetFlusher(func() { s.Send(q) })
	want := lettered(11, 100)
	queue(q, testKey(1), want...)
	full = false
	s.Send(q)
	if !slices.Equal(fake.sent, want[3:]) || q.Dropped(Video) != 3 || !slices.Equal(fake.runs, []int{8}) {
		t.Errorf("sent %.3q in messages of %v, dropped %d", fake.sent, fake.runs, q.Dropped(Video))
	}
}

func TestOneSystemCallIsBounded(t *testing.T) {
	s, q := kit{}.open(t, Options{}), NewTxQueue(2048)
	fake := &fakeKernel{verdict: yes}
	fake.install(s)
	most, mostMessages := 0, 0
	sendmmsg := s.(*batched).sendmmsg
	s.(*batched).sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
		n := 0
		for i := range headers {
			n += len(cut(&headers[i].header))
		}
		most, mostMessages = max(most, n), max(mostMessages, len(headers))
		return sendmmsg(fd, headers)
	}
	queue(q, testKey(1), lettered(1000, 100)...)
	for i := range 1000 {
		put(q, "x", testKey(uint16(i)), Audio)
	}
	if sent, _ := s.Send(q); sent != 2000 || most != maxHand || mostMessages != maxMessages {
		t.Errorf("sent %d; %d datagrams and %d messages in one call", sent, most, mostMessages)
	}
}

// Lengths that the kernel would cut elsewhere never reach it.
func TestUnequalRunIsRefusedByAssertion(t *testing.T) {
	for _, sizes := range [][]int{{1000, 999, 1000}, {999, 1000}, {1000, 1000, 1001}, {3, 2, 2}} {
		s, q := kit{}.open(t, Options{}).(*batched), NewTxQueue(8)
		for _, size := range sizes {
			q.Slot()
			q.Commit(size, testKey(1), Video)
		}
		mustPanic(t, fmt.Sprint(sizes), func() { s.describe(q, q.order, []run{{n: uint16(len(sizes))}}) })
	}
}

// A real link that is too narrow for a segment: the kernel refuses the run, and its datagrams
// arrive as fragments.
func TestNarrowLinkGetsItsDatagramsOneByOne(t *testing.T) {
	server, client := twoHosts(t)
	server.IP("link set server0 mtu 1280")
	eachFamily(t, func(t *testing.T, k kit, _ Socket) {
		var s Socket
		server.Do(func() { s = k.open(t, Options{}) })
		own, local := "192.0.2.9", "192.0.2.1"
		if k.v6 {
			own, local = "2001:db8::9", "2001:db8::1"
		}
		c := clientIn(t, client, own)
		q, to := NewTxQueue(64), flow.KeyOf(netip.MustParseAddr(local), addrOf(c))
		want := lettered(4, 1400)
		for range 3 {
			queue(q, to, want...)
			if sent, _ := s.Send(q); sent != 4 {
				t.Fatalf("sent %d", sent)
			}
			for i := range want {
				if got, _ := receive(t, c); got != want[i] {
					t.Fatalf("datagram %d arrived with %d bytes", i, len(got))
				}
			}
		}
		n := s.Counters()
		if got := n.GSOErrors[GSOInvalid].Load() + n.GSOErrors[GSOTooBig].Load(); got != 1 || n.TxInRuns.Load() != 0 {
			t.Errorf("%d refused runs, %d datagrams in runs", got, n.TxInRuns.Load())
		}
	})
}

// Where loopback is down the probe cannot show anything: nothing is sent in runs, and the
// reason says why.
func TestProbeThatFailsSwitchesRunsOffAndSaysWhy(t *testing.T) {
	n := netns.New(t)
	n.IP("link set lo down")
	for _, k := range []kit{{}, {v6: true}} {
		n.Do(func() {
			s := k.open(t, Options{})
			if on, why := s.GSO(); on || !strings.HasPrefix(why, "does not work here: ") {
				t.Errorf("IPv6 %v: on %v, %q", k.v6, on, why)
			}
		})
	}
}
