// Package rtcp reads and appends RTCP packets: compound and reduced-size (RFC 3550, RFC
// 5506) with sender and receiver reports, SDES, BYE, and the feedback messages of RFC
// 4585 (NACK, PLI), RFC 5104 (FIR), draft-alvestrand-rmcat-remb (REMB) and
// draft-holmer-rmcat-transport-wide-cc-extensions-01 (transport-cc), and of extended reports
// (RFC 3611) the blocks that tell a round-trip time. It works on plain
// packets, never allocates while reading, keeps no state between datagrams, and never
// decides what a message means for a stream. Any goroutine may call it; a Reader belongs
// to one. Views and slices point into the datagram and live as long as that buffer does.
// The Append functions append to dst as append does: they allocate only if dst lacks room.
package rtcp

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// HeaderSize is the length in bytes of the common header (RFC 3550 section 6.4.1).
const HeaderSize = 4

// Version is the only version of RTCP there is on the wire.
const Version = 2

// Packet types.
const (
	TypeSR    = 200 // RFC 3550
	TypeRR    = 201
	TypeSDES  = 202
	TypeBYE   = 203
	TypeAPP   = 204
	TypeRTPFB = 205 // RFC 4585: transport layer feedback
	TypePSFB  = 206 // RFC 4585: payload-specific feedback
	TypeXR    = 207 // RFC 3611
)

// Feedback message types: Count of a TypeRTPFB or TypePSFB packet.
const (
	FormatNACK = 1  // RTPFB
	FormatTWCC = 15 // RTPFB
	FormatPLI  = 1  // PSFB
	FormatFIR  = 4  // PSFB
	FormatREMB = 15 // PSFB, application layer feedback with the name REMB
)

// Caps on the work that one datagram can ask for, whatever its size (a peer that passed
// SRTCP may still be hostile). At a cap the Reader stops before the packet that exceeds
// it, with ErrLimit; what came before stands.
const (
	// MaxPackets per compound. A browser sends up to 5; a peer that bundles all of its
	// streams in one session stacks a NACK and a PLI for each that lost something.
	MaxPackets = 64
	// MaxBlocks is the sum of report blocks, SDES chunks, BYE sources, FIR entries, REMB
	// sources, and what would fit an XR of DLRR entries. 61 report blocks fit a datagram of 1,500 bytes; a REMB may name 255.
	MaxBlocks = 256
	// MaxNACKs is the sum of sequence numbers asked for. libwebrtc keeps at most 1,000
	// missing packets per stream, and more than that in one datagram is an attack.
	MaxNACKs = 1024
	// MaxStatuses is the sum of packet statuses in transport-cc feedback, where 2 bytes
	// stand for up to 8,191 of them. Feedback that is sent every 100 ms would need
	// 160,000 packets a second to report as many.
	MaxStatuses = 16384
)

// What can be wrong with a datagram or one of its packets. Callers count by these.
var (
	// ErrShort: the datagram or a packet is shorter than its own fields say.
	ErrShort = errors.New("rtcp: packet shorter than its fields say")
	// ErrVersion: the version is not 2.
	ErrVersion = errors.New("rtcp: not version 2")
	// ErrPadding: a count of 0, more than there is, no multiple of four, or padding on
	// a packet that is not the last.
	ErrPadding = errors.New("rtcp: bad padding")
	// ErrMalformed: the fields contradict each other.
	ErrMalformed = errors.New("rtcp: malformed packet")
	// ErrType: a view was asked for that the packet is not.
	ErrType = errors.New("rtcp: packet of another type")
	// ErrLimit: one of the caps above was reached.
	ErrLimit = errors.New("rtcp: datagram asks for too much work")
)

// Packet is one packet of a compound.
type Packet struct {
	Type  uint8
	Count uint8  // 5 bits: report count, source count, or feedback message type
	Body  []byte // behind the common header, without padding
}

// Reader walks the packets of a datagram.
type Reader struct {
	rest    []byte
	err     error
	packets int

	blocks, nacks, statuses int // asked for so far
}

// NewReader checks the framing of the whole datagram (RFC 3550 appendix A.2), up to
// MaxPackets: if that is not valid, Next returns nothing and Err tells why. A datagram
// need not begin with a report (reduced size, RFC 5506).
func NewReader(b []byte) Reader {
	if err := checkFraming(b); err != nil {
		return Reader{err: err}
	}
	return Reader{rest: b}
}

