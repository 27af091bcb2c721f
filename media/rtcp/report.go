package rtcp

import "encoding/binary"

const (
	senderInfoSize  = 24 // behind the common header, with the sender's SSRC
	reportBlockSize = 24
	maxReports      = 31 // the count has 5 bits
)

// SR is the sender information of a sender report (RFC 3550 section 6.4.1).
type SR struct {
	SSRC    uint32
	NTP     uint64 // 64-bit NTP timestamp
	RTPTime uint32 // the same instant on the stream's RTP clock
	Packets uint32
	Octets  uint32 // of payload, without headers and padding
}

// ReportBlock is a report block of SR and RR (RFC 3550 section 6.4.1).
type ReportBlock struct {
	SSRC           uint32
	FractionLost   uint8  // of 256, since the last report
	CumulativeLost int32  // 24 bits signed: duplicates can make it negative
	HighestSeq     uint32 // cycles<<16 | sequence number
	Jitter         uint32 // in units of the RTP clock
	LastSR         uint32 // middle 32 bits of the NTP timestamp of the last SR; 0: none
	DelaySinceSR   uint32 // in 1/65536 s
}

// Reports is a view of the report blocks of a packet.
type Reports struct{ b []byte }

// Len returns the number of blocks, at most 31.
func (r Reports) Len() int { return len(r.b) / reportBlockSize }

// At returns block i.
func (r Reports) At(i int) ReportBlock {
	b := r.b[i*reportBlockSize:][:reportBlockSize]
	return ReportBlock{
		SSRC:           binary.BigEndian.Uint32(b),
		FractionLost:   b[4],
		CumulativeLost: int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8,
		HighestSeq:     binary.BigEndian.Uint32(b[8:]),
		Jitter:         binary.BigEndian.Uint32(b[12:]),
		LastSR:         binary.BigEndian.Uint32(b[16:]),
		DelaySinceSR:   binary.BigEndian.Uint32(b[20:]),
	}
}

// SR reads a sender report. The errors are ErrType and ErrShort. Profile-specific
// extensions behind the blocks are ignored.
func (p Packet) SR() (SR, Reports, error) {
	if p.Type != TypeSR {
		return SR{}, Reports{}, ErrType
	}
	b := p.Body
	if len(b) < senderInfoSize {
		return SR{}, Reports{}, ErrShort
	}
	blocks, err := p.reports(senderInfoSize)
	if err != nil {
		return SR{}, Reports{}, err
	}
	return SR{
		SSRC:    binary.BigEndian.Uint32(b),
		NTP:     binary.BigEndian.Uint64(b[4:]),
		RTPTime: binary.BigEndian.Uint32(b[12:]),
		Packets: binary.BigEndian.Uint32(b[16:]),
		Octets:  binary.BigEndian.Uint32(b[20:]),
	}, blocks, nil
}

// RR reads a receiver report (RFC 3550 section 6.4.2): the reporter's SSRC and the
// blocks. The errors are ErrType and ErrShort.
func (p Packet) RR() (sender uint32, blocks Reports, err error) {
	if p.Type != TypeRR {
		return 0, Reports{}, ErrType
	}
	if len(p.Body) < 4 {
		return 0, Reports{}, ErrShort
	}
	blocks, err = p.reports(4)
	if err != nil {
		return 0, Reports{}, err
	}
	return binary.BigEndian.Uint32(p.Body), blocks, nil
}

// reports returns the blocks that start at the given offset of the body.
func (p Packet) reports(at int) (Reports, error) {
	n := int(p.Count) * reportBlockSize
	if len(p.Body) < at+n {
		return Reports{}, ErrShort
	}
	return Reports{p.Body[at : at+n]}, nil
}

// AppendSR appends a sender report with blocks. Those beyond the 31 that one packet can
// hold go into receiver reports behind it (RFC 3550 section 6.1).
func AppendSR(dst []byte, sr SR, blocks []ReportBlock) []byte {
	n := min(len(blocks), maxReports)
	dst = appendHeader(dst, TypeSR, n, senderInfoSize+n*reportBlockSize)
	dst = binary.BigEndian.AppendUint32(dst, sr.SSRC)
	dst = binary.BigEndian.AppendUint64(dst, sr.NTP)
	dst = binary.BigEndian.AppendUint32(dst, sr.RTPTime)
	dst = binary.BigEndian.AppendUint32(dst, sr.Packets)
	dst = binary.BigEndian.AppendUint32(dst, sr.Octets)
	dst = appendBlocks(dst, blocks[:n])
	if n < len(blocks) {
		dst = AppendRR(dst, sr.SSRC, blocks[n:])
	}
	return dst
}

// AppendRR appends a receiver report, which may be empty, and as many more as it takes
// at 31 blocks each.
func AppendRR(dst []byte, sender uint32, blocks []ReportBlock) []byte {
	for {
		n := min(len(blocks), maxReports)
		dst = appendHeader(dst, TypeRR, n, 4+n*reportBlockSize)
		dst = binary.BigEndian.AppendUint32(dst, sender)
		dst = appendBlocks(dst, blocks[:n])
		blocks = blocks[n:]
		if len(blocks) == 0 {
			return dst
		}
	}
}

// appendBlocks clamps the cumulative loss to the 24 bits that it has on the wire (RFC
// 3550 appendix A.3).
func appendBlocks(dst []byte, blocks []ReportBlock) []byte {
	for i := range blocks {
		b := &blocks[i]
		lost := uint32(min(max(b.CumulativeLost, -1<<23), 1<<23-1)) & 0xffffff
		dst = binary.BigEndian.AppendUint32(dst, b.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.FractionLost)<<24|lost)
		dst = binary.BigEndian.AppendUint32(dst, b.HighestSeq)
		dst = binary.BigEndian.AppendUint32(dst, b.Jitter)
		dst = binary.BigEndian.AppendUint32(dst, b.LastSR)
		dst = binary.BigEndian.AppendUint32(dst, b.DelaySinceSR)
	}
	return dst
}

// appendHeader appends a common header for a body of n bytes, a multiple of four.
func appendHeader(dst []byte, typ uint8, count, n int) []byte {
	if n%4 != 0 || n/4 > 0xffff || count > 31 {
		panic("rtcp: packet that cannot be framed")
	}
	return append(dst, Version<<6|uint8(count), typ, uint8(n/4>>8), uint8(n/4))
}
