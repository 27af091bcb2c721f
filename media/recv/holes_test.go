package recv

import (
	"math/rand/v2"
	"testing"

	"tsubame/netio/mono"
)

func TestOnlyWhatHasNotComeWithinReachIsLacking(t *testing.T) {
	var s Stream
	s.Init(Config{ClockRate: 48000})
	if _, ok := s.Extend(100); ok || s.Lacks(1<<16+100) {
		t.Error("a stream that has not begun lacks something")
	}
	for _, seq := range []uint16{65534, 65535, 2} { // 0 and 1 are lost
		s.Receive(mono.Time(1), seq, 0, 100, false)
	}
	const begin = 1<<16 + 65534
	for seq, want := range map[uint16]int{65533: -1, 65534: 0, 0: 2, 2: 4, 9: 11, 2 + maxForward: 4 + maxForward} {
		if ext, ok := s.Extend(seq); !ok || int(ext) != begin+want {
			t.Errorf("%d is %d, %v", seq, ext, ok)
		}
	}
	for _, seq := range []uint16{2 + maxForward + 1, 65536 + 2 - WindowSize} {
		if ext, ok := s.Extend(seq); ok {
			t.Errorf("%d is %d", seq, ext)
		}
	}
	for at, want := range map[int]bool{
		-WindowSize: false, -1: false, // before the beginning
		0: false, 1: false, 2: true, 3: true, 4: false,
		5: true, 4 + maxForward: true, 5 + maxForward: false,
	} {
		if got := s.Lacks(uint64(begin + at)); got != want {
			t.Errorf("%d lacks: %v", at, got)
		}
	}
}

// What is lacking is accepted when it comes as a recovered packet, under the number that it was
// looked for by, and what is not lacking is refused.
func TestWhatIsLackingIsAccepted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Stream
	s.Init(Config{ClockRate: 48000})
	seq := uint16(65000)
	lacking := 0
	for n := range 20000 {
		now := mono.Time(n + 1)
		if seq++; r.IntN(4) == 0 {
			seq += uint16(r.IntN(5))
		}
		ext, ok := s.Extend(seq)
		if !ok && n > 0 {
			t.Fatalf("%d is out of reach", seq)
		}
		for back := r.IntN(12); n > 20 && back > 0; back-- {
			want := s.Lacks(ext - uint64(back))
			got, v := s.Receive(now, seq-uint16(back), 0, 100, true)
			if want != (v == Accept) || want && got != ext-uint64(back) {
				t.Fatalf("%d places before %d: lacking %v, verdict %v, %d", back, seq, want, v, got)
			}
			if want {
				lacking++
			}
		}
		if got, v := s.Receive(now, seq, 0, 100, false); v != Accept || n > 0 && got != ext {
			t.Fatalf("%d is %d, not %d: %v", seq, got, ext, v)
		}
	}
	if lacking < 1000 {
		t.Errorf("%d were lacking", lacking)
	}
}
