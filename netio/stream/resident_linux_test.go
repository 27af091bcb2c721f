package stream

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// resident returns how many bytes of the machine's memory this process has, garbage given
// back.
func resident(t testing.TB) int {
	t.Helper()
	runtime.GC()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestIdleStreamTouchesTwoPages(t *testing.T) {
	if raceEnabled {
		return // on the heap then
	}
	const streams = 64
	before := resident(t)
	var all []*Stream
	for range streams {
		s := still(t, 2)
		for range 100 {
			s.drained()
			s.Send(0, make([]byte, 1200))
			s.Flush()
			s.arrive(1, 1200)
			if s.taken() != 1 {
				t.Fatal("no frame")
			}
		}
		s.drained()
		all = append(all, s)
	}
	// Two pages of rings, and what the heap and the garbage collector take: far from the
	// 20 MB that the rings could hold.
	if each := (resident(t) - before) / streams; each > 24<<10 {
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(all)
}
