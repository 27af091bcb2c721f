package prefetch

import (
	"testing"
	"unsafe"
)

// Any address may be named: none of these may fault, and nothing changes.
func TestAnyAddressMayBeNamed(t *testing.T) {
	b := make([]byte, 4096)
	for i := range b {
		b[i] = byte(i)
	}
	Line(nil)
	Line(unsafe.Pointer(&b[4095]))
	Lines(unsafe.Pointer(&b[0]), 1000)
	Lines(nil, 4)
	Lines(unsafe.Pointer(&b[0]), 0)
	Lines(unsafe.Pointer(&b[0]), -1)
	for i := range b {
		if b[i] != byte(i) {
			t.Fatalf("byte %d has changed", i)
		}
	}
}
