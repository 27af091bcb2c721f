package main

import (
	"testing"
	"testing/fstest"
	"time"
)

func TestGarbageIsCollectedLessOftenWhileClientsJoin(t *testing.T) {
	var p garbagePolicy
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		second  int
		joining int
		wanted  int
		percent int
		free    bool
	}{
		{0, 0, 400, 0, false}, {1, 3, 400, 400, false}, {2, 5, 400, 0, false}, {3, 0, 380, 0, false},
		{4, 1, 200, 200, false}, {5, 1, 190, 0, false}, {6, 1, 100, 100, false},
		{8, 1, 100, 0, false}, // somebody joins within the quiet time: it begins anew
		{12, 0, 100, 0, false}, {13, 0, 100, 20, true}, {14, 0, 400, 0, false}, {60, 0, 400, 0, false}, {61, 1, 400, 400, false},
	} {
		percent, free := p.look(start.Add(time.Duration(step.second)*time.Second), step.joining, func() int { return step.wanted })
		if percent != step.percent || free != step.free {
			t.Errorf("second %d: %d %%, %t, want %d %%, %t", step.second, percent, free, step.percent, step.free)
		}
	}
}

func TestGarbageWhileClientsJoinIsBounded(t *testing.T) {
	for _, c := range []struct {
		live, available uint64 // MiB
		want            int
	}{
		{12, 24 << 10, 800}, {100, 24 << 10, 512}, {512, 24 << 10, 100}, {4 << 10, 24 << 10, 100},
		{64, 1 << 10, 200}, {64, 100, 100}, {64, 0, 100}, {0, 0, 800},
	} {
		if got := percentJoining(c.live<<20, c.available<<20); got != c.want {
			t.Errorf("%d MiB live, %d available: %d %%, want %d", c.live, c.available, got, c.want)
		}
	}
}

func TestAvailableMemoryIsThatOfTheControlGroup(t *testing.T) {
	const system = "MemTotal:       24684840 kB\nMemFree:        17223484 kB\nMemAvailable:   20971520 kB\n"
	for name, c := range map[string]struct {
		meminfo, most, used string
		want                uint64 // MiB
	}{
		"no control group": {system, "", "", 20 << 10},
		"no bound":         {system, "max\n", "1048576\n", 20 << 10},
		"a bound":          {system, "2147483648\n", "1073741824\n", 1 << 10},
		"a loose bound":    {system, "1099511627776\n", "0\n", 20 << 10},
		"beyond the bound": {system, "1048576\n", "2097152\n", 0},
		"nothing":          {"", "", "", 0},
		"nonsense":         {"x\nMemAvailable:", "x", "y", 0},
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(c.meminfo)}}
		if c.most != "" {
			root["sys/fs/cgroup/memory.max"] = &fstest.MapFile{Data: []byte(c.most)}
			root["sys/fs/cgroup/memory.current"] = &fstest.MapFile{Data: []byte(c.used)}
		}
		if got := availableMemory(root); got != c.want<<20 {
			t.Errorf("%s: %d bytes, want %d MiB", name, got, c.want)
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
