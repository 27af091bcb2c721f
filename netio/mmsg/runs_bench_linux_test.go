package mmsg

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// variant is one of several ways to do the same; each call of do handles items and returns how
// long that took.
type variant struct {
	name  string
	items int
	do    func() time.Duration
	took  []time.Duration
}

// alternate runs all variants in turn, b.N times, and reports the median time of one item of
// each: turns share whatever else happens on the machine.
func alternate(b *testing.B, variants []*variant) {
	b.ReportAllocs()
	for _, v := range variants {
		v.took = make([]time.Duration, 0, b.N)
	}
	b.ResetTimer()
	for range b.N {
		for _, v := range variants {
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
