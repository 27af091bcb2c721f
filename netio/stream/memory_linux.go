//go:build linux && !race

package stream

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory returns n zero bytes outside of Go's heap, of which only what is touched counts
// against the machine. It is given back with forget.
func memory(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err == nil {
		// The kernel joins neighbours, and might give a huge page to several of them for the
		// first byte that one touches. A kernel without huge pages refuses, which is as good.
		_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
	}
	return b, err
}

// forget gives memory back. Nobody may look at it any more.
func forget(b []byte) { _ = unix.Munmap(b) }

// discard gives the whole pages within b back, while others may still write there: they find
// zeros.
func discard(b []byte) {
	page := uintptr(os.Getpagesize())
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := -at & (page - 1)
	if n := uintptr(len(b)); n >= skip+page {
		_ = unix.Madvise(b[skip:n-(at+n)&(page-1)], unix.MADV_DONTNEED)
	}
}
