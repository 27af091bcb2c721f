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
		s.batches = append(s.batches, mmsg.NewRxBatch(feedbackBatch+1)) // a full one would be a sign of too much
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
}

// BenchmarkFeedback is what one datagram of feedback costs from the batch on, when so many
// viewers send them in turn: in a loop that does nothing else, and when other memory has gone
// through the cache before each batch, as it does when a frame is sent to thousands.
func BenchmarkFeedback(b *testing.B) {
	other := make([]byte, 48<<20)
	for _, cold := range []bool{false, true} {
		for _, viewers := range []int{1, 64, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", map[bool]string{false: "hot", true: "cold"}[cold], viewers), func(b *testing.B) {
				s := newFeedbackStock(b, viewers)
				b.ReportAllocs()
				for b.Loop() {
					if s.next == len(s.batches) {
						b.StopTimer()
						s.refill(b)
						b.StartTimer()
					}
					if cold {
						b.StopTimer()
						s.chill(other)
						b.StartTimer()
					}
					s.now = s.now.Add(s.step)
					in := s.batches[s.next]
					s.next++
					began := threadTime()
					s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
					s.cpu += time.Duration(threadTime() - began)
				}
				b.ReportMetric(float64(s.cpu)/float64(b.N*feedbackBatch), "cpu-ns/datagram")
				n := &s.p.shards[0].count
				if got := n.Conn.FeedbackIn.Load(); got != uint64(b.N*feedbackBatch) {
					b.Fatalf("%d of %d were read: drop_policer %d", got, b.N*feedbackBatch, n.Conn.DropPolicer.Load())
				}
			})
		}
	}
}

// chill sends other memory through the cache, and then the next batch, which the kernel would
// just have written.
func (s *feedbackStock) chill(other []byte) {
	for i := 0; i < len(other); i += 64 {
		other[i]++
	}
	in := s.batches[s.next]
	for i := range in.Len() {
		for _, c := range in.Packet(i) {
			other[0] += c
		}
	}
}

// BenchmarkFeedbackDropped is the same while the shard is behind.
func BenchmarkFeedbackDropped(b *testing.B) {
	s := newFeedbackStock(b, 1000)
	in := mmsg.NewRxBatch(feedbackBatch)
	for i := range feedbackBatch {
		in.Append(s.batches[0].Key(i), s.batches[0].Packet(i))
	}
	sh := s.p.shards[0]
	for range pressedAfter {
		sh.HandleBatch(s.now, in, s.outs[0])
	}
	began := threadTime()
	b.ReportAllocs()
	for b.Loop() {
		s.now = s.now.Add(s.step)
		sh.HandleBatch(s.now, in, s.outs[0])
	}
	b.ReportMetric(float64(threadTime()-began)/float64(b.N*feedbackBatch), "cpu-ns/datagram")
	if n := sh.count.DropFeedback.Load(); n < uint64(b.N*(feedbackBatch-pressedFeedback)) {
		b.Fatalf("%d were dropped", n)
	}
}
