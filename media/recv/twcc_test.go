package recv

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// reported is what a sender has learned from all feedback: arrival by sequence number.
type reported struct {
	arrivals map[uint16]time.Duration
	missing  map[uint16]bool // said to be missing, and not said to have arrived since
	messages int
	count    uint8
}

func newReported() *reported {
	return &reported{arrivals: map[uint16]time.Duration{}, missing: map[uint16]bool{}}
}

// fatalf is what *testing.T and *rapid.T share.
type fatalf interface {
	Helper()
	Fatalf(string, ...any)
}

// drain takes everything that is to be reported at now.
func (r *reported) drain(t fatalf, w *TWCC, now mono.Time) {
	t.Helper()
	for range twccWindow {
		b := w.AppendFeedback(nil, now, 1, 2)
		if len(b) == 0 {
			break
		}
		if len(b) > rtcp.MaxTWCCSize {
			t.Fatalf("a message of %d bytes", len(b))
		}
		reader := rtcp.NewReader(b)
		p, ok := reader.Next()
		if !ok {
			t.Fatalf("unreadable: %v", reader.Err())
		}
		f, err := p.TWCC()
		if err != nil {
			t.Fatalf("unreadable: %v", err)
		}
		if r.messages > 0 && f.FeedbackCount != r.count+1 {
			t.Fatalf("message %d follows message %d", f.FeedbackCount, r.count)
		}
		r.count = f.FeedbackCount
		r.messages++
		for {
			s, ok := f.Next()
			if !ok {
				break
			}
			if s.Received {
				r.arrivals[s.Seq] = s.Arrival
				delete(r.missing, s.Seq)
			} else if _, ok := r.arrivals[s.Seq]; !ok {
				r.missing[s.Seq] = true
			}
		}
	}
	if d := w.Deadline(); d != mono.Never {
		t.Fatalf("still due after everything was taken")
	}
}

// check compares what was reported of seq with the truth, to the resolution of the format.
func (r *reported) check(t fatalf, seq uint16, arrival mono.Time) {
	t.Helper()
	got, ok := r.arrivals[seq]
	want := time.Duration(arrival) / rtcp.TWCCDelta * rtcp.TWCCDelta
	if !ok || got != want {
		t.Fatalf("packet %d: reported %v (%v), arrived %v", seq, got, ok, want)
	}
}

func TestFeedbackIsDueAHundredMillisecondsAfterTheFirstPacket(t *testing.T) {
	var w TWCC
	if w.Deadline() != mono.Never || len(w.AppendFeedback(nil, start, 1, 2)) != 0 {
		t.Fatal("feedback about nothing")
	}
	w.Record(start, 65535)
	w.Record(at(ms(30)), 0)
	w.Record(at(ms(60)), 3)
	if w.Deadline() != at(twccSlow) {
		t.Fatalf("due after %v", w.Deadline().Sub(start))
	}
	r := newReported()
	r.drain(t, &w, at(twccSlow))
	r.check(t, 65535, start)
	r.check(t, 0, at(ms(30)))
	r.check(t, 3, at(ms(60)))
	if len(r.missing) != 2 || !r.missing[1] || !r.missing[2] {
		t.Errorf("missing: %v", r.missing)
	}
	w.Record(at(time.Second), 4)
	if w.Deadline() != at(time.Second+twccSlow) {
		t.Errorf("next due after %v", w.Deadline().Sub(start))
	}
}

func TestManyPacketsMakeFeedbackFaster(t *testing.T) {
	var w TWCC
	for i := range uint16(twccMany) {
		w.Record(at(ms(int(i)/4)), i)
	}
	if w.Deadline() != at(twccFast) {
		t.Errorf("due after %v, want %v", w.Deadline().Sub(start), twccFast)
	}
	for i := range uint16(twccFull) {
		w.Record(at(ms(20)), twccMany+i)
	}
	if !w.Deadline().Due(at(ms(20))) {
		t.Errorf("due after %v with the window nearly full", w.Deadline().Sub(start))
	}
}

func TestLatePacketIsReportedAfterAll(t *testing.T) {
	var w TWCC
	r := newReported()
	w.Record(start, 10)
	w.Record(at(ms(5)), 12)
	r.drain(t, &w, at(ms(100)))
	if !r.missing[11] {
		t.Fatal("11 is not reported as missing")
	}
	w.Record(at(ms(120)), 11)
	if w.Deadline() != at(ms(120)+twccSlow) {
		t.Fatalf("due after %v", w.Deadline().Sub(start))
	}
	w.Record(at(ms(130)), 13)
	r.drain(t, &w, at(ms(220)))
	for seq, d := range map[uint16]int{10: 0, 11: 120, 12: 5, 13: 130} {
		r.check(t, seq, at(ms(d)))
	}
	if r.messages != 2 {
		t.Errorf("%d messages", r.messages)
	}
}

