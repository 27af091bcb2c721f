package main

import (
	"runtime"
	"testing"
)

var kept []*[64]byte

func TestRuntimeCountersCount(t *testing.T) {
	before := runtimeCounters()
	for name := range runtimeNames {
		if _, ok := before[name]; !ok {
			t.Errorf("this Go does not have %s", name)
		}
	}
	kept = nil
	for range 1000 {
		kept = append(kept, new([64]byte))
	}
	runtime.GC()
	after := runtimeCounters()
	if after["gc_cycles"] <= before["gc_cycles"] || after["heap_allocs"] < before["heap_allocs"]+1000 {
		t.Errorf("before %v, after %v", before, after)
	}
}
