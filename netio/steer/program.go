package steer

import "fmt"

// Instruction is one step of a classic BPF program, in the kernel's own layout
// (struct sock_filter).
type Instruction struct {
	Op     uint16 // class, size, mode or operation
	Jt, Jf uint8  // instructions to skip when a comparison is true, false
	K      uint32 // operand
}

// The operations used, as linux/filter.h and linux/bpf_common.h encode them. A is the
// accumulator, X the index register.
const (
	opLoadWord   = 0x20 // A = 32 bits at K
	opLoadHalf   = 0x28 // A = 16 bits at K
	opLoadByte   = 0x30 // A = 8 bits at K
	opLoadHalfX  = 0x48 // A = 16 bits at X+K
	opLoadImm    = 0x00 // A = K
	opLoadXMem   = 0x61 // X = M[K]
	opStore      = 0x02 // M[K] = A
	opAnd        = 0x54 // A &= K
	opShiftLeft  = 0x64 // A <<= K
	opShiftRight = 0x74 // A >>= K
	opMultiply   = 0x24 // A *= K
	opModulo     = 0x94 // A %= K
	opXorX       = 0xac // A ^= X
	opToX        = 0x07 // X = A
	opJump       = 0x05 // skip K instructions
	opJumpEqual  = 0x15 // skip Jt if A == K, else Jf
	opReturnA    = 0x16 // return A
)

// netOffset added to an offset makes it count from the network header (SKF_NET_OFF). When
// the kernel runs a reuseport program it has already moved past the UDP header, so offset 0
// is the payload and the addresses can be reached in no other way.
const netOffset = 0xfff00000

// Offsets from the network header: RFC 791 section 3.1, RFC 8200 section 3, RFC 768.
const (
	v4SourceOffset   = 12
	v6NextHeader     = 6
	v6SourceOffset   = 8
	v6HeaderLen      = 40
	protocolUDP      = 17
	hashCell         = 0 // the memory cell that holds the hash between two words
	maxProgramShards = 1 << 16
)

// Program returns the steering program for n sockets: it returns the index, in the order in
// which the sockets joined their group, that ShardOf computes for the datagram's source. It
// panics if n is not in 1..65536.
//
// IPv4 options are stepped over. An IPv6 datagram with extension headers is steered by its
// address alone, as if its port were 0: the program cannot loop over a chain of headers,
// and all datagrams of one such flow still land on one shard.
func Program(f Family, n int) []Instruction {
	checkShards(n)
	if n > maxProgramShards {
		panic(fmt.Sprintf("steer: %d shards", n))
	}
	p := program{{Op: opLoadImm, K: hashSeed}, {Op: opStore, K: hashCell}}
	switch f {
	case IPv4:
		p.mixNet(v4SourceOffset)
		p.add(opLoadByte, netOffset)
		p.add(opAnd, 0x0f) // IHL, in words
		p.add(opShiftLeft, 2)
		p.add(opToX, 0)
		p.add(opLoadHalfX, netOffset) // the source port comes first in the UDP header
		p.mixA()
	case IPv6:
		for off := uint32(v6SourceOffset); off < v6SourceOffset+16; off += 4 {
			p.mixNet(off)
		}
		p.add(opLoadByte, netOffset+v6NextHeader)
		p = append(p, Instruction{Op: opJumpEqual, Jt: 2, K: protocolUDP})
		p.add(opLoadImm, 0)
		p.add(opJump, 1)
		p.add(opLoadHalf, netOffset+v6HeaderLen)
		p.mixA()
	default:
		panic("steer: unknown family")
	}
	p.add(opMultiply, endFactor)
	p.xorShift(endShift)
	p.add(opModulo, uint32(n))
	p.add(opReturnA, 0)
	return p
}

type program []Instruction

func (p *program) add(op uint16, k uint32) { *p = append(*p, Instruction{Op: op, K: k}) }

// mixNet mixes the word at off from the network header into the hash.
func (p *program) mixNet(off uint32) {
	p.add(opLoadWord, netOffset+off)
	p.mixA()
}

// mixA mixes A into the hash and leaves the hash in A and in its cell.
func (p *program) mixA() {
	p.add(opLoadXMem, hashCell)
	p.add(opXorX, 0)
	p.add(opMultiply, mixFactor)
	p.xorShift(mixShift)
	p.add(opStore, hashCell)
}

// xorShift computes A ^= A >> by.
func (p *program) xorShift(by uint32) {
	p.add(opToX, 0)
	p.add(opShiftRight, by)
	p.add(opXorX, 0)
}
