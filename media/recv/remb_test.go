package recv

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEstimateBeginsWithAllThatIsAskedFor(t *testing.T) {
	var r REMB
	if got := r.Estimate(start, 0, 0, 2_500_000); got != 2_500_000 {
		t.Errorf("asks for %d", got)
	}
	if r.Deadline() != at(rembInterval) {
		t.Errorf("due after %v", r.Deadline().Sub(start))
	}
}

func TestHeavyLossReducesBelowWhatArrives(t *testing.T) {
	var r REMB
	r.Estimate(start, 0, 0, 10_000_000)
	got := r.Estimate(at(time.Second), 128, 1_000_000, 10_000_000)
	if got != 750_000 {
		t.Errorf("asks for %d after half was lost of 1 Mbit/s, want 750000", got)
	}
	if again := r.Estimate(at(time.Second+ms(100)), 128, 1_000_000, 10_000_000); again != got {
		t.Errorf("reduced again at once, to %d", again)
	}
}

func TestModerateLossHolds(t *testing.T) {
	var r REMB
	r.Estimate(start, 0, 0, 10_000_000)
	was := r.Estimate(at(time.Second), 128, 1_000_000, 10_000_000)
	for i := range 10 {
		if got := r.Estimate(at(time.Duration(i+2)*time.Second), 13, 700_000, 10_000_000); got != was {
			t.Fatalf("asks for %d at 5 %% loss, want %d", got, was)
		}
	}
}

func TestRecoveryIsGradualAndReachesTheLimit(t *testing.T) {
	var r REMB
	r.Estimate(start, 0, 0, 2_000_000)
	last := r.Estimate(at(time.Second), 128, 400_000, 2_000_000)
	seconds := 1
	for last < 2_000_000 {
		seconds++
		got := r.Estimate(at(time.Duration(seconds)*time.Second), 0, last, 2_000_000)
		if got < last || got > last*110/100 {
			t.Fatalf("from %d to %d in a second", last, got)
		}
		last = got
	}
	if seconds < 15 || seconds > 40 {
		t.Errorf("recovered within %d s", seconds)
	}
}

// Row RTP-10.
func TestEstimateStaysWithinItsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r REMB
		now := start
		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(-1e9, 1e11).Draw(t, "step")))
			limit := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(1, 5_000_000)).Draw(t, "limit")
			got := r.Estimate(now, rapid.Uint8().Draw(t, "loss"), rapid.Uint64().Draw(t, "received"), limit)
			if limit == 0 {
				limit = DefaultBitrate
			}
			if got > limit || got < min(rembFloor, limit) {
				t.Fatalf("asks for %d of at most %d", got, limit)
			}
		}
	})
}
