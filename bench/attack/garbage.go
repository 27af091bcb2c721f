package attack

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	// MaxDatagram is the longest payload that IPv4 and UDP can carry.
	MaxDatagram = 65507
	// SlotSize is the longest datagram that the server reads; longer ones are cut, counted
	// and dropped.
	SlotSize = 2048
	// hugeEvery is which share of the garbage is longer than SlotSize: a test of how fast this
	// machine copies memory is not what is wanted. It has no factor in common with 256, so that
	// every first byte comes long and short.
	hugeEvery = 61
)

// Class is how a datagram of garbage is to be counted.
type Class uint8

// The classes, by the length and by the first byte (RFC 7983 section 7).
const (
	Empty         Class = iota // no payload
	TooLong                    // more than SlotSize
	NoSTUN                     // first byte 0..3, but no STUN
	NoPath                     // DTLS, RTP or RTCP by the first byte, from an address without a check
	NoChannelData              // first byte 64..79, but another length than it says
	NoChannel                  // ChannelData (RFC 8656 section 12.4) from an address without an allocation
	NoneOfIt                   // any other first byte

	Classes = 7
)

// Garbage makes random datagrams of all lengths and all first bytes, always the same for the
// same seed. Counts says how many of each class it has made.
type Garbage struct {
	Counts [Classes]uint64

	random *rand.ChaCha8
	buffer [MaxDatagram]byte
}

// NewGarbage returns the garbage of a seed.
func NewGarbage(seed uint64) *Garbage {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	g := &Garbage{random: rand.NewChaCha8(s)}
	fill(g.random, g.buffer[:])
	return g
}

func fill(r *rand.ChaCha8, b []byte) {
	// ChaCha8.Read never fails.
	_, _ = r.Read(b)
}

// Next returns the i-th datagram, which Flood sends. Lengths and first bytes go through all
// values in turn, out of step with each other, so that each pair comes before one comes again.
func (g *Garbage) Next(i int) []byte {
	n := i % (SlotSize + 1)
	if i%hugeEvery == hugeEvery-1 {
		n = SlotSize + 1 + int(g.random.Uint64()%(MaxDatagram-SlotSize))
	}
	b := g.buffer[:n]
	fill(g.random, b[:min(n, 64)]) // behind that nobody has reason to look
	if n > 0 {
		b[0] = byte(i)
	}
	if i>>8&1 == 0 && len(b) > 4 && b[0] >= 64 && b[0] < 80 {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4)) // some ChannelData that is well-formed
	}
	g.Counts[classOf(b)]++
	return b
}

func classOf(b []byte) Class {
	switch {
	case len(b) == 0:
		return Empty
	case len(b) > SlotSize:
		return TooLong
	case b[0] < 4:
		return NoSTUN
	case b[0] >= 20 && b[0] < 64, b[0] >= 128 && b[0] < 192:
		return NoPath
	case b[0] >= 64 && b[0] < 80:
		return channelDataClass(b)
	}
	return NoneOfIt
}

// channelDataClass holds the length field against the length: up to three bytes of padding may be
// behind the data.
func channelDataClass(b []byte) Class {
	const header = 4
	if len(b) <= header {
		return NoChannelData
	}
	end := header + int(binary.BigEndian.Uint16(b[2:]))
	if end == header || end > len(b) || len(b) > (end+3)&^3 {
		return NoChannelData
	}
	return NoChannel
}