func TestVeryLatePacketIsOfNoInterest(t *testing.T) {
	var w TWCC
	w.Record(start, 10)
	w.Record(start, 12)
	newReported().drain(t, &w, at(ms(100)))
	w.Record(at(twccBack+ms(1)), 11)
	if w.Deadline() != mono.Never {
		t.Error("feedback about a packet that is later than anybody waits")
	}
}

func TestDuplicateKeepsItsFirstArrival(t *testing.T) {
	var w TWCC
	r := newReported()
	w.Record(start, 10)
	w.Record(at(ms(10)), 10)
	w.Record(at(ms(20)), 11)
	w.Record(at(ms(40)), 11)
	r.drain(t, &w, at(ms(100)))
	r.check(t, 10, start)
	r.check(t, 11, at(ms(20)))
}

func TestFeedbackThatNobodyTakesForgetsTheOldest(t *testing.T) {
	var w TWCC
	for i := range 100_000 {
		w.Record(at(time.Duration(i)*time.Millisecond/4), uint16(i))
	}
	r := newReported()
	r.drain(t, &w, at(time.Minute))
	if len(r.arrivals) > twccWindow || len(r.arrivals) < twccWindow/2 {
		t.Errorf("%d packets reported", len(r.arrivals))
	}
	last := 99_999
	r.check(t, uint16(last), at(time.Duration(last)*time.Millisecond/4))
}

// Row RTP-10.
func TestLyingNumbersDoNotDisturbFeedback(t *testing.T) {
	var w TWCC
	r := newReported()
	for i := range 2000 {
		now := at(ms(5 * i))
		w.Record(now, uint16(i))
		if i%3 == 0 {
			w.Record(now, uint16(i)+uint16(600+i*31))
		}
		if w.Deadline().Due(now) {
			r.drain(t, &w, now)
		}
	}
	r.drain(t, &w, at(time.Minute))
	wrong := 0
	for i := range 2000 {
		if r.arrivals[uint16(i)] != time.Duration(at(ms(5*i)))/rtcp.TWCCDelta*rtcp.TWCCDelta {
			wrong++
		}
	}
	// A lie may happen to be near the truth, and then claims a number that is to come.
	if wrong > 20 || w.Jumps() != 0 {
		t.Errorf("%d of 2000 packets reported wrongly, %d jumps", wrong, w.Jumps())
	}
}

func TestNumberingThatMovedOnIsFollowed(t *testing.T) {
	for _, to := range []uint16{5000, 40000, 65000} {
		var w TWCC
		r := newReported()
		w.Record(start, 10)
		r.drain(t, &w, at(ms(100)))
		for i := range uint16(20) {
			w.Record(at(ms(200+int(i))), to+i)
		}
		r.drain(t, &w, at(ms(300)))
		for i := uint16(twccConfirm - 1); i < 20; i++ {
			r.check(t, to+i, at(ms(200+int(i))))
		}
		if w.Jumps() != 1 {
			t.Errorf("to %d: %d jumps", to, w.Jumps())
		}
	}
}

func TestFeedbackTellsTheTruthAboutEveryPacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w TWCC
		r := newReported()
		truth := map[uint16]mono.Time{}
		now, highest := start, rapid.IntRange(0, 65535).Draw(t, "first")
		record := func(seq int) {
			w.Record(now, uint16(seq))
			if _, dup := truth[uint16(seq)]; !dup {
				truth[uint16(seq)] = now
			}
		}
		record(highest)
		first := highest
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 90_000)).Draw(t, "µs")) * time.Microsecond)
			if w.Deadline().Due(now) {
				r.drain(t, &w, now)
			}
			step := rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 100), rapid.IntRange(-3, 0)).Draw(t, "step")
			if seq := highest + step; seq >= first {
				// Only what is not too late is sure to be reported.
				if _, dup := truth[uint16(seq)]; dup || step > 0 || now.Sub(newest(truth, seq, highest)) <= twccBack {
					record(seq)
				}
				highest = max(highest, seq)
			}
		}
		r.drain(t, &w, now.Add(time.Second))
		for seq, arrival := range truth {
			r.check(t, seq, arrival)
		}
		if len(r.arrivals) != len(truth) {
			t.Fatalf("%d packets reported, %d arrived", len(r.arrivals), len(truth))
		}
	})
}

// newest returns when the first packet above seq arrived that has.
func newest(truth map[uint16]mono.Time, seq, highest int) mono.Time {
	for i := seq + 1; i <= highest; i++ {
		if at, ok := truth[uint16(i)]; ok {
			return at
		}
	}
	return mono.Never
}
