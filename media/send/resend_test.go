package send

import (
	"testing"
	"time"
)

// sentVideo is a stream that has sent packets 0..n-1 of a thousand bytes as numbers from
// 100 on.
func sentVideo(t *testing.T, n int) *Stream {
	t.Helper()
	s := newVideo()
	for seq := range uint64(n) {
		flags := keyFrame
		if seq > 0 {
			flags = 0
		}
		wantOut(t, s, pkt(seq, flags), 100+seq)
		s.Sent(1000)
	}
	return s
}

// Row RTP-07.
func TestNACKOfEverythingManyTimesIsBoundedByTheRate(t *testing.T) {
	s := newVideo()
	var normal, resent int
	for seq := range uint64(10_000) {
		m := pkt(seq, keyFrame)
		out, _ := s.Munge(m)
		s.Sent(1200)
		normal += 1200
		for range 16 {
			for back := range uint16(50) {
				if s.AllowResend(m.Arrival, uint16(out.Index)-back, 1180, ms(1), false) {
					resent += 1180
				}
			}
		}
	}
	if got := float64(normal+resent) / float64(normal); got > 1.5 {
		t.Errorf("amplification %.2f", got)
	}
	if resent < normal/3 {
		t.Errorf("only %d of %d bytes were resent: the budget is of no use", resent, normal)
	}
	if st := s.Stats(); st.NACKBudget == 0 || st.NACKThrottled == 0 {
		t.Errorf("counted %+v", st)
	}
}

// Row RTP-07.
func TestOnePacketIsResentAtMostTwiceARoundTripAndTenTimesInAll(t *testing.T) {
	s := sentVideo(t, 1000)
	now, times := at(10*time.Second), []time.Duration{}
	for d := time.Duration(0); d < 5*time.Second; d += time.Millisecond {
		if s.AllowResend(now.Add(d), 500, 1000, ms(100), false) {
			times = append(times, d)
		}
	}
	if len(times) != maxResends {
		t.Errorf("resent %d times, want %d", len(times), maxResends)
	}
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] < ms(50) {
			t.Errorf("resent %v apart", times[i]-times[i-1])
		}
	}
}

// Row RTP-07.
func TestNumbersThatWereNeverSentAreIgnored(t *testing.T) {
	s := sentVideo(t, 100)
	for seq := 0; seq < 1<<16; seq++ {
		want := seq >= 100 && seq < 200
		if want {
			continue
		}
		if s.AllowResend(at(time.Second), uint16(seq), 10, ms(50), false) {
			t.Fatalf("number %d was never sent, and is resent", seq)
		}
	}
	if got := s.Stats(); got.NACKForeign != 1<<16-100 || got.Resent != 0 {
		t.Errorf("counted %+v", got)
	}
}

