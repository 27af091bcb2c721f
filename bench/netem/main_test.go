package netem

import (
	"os"
	"runtime"
	"testing"
)

// TestMain gives the boxes room: a thread that comes back from the kernel needs a place to run in
// the runtime at once, however busy the machine is.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(16, runtime.NumCPU()))
	os.Exit(m.Run())
}
