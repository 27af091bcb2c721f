package edge

import (
	"fmt"
	"testing"
	"time"

	"tsubame/media/router"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// stock is the datagrams of a publisher, sealed beforehand in batches of a run each. Since
// none may come twice, there is a limit; refill makes a call anew when it is reached.
type stock struct {
	*call
	batches []*mmsg.RxBatch
	next    int
	viewers []int
}

const (
	stockBatches = 2048
	payloadSize  = 1100
	runLength    = router.MaxRun
)

func newStock(b *testing.B, viewers ...int) *stock {
	s := &stock{viewers: viewers}
	for range stockBatches {
		s.batches = append(s.batches, mmsg.NewRxBatch(runLength))
	}
	s.refill(b)
	return s
}

func (s *stock) refill(b *testing.B) {
	s.call = newCall(b, 2, s.viewers, nil)
	s.frame(true)
	s.settle()
	s.take()
	payload := make([]byte, payloadSize)
	copy(payload, vp8(false, 1))
	for _, batch := range s.batches {
		batch.Reset()
		for range runLength {
			s.seq++
			batch.Append(s.pub.key, s.pub.rtp(1000, s.seq, 3000*uint32(s.seq), payload))
		}
	}
	s.next = 0
}

// batch returns the next batch, and moves the clock to when it would come.
func (s *stock) batch(b *testing.B) *mmsg.RxBatch {
	if s.next == len(s.batches) {
		b.StopTimer()
		s.refill(b)
		b.StartTimer()
	}
	s.now = s.now.Add(3 * time.Millisecond)
	s.next++
	return s.batches[s.next-1]
}

// perPacket reports what one packet of b's batches cost, for each viewer if there are any.
func perPacket(b *testing.B, viewers int) {
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / runLength
	b.ReportMetric(ns, "ns/packet")
	if viewers > 0 {
		b.ReportMetric(ns/float64(viewers), "ns/viewer")
	}
}

func BenchmarkSTUNReply(b *testing.B) {
	r := newRig(b, 1, nil)
	p := r.open(0, pathA)
	p.establish()
	in := mmsg.NewRxBatch(1)
	in.Append(pathA, p.check(true))
	b.ReportAllocs()
	for b.Loop() {
		r.p.shards[0].HandleBatch(r.now, in, r.outs[0])
		r.outs[0].Reset()
	}
}

func BenchmarkDropUnknown(b *testing.B) {
	r := newRig(b, 1, nil)
	in := mmsg.NewRxBatch(2)
	in.Append(pathA, make([]byte, 1000))
	in.Append(pathA, []byte{0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 3, 232, 1, 2, 3, 4})
	b.ReportAllocs()
	for b.Loop() {
		r.p.shards[0].HandleBatch(r.now, in, r.outs[0])
	}
}

func BenchmarkReceive(b *testing.B) {
	s := newStock(b)
	b.ReportAllocs()
	for b.Loop() {
		in := s.batch(b)
		s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
	}
	perPacket(b, 0)
}

// BenchmarkFanOut is the whole way: receive, route, rewrite, seal, into the queue.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStock(b, make([]int, n)...)
			b.ReportAllocs()
			for b.Loop() {
				in := s.batch(b)
				s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
				s.outs[0].Reset()
			}
			perPacket(b, n)
		})
	}
}

// BenchmarkHandOver is what it costs to bring a run to another shard, without what is done
// with it there: its only sink is a tap that is closed.
func BenchmarkHandOver(b *testing.B) {
	c := newCall(b, 2, nil, nil)
	tap, err := router.NewTap(1)
	if err != nil {
		b.Fatal(err)
	}
	tap.Close()
	from, to := c.p.shards[0], c.p.shards[1]
	to.env.Fanout.Add(c.track, router.Sink{Tap: tap})
	run := router.Run{Track: c.track, N: runLength, Video: true}
	b.ReportAllocs()
	for b.Loop() {
		from.begin(c.now, c.outs[0])
		for i := range run.Refs {
			ref, ok := from.env.Mag.Get(payloadSize, packet.Video)
			if !ok {
				b.Fatal("no buffer")
			}
			run.Refs[i] = ref
		}
		from.routeRun(c.now, &run)
		from.finish(c.now)
		to.HandleMessages(c.now, c.outs[1])
	}
	perPacket(b, 0)
}
