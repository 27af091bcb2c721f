package bwe

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

func BenchmarkSent(b *testing.B) {
	b.ReportAllocs()
	var e Estimator
	e.Init(simStart, Config{}, new(Tables))
	now, seq := simStart, uint16(0)
	for b.Loop() {
		now += 100_000
		e.Sent(now, seq, 1200)
		if seq++; seq%64 == 0 {
			e.history.reported = seq // as feedback would, so that the table stays as it is
		}
	}
}

// BenchmarkFeedback sends 64 packets and takes their feedback; ns/packet is both for one of them.
// The messages are made before, for all the numbers that there are.
func BenchmarkFeedback(b *testing.B) {
	const many = 64
	for _, loss := range []float64{0, 0.1} {
		b.Run(fmt.Sprintf("loss=%v", loss), func(b *testing.B) {
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(1, 2))
			var messages [1 << 16 / many][]byte
			at := simStart
			for i := range messages {
				var arrivals []mono.Time
				for range many {
					at = at.Add(2 * ms)
					arrivals = append(arrivals, at)
					if random.Float64() < loss {
						arrivals[len(arrivals)-1] = mono.Never
					}
				}
				messages[i], _ = rtcp.AppendTWCC(nil, 1, 2, uint8(i), uint16(i*many), arrivals)
			}
			var e Estimator
			e.Init(simStart, Config{}, new(Tables))
			now, seq := simStart, uint16(0)
			n := 0
			for b.Loop() {
				message := messages[int(seq)/many]
				for range many {
					now = now.Add(2 * ms)
					e.Sent(now, seq, 1200)
					seq++
				}
				t := parse(b, message)
				e.Feedback(now.Add(40*ms), &t)
				n += many
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
		})
	}
}

func BenchmarkTick(b *testing.B) {
	b.ReportAllocs()
	s := newSteady()
	for range 100 {
		s.round(b)
	}
	for b.Loop() {
		s.now += 1_000_000
		s.e.Tick(s.now)
	}
}
