package send

import (
	"unsafe"

	"tsubame/media/prefetch"
)

// Warm asks for the memory that Munge, PutHeader and Sent touch for a packet in order.
func (s *Stream) Warm() { prefetch.Lines(unsafe.Pointer(s), warmLines) }

// warmLines is how many cache lines that is: from the beginning of the stream to munger.first.
const warmLines = 3
