package channel_test

import (
	"runtime"
	"testing"
)

// BenchmarkSessionMemory reports what the session of one viewer of one publisher holds, its
// socket and its media connection aside, and how many goroutines wait for it.
func BenchmarkSessionMemory(b *testing.B) {
	const n = 1000
	for b.Loop() {
		s := newStorm(b, false)
		s.join(1, "sendonly", "")
		s.settle(0, 0)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		s.join(n, "recvonly", "")
		s.settle(0, 2*n)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc-before.HeapAlloc))/n, "heap-B/session")
		b.ReportMetric(float64(int64(after.StackInuse-before.StackInuse))/n, "stack-B/session")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/session")
		s.close()
	}
}
