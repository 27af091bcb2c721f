//go:build amd64 || arm64

package prefetch

import "unsafe"

// Line asks for the cache line that p points into.
//
//go:noescape
func Line(p unsafe.Pointer)

// Lines asks for n cache lines of 64 bytes from the one that p points into.
//
//go:noescape
func Lines(p unsafe.Pointer, n int)
