//go:build linux && !race

package slab

import "golang.org/x/sys/unix"

const canMap = true

// mapMemory returns n zero bytes that begin on a page. Nothing is reserved for them: the
// tables are sized for the worst case, and a machine may refuse to promise that much.
func mapMemory(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
}

func unmapMemory(b []byte) error { return unix.Munmap(b) }
