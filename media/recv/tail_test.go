package recv

import (
	"slices"
	"testing"

	"tsubame/netio/mono"
)

func TestWhatIsSuspectedIsAskedForOnce(t *testing.T) {
	s := newVideo()
	s.Suspect(start, 1) // nothing has come
	mustFeed(t, s, start, 10)
	s.Suspect(at(ms(20)), 2)
	s.Suspect(at(ms(25)), 1)
	wantNACK(t, s, at(ms(20)))
	if d := s.Deadline(); d != at(ms(20)+nackHold) {
		t.Fatalf("due after %v", d.Sub(start))
	}
	wantNACK(t, s, at(ms(20)+nackHold), 11, 12)
	s.Suspect(at(ms(40)), 2)
	wantNACK(t, s, at(ms(60)))
	s.Suspect(at(ms(60)), 100) // there is a bound
	wantNACK(t, s, at(ms(60)+nackHold), 13)
	if s.Deadline() != mono.Never || s.Outstanding() != 0 || s.Stats().Suspected != 3 {
		t.Errorf("due %v, %d outstanding, %+v", s.Deadline(), s.Outstanding(), s.Stats())
	}
}

func TestWhatComesInTimeIsNotSuspected(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 65535)
	s.Suspect(start, 2)
	mustFeed(t, s, at(ms(1)), 0)
	wantNACK(t, s, at(nackHold), 1)
	s.Suspect(at(ms(20)), 1)
	mustFeed(t, s, at(ms(21)), 1, 2)
	wantNACK(t, s, at(ms(100)))
}

// The retransmission is on its way when the next frame shows the gap: it is waited for.
func TestWhatWasAskedForOnSuspicionIsAskedForAgainOnlyAfterARoundTrip(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10)
	s.Suspect(start, 1)
	wantNACK(t, s, at(nackHold), 11)
	mustFeed(t, s, at(ms(33)), 14) // 12 and 13 are lost, too
	wantNACK(t, s, at(ms(33)+nackHold), 12, 13)
	mustFeed(t, s, at(ms(50)), 15, 16, 17, 18)
	wantNACK(t, s, at(nackHold+rtt-1))
	wantNACK(t, s, at(nackHold+rtt), 11)
	s.Receive(at(ms(200)), 11, 0, 100, true)
	if s.Outstanding() != 2 || s.Stats().Recovered != 1 {
		t.Errorf("%d outstanding, %+v", s.Outstanding(), s.Stats())
	}
}

func TestSuspectedPacketMayComeAsTheNewest(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10)
	s.Suspect(start, 1)
	wantNACK(t, s, at(nackHold), 11)
	if _, v := s.Receive(at(ms(110)), 11, 33000, 100, true); v != Accept {
		t.Fatalf("verdict %d", v)
	}
	mustFeed(t, s, at(ms(200)), 12)
	wantNACK(t, s, at(ms(500)))
	if b, _ := s.Report(at(ms(500))); b.CumulativeLost != 1 {
		t.Errorf("%d lost in all, want 1", b.CumulativeLost)
	}
}

func TestOnlyWhatWasAskedForAheadOfTheStreamIsAnAnswer(t *testing.T) {
	s := newVideo()
	if s.Suspected(1) {
		t.Error("before the stream has begun")
	}
	want := func(when string, seqs ...uint16) {
		t.Helper()
		for seq := range 1 << 16 {
			if is := s.Suspected(uint16(seq)); is != slices.Contains(seqs, uint16(seq)) {
				t.Errorf("%s: %d: %v", when, seq, is)
			}
		}
	}
	mustFeed(t, s, start, 65534)
	want("nothing is missed")
	s.Suspect(start, 2)
	want("not asked for yet")
	wantNACK(t, s, at(nackHold), 65535, 0)
	want("asked for", 65535, 0)
	if _, v := s.Receive(at(ms(30)), 65535, 0, 100, true); v != Accept {
		t.Fatalf("verdict %d", v)
	}
	want("one has come", 0)
	mustFeed(t, s, at(ms(33)), 1)
	want("the stream has gone on")
}

func TestNothingIsSuspectedOfAStreamThatIsNotRepaired(t *testing.T) {
	s := newVoice()
	mustFeed(t, s, start, 10)
	s.Suspect(start, 1)
	wantNACK(t, s, at(ms(500)))
}

func TestRecordTellsWhatWasSkipped(t *testing.T) {
	var w TWCC
	var got []int
	for i, seq := range []uint16{65530, 65531, 65534, 65533, 65534, 2, 30000, 3} {
		got = append(got, w.Record(at(ms(i)), seq))
	}
	if want := []int{0, 0, 2, 0, 0, 3, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("skipped %v, want %v", got, want)
	}
}
