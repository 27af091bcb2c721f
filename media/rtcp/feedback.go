package rtcp

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const (
	feedbackSize = 8 // SSRCs of sender and media (RFC 4585 section 6.1)
	nackPairSize = 4
	firEntrySize = 8
	rembSize     = feedbackSize + 8
	rembName     = "REMB"

	// maxNACKPairs per packet keeps each well inside one datagram.
	maxNACKPairs = 253
)

// Feedback has the fields that all messages of RFC 4585 share.
type Feedback struct {
	Sender uint32 // who sends the message
	Media  uint32 // whose media it is about; 0 in FIR and REMB
}

// feedback reads the common part of a message of the given type and format.
func (p Packet) feedback(typ, format uint8) (Feedback, error) {
	if p.Type != typ || p.Count != format {
		return Feedback{}, ErrType
	}
	if len(p.Body) < feedbackSize {
		return Feedback{}, ErrShort
	}
	return Feedback{
		Sender: binary.BigEndian.Uint32(p.Body),
		Media:  binary.BigEndian.Uint32(p.Body[4:]),
	}, nil
}

func appendFeedback(dst []byte, typ, format uint8, sender, media uint32, fci int) []byte {
	dst = appendHeader(dst, typ, int(format), feedbackSize+fci)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	return binary.BigEndian.AppendUint32(dst, media)
}

// NACK iterates over the sequence numbers that a generic NACK (RFC 4585 section 6.2.1)
// asks for.
type NACK struct {
	Feedback
	pairs  []byte
	pid    uint16
	follow uint16 // what is left of the current pair's bit mask, shifted
}

// NACK reads a generic NACK. The errors are ErrType and ErrShort; a message without any
// pair is ErrShort as well.
func (p Packet) NACK() (NACK, error) {
	f, err := p.feedback(TypeRTPFB, FormatNACK)
	if err != nil {
		return NACK{}, err
	}
	pairs := p.Body[feedbackSize:]
	if len(pairs) == 0 || len(pairs)%nackPairSize != 0 {
		return NACK{}, ErrShort
	}
	return NACK{Feedback: f, pairs: pairs}, nil
}

// Next returns the next sequence number, in the order of the message. A number may come
// more than once: the peer wrote it so.
func (n *NACK) Next() (seq uint16, ok bool) {
	if n.follow != 0 {
		skip := uint16(bits.TrailingZeros16(n.follow)) + 1
		n.pid += skip
		n.follow >>= skip
		return n.pid, true
	}
	if len(n.pairs) < nackPairSize {
		return 0, false
	}
	n.pid = binary.BigEndian.Uint16(n.pairs)
	n.follow = binary.BigEndian.Uint16(n.pairs[2:])
	n.pairs = n.pairs[nackPairSize:]
	return n.pid, true
}

// AppendNACK appends a generic NACK for seqs, in as many packets as it takes. They pack
// best in ascending order (modulo 2^16) but any order is right. Without sequence numbers
// it appends nothing.
func AppendNACK(dst []byte, sender, media uint32, seqs []uint16) []byte {
	for len(seqs) > 0 {
		header := len(dst)
		dst = appendFeedback(dst, TypeRTPFB, FormatNACK, sender, media, 0)
		for pair := 0; pair < maxNACKPairs && len(seqs) > 0; pair++ {
			pid, mask := seqs[0], uint16(0)
			for seqs = seqs[1:]; len(seqs) > 0; seqs = seqs[1:] {
				d := seqs[0] - pid
				if d > 16 {
					break
				}
				if d > 0 { // else a repetition
					mask |= 1 << (d - 1)
				}
			}
			dst = binary.BigEndian.AppendUint16(dst, pid)
			dst = binary.BigEndian.AppendUint16(dst, mask)
		}
		patchLength(dst[header:])
	}
	return dst
}

// patchLength writes the length of the packet p, a multiple of four bytes, into its
// common header.
func patchLength(p []byte) {
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)/4-1))
}

// PLI reads a picture loss indication (RFC 4585 section 6.3.1). The errors are ErrType
// and ErrShort.
func (p Packet) PLI() (Feedback, error) { return p.feedback(TypePSFB, FormatPLI) }

