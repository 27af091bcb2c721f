package stream

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
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

// touched returns how many pages of b the machine has memory for (mincore(2)).
func touched(t testing.TB, b []byte) (n int) {
	t.Helper()
	pages := make([]byte, (len(b)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		uintptr(unsafe.Pointer(&pages[0]))); err != 0 {
		t.Fatal(err)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

func TestIdleStreamTouchesTwoPages(t *testing.T) {
	if raceEnabled {
		return // on the heap then
	}
	s := still(t, flow.FramedStream)
	if n := touched(t, s.memory); n != 0 {
		t.Errorf("%d pages before the first frame", n)
	}
	for range 1000 {
		s.drained()
		s.Send(mmsg.Control, make([]byte, 1200))
		s.Flush()
		s.arrive(1, 1200)
		if s.taken() != 1 {
			t.Fatal("no frame")
		}
	}
	if n := touched(t, s.memory); n != 2 {
		t.Errorf("%d pages", n)
	}
	runtime.KeepAlive(s)
}

func TestStreamThatIsOverGivesItsPagesBack(t *testing.T) {
	if raceEnabled {
		return // on the heap then
	}
	h := newHome()
	c, peer := tcpPair(t)
	s := h.serve(t, c, nil, flow.FramedStream, Config{})
	for b := range slices.Chunk(s.out.buf, os.Getpagesize()) {
		b[0] = 1
	}
	go func() {
		for err := error(nil); err == nil; {
			_, err = peer.Write(framedBytes(numbered(1, 1000)))
		}
	}()
	until(t, "the reader to wait", func() bool { return s.full.Load() == 1 })
	for range 40 {
		s.Next()
	}
	s.Release()
	if n := touched(t, s.in.buf); n != InBytes/os.Getpagesize() {
		t.Errorf("%d pages of the ring to the shard were touched", n)
	}
	s.Close()
	h.ended(t, Closed)
	if n := touched(t, s.out.buf); n != 0 {
		t.Errorf("%d pages to the peer are left", n)
	}
	// What waits is kept, and is what it was.
	waiting := s.in.waiting()
	if n := touched(t, s.in.buf); n == 0 || n > waiting/os.Getpagesize()+2 {
		t.Errorf("%d pages to the shard are left for %d bytes", n, waiting)
	}
	for f, ok := s.Next(); ok; f, ok = s.Next() {
		if !bytes.Equal(f, numbered(1, 1000)) {
			t.Fatalf("%.8x", f)
		}
		s.Release()
	}
}
