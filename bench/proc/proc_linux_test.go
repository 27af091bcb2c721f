package proc

import (
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// burn uses CPU time in this process until the clock of Self has gone on by d.
func burn(t *testing.T, d time.Duration) {
	t.Helper()
	start, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	for {
		x := 1.0
		for range 100_000 {
			x = math.Sqrt(x + 1)
		}
		runtime.KeepAlive(x)
		if now, err := Self(); err != nil {
			t.Fatal(err)
		} else if now-start >= d {
			return
		}
	}
}

func TestCPUTimeOfAProcessIsWhatItUsed(t *testing.T) {
	before, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	machine, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	const work = 200 * time.Millisecond
	burn(t, work)
	after, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after.CPU - before.CPU; used < work-3*tick {
		t.Errorf("%v of CPU time are seen, %v were used", used, work)
	}
	if after.Threads < 1 || after.User > after.CPU {
		t.Errorf("%+v", after)
	}
	later, err := Machine()
	if err != nil {
		t.Fatal(err)
	}
	if later.Busy <= machine.Busy {
		t.Errorf("the machine was not busy: %+v, %+v", machine, later)
	}
}

func TestMemoryOfAProcessGrowsWithWhatItTouches(t *testing.T) {
	before, err := PSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	b := make([]byte, size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	after, err := PSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(b)
	if after < before+size/2 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

func TestAProcessThatIsGoneIsAnError(t *testing.T) {
	const none = math.MaxInt32 // beyond the largest pid of Linux
	if _, err := Of(none); err == nil {
		t.Error("usage of a process that does not exist")
	}
	if _, err := PSS(none); err == nil {
		t.Error("memory of a process that does not exist")
	}
}

func TestThreadHasNoMoreThanItsProcess(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, err := Thread()
	if err != nil {
		t.Fatal(err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if thread <= 0 || thread > self {
		t.Errorf("thread %v, process %v", thread, self)
	}
}

func TestDescriptionOfThisMachine(t *testing.T) {
	m := Describe("")
	if m.CPU == "" || m.CPUs < 1 || m.Memory < 1<<20 || !strings.HasPrefix(m.Kernel, "Linux ") || m.Go != runtime.Version() {
		t.Errorf("%+v", m)
	}
}
