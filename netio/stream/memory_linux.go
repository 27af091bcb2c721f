//go:build linux && !race

package stream

import "golang.org/x/sys/unix"

// memory returns n zero bytes outside of Go's heap, of which only what is touched counts
// against the machine. It is given back with forget.
func memory(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
}

// forget gives memory back. Nobody may look at it any more.
func forget(b []byte) { _ = unix.Munmap(b) }

// discard gives the pages behind b back, while others may still write or read there: they find
// zeros.
func discard(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