func checkFraming(b []byte) error {
	if len(b) == 0 {
		return ErrShort
	}
	for n := 0; len(b) > 0 && n < MaxPackets; n++ {
		if len(b) < HeaderSize {
			return ErrShort
		}
		if b[0]>>6 != Version {
			return ErrVersion
		}
		size := packetSize(b)
		if size > len(b) {
			return ErrShort
		}
		if err := checkPadding(b[:size], size == len(b)); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// packetSize returns the length in bytes that a common header claims.
func packetSize(b []byte) int { return 4 * (1 + int(binary.BigEndian.Uint16(b[2:]))) }

// checkPadding applies RFC 3550 section 6.4.1: only the last packet of a compound is
// padded, by a multiple of four. Transport-cc feedback is the exception, because
// libwebrtc (modules/rtp_rtcp/source/rtcp_packet/transport_feedback.cc) fills each up to
// 32 bits with 1 to 3 bytes of padding, wherever in a compound it stands.
func checkPadding(p []byte, last bool) error {
	if p[0]&0x20 == 0 {
		return nil
	}
	twcc := p[1] == TypeRTPFB && p[0]&0x1f == FormatTWCC
	count := int(p[len(p)-1])
	if count == 0 || count > len(p)-HeaderSize {
		return ErrPadding
	}
	if !twcc && (!last || count%4 != 0) {
		return ErrPadding
	}
	return nil
}

// Next returns the next packet, of any type: unknown ones are the
// caller's to skip, see Packet.Kind. After false, Err tells whether this was the end.
func (r *Reader) Next() (Packet, bool) {
	if len(r.rest) == 0 || r.err != nil {
		return Packet{}, false
	}
	if r.packets == MaxPackets {
		return r.stop()
	}
	r.packets++
	b := r.rest
	size := packetSize(b)
	r.rest = b[size:]
	end := size
	if b[0]&0x20 != 0 {
		end -= int(b[size-1])
	}
	p := Packet{Type: b[1], Count: b[0] & 0x1f, Body: b[HeaderSize:end:end]}
	r.charge(p)
	if r.blocks > MaxBlocks || r.nacks > MaxNACKs || r.statuses > MaxStatuses {
		return r.stop()
	}
	return p, true
}

func (r *Reader) stop() (Packet, bool) {
	r.rest, r.err = nil, ErrLimit
	return Packet{}, false
}

// charge adds what p asks for. It reads no more than the packet has; what is missing is
// for the views to refuse.
func (r *Reader) charge(p Packet) {
	switch p.Kind() {
	case KindSR, KindRR, KindSDES, KindBYE:
		r.blocks += int(p.Count)
	case KindFIR:
		r.blocks += (len(p.Body) - feedbackSize) / firEntrySize
	case KindREMB:
		r.blocks += (len(p.Body) - rembSize) / 4
	case KindNACK:
		for b := p.Body[feedbackSize:]; len(b) >= nackPairSize; b = b[nackPairSize:] {
			r.nacks += 1 + bits.OnesCount16(binary.BigEndian.Uint16(b[2:]))
		}
	case KindTWCC:
		r.statuses += int(binary.BigEndian.Uint16(p.Body[feedbackSize+2:]))
	case KindXR:
		r.blocks += (len(p.Body) - xrSize) / dlrrItemSize
	}
}

// Err returns why Next returned false: nil at the end of the datagram.
func (r *Reader) Err() error { return r.err }

// Kind is what a packet is by its header and, for REMB, its name.
type Kind uint8

// The kinds. KindOther is everything that this package does not read: APP, feedback of
// other types, unknown types, and known ones that are shorter than their fixed part.
const (
	KindOther Kind = iota
	KindSR
	KindRR
	KindSDES
	KindBYE
	KindNACK
	KindTWCC
	KindPLI
	KindFIR
	KindREMB
	KindXR
)

// Kind classifies the packet. A kind other than KindOther means that the fixed part of
// the message is there; its view may still refuse the rest.
func (p Packet) Kind() Kind {
	switch p.Type {
	case TypeSR:
		return p.atLeast(senderInfoSize, KindSR)
	case TypeRR:
		return p.atLeast(4, KindRR)
	case TypeSDES:
		return KindSDES
	case TypeBYE:
		return KindBYE
	case TypeRTPFB:
		switch p.Count {
		case FormatNACK:
			return p.atLeast(feedbackSize, KindNACK)
		case FormatTWCC:
			return p.atLeast(twccSize, KindTWCC)
		}
	case TypePSFB:
		switch p.Count {
		case FormatPLI:
			return p.atLeast(feedbackSize, KindPLI)
		case FormatFIR:
			return p.atLeast(feedbackSize, KindFIR)
		case FormatREMB:
			if len(p.Body) >= rembSize && string(p.Body[feedbackSize:feedbackSize+4]) == rembName {
				return KindREMB
			}
		}
	case TypeXR:
		return p.atLeast(xrSize, KindXR)
	}
	return KindOther
}

func (p Packet) atLeast(n int, k Kind) Kind {
	if len(p.Body) < n {
		return KindOther
	}
	return k
}
