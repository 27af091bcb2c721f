package mmsg

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"tsubame/netio/flow"
)

// hurdles stand before the real kernel and answer what it might answer at any time. A number is
// how often: every so many messages, or runs; 0 is never.
type hurdles struct {
	full, interrupt, short int // the socket is full; a signal came; fewer messages than given are taken
	refuse                 int // a run is refused with errno
	errno                  unix.Errno
	narrow                 uint16 // a port: runs to it are EINVAL

	calls, runs int
}

func every(n, count int) bool { return n > 0 && count%n == n-1 }

// install puts the hurdles before the system call of a batched socket.
func (h *hurdles) install(s *batched) {
	kernel := s.sendmmsg
	s.sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
		h.calls++
		switch {
		case every(h.interrupt, h.calls):
			return -1, unix.EINTR
		case every(h.full, h.calls):
			return -1, unix.EAGAIN
		}
		for i := range headers {
			if errno := h.judge(&headers[i].header); errno != 0 && i == 0 {
				return -1, errno
			} else if errno != 0 {
				return kernel(fd, headers[:i])
			}
		}
		if every(h.short, h.calls) {
			headers = headers[:(len(headers)+1)/2]
		}
		return kernel(fd, headers)
	}
}

func (h *hurdles) judge(m *unix.Msghdr) unix.Errno {
	if m.Iovlen < 2 {
		return 0
	}
	h.runs++
	switch {
	case every(h.refuse, h.runs):
		return h.errno
	case h.narrow != 0 && binary.BigEndian.Uint16(unsafe.Slice(m.Name, 4)[2:]) == h.narrow:
		return unix.EINVAL
	}
	return 0
}

// viewers are receiving sockets on loopback.
type viewers struct {
	k       kit
	sockets []Socket
	batch   *RxBatch
}

func newViewers(t testing.TB, k kit, n int) *viewers {
	v := &viewers{k: k, batch: NewRxBatch(64)}
	for range n {
		v.sockets = append(v.sockets, k.open(t, Options{RecvBuffer: 4 << 20}))
	}
	return v
}

// to names the way to viewer i from the local address given.
func (v *viewers) to(i int, local netip.Addr) flow.Key {
	return flow.KeyOf(local, netip.AddrPortFrom(v.k.loopback(), v.sockets[i].LocalPort()))
}

// take receives n datagrams of viewer i: where from, and the bytes.
func (v *viewers) take(t rapid.TB, i, n int) (got []string) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(v.sockets[i].FD()), Events: unix.POLLIN}}
	for len(got) < n {
		v.batch.Reset()
		if _, err := v.sockets[i].Recv(v.batch); err != nil {
			t.Fatal(err)
		}
		for j := range v.batch.Len() {
			got = append(got, fmt.Sprintf("%v %s", v.batch.Key(j).Remote.Netip(), v.batch.Packet(j)))
		}
		if v.batch.Len() > 0 {
			continue
		}
		if ready, err := unix.Poll(fds, 10_000); err == nil && ready == 0 {
			t.Fatalf("viewer %d received %d of %d", i, len(got), n)
		}
	}
	// Loopback is in order: anything more would be here by now, or shows in the next round.
	v.batch.Reset()
	if v.sockets[i].Recv(v.batch); v.batch.Len() != 0 {
		t.Fatalf("viewer %d received more than the %d that were sent", i, n)
	}
	return got
}

// stretch is datagrams of one length that are queued one after the other.
type stretch struct {
	viewer, local, size, times int
	class                      Class
}

// deliverAll queues the stretches on a queue for s, sends until all have left, and returns what
// each viewer received. The queue is small, so that it is full now and then; none of its
// classes may be dropped, as that would depend on when.
func deliverAll(t rapid.TB, s Socket, v *viewers, locals []netip.Addr, play []stretch) (got [][]string) {
	t.Helper()
	q, due := NewTxQueue(300), make([]int, len(v.sockets))
	flush := func() {
		for tries := 0; q.Len() > 0; tries++ {
			if s.Send(q); tries > 10_000 {
				t.Fatalf("%d datagrams are stuck", q.Len())
			}
		}
	}
	q.SetFlusher(flush)
	serial := 0
	for _, p := range play {
		for range p.times {
			slot := q.Slot()
			if slot == nil {
				t.Fatal("no slot")
			}
			serial++
			text := fmt.Sprintf("%06d", serial)
			for i := range p.size {
				slot[i] = text[i%len(text)]
			}
			q.Commit(p.size, v.to(p.viewer, locals[p.local]), p.class)
			due[p.viewer]++
		}
	}
	flush()
	for i, n := range due {
		got = append(got, v.take(t, i, n))
	}
	return got
}

// TestRunsDeliverWhatSingleDatagramsDo: whatever is queued, each viewer receives the same bytes
// in the same order from the same addresses, with runs, without, and from the portable twin;
// also when the kernel refuses runs, is full, or takes a part.
func TestRunsDeliverWhatSingleDatagramsDo(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		v := newViewers(t, kit{v6: v6}, 3)
		locals := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
		if v6 {
			locals = []netip.Addr{netip.IPv6Loopback()}
		}
		single := kit{v6: v6, noGSO: true}.open(t, Options{})
		plain := kit{v6: v6, plain: true}.open(t, Options{})
		inRuns := uint64(0)
		rapid.Check(t, func(t *rapid.T) {
			play := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stretch {
				return stretch{
					viewer: rapid.IntRange(0, 2).Draw(t, "viewer"),
					local:  rapid.IntRange(0, len(locals)-1).Draw(t, "local"),
					size:   rapid.OneOf(rapid.IntRange(1, SlotSize), rapid.SampledFrom([]int{1000, 1001, 1100})).Draw(t, "size"),
					times:  rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(1, 80)).Draw(t, "times"),
					class:  Class(rapid.IntRange(0, Classes-1).Draw(t, "class")),
				}
			}), 1, 10).Draw(t, "queued")
			often := rapid.SampledFrom([]int{0, 0, 2, 3, 7})
			h := hurdles{
				full: often.Draw(t, "full"), interrupt: often.Draw(t, "interrupt"), short: often.Draw(t, "short"),
				refuse: often.Draw(t, "refuse"),
				errno:  rapid.SampledFrom([]unix.Errno{unix.EIO, unix.EINVAL, unix.EMSGSIZE, unix.EPERM, unix.ENOBUFS}).Draw(t, "errno"),
			}
			if rapid.Bool().Draw(t, "one narrow way") {
				h.narrow = v.sockets[0].LocalPort()
			}
			s, err := Open(Options{IPv6: v6})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if on, why := s.GSO(); !on {
				t.Fatalf("no runs to compare: %s", why)
			}
			h.install(s.(*batched))
			runs := deliverAll(t, s, v, locals, play)
			for name, other := range map[string]Socket{"single": single, "plain": plain} {
				if want := deliverAll(t, other, v, locals, play); !slices.EqualFunc(runs, want, slices.Equal) {
					t.Fatalf("runs deliver otherwise than %s datagrams", name)
				}
			}
			inRuns += s.Counters().TxInRuns.Load()
		})
		if inRuns == 0 {
			t.Errorf("IPv6 %v: nothing was sent in runs", v6)
		}
	}
}
