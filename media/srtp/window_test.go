package srtp

import "testing"

// The rollover counter that brings a packet nearest, at the edges of RFC 3711 appendix A.
func TestIndexIsGuessedNearestToTheHighest(t *testing.T) {
	for _, test := range []struct {
		highest uint64
		seq     uint16
		want    uint64
	}{
		{0x1_0005, 0x0006, 0x1_0006},
		{0x1_0005, 0xffff, 0x0_ffff},
		{0x1_0005, 0x8005, 0x1_8005}, // as far ahead as behind: ahead, as the RFC has it
		{0x1_0005, 0x8006, 0x0_8006},
		{0x1_7fff, 0xffff, 0x1_ffff},
		{0x1_8000, 0x0000, 0x1_0000}, // as far behind as ahead: behind, as the RFC has it
		{0x1_8001, 0x0000, 0x2_0000},
		{0x1_ffff, 0x0000, 0x2_0000},
		{0x1_ffff, 0x7ffe, 0x2_7ffe},
		{0x1_ffff, 0x7fff, 0x1_7fff},
		{0x0_0005, 0xffff, 0x0_ffff}, // there is nothing below 0
		{0x0_7fff, 0xffff, 0x0_ffff},
		{1<<48 - 1, 0, 1 << 48}, // which is refused
	} {
		w := window{next: test.highest + 1}
		if got := w.guess(test.seq); got != test.want {
			t.Errorf("highest %#x, sequence %#x: guessed %#x, want %#x", test.highest, test.seq, got, test.want)
		}
	}
	var first window
	if got := first.guess(0xfedc); got != 0xfedc {
		t.Errorf("first packet: %#x", got)
	}
}

// Every index is judged by itself: skipping any number of others leaves them usable once.
func TestWindowForgetsExactlyWhatItPasses(t *testing.T) {
	for _, step := range []uint64{1, 2, 63, 64, 65, windowSize - 1, windowSize, windowSize + 1, 5 * windowSize, 1 << 40} {
		var w window
		base := uint64(3)
		w.use(base)
		top := base + step
		w.use(top)
		for i := max(base, top-min(top, windowSize)) + 1; i < top; i++ {
			if !w.fresh(i) {
				t.Fatalf("step %d: index %d counts as used", step, i)
			}
			w.use(i)
			if w.fresh(i) {
				t.Fatalf("step %d: index %d can be used twice", step, i)
			}
		}
		if w.fresh(base) || w.fresh(top) || top > windowSize && w.fresh(top-windowSize) {
			t.Errorf("step %d: a used index, or one too old, counts as fresh", step)
		}
	}
}
