package codec

// Bits of the AV1 aggregation header (RTP Payload Format For AV1, version 1.0, section
// 4.4). W, the count of OBU elements, and Y, that the last one goes on in the next packet,
// tell nothing of frames.
const (
	av1Z = 0x80 // the first OBU element goes on from the packet before
	av1N = 0x08 // first packet of a coded video sequence
)

// readAV1 reads the aggregation header, which is all that is in the clear under end-to-end
// encryption. A coded video sequence starts with a key frame and its sequence header. Where
// other temporal units start is not told: a packet without Z may be the next one of the
// same unit.
func (d *Descriptor) readAV1(b []byte) error {
	if len(b) < 2 { // the header, and something of an OBU
		return ErrShort
	}
	n := b[0]&av1N != 0
	if n && b[0]&av1Z != 0 {
		return ErrMalformed // nothing goes on into a new sequence
	}
	d.Size = 1
	d.FrameStart, d.KeyFrame = n, n
	return nil
}
