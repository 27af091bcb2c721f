package recv

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/rtcp"
)

func TestReportCountsLossSinceTheLastOne(t *testing.T) {
	s := newVideo()
	if _, ok := s.Report(start); ok {
		t.Fatal("a report about nothing")
	}
	mustFeed(t, s, start, 65530, 65531, 65534, 65535)
	b, ok := s.Report(start)
	if !ok || b.SSRC != 1 || b.CumulativeLost != 2 || b.FractionLost != 2*256/6 || b.HighestSeq != 65535 {
		t.Errorf("first report: %+v", b)
	}
	mustFeed(t, s, start, 0, 1, 2, 3)
	b, _ = s.Report(start)
	if b.CumulativeLost != 2 || b.FractionLost != 0 || b.HighestSeq != 1<<16+3 {
		t.Errorf("second report: %+v", b)
	}
	mustFeed(t, s, start, 65532) // late, after it was reported as lost
	b, _ = s.Report(start)
	if b.CumulativeLost != 1 || b.FractionLost != 0 {
		t.Errorf("third report: %+v", b)
	}
}

func TestReorderingAtTheStartIsNotNegativeLoss(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 11, 10, 12)
	if b, _ := s.Report(start); b.CumulativeLost != 0 || b.FractionLost != 0 {
		t.Errorf("report: %+v", b)
	}
}

func TestRetransmissionsDoNotHideLossFromTheSender(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 1, 2, 5)
	s.Receive(start, 3, 9000, 1000, true)
	s.Receive(start, 4, 9000, 1000, true)
	if b, _ := s.Report(start); b.CumulativeLost != 2 || b.FractionLost != 2*256/5 {
		t.Errorf("report: %+v", b)
	}
}

func TestTotalLossSaturatesTheFraction(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 1)
	s.Report(start)
	mustFeed(t, s, start, 2002)
	b, _ := s.Report(start)
	if b.FractionLost != 255 || b.CumulativeLost != 2000 {
		t.Errorf("report: %+v", b)
	}
}

func TestLossBeforeAJumpStaysLost(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 1, 3)
	feed(s, start, 20000)
	feed(s, start, 20001)
	mustFeed(t, s, start, 20002)
	b, _ := s.Report(start)
	// One before, and the two that were refused while the jump was in doubt.
	if b.CumulativeLost != 3 || b.HighestSeq != 20002 {
		t.Errorf("report: %+v", b)
	}
}

func TestJitterFollowsTheFormula(t *testing.T) {
	s := newVideo()
	// RFC 3550 appendix A.8, in sixteenths: j += |d| - (j + 8) >> 4.
	var want, transit int64
	for i, late := range []int64{0, 10, 0, 30, 5, 5, 80, 0, 0, 0, 1, 2, 3} {
		now := at(ms(40*i + int(late)))
		ts := uint32(i) * 3600
		s.Receive(now, uint16(i), ts, 100, false)
		if d := late*90 - transit; i > 0 {
			want += max(d, -d) - (want+8)>>4
		}
		transit = late * 90
	}
	if b, _ := s.Report(at(time.Second)); int64(b.Jitter) != want>>4 {
		t.Errorf("jitter %d, want %d", b.Jitter, want>>4)
	}
}

// Row RTP-05.
func TestTimestampJumpsAreNotJitter(t *testing.T) {
	s := newVideo()
	for i := range uint16(1000) {
		ts := uint32(i) * 900
		switch {
		case i >= 600:
			ts -= 1 << 30
		case i >= 300:
			ts += 1 << 31
		}
		s.Receive(at(ms(10*int(i))), i, ts, 100, false)
		if b, _ := s.Report(at(time.Second)); b.Jitter != 0 {
			t.Fatalf("jitter %d at packet %d", b.Jitter, i)
		}
	}
}

func TestReportNamesTheLastSenderReportAndItsAge(t *testing.T) {
	s, o := newVideo(), &Origin{}
	mustFeed(t, s, start, 1)
	s.SenderReport(start, 0x11112222_33334444, 3000, o)
	b, _ := s.Report(at(1500 * time.Millisecond))
	if b.LastSR != 0x22223333 || b.DelaySinceSR != 3<<15 {
		t.Errorf("last report %#x, delay %#x", b.LastSR, b.DelaySinceSR)
	}
	b, _ = s.Report(at(48 * time.Hour))
	if b.DelaySinceSR != 1<<32-1 {
		t.Errorf("delay after two days: %#x", b.DelaySinceSR)
	}
}

func TestReportSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newVideo()
		seq := uint16(rapid.IntRange(0, 65535).Draw(t, "first"))
		for range rapid.IntRange(1, 50).Draw(t, "packets") {
			seq += uint16(rapid.IntRange(1, 2000).Draw(t, "step"))
			s.Receive(start, seq, uint32(seq), 10, rapid.Bool().Draw(t, "rtx"))
		}
		want, ok := s.Report(start)
		if !ok {
			return
		}
		r := rtcp.NewReader(rtcp.AppendRR(nil, 9, []rtcp.ReportBlock{want}))
		p, _ := r.Next()
		_, blocks, err := p.RR()
		if err != nil || blocks.Len() != 1 || blocks.At(0) != want {
			t.Fatalf("sent %+v, read %+v, %v", want, blocks.At(0), err)
		}
	})
}
