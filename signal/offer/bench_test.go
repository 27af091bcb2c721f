package offer

import (
	"fmt"
	"testing"

	"tsubame/media/param"
	"tsubame/signal/offer/offertest"
)

func BenchmarkFirstOffer(b *testing.B) {
	cfg := testConfig()
	b.ReportAllocs()
	for b.Loop() {
		_ = New(cfg).Offer()
	}
}

// receiving is a connection that receives n publishers, before anything was offered.
func receiving(n int) *State {
	s := New(testConfig())
	for i := range uint32(n) {
		t := pair(i)
		t[1].Codec = []param.Codec{param.VP8, param.AV1}[i%2]
		s.SetRemote(fmt.Sprintf("PUBLISHEROFTWENTYSIX%06d", i), t)
	}
	return s
}

var publishers = []int{1, 7, 12, 100, 255}

// One publisher joins and one leaves between two offers.
func BenchmarkReOffer(b *testing.B) {
	for _, n := range publishers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := receiving(n)
			p := &offertest.Peer{}
			if _, err := s.Answer(p.Answer(s.Offer())); err != nil {
				b.Fatal(err)
			}
			var text []byte
			b.ReportAllocs()
			for b.Loop() {
				s.SetRemote("NEW", pair(1000))
				s.outstanding = false
				text = s.AppendOffer(text[:0])
				s.SetRemote("NEW", nil)
			}
			b.ReportMetric(float64(len(text)), "bytes/offer")
		})
	}
}

// An answer of which every section is new.
func BenchmarkFirstAnswer(b *testing.B) {
	benchmarkAnswer(b, func(s *State) {
		for _, sec := range s.sections {
			sec.heard = 0
		}
	})
}

// An answer that says of every section what the last one said.
func BenchmarkReAnswer(b *testing.B) { benchmarkAnswer(b, func(*State) {}) }

// An answer of which the last two sections are new: those of one who has joined.
func BenchmarkReAnswerAfterAJoin(b *testing.B) {
	benchmarkAnswer(b, func(s *State) {
		for _, sec := range s.sections[len(s.sections)-2:] {
			sec.heard = 0
		}
	})
}

func benchmarkAnswer(b *testing.B, forget func(*State)) {
	for _, n := range publishers {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := receiving(n)
			text := new(offertest.Peer).Answer(s.Offer())
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				s.outstanding = true
				forget(s)
				if _, err := s.Answer(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a session asks after every event.
func BenchmarkChanged(b *testing.B) {
	s := receiving(300) // more than there is room for
	if _, err := s.Answer(new(offertest.Peer).Answer(s.Offer())); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if s.Changed() {
			b.Fatal("changed")
		}
	}
}

// Where there is room for its text an offer allocates nothing, however many sections there are.
func TestAReOfferAllocatesNothing(t *testing.T) {
	s := receiving(100)
	text := s.AppendOffer(nil)
	if n := testing.AllocsPerRun(20, func() {
		s.outstanding = false
		text = s.AppendOffer(text[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got, want := s.size(), len(text); got < want || got > want*3/2 {
		t.Errorf("size %d for %d bytes", got, want)
	}
}
