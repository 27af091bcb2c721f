package send

import (
	"testing"
	"time"

	"tsubame/media/recv"
)

// borrower is a video stream that has sent 100 packets and takes its tables from t.
func borrower(t *Tables) *Stream {
	s := newVideo()
	s.Borrow(t)
	for seq := range uint64(100) {
		s.Munge(pkt(seq, keyFrame))
		s.Sent(1200)
	}
	return s
}

func mustResend(t *testing.T, s *Stream, at time.Duration, seq uint16) {
	t.Helper()
	if !s.AllowResend(start.Add(at), seq, 1000, 0, false) {
		t.Fatalf("packet %d may not be sent again", seq)
	}
}

func TestAStreamHasNoTablesBeforeItNeedsThem(t *testing.T) {
	var tables Tables
	s := borrower(&tables)
	s.AllowResend(at(ms(1000)), 5000, 1000, 0, false) // which was never sent
	if s.resends.slots != nil || s.munger.closed != nil {
		t.Error("it has tables")
	}
}

func TestTheTableOfResendsIsLentForAsLongAsItRemembers(t *testing.T) {
	var tables Tables
	s := borrower(&tables)
	mustResend(t, s, time.Second, 150)
	lent := s.resends.slots
	s.AppendSR(nil, at(time.Second+resendMemory), 1, recv.Clock{})
	if s.resends.slots != lent {
		t.Fatal("the table is given back while it is of use")
	}
	s.AppendSR(nil, at(time.Second+resendMemory+1), 1, recv.Clock{})
	if s.resends.slots != nil || len(tables.resends) != 1 {
		t.Fatal("the table is not given back")
	}
	// Another stream knows nothing of what that one has sent again.
	other := borrower(&tables)
	mustResend(t, other, time.Second, 150)
	if other.resends.slots != lent || len(tables.resends) != 0 {
		t.Error("the table is not lent again")
	}
	if other.AllowResend(at(time.Second), 150, 1000, 0, false) {
		t.Error("sent again twice at one time")
	}
	other.Close()
	if len(tables.resends) != 1 {
		t.Error("Close does not give the table back")
	}
}

func TestTheTableOfRunsIsLentWhileTheyAreInTheWindow(t *testing.T) {
	var tables Tables
	s := borrower(&tables)
	if !s.Skip(pkt(100, 0)) || s.munger.closed == nil {
		t.Fatal("nothing is noted of a packet that is not sent on")
	}
	for seq := uint64(101); seq < 101+Window-1; seq++ {
		wantOut(t, s, pkt(seq, 0), seq+99)
	}
	s.AppendSR(nil, at(time.Hour), 1, recv.Clock{})
	if ext, ok := s.Original(199); !ok || ext != 99 {
		t.Fatalf("the packet in front of it is %d (%v), want 99", ext, ok)
	}
	wantOut(t, s, pkt(101+Window-1, 0), 199+Window)
	s.AppendSR(nil, at(time.Hour), 1, recv.Clock{})
	if s.munger.closed != nil || len(tables.runs) != 1 {
		t.Error("the table is not given back")
	}
	wantRefused(t, s, pkt(99, 0))
	for name, end := range map[string]func(*Stream){
		"Retarget": (*Stream).Retarget,
		"Close":    (*Stream).Close,
		"Init":     func(s *Stream) { s.Init(videoSpec(), 1, 1) },
	} {
		s := borrower(&tables)
		s.Skip(pkt(100, 0))
		if len(tables.runs) != 0 {
			t.Fatalf("%s: no table is lent", name)
		}
		if end(s); s.munger.closed != nil || len(tables.runs) != 1 {
			t.Errorf("%s does not give the table back", name)
		}
	}
}

// What losses and probes take is taken once, by as many streams as need it at one time.
func TestLossesAndProbesDoNotAllocateAgain(t *testing.T) {
	if raceEnabled {
		return // the detector allocates on its own
	}
	var tables Tables
	streams := make([]*Stream, 8)
	for i := range streams {
		streams[i] = borrower(&tables)
	}
	b, m := make([]byte, 0, 1500), pkt(100, 0)
	resent, lent := 0, 0
	round := func() {
		m.Seq++
		m.Timestamp += 9000
		m.Arrival = m.Arrival.Add(ms(100))
		for _, s := range streams {
			if m.Seq%1024 == 0 && s.Skip(m) {
				continue
			}
			out, _ := s.Munge(m)
			s.PutHeader(b[:MaxHeader], m, out, m.Arrival, 0, 0)
			s.Sent(1200)
			if seq := uint16(out.Index) - 3; m.Seq%256 == 1 && s.AllowResend(m.Arrival, seq, 1000, 0, false) {
				s.PutRTXHeader(b[:MaxHeader], m, m.Arrival, 0, 0)
				resent++
			}
			s.AppendSR(b[:0], m.Arrival, ntp(m.Arrival), recv.Clock{})
		}
		lent += len(streams) - len(tables.resends)
	}
	for range 2048 {
		round()
	}
	resent, lent = 0, 0
	if n := testing.AllocsPerRun(4096, round); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if share := lent * 100 / (8 * 4097); resent != 8*16 || share < 30 || share > 50 {
		t.Errorf("%d packets sent again, streams had a table for %d %% of the time", resent, share)
	}
}
