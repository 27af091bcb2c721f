package recv

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestRoundTripFollowsRFC6298(t *testing.T) {
	var r RTT
	if r.Known() || r.Smoothed() != DefaultRTT || r.Answer() != DefaultRTT+answerTime {
		t.Fatalf("before the first sample: %v, %v", r.Smoothed(), r.Answer())
	}
	for i, c := range []struct{ sample, smoothed, deviation time.Duration }{
		{ms(80), ms(80), ms(40)},
		{ms(80), ms(80), ms(30)},
		{ms(160), ms(90), 42500 * time.Microsecond},
		{0, ms(90), 42500 * time.Microsecond}, // no sample
		{-ms(5), ms(90), 42500 * time.Microsecond},
	} {
		r.Sample(c.sample)
		if r.smoothed != c.smoothed || r.deviation != c.deviation {
			t.Fatalf("sample %d: %v +- %v, want %v +- %v", i, r.smoothed, r.deviation, c.smoothed, c.deviation)
		}
	}
}

func TestAnswerIsWaitedForLongerThanARoundTripButNotTwice(t *testing.T) {
	steady, jumpy := RTT{}, RTT{}
	source := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		steady.Sample(ms(100))
		jumpy.Sample(ms(20 + source.IntN(160)))
	}
	if a := steady.Answer(); a < ms(105) || a > ms(112) {
		t.Errorf("an answer takes %v over a steady path of 100 ms", a)
	}
	if a, rtt := jumpy.Answer(), jumpy.Smoothed(); a < rtt*3/2 || a > rtt*3/2+answerTime {
		t.Errorf("an answer takes %v over a path of %v that jumps", a, rtt)
	}
}

// Row RTP-10.
func TestRoundTripStaysInBoundsWhateverIsClaimed(t *testing.T) {
	var r RTT
	for i := range 1000 {
		r.Sample([]time.Duration{1, 1 << 62, -1 << 62, time.Hour}[i%4])
		if s := r.Smoothed(); s <= 0 || s > maxSample {
			t.Fatalf("smoothed to %v", s)
		}
		if a := r.Answer(); a <= 0 || a > 2*maxSample {
			t.Fatalf("an answer takes %v", a)
		}
	}
}
