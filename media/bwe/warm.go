package bwe

import (
	"unsafe"

	"tsubame/media/prefetch"
)

// Warm asks for the memory in which Sent will note the packet seq. What stands at the beginning of
// the Estimator has to be there already.
func (e *Estimator) Warm(seq uint16) {
	if h := &e.history; len(h.entries) > 0 {
		prefetch.Line(unsafe.Pointer(&h.entries[int(seq)&(len(h.entries)-1)]))
	}
}
