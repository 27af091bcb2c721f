package codec

import "encoding/binary"

// The bounds of redundant audio (RFC 2198).
const (
	// MaxREDBlocks is the most redundant blocks of one packet: as many as libwebrtc can be told
	// to send. A packet with more is malformed.
	MaxREDBlocks = 9
	// MaxREDOffset and MaxREDLength are what the fields of a block's header hold: timestamp
	// units, 341 ms at 48 kHz, and bytes.
	MaxREDOffset = 1<<14 - 1
	MaxREDLength = 1<<10 - 1
	// REDBlockHeader and REDLastHeader are the lengths in bytes of the header of a redundant
	// block and of the primary one.
	REDBlockHeader = 4
	REDLastHeader  = 1
)

// REDBlock is one redundant block of a payload: what a packet before this one carried.
type REDBlock struct {
	PayloadType uint8
	Offset      uint16 // how far its timestamp is behind the packet's
	At, Len     uint16 // where its bytes are in the payload
}

// RED is a payload of redundant audio, read.
type RED struct {
	PayloadType uint8  // of the primary block, which is what the packet would carry without RED
	At          uint16 // where that begins; it ends with the payload
	N           uint8
	blocks      [MaxREDBlocks]REDBlock
}

// Blocks returns the redundant blocks, oldest first.
func (r *RED) Blocks() []REDBlock { return r.blocks[:r.N] }

// ParseRED reads a payload of RFC 2198 section 3. Payload types are the caller's to check: a
// block may be anything, RED itself included. Every block lies within the payload and none
// overlaps another, so that all together are shorter than it. The error is ErrShort or
// ErrMalformed.
func ParseRED(b []byte) (r RED, err error) {
	at := 0
	for {
		if at >= len(b) {
			return RED{}, ErrShort
		}
		if b[at]&0x80 == 0 {
			break
		}
		if len(b)-at < REDBlockHeader {
			return RED{}, ErrShort
		}
		if r.N == MaxREDBlocks {
			return RED{}, ErrMalformed
		}
		h := binary.BigEndian.Uint32(b[at:])
		r.blocks[r.N] = REDBlock{
			PayloadType: uint8(h>>24) & 0x7f, Offset: uint16(h>>10) & MaxREDOffset, Len: uint16(h) & MaxREDLength,
		}
		r.N++
		at += REDBlockHeader
	}
	r.PayloadType = b[at] & 0x7f
	at += REDLastHeader
	for i := range r.Blocks() {
		block := &r.blocks[i]
		block.At = uint16(at)
		if at += int(block.Len); at > len(b) {
			return RED{}, ErrShort
		}
	}
	r.At = uint16(at)
	return r, nil
}

// AppendREDBlock appends the header of a redundant block. offset and length are within
// MaxREDOffset and MaxREDLength.
func AppendREDBlock(dst []byte, payloadType uint8, offset uint32, length int) []byte {
	return binary.BigEndian.AppendUint32(dst, 1<<31|uint32(payloadType&0x7f)<<24|offset&MaxREDOffset<<10|uint32(length)&MaxREDLength)
}

// AppendREDPrimary appends the header of the primary block, which is the last.
func AppendREDPrimary(dst []byte, payloadType uint8) []byte { return append(dst, payloadType&0x7f) }
