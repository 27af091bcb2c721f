package mmsg

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// variant is one of several ways to do the same; each call of do handles items and returns how
// long that took.
type variant struct {
	name  string
	items int
	do    func() time.Duration
	took  []time.Duration
}

// alternate runs all variants b.N times, in an order that changes, and reports the median time of one item of
// each: turns share whatever else happens on the machine.
func alternate(b *testing.B, variants []*variant) {
	b.ReportAllocs()
	for _, v := range variants {
		v.took = make([]time.Duration, 0, b.N)
	}
	b.ResetTimer()
	for range b.N {
		for _, i := range rand.Perm(len(variants)) { // each leaves caches behind as it likes them
			v := variants[i]
			v.took = append(v.took, v.do())
		}
	}
	b.StopTimer()
	for _, v := range variants {
		slices.Sort(v.took)
		b.ReportMetric(float64(v.took[len(v.took)/2])/float64(v.items), v.name+"-ns")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRuns compares what a datagram costs to send to many viewers, delivery over loopback
// included, when so many stand next to each other for one viewer: in runs, and one by one. The
// viewers' sockets are emptied in between, outside of the time, and nobody sleeps on them.
func BenchmarkRuns(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, size := range []int{100, 1100} {
			b.Run(fmt.Sprintf("v6=%v/size=%d", v6, size), func(b *testing.B) {
				const viewersThere, datagrams = 32, 256
				v := newViewers(b, kit{v6: v6}, viewersThere)
				var variants []*variant
				for _, run := range []int{1, 2, 4, 8} {
					for _, noGSO := range []bool{true, false} {
						s, q := kit{v6: v6, noGSO: noGSO}.open(b, Options{}), NewTxQueue(datagrams)
						name := map[bool]string{false: "gso", true: "single"}[noGSO]
						variants = append(variants, &variant{name: fmt.Sprintf("%s%d", name, run), items: datagrams, do: func() time.Duration {
							for i := range datagrams {
								q.Slot()
								q.Commit(size, v.to(i/run%viewersThere, v.k.loopback()), Video)
							}
							began := time.Now()
							sent, _ := s.Send(q)
							took := time.Since(began)
							v.empty()
							if sent != datagrams {
								b.Fatalf("sent %d", sent)
							}
							return took
						}})
					}
				}
				alternate(b, variants)
			})
		}
	}
}

// empty throws away what has arrived.
func (v *viewers) empty() {
	for _, s := range v.sockets {
		for n := 1; n > 0; {
			v.batch.Reset()
			n, _ = s.Recv(v.batch)
		}
	}
}

// BenchmarkSendCosts takes the sending of one datagram of 1,100 bytes apart: each variant
// leaves out, or adds, one thing of what the kernel is asked for.
func BenchmarkSendCosts(b *testing.B) {
	const viewersThere, datagrams = 32, 256
	v := newViewers(b, kit{}, viewersThere)
	slab := make([]byte, maxSegments*SlotSize)
	edit := func(f func(h *unix.Msghdr)) func(*batched) {
		return func(s *batched) {
			kernel := s.sendmmsg
			s.sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
				for i := range headers {
					f(&headers[i].header)
				}
				return kernel(fd, headers)
			}
		}
	}
	atMost := func(n int) func(*batched) {
		return func(s *batched) {
			kernel := s.sendmmsg
			s.sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
				return kernel(fd, headers[:min(n, len(headers))])
			}
		}
	}
	connect := func(s *batched) {
		if err := unix.Connect(s.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(v.sockets[0].LocalPort())}); err != nil {
			b.Fatal(err)
		}
		edit(func(h *unix.Msghdr) { h.Name, h.Namelen = nil, 0 })(s)
	}
	var variants []*variant
	for _, c := range []struct {
		name    string
		run     int // datagrams in a row for one viewer
		viewers int
		noGSO   bool
		change  func(*batched)
	}{
		{"as-it-is", 1, viewersThere, true, nil},
		{"8-messages-a-call", 1, viewersThere, true, atMost(8)},
		{"1-message-a-call", 1, viewersThere, true, atMost(1)},
		{"without-source", 1, viewersThere, true, edit(func(h *unix.Msghdr) { h.SetControllen(0) })},
		{"with-segment-size", 1, viewersThere, true, func(s *batched) {
			for i := range s.tx.controls {
				setSegment(&s.tx.controls[i], s.tx.source, 1100)
			}
			edit(func(h *unix.Msghdr) { h.SetControllen(s.tx.sourceAndSegment) })(s)
		}},
		{"one-viewer", 1, 1, true, nil},
		{"one-viewer-connected", 1, 1, true, connect},
		{"one-viewer-connected-without-source", 1, 1, true, func(s *batched) {
			connect(s)
			edit(func(h *unix.Msghdr) { h.SetControllen(0) })(s)
		}},
		{"run-of-8", 8, viewersThere, false, nil},
		{"run-of-8-one-iovec", 8, viewersThere, false, edit(func(h *unix.Msghdr) {
			h.Iov.Base = &slab[0]
			h.Iov.SetLen(1100 * int(h.Iovlen))
			h.SetIovlen(1)
		})},
		{"run-of-8-without-source", 8, viewersThere, false, func(s *batched) {
			edit(func(h *unix.Msghdr) {
				h.Control = (*byte)(unsafe.Add(unsafe.Pointer(h.Control), s.tx.source))
				h.SetControllen(s.tx.sourceAndSegment - s.tx.source)
			})(s)
			inner := s.sendmmsg
			s.sendmmsg = func(fd int, headers []mmsghdr) (int, unix.Errno) {
				n, errno := inner(fd, headers)
				for i := range headers {
					headers[i].header.Control = &s.tx.controls[i].bytes()[0]
				}
				return n, errno
			}
		}},
	} {
		s, q := kit{noGSO: c.noGSO}.open(b, Options{}).(*batched), NewTxQueue(datagrams)
		if c.change != nil {
			c.change(s)
		}
		variants = append(variants, &variant{name: c.name, items: datagrams, do: func() time.Duration {
			for i := range datagrams {
				q.Slot()
				q.Commit(1100, v.to(i/c.run%c.viewers, v.k.loopback()), Video)
			}
			began := time.Now()
			sent, _ := s.Send(q)
			took := time.Since(began)
			v.empty()
			if sent != datagrams {
				b.Fatalf("%s: sent %d", c.name, sent)
			}
			return took
		}})
	}
	alternate(b, variants)
}
