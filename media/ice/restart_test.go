package ice

import (
	"testing"
	"time"

	"tsubame/netio/mono"
)

func TestRestartsInARowAreAllowedUpToTheBurst(t *testing.T) {
	var l RestartLimit
	now := mono.Time(time.Hour)
	for i := range RestartBurst {
		if !l.Allow(now) {
			t.Errorf("restart %d refused", i+1)
		}
	}
	if l.Allow(now) {
		t.Error("one too many allowed")
	}
	if l.Allow(now.Add(RestartInterval - 1)) {
		t.Error("allowed before a token was there")
	}
	if !l.Allow(now.Add(RestartInterval)) {
		t.Error("refused with a token there")
	}
}

// Row ICE-12.
func TestRestartStormIsLimitedAndLeavesNoDebt(t *testing.T) {
	var l RestartLimit
	const storm = 60 * time.Second
	now, allowed := mono.Time(1), 0
	for range storm / (10 * time.Millisecond) { // 100 a second
		if l.Allow(now) {
			allowed++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if want := RestartBurst + int(storm/RestartInterval); allowed > want || allowed < want-1 {
		t.Errorf("%d restarts in %v, want about %d", allowed, storm, want)
	}
	if !l.Allow(now.Add(RestartInterval)) {
		t.Error("the refused ones count against an honest restart afterwards")
	}
	now = now.Add(time.Hour)
	for i := range RestartBurst + 1 {
		if got, want := l.Allow(now), i < RestartBurst; got != want {
			t.Errorf("restart %d after an hour: allowed %v, want %v", i+1, got, want)
		}
	}
}
