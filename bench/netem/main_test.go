package netem

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// TestMain gives the boxes room: a thread that comes back from the kernel needs a place to run in
// the runtime at once, however busy the machine is.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(16, runtime.NumCPU()))
	os.Exit(m.Run())
}

// never is a time that did not come.
const never = -1

// median is that of numbers, or never if there are none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return never
	}
	sorted, n := slices.Sorted(slices.Values(all)), len(all)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// pause lets time pass, which is what a measurement is made of.
func pause(d time.Duration) { <-time.NewTimer(d).C }
