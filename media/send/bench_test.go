package send

import (
	"testing"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/packet"
)

func TestHotFunctionsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		return // the detector allocates on its own
	}
	s := newVideo()
	b := make([]byte, 0, 1500)
	m := pkt(0, keyFrame)
	clock := recv.ClockAt(0, start, 90000)
	if n := testing.AllocsPerRun(5000, func() {
		m.Seq++
		m.Timestamp += 900
		m.Arrival = m.Arrival.Add(ms(10))
		if m.Seq%10 == 0 && s.Skip(m) {
			return
		}
		out, _ := s.Munge(m)
		s.PutHeader(b[:MaxHeader], m, out, m.Arrival, 0, 0)
		s.Sent(1200)
		s.Original(uint16(out.Index) - 20)
		if s.AllowResend(m.Arrival, uint16(out.Index)-5, 1000, 0, false) {
			s.PutRTXHeader(b[:MaxHeader], m, m.Arrival, 0, 0)
		}
		s.AppendSR(b[:0], m.Arrival, ntp(m.Arrival), clock)
		s.HandleReport(m.Arrival, rtcp.ReportBlock{LastSR: uint32(ntp(m.Arrival) >> 16)})
		s.KeyFrameRequest(m.Arrival)
		if m.Seq%1000 == 0 {
			s.Retarget()
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func BenchmarkMunge(b *testing.B) {
	b.ReportAllocs()
	s, m := newVideo(), pkt(0, keyFrame)
	for b.Loop() {
		m.Seq++
		m.Arrival += 1_000_000
		m.Timestamp += 90
		s.Munge(m)
	}
}

// BenchmarkMungeLate munges a packet that looks through the whole run list.
func BenchmarkMungeLate(b *testing.B) {
	b.ReportAllocs()
	s := newVideo()
	s.Munge(pkt(1, keyFrame))
	s.Munge(pkt(3, 0))
	for seq := uint64(4); s.munger.n < maxRuns; seq += 2 {
		s.Skip(pkt(seq, 0))
		s.Munge(pkt(seq+1, 0))
	}
	full, late := s.munger, pkt(2, 0)
	for b.Loop() {
		s.munger.given, s.munger.word = full.given, full.word
		s.Munge(late)
	}
}

func BenchmarkPutHeader(b *testing.B) {
	b.ReportAllocs()
	s, m := newVideo(), pkt(0, keyFrame|packet.FlagMarker)
	out, _ := s.Munge(m)
	buf := make([]byte, MaxHeader)
	for i := 0; b.Loop(); i++ {
		s.PutHeader(buf, m, out, start, uint64(i)<<20, uint16(i))
	}
}

func BenchmarkOriginal(b *testing.B) {
	b.ReportAllocs()
	s := newVideo()
	for seq := range uint64(1000) {
		s.Munge(pkt(seq, keyFrame))
	}
	for i := 0; b.Loop(); i++ {
		s.Original(uint16(100 + i%1000))
	}
}

func BenchmarkAllowResend(b *testing.B) {
	b.ReportAllocs()
	s := newVideo()
	for seq := range uint64(1000) {
		s.Munge(pkt(seq, keyFrame))
	}
	now := start
	for i := 0; b.Loop(); i++ {
		now += 1_000_000
		s.Sent(4000)
		s.AllowResend(now, uint16(100+i%1000), 1000, 0, false)
	}
}
