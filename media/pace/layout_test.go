package pace

import (
	"testing"
	"unsafe"
)

func TestHotIsTheEndOfAPacer(t *testing.T) {
	var p Pacer
	begin := unsafe.Sizeof(p) - Hot
	for name, at := range map[string]uintptr{
		"debt": unsafe.Offsetof(p.debt), "slack": unsafe.Offsetof(p.slack), "each": unsafe.Offsetof(p.each),
	} {
		if at < begin {
			t.Errorf("%s stands at byte %d, in front of %d", name, at, begin)
		}
	}
	if n := unsafe.Sizeof(Item{}); n != 16 {
		t.Errorf("an item has %d bytes", n)
	}
}
