package netio

import (
	"testing"
	"time"

	"tsubame/netio/mono"
)

// breaths returns how often a shard that iterates once in each step lets go in a second.
func breaths(step time.Duration) (n int) {
	var b breath
	start := mono.Time(1)
	b.due(start)
	for now := start; now.Sub(start) < time.Second; now = now.Add(step) {
		if b.due(now) {
			n++
		}
	}
	return n
}

func TestBusyShardLetsGoBeforeTheMonitorLosesPatience(t *testing.T) {
	for _, step := range []time.Duration{time.Microsecond, 200 * time.Microsecond, time.Millisecond, 2 * time.Millisecond} {
		if n := breaths(step); n < 101 || n > 143 {
			t.Errorf("iterating every %v: %d times a second", step, n)
		}
	}
}

func TestShardThatSleepsLongLosesItsSlotAnyway(t *testing.T) {
	for _, step := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond} {
		if n := breaths(step); n != 0 {
			t.Errorf("iterating every %v: %d times a second", step, n)
		}
	}
}
