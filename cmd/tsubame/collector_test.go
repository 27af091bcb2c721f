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
		live    uint64 // MiB
		percent int
		free    bool
	}{
		{0, 0, 12, 0, false}, {1, 3, 12, 400, false}, {2, 5, 12, 0, false}, {3, 0, 30, 0, false},
		{4, 1, 64, 200, false}, {5, 1, 70, 0, false}, {6, 1, 200, 100, false}, {7, 1, 2000, 0, false},
		{8, 1, 2000, 0, false}, // somebody joins within the quiet time: it begins anew
		{12, 0, 2000, 0, false}, {13, 0, 2000, 20, true}, {14, 0, 12, 0, false}, {60, 0, 12, 0, false}, {61, 1, 12, 400, false},
	} {
		percent, free := p.look(start.Add(time.Duration(step.second)*time.Second), step.joining, func() uint64 { return step.live << 20 })
		if percent != step.percent || free != step.free {
			t.Errorf("second %d: %d %%, %t, want %d %%, %t", step.second, percent, free, step.percent, step.free)
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
