package send

import (
	"unsafe"

	"tsubame/media/prefetch"
)

// Warm asks for the memory that Munge, PutHeader and Sent touch for a packet in order.
func (s *Stream) Warm() {
	prefetch.Lines(unsafe.Pointer(&s.header), 2)
	prefetch.Line(unsafe.Pointer(&s.waiting))
	prefetch.Lines(unsafe.Pointer(&s.munger), 2) // the numbers, and the first run
	prefetch.Lines(unsafe.Pointer(&s.munger.given), 2)
	prefetch.Line(unsafe.Pointer(&s.resends.budget))
	prefetch.Line(unsafe.Pointer(&s.reports.lastAt))
	prefetch.Line(unsafe.Pointer(&s.stats))
}
