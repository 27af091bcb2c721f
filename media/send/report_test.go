package send

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// ntp is our wall clock at now, as a 64-bit NTP timestamp.
func ntp(now mono.Time) uint64 {
	return uint64(3_900_000_000+now/1e9)<<32 | uint64(now%1e9)<<32/1e9
}

// senderReport makes s report at now.
func senderReport(t *testing.T, s *Stream, now mono.Time, c recv.Clock) (rtcp.SR, bool) {
	t.Helper()
	b := s.AppendSR(nil, now, ntp(now), c)
	if len(b) == 0 {
		return rtcp.SR{}, false
	}
	r := rtcp.NewReader(b)
	p, ok := r.Next()
	if !ok {
		t.Fatal(r.Err())
	}
	sr, _, err := p.SR()
	if err != nil {
		t.Fatal(err)
	}
	return sr, true
}

// sendOne sends m at its arrival.
func sendOne(t *testing.T, s *Stream, m uint64) Out {
	t.Helper()
	p := pkt(m, keyFrame)
	out, ok := s.Munge(p)
	if !ok {
		t.Fatalf("packet %d is refused", m)
	}
	n := s.PutHeader(make([]byte, MaxHeader), p, out, p.Arrival, 0, 0)
	s.Sent(n + 1000)
	return out
}

func TestNoReportBeforeAPacketOrAClock(t *testing.T) {
	s := newVideo()
	clock := recv.ClockAt(0, start, 90000)
	if _, ok := senderReport(t, s, start, clock); ok {
		t.Fatal("a report before the first packet")
	}
	sendOne(t, s, 1)
	if _, ok := senderReport(t, s, at(ms(20)), recv.Clock{}); ok {
		t.Fatal("a report without a clock")
	}
	if _, ok := senderReport(t, s, at(ms(20)), clock); !ok {
		t.Fatal("no report with a clock")
	}
}

func TestReportTellsTimeCountsAndTheSourcesClock(t *testing.T) {
	s := newVideo()
	sendOne(t, s, 1)
	sendOne(t, s, 2)
	// The source's clock shows 900 units for each 10 ms, and runs 30 ms behind arrivals.
	clock := recv.ClockAt(0, at(-ms(30)), 90000)
	now := at(ms(500))
	sr, ok := senderReport(t, s, now, clock)
	want := rtcp.SR{SSRC: 0x1111, NTP: ntp(now), RTPTime: 530 * 90, Packets: 2, Octets: 2000}
	if !ok || sr != want {
		t.Errorf("report %+v, want %+v", sr, want)
	}
}

func TestReportFollowsTheRewrittenTimestamps(t *testing.T) {
	s := newVideo()
	sendOne(t, s, 1)
	s.Retarget()
	// Another source: its timestamps are far off, its clock is known.
	m := pkt(500, keyFrame)
	m.Timestamp += 1 << 30
	out, _ := s.Munge(m)
	s.PutHeader(make([]byte, MaxHeader), m, out, m.Arrival, 0, 0)
	clock := recv.ClockAt(m.Timestamp, m.Arrival.Add(-ms(30)), 90000)
	now := m.Arrival.Add(ms(100))
	sr, ok := senderReport(t, s, now, clock)
	if !ok || sr.RTPTime != out.Timestamp+130*90 {
		t.Errorf("report shows %d (%v), want %d", sr.RTPTime, ok, out.Timestamp+130*90)
	}
}

func TestPublisherWithoutReportsIsTimedByItsPackets(t *testing.T) {
	s := newVideo()
	var last Out
	var now mono.Time
	for seq := uint64(1); at(ms(10*int(seq))).Sub(start) < clockPatience+ms(100); seq++ {
		last = sendOne(t, s, seq)
		now = at(ms(10 * int(seq)))
	}
	sr, ok := senderReport(t, s, now.Add(ms(50)), recv.Clock{})
	if !ok || sr.RTPTime != last.Timestamp+50*90 {
		t.Errorf("report shows %d (%v), want %d", sr.RTPTime, ok, last.Timestamp+50*90)
	}
}

func TestClockThatContradictsThePacketsIsNotPassedOn(t *testing.T) {
	s := newVideo()
	out := sendOne(t, s, 1)
	clock := recv.ClockAt(1<<31, start, 90000)
	sr, ok := senderReport(t, s, at(ms(110)), clock)
	if !ok || sr.RTPTime != out.Timestamp+100*90 {
		t.Errorf("report shows %d (%v), want %d", sr.RTPTime, ok, out.Timestamp+100*90)
	}
}

func TestIdleStreamStopsReporting(t *testing.T) {
	s := newVideo()
	sendOne(t, s, 1)
	clock := recv.ClockAt(0, start, 90000)
	if _, ok := senderReport(t, s, at(idleAfter+ms(11)), clock); ok {
		t.Error("a stream that sends nothing reports")
	}
	sendOne(t, s, 1000)
	if _, ok := senderReport(t, s, at(10*time.Second), clock); !ok {
		t.Error("a stream that sends again does not report")
	}
}

