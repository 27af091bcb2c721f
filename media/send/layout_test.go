package send

import (
	"testing"
	"unsafe"

	"tsubame/media/rtp"
)

// A viewer has one stream for each track, most of which never send anything again.
func TestStreamsAreSmall(t *testing.T) {
	if n := unsafe.Sizeof(Stream{}); n > 704 {
		t.Errorf("a stream has %d bytes", n)
	}
	if n := unsafe.Sizeof(resendTable{}); n != 2048 {
		t.Errorf("a table of what was sent again has %d bytes", n)
	}
	if n := unsafe.Sizeof(runTable{}); n > 1024 {
		t.Errorf("a table of runs has %d bytes", n)
	}
}

// What every packet touches is in the first three lines, if the stream begins with one of the
// first 24 bytes of a line: after what a connection keeps in front of it.
func TestAPacketTouchesThreeLines(t *testing.T) {
	var s Stream
	const lines = warmLines*64 - 24
	if end := unsafe.Offsetof(s.munger) + unsafe.Offsetof(s.munger.first); end > lines {
		t.Errorf("it ends at byte %d, want %d at most", end, lines)
	}
	for name, at := range map[string]uintptr{
		"traffic":  unsafe.Offsetof(s.traffic) + unsafe.Sizeof(s.traffic),
		"waiting":  unsafe.Offsetof(s.waiting),
		"needsKey": unsafe.Offsetof(s.needsKey),
		"header":   unsafe.Offsetof(s.header) + unsafe.Sizeof(rtp.Template{}),
	} {
		if at > unsafe.Offsetof(s.munger) {
			t.Errorf("%s ends at byte %d, behind the beginning of munger", name, at)
		}
	}
}
