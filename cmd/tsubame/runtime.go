package main

import "runtime/metrics"

// runtimeNames are what is counted of the Go runtime, by the names of the counters line.
var runtimeNames = map[string]string{
	"goroutines":    "/sched/goroutines:goroutines",
	"gc_cycles":     "/gc/cycles/total:gc-cycles",
	"heap_allocs":   "/gc/heap/allocs:objects", // made so far, counted a span at a time; small ones that share a block apart
	"heap_bytes":    "/memory/classes/heap/objects:bytes",
	"runtime_bytes": "/memory/classes/total:bytes", // of address space
}

// runtimeCounters reads them without stopping anybody.
func runtimeCounters() map[string]uint64 {
	samples := make([]metrics.Sample, 0, len(runtimeNames))
	names := make([]string, 0, len(runtimeNames))
	for name, metric := range runtimeNames {
		names = append(names, name)
		samples = append(samples, metrics.Sample{Name: metric})
	}
	metrics.Read(samples)
	counters := make(map[string]uint64, len(names))
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			counters[names[i]] = s.Value.Uint64()
		}
	}
	return counters
}
