package edge

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// feedbackStock is transport-wide feedback of many viewers in turn, sealed beforehand: none may
// come twice.
type feedbackStock struct {
	*rig
	peers   []*peer
	batches []*mmsg.RxBatch
	next    int
	step    time.Duration // between two batches: what the policer lets pass
	began   int64
	cpu     time.Duration
}

const feedbackBatch = 64

// newFeedbackStock connects viewers of one track.
func newFeedbackStock(b *testing.B, viewers int) *feedbackStock {
	runtime.LockOSThread()
	s := &feedbackStock{rig: newRig(b, 1, func(c *Config) { c.MaxConnections = 8192 })}
	pub := s.open(0, key("127.0.0.1", "127.0.0.1:50000"))
	track := pub.publish(videoIn)
	pub.establish()
	for i := range viewers {
		k := key("127.0.0.1", fmt.Sprintf("127.1.%d.%d:40000", i/250, 1+i%250))
		v := s.open(0, k)
		v.c.Subscribe(videoOut(track, 5000))
		v.establish()
		s.peers = append(s.peers, v)
		s.deliver(0, k, v.rtcp(rtcp.AppendRR(nil, 1, nil))) // its first packet makes its replay window
	}
	s.step = feedbackBatch * time.Second / time.Duration(20*viewers)
	s.step = max(s.step, 2*feedbackBatch*time.Millisecond/time.Duration(viewers))
	for range 16384 / feedbackBatch {
		s.batches = append(s.batches, mmsg.NewRxBatch(feedbackBatch))
	}
	s.refill(b)
	return s
}

// refill seals what viewers send every 50 ms about 5 packets.
func (s *feedbackStock) refill(b *testing.B) {
	arrivals := make([]mono.Time, 5)
	for i := range arrivals {
		arrivals[i] = mono.Time(i+1) * mono.Time(10*time.Millisecond)
	}
	compound, _ := rtcp.AppendTWCC(nil, 1, 5000, 0, 1, arrivals)
	var slot [mmsg.SlotSize]byte
	n := 0
	for _, batch := range s.batches {
		batch.Reset()
		for range feedbackBatch {
			p := s.peers[n%len(s.peers)]
			n++
			copy(slot[:], compound)
			size, err := p.session.SealRTCP(slot[:], len(compound))
			if err != nil {
				b.Fatal(err)
			}
			batch.Append(p.key, slot[:size])
		}
	}
	s.next = 0
	runtime.GC()
	s.began = threadTime()
}

// BenchmarkFeedback is what one datagram of feedback costs from the batch on, when so many
// viewers send them in turn.
func BenchmarkFeedback(b *testing.B) {
	for _, viewers := range []int{1, 64, 1000, 5000} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) {
			s := newFeedbackStock(b, viewers)
			b.ReportAllocs()
			for b.Loop() {
				if s.next == len(s.batches) {
					b.StopTimer()
					s.cpu += time.Duration(threadTime() - s.began)
					s.refill(b)
					b.StartTimer()
				}
				s.now = s.now.Add(s.step)
				s.p.shards[0].HandleBatch(s.now, s.batches[s.next], s.outs[0])
				s.next++
			}
			s.cpu += time.Duration(threadTime() - s.began)
			b.ReportMetric(float64(s.cpu)/float64(b.N*feedbackBatch), "cpu-ns/datagram")
			n := &s.p.shards[0].count
			if got := n.Conn.FeedbackIn.Load(); got != uint64(b.N*feedbackBatch) {
				b.Fatalf("%d of %d were read: drop_policer %d", got, b.N*feedbackBatch, n.Conn.DropPolicer.Load())
			}
		})
	}
}
