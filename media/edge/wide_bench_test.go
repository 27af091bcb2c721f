package edge

import (
	"fmt"
	"testing"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/mmsg"
)

// reporting is a stock whose viewers negotiated transport-wide sequence numbers, as browsers do,
// and report on them every sixteen frames; that is not in the figure cpu-ns/viewer.
type reporting struct {
	*stock
	of    *call
	twcc  []recv.TWCC
	turns int

	feedback      int64 // processor time that feedback took, for
	feedbackCount int   // so many messages
}

func transportWide(spec *param.Subscribe) {
	spec.Extensions.TransportCC, spec.Feedback.TransportCC = 3, true
}

// hear takes note of what left, and reports on it.
func (s *reporting) hear() {
	if s.of != s.call {
		s.of, s.twcc = s.call, make([]recv.TWCC, len(s.call.viewers))
	}
	ids := param.Extensions{TransportCC: 3}
	for i := range s.outs[0].Len() {
		k, b := s.outs[0].Packet(i)
		h, err := rtp.ParseHeader(b)
		if err != nil || rtp.IsRTCP(b) {
			continue
		}
		if x := h.Known(&ids); x.HasTransportSeq {
			s.twcc[int(k.Port)-50001].Record(s.now, x.TransportSeq)
		}
	}
	s.outs[0].Reset()
	if s.turns++; s.turns%16 != 0 {
		return
	}
	for i, v := range s.call.viewers {
		var slot [mmsg.SlotSize]byte
		n := copy(slot[:], s.twcc[i].AppendFeedback(rtcp.AppendRR(nil, 1, nil), s.now, 1, 5000))
		n, err := v.session.SealRTCP(slot[:], n)
		if err != nil {
			panic(err)
		}
		in := mmsg.NewRxBatch(1)
		in.Append(v.key, slot[:n])
		began := threadTime()
		s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
		s.feedback += threadTime() - began
		s.feedbackCount++
	}
	if s.turns%128 == 0 {
		s.p.shards[0].HandleTimers(s.now, s.outs[0])
	}
}

// BenchmarkFanOutReporting is BenchmarkFanOut for viewers that report on transport-wide numbers.
func BenchmarkFanOutReporting(b *testing.B) {
	for _, c := range []struct{ frame, viewers, size int }{
		{1, 1, payloadSize}, {1, 64, payloadSize}, {6, 8, payloadSize}, {6, 64, payloadSize},
		{1, 64, 100}, {1, 200, 100},
	} {
		b.Run(fmt.Sprintf("%d/%d/%d", c.frame, c.viewers, c.size), func(b *testing.B) {
			s := &reporting{stock: prepareStock(c.frame, c.size, func(cfg *Config) {
				frameByFrame(cfg)
				cfg.MaxConnections = 1024
			}, make([]int, c.viewers)...)}
			s.negotiate = transportWide
			s.refill(b)
			cpu := int64(0)
			for b.Loop() {
				in := s.batch(b)
				began := threadTime()
				s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
				cpu += threadTime() - began
				s.hear()
			}
			b.ReportMetric(float64(cpu)/float64(b.N*c.frame*c.viewers), "cpu-ns/viewer")
			b.ReportMetric(float64(s.feedback)/float64(max(s.feedbackCount, 1)), "cpu-ns/feedback")
		})
	}
}