// AppendPLI appends a picture loss indication.
func AppendPLI(dst []byte, sender, media uint32) []byte {
	return appendFeedback(dst, TypePSFB, FormatPLI, sender, media, 0)
}

// FIR is a view of a full intra request (RFC 5104 section 4.3.1).
type FIR struct {
	Feedback
	entries []byte
}

// FIREntry asks one source for a key frame. A repetition has the same Seq.
type FIREntry struct {
	SSRC uint32
	Seq  uint8
}

// FIR reads a full intra request. The errors are ErrType and ErrShort; a message without
// any entry is ErrShort as well.
func (p Packet) FIR() (FIR, error) {
	f, err := p.feedback(TypePSFB, FormatFIR)
	if err != nil {
		return FIR{}, err
	}
	entries := p.Body[feedbackSize:]
	if len(entries) == 0 || len(entries)%firEntrySize != 0 {
		return FIR{}, ErrShort
	}
	return FIR{Feedback: f, entries: entries}, nil
}

// Len returns the number of entries.
func (f FIR) Len() int { return len(f.entries) / firEntrySize }

// At returns entry i.
func (f FIR) At(i int) FIREntry {
	b := f.entries[firEntrySize*i:][:firEntrySize]
	return FIREntry{SSRC: binary.BigEndian.Uint32(b), Seq: b[4]}
}

// AppendFIR appends a full intra request for one source. A new request needs a new seq.
func AppendFIR(dst []byte, sender, target uint32, seq uint8) []byte {
	dst = appendFeedback(dst, TypePSFB, FormatFIR, sender, 0, firEntrySize)
	dst = binary.BigEndian.AppendUint32(dst, target)
	return append(dst, seq, 0, 0, 0)
}

// REMB is a receiver's estimate of its bandwidth (draft-alvestrand-rmcat-remb-03).
type REMB struct {
	Feedback
	Bitrate uint64 // bits per second; what does not fit is math.MaxUint64
	Sources Sources
}

// REMB reads a receiver estimated maximum bitrate message. The errors are ErrType, for
// other application layer feedback too, and ErrShort.
func (p Packet) REMB() (REMB, error) {
	f, err := p.feedback(TypePSFB, FormatREMB)
	if err != nil {
		return REMB{}, err
	}
	b := p.Body[feedbackSize:]
	if len(b) < 4 {
		return REMB{}, ErrShort
	}
	if string(b[:4]) != rembName {
		return REMB{}, ErrType
	}
	if len(b) < 8 {
		return REMB{}, ErrShort
	}
	n := 4 * int(b[4])
	if len(b) < 8+n {
		return REMB{}, ErrShort
	}
	exponent := int(b[5] >> 2)
	mantissa := uint64(b[5]&3)<<16 | uint64(b[6])<<8 | uint64(b[7])
	rate := uint64(math.MaxUint64)
	if bits.Len64(mantissa)+exponent <= 64 {
		rate = mantissa << exponent
	}
	return REMB{Feedback: f, Bitrate: rate, Sources: Sources{b[8 : 8+n]}}, nil
}

// AppendREMB appends an estimate of bitrate bits per second over the given sources, at
// most 255. The format has 18 significant bits; the rest is cut off, so that the peer
// never reads more than was meant.
func AppendREMB(dst []byte, sender uint32, bitrate uint64, ssrcs []uint32) []byte {
	if len(ssrcs) > math.MaxUint8 {
		panic("rtcp: too many sources for one REMB")
	}
	exponent := max(bits.Len64(bitrate)-18, 0)
	mantissa := bitrate >> exponent
	dst = appendFeedback(dst, TypePSFB, FormatREMB, sender, 0, 8+4*len(ssrcs))
	dst = append(dst, rembName...)
	dst = append(dst, uint8(len(ssrcs)), uint8(exponent)<<2|uint8(mantissa>>16),
		uint8(mantissa>>8), uint8(mantissa))
	for _, ssrc := range ssrcs {
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
	}
	return dst
}
