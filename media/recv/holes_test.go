package recv

import (
	"math/rand/v2"
	"testing"

	"tsubame/netio/mono"
)

func TestOnlyWhatHasNotComeWithinReachIsLacking(t *testing.T) {
	var s Stream
	s.Init(Config{ClockRate: 48000})
	if s.Lacks(100, 1) {
		t.Error("a stream that has not begun lacks something")
	}
	for _, seq := range []uint16{65534, 65535, 2} { // 0 and 1 are lost
		s.Receive(mono.Time(1), seq, 0, 100, false)
	}
	for _, c := range []struct {
		seq  uint16
		back int
		want bool
	}{
		{2, 1, true}, {2, 2, true}, {2, 3, false}, {2, 4, false},
		{2, 5, false},                             // before the beginning
		{4, 1, true}, {4, 2, false}, {4, 3, true}, // 3 is lost, too, once 4 comes
		{1, 1, true}, {1, 2, false}, // 1 itself is late
		{2 + maxForward, 1, true}, {2 + maxForward + 1, 1, false}, {2 + maxForward + 1, 2, false}, // a jump
		{65536 + 2 - WindowSize + 1, 1, false}, {65536 + 2 - WindowSize, 1, false},
	} {
		if got := s.Lacks(c.seq, c.back); got != c.want {
			t.Errorf("%d places before %d: %v", c.back, c.seq, got)
		}
	}
}

// What is lacking is accepted when it comes as a recovered packet, and nothing else is.
func TestWhatIsLackingIsAccepted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Stream
	s.Init(Config{ClockRate: 48000})
	seq := uint16(65000)
	lacking := 0
	for n := range 20000 {
		now := mono.Time(n + 1)
		if r.IntN(4) == 0 {
			seq += uint16(r.IntN(5))
		} else {
			seq++
		}
		for back := r.IntN(12); back > 0; back-- {
			want := s.Lacks(seq, back)
			if !want && n < 20 {
				continue // before the beginning a recovered packet may still be accepted
			}
			_, v := s.Receive(now, seq-uint16(back), 0, 100, true)
			if want != (v == Accept) {
				t.Fatalf("%d places before %d: lacking %v, verdict %v", back, seq, want, v)
			}
			if want {
				lacking++
			}
		}
		s.Receive(now, seq, 0, 100, false)
	}
	if lacking < 1000 {
		t.Errorf("%d were lacking", lacking)
	}
}
