package rtcp

import "encoding/binary"

// Block types of extended reports (RFC 3611 section 4). Others are skipped.
const (
	BlockRRTR = 4 // receiver reference time report
	BlockDLRR = 5 // delay since the last of those
)

const (
	xrSize          = 4 // behind the common header: the sender's SSRC
	blockHeaderSize = 4
	rrtrSize        = 8
	dlrrItemSize    = 12
)

// XR walks the blocks of an extended report (RFC 3611 section 2).
type XR struct {
	Sender uint32 // who sends the report
	rest   []byte
}

// XRBlock is one block of an extended report.
type XRBlock struct {
	Type uint8
	body []byte // behind the block's header
}

// DLRR is one entry of a DLRR block (RFC 3611 section 4.5): what SR and LSR are for senders,
// for those who send nothing.
type DLRR struct {
	SSRC   uint32 // who sent the reference time
	LastRR uint32 // middle 32 bits of its NTP timestamp; 0: none
	Delay  uint32 // since it arrived, in 1/65536 s
}

// XR reads an extended report. All block lengths are checked here, so that the iteration
// cannot fail half way. The errors are ErrType, ErrShort, and ErrMalformed for a block of a
// type that is read here whose length is not one that it can have.
func (p Packet) XR() (XR, error) {
	if p.Type != TypeXR {
		return XR{}, ErrType
	}
	if len(p.Body) < xrSize {
		return XR{}, ErrShort
	}
	x := XR{Sender: binary.BigEndian.Uint32(p.Body), rest: p.Body[xrSize:]}
	for b := x.rest; len(b) > 0; {
		if len(b) < blockHeaderSize {
			return XR{}, ErrShort
		}
		size := blockSize(b)
		if size > len(b) {
			return XR{}, ErrShort
		}
		body := size - blockHeaderSize
		if b[0] == BlockRRTR && body != rrtrSize || b[0] == BlockDLRR && body%dlrrItemSize != 0 {
			return XR{}, ErrMalformed
		}
		b = b[size:]
	}
	return x, nil
}

// blockSize returns the length in bytes that a block's header claims.
func blockSize(b []byte) int { return blockHeaderSize + 4*int(binary.BigEndian.Uint16(b[2:])) }

// Next returns the next block, of any type.
func (x *XR) Next() (XRBlock, bool) {
	if len(x.rest) == 0 {
		return XRBlock{}, false
	}
	size := blockSize(x.rest)
	b := XRBlock{Type: x.rest[0], body: x.rest[blockHeaderSize:size:size]}
	x.rest = x.rest[size:]
	return b, true
}

// ReferenceTime returns the 64-bit NTP timestamp of a block of type BlockRRTR; false for others.
func (b XRBlock) ReferenceTime() (ntp uint64, ok bool) {
	if b.Type != BlockRRTR {
		return 0, false
	}
	return binary.BigEndian.Uint64(b.body), true
}

// Len returns the number of entries of a block of type BlockDLRR; 0 for others.
func (b XRBlock) Len() int {
	if b.Type != BlockDLRR {
		return 0
	}
	return len(b.body) / dlrrItemSize
}

// At returns entry i of a block of type BlockDLRR.
func (b XRBlock) At(i int) DLRR {
	e := b.body[dlrrItemSize*i:][:dlrrItemSize]
	return DLRR{
		SSRC:   binary.BigEndian.Uint32(e),
		LastRR: binary.BigEndian.Uint32(e[4:]),
		Delay:  binary.BigEndian.Uint32(e[8:]),
	}
}

// AppendXR appends an extended report with our reference time, ntp as a 64-bit NTP
// timestamp (0: without), and with entries for the reference times of others (none: without).
// With neither it appends nothing.
func AppendXR(dst []byte, sender uint32, ntp uint64, entries []DLRR) []byte {
	n := xrSize
	if ntp != 0 {
		n += blockHeaderSize + rrtrSize
	}
	if len(entries) > 0 {
		n += blockHeaderSize + dlrrItemSize*len(entries)
	}
	if n == xrSize {
		return dst
	}
	dst = appendHeader(dst, TypeXR, 0, n)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	if ntp != 0 {
		dst = append(dst, BlockRRTR, 0, 0, rrtrSize/4)
		dst = binary.BigEndian.AppendUint64(dst, ntp)
	}
	if len(entries) > 0 {
		words := dlrrItemSize / 4 * len(entries)
		dst = append(dst, BlockDLRR, 0, uint8(words>>8), uint8(words))
		for _, e := range entries {
			dst = binary.BigEndian.AppendUint32(dst, e.SSRC)
			dst = binary.BigEndian.AppendUint32(dst, e.LastRR)
			dst = binary.BigEndian.AppendUint32(dst, e.Delay)
		}
	}
	return dst
}