func TestRoundTripIsMeasuredByOurOwnReports(t *testing.T) {
	s := newVideo()
	sendOne(t, s, 1)
	if s.RTT() != DefaultRTT {
		t.Fatalf("round trip %v before any report", s.RTT())
	}
	clock := recv.ClockAt(0, start, 90000)
	sr, _ := senderReport(t, s, at(ms(100)), clock)
	b := rtcp.ReportBlock{SSRC: 0x1111, FractionLost: 7, LastSR: uint32(sr.NTP >> 16), DelaySinceSR: 1 << 15}
	rtt, loss := s.HandleReport(at(ms(100+500+42)), b)
	if rtt != ms(42) || loss != 7 || s.RTT() != ms(42) {
		t.Errorf("round trip %v, smoothed %v, loss %d", rtt, s.RTT(), loss)
	}
	rtt, _ = s.HandleReport(at(ms(100+500+122)), b)
	if rtt != ms(122) || s.RTT() != ms(52) {
		t.Errorf("round trip %v, smoothed %v", rtt, s.RTT())
	}
}

// Row RTP-10.
func TestImpossibleRoundTripsAreNotBelieved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newVideo()
		sendOne(t, s, 1)
		sr, _ := senderReport(t, s, at(ms(100)), recv.ClockAt(0, start, 90000))
		elapsed := time.Duration(rapid.IntRange(0, 60_000).Draw(rt, "ms")) * time.Millisecond
		b := rtcp.ReportBlock{
			FractionLost: rapid.Uint8().Draw(rt, "loss"),
			LastSR:       rapid.OneOf(rapid.Just(uint32(sr.NTP>>16)), rapid.Uint32()).Draw(rt, "lsr"),
			DelaySinceSR: rapid.Uint32().Draw(rt, "dlsr"),
		}
		rtt, loss := s.HandleReport(at(ms(100)+elapsed), b)
		if loss != b.FractionLost || rtt < 0 || rtt > max(elapsed, time.Microsecond) {
			rt.Fatalf("round trip %v after %v, loss %d", rtt, elapsed, loss)
		}
		if s.RTT() <= 0 || rtt == 0 && s.RTT() != DefaultRTT {
			rt.Fatalf("smoothed round trip %v", s.RTT())
		}
	})
}

// Row RTP-08.
func TestViewerThatAsksForKeyFramesAllTheTimeIsHeardLessAndLess(t *testing.T) {
	s := newVideo()
	var granted []time.Duration
	for d := time.Duration(0); d < 20*time.Second; d += time.Millisecond {
		if s.KeyFrameRequest(at(d)) {
			granted = append(granted, d)
		}
	}
	want := []time.Duration{0, ms(500), ms(1500), ms(3500), ms(5500)}
	for i, d := range want {
		if granted[i] != d {
			t.Fatalf("passed on at %v, want %v ...", granted[:len(want)], want)
		}
	}
	if n := len(granted); n > 13 {
		t.Errorf("%d of 20 000 requests passed on in 20 s", n)
	}
	if !s.KeyFrameRequest(at(time.Minute)) || s.KeyFrameRequest(at(time.Minute+ms(400))) || !s.KeyFrameRequest(at(time.Minute+ms(500))) {
		t.Error("a quiet minute did not reset the spacing")
	}
	if st := s.Stats(); st.KeyFrameRequests-st.KeyFrameFolded != uint64(len(granted)+2) {
		t.Errorf("counted %+v", st)
	}
}

func TestRequestThatCrossedAKeyFrameIsAnsweredByIt(t *testing.T) {
	s := newVideo()
	sendOne(t, s, 1) // at 10 ms
	if s.KeyFrameRequest(at(ms(10) + DefaultRTT - 1)) {
		t.Error("passed on")
	}
	if !s.KeyFrameRequest(at(ms(10) + DefaultRTT)) {
		t.Error("not passed on once the key frame must have arrived")
	}
}

func TestRepeatedFullIntraRequestIsOneUntilItIsAnswered(t *testing.T) {
	s := newVideo()
	if !s.FullIntraRequest(start, 1) || s.FullIntraRequest(at(ms(10)), 1) {
		t.Fatal("want the first passed on, its repetition not")
	}
	if !s.FullIntraRequest(at(time.Second), 1) {
		t.Error("unanswered after a second, and not passed on again")
	}
	sendOne(t, s, 120) // at 1.2 s
	if s.FullIntraRequest(at(10*time.Second), 1) {
		t.Error("passed on after it was answered")
	}
	if !s.FullIntraRequest(at(10*time.Second), 2) {
		t.Error("a new request is not passed on")
	}
}
