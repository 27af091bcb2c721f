package main

import (
	"testing"
	"time"
)

func TestGarbageIsCollectedLessOftenWhileClientsJoin(t *testing.T) {
	var p garbagePolicy
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		second  int
		joining int
		want    garbageChange
	}{
		{0, 0, noChange}, {1, 3, startJoining}, {2, 5, noChange}, {3, 0, noChange},
		{6, 1, noChange}, // somebody joins within the quiet time: it begins anew
		{10, 0, noChange}, {11, 0, startQuiet}, {12, 0, noChange}, {60, 0, noChange}, {61, 1, startJoining},
	} {
		if got := p.look(start.Add(time.Duration(step.second)*time.Second), step.joining); got != step.want {
			t.Errorf("second %d: %d, want %d", step.second, got, step.want)
		}
	}
}

func TestCollectorEndsAndLeavesTheEnvironmentsWishAlone(t *testing.T) {
	t.Setenv("GOGC", "")
	watchGarbage(func() int { return 0 }).end()
	t.Setenv("GOGC", "50")
	if c := watchGarbage(func() int { return 0 }); c != nil {
		t.Error("it runs against GOGC")
	}
}
