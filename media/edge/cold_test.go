package edge

import (
	"fmt"
	"slices"
	"testing"

	"tsubame/media/param"
)

// coldBytes are read and written between two packets: more than the second level cache of one
// core has (what other work on the core leaves of it), and more than any cache.
var coldBytes = map[string]int{"L2": 4 << 20, "all": 96 << 20}

// BenchmarkFanOutCold is BenchmarkFanOutSmall for a conference's number of viewers where the
// caches have had something else to do since the last packet: what a quiet server's packet
// costs is where the memory lies that it touches. Only the packets are on the clock.
func BenchmarkFanOutCold(b *testing.B) { fanOutCold(b, 100, nil) }

// BenchmarkFanOutColdReporting is the same with video for viewers that report on transport-wide
// numbers, whose estimators note every packet.
func BenchmarkFanOutColdReporting(b *testing.B) { fanOutCold(b, payloadSize, transportWide) }

func fanOutCold(b *testing.B, payload int, negotiate func(*param.Subscribe)) {
	for _, n := range []int{8, 32} {
		for name, size := range coldBytes {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				s := &reporting{stock: prepareStock(1, payload, func(c *Config) { c.MaxConnections = 4096 }, make([]int, n)...)}
				if negotiate != nil {
					s.negotiate = negotiate
				}
				s.refill(b)
				other := make([]byte, size)
				var spent []int64
				for b.Loop() {
					for i := 0; i < len(other); i += 64 {
						other[i]++
					}
					in := s.batch(b)
					begin := threadTime()
					s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
					spent = append(spent, threadTime()-begin)
					if negotiate != nil {
						s.hear()
					}
					s.outs[0].Reset()
				}
				slices.Sort(spent) // the median: some of it was interrupted
				ns := float64(spent[len(spent)/2])
				b.ReportMetric(ns, "cpu-ns/packet")
				b.ReportMetric(ns/float64(n), "cpu-ns/viewer")
			})
		}
	}
}