func TestHonestViewerOfALossyPathGetsWhatItAsksFor(t *testing.T) {
	// One packet of five is lost, the retransmissions too.
	s := newVideo()
	refused := 0
	for seq := range uint64(5000) {
		m := pkt(seq, keyFrame)
		out, _ := s.Munge(m)
		s.Sent(1200)
		if seq < 20 {
			continue
		}
		if seq%5 == 0 && !s.AllowResend(m.Arrival, uint16(out.Index)-5, 1180, ms(50), false) {
			refused++
		}
		if seq%25 == 0 && !s.AllowResend(m.Arrival, uint16(out.Index)-15, 1180, ms(50), false) {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d retransmissions refused", refused)
	}
}

func TestNumberMayBeResentAgainOnceItNamesAnotherPacket(t *testing.T) {
	s := sentVideo(t, 300)
	for i := range maxResends {
		if !s.AllowResend(at(time.Duration(10+i)*time.Second), 300, 100, 0, false) {
			t.Fatal("refused")
		}
	}
	if s.AllowResend(at(20*time.Second), 300, 100, 0, false) {
		t.Fatal("allowed once too often")
	}
	for seq := uint64(300); seq < 300+1<<16; seq++ {
		wantOut(t, s, pkt(seq, 0), 100+seq)
	}
	if !s.AllowResend(at(20*time.Minute), 300, 100, 0, false) {
		t.Error("the number's next packet is not resent")
	}
}

func TestPacketThatCameToUsLateCanBeResent(t *testing.T) {
	// The first packets of a key frame overtook its start: they were dropped, and the
	// viewer asks for them.
	s := newVideo()
	wantRefused(t, s, pkt(11, 0))
	wantOut(t, s, pkt(10, keyFrame), 100)
	wantOut(t, s, pkt(12, 0), 102)
	s.Sent(5000)
	if ext, ok := s.Original(101); !ok || ext != 11 {
		t.Fatalf("number 101 is known as %d, %v", ext, ok)
	}
	if !s.AllowResend(start, 101, 1000, 0, false) {
		t.Error("refused")
	}
}

// Row RTP-07.
func TestWhatWasSentAgainInVainMayBeSentTwice(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, every := range []time.Duration{time.Millisecond, rtt} {
		s, now := sentVideo(t, 1000), at(10*time.Second)
		if s.AllowTwice(500, 1000) {
			t.Fatal("before it was sent again at all")
		}
		var times []time.Duration
		pairs := 0
		for d := time.Duration(0); d < 5*time.Second; d += every {
			if !s.AllowResend(now.Add(d), 500, 1000, rtt, false) {
				continue
			}
			times = append(times, d)
			if s.AllowTwice(501, 1000) {
				t.Fatal("another packet, which was not sent again")
			}
			if s.AllowTwice(500, 1000) {
				times = append(times, d)
				pairs++
			}
			if s.AllowTwice(500, 1000) {
				t.Fatal("three times")
			}
		}
		if len(times) != maxResends {
			t.Errorf("asked for each %v: sent again %d times, want %d", every, len(times), maxResends)
		}
		for i := 2; i < len(times); i++ {
			if times[i]-times[i-2] < rtt {
				t.Errorf("asked for each %v: three within a round trip: %v", every, times)
				break
			}
		}
		// Who asks all the time has the answers spread, who waits for them has them in pairs.
		if every == rtt && pairs != 4 || every < rtt && pairs != 0 {
			t.Errorf("asked for each %v: %d times two at once", every, pairs)
		}
	}
}

func TestSendingTwiceIsBoundedByTheRate(t *testing.T) {
	s := sentVideo(t, 1000)
	now := at(10 * time.Second)
	for s.AllowResend(now, 500, 1000, ms(20), false) {
		now = now.Add(ms(20))
		s.AllowTwice(500, 1000)
	}
	s.traffic.budget = 1000 + 2*resendOverhead
	if !s.AllowResend(now, 501, 1000-resendOverhead, ms(20), false) || s.AllowTwice(501, 1000) {
		t.Error("the first time")
	}
	s.traffic.budget = 1500
	if !s.AllowResend(now.Add(ms(20)), 501, 1000, ms(20), false) || s.AllowTwice(501, 1000) {
		t.Error("twice, with bytes for once")
	}
}

func TestOnACrowdedWayASixteenthIsSentAgain(t *testing.T) {
	s := newVideo()
	resent := func(crowded bool) (n int) {
		for range 1000 {
			out, _ := s.Munge(pkt(s.munger.next, 0))
			s.Sent(1200)
			if s.AllowResend(start, uint16(out.Index), 1180, ms(1), crowded) {
				n += 1180 + resendOverhead
			}
		}
		return n
	}
	s.Munge(pkt(1000, keyFrame))
	const sent = 1000 * 1200
	for range 2 {
		if n := resent(false); n < sent/2-1300 || n > sent/2+resendBurst {
			t.Errorf("%d of %d bytes were sent again, want half", n, sent)
		}
		if n := resent(true); n < sent/16-1300 || n > sent/16+resendBurst/crowdedCost {
			t.Errorf("%d of %d bytes were sent again on a crowded way, want a sixteenth", n, sent)
		}
	}
}
