package netio

import (
	"runtime"
	"testing"
	"time"
)

func TestSchedstatIsRead(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"1059241841 212906 63\n": {1059241841, 212906}, "0 0 0": {0, 0}, "5 6": {5, 6},
		"": {-1}, "5": {-1}, "5 x 1": {-1}, "-": {-1},
	} {
		ran, waited, ok := parseSchedstat([]byte(text))
		if ok != (want[0] >= 0) || ok && (ran != want[0] || waited != want[1]) {
			t.Errorf("%q: %v, %v, %v", text, ran, waited, ok)
		}
	}
	f := openThreadTimes()
	f.Close()
	if _, _, ok := processorTime(f, make([]byte, 64)); ok {
		t.Error("a thread that has ended has a load")
	}
}

func TestMeasuringTheLoadDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: counts are checked without it")
		return
	}
	g := open(t, Config{Shards: 2})
	for i := range 2 {
		g.Start(i, &funcs{})
	}
	m := NewLoadMeter(g)
	for m.Sample(); g.threads[0].times.Load() == nil || g.threads[1].times.Load() == nil; {
		runtime.Gosched()
	}
	if n := testing.AllocsPerRun(100, func() { m.Sample() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
