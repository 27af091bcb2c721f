package conn

import (
	"testing"
	"unsafe"
)

// Send finds what it needs of a subscription right in front of the stream, so that the three
// lines that the stream asks for are all. An object of this size begins with a word of the
// runtime's, hence 24 bytes at most (see media/send).
func TestASubscriptionsHotPartIsInFrontOfItsStream(t *testing.T) {
	var s subscriber
	front := unsafe.Offsetof(s.stream)
	if front > 16 {
		t.Errorf("the stream begins at byte %d", front)
	}
	for name, at := range map[string]uintptr{
		"sealer": unsafe.Offsetof(s.sealer), "class": unsafe.Offsetof(s.class), "waiting": unsafe.Offsetof(s.waiting),
	} {
		if at >= front {
			t.Errorf("%s stands at byte %d, behind the stream", name, at)
		}
	}
	if n := unsafe.Sizeof(s); n > 896-8 {
		t.Errorf("a subscription has %d bytes, more than its size class", n)
	}
}
