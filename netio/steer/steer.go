// Package steer decides which shard a remote address and port belong to, twice with one
// answer: as a classic BPF program that the kernel runs for every datagram to pick a socket
// of an SO_REUSEPORT group, and as ShardOf, its twin in userspace. The hash is ours, not the
// kernel's, so every part of the server can tell where a client's datagrams arrive without
// asking, and the answer is the same in every process with the same number of shards.
// It never keeps state and never promises secrecy: the hash is fixed, so a peer may choose
// which shard it lands on, as it may choose its port. Nothing breaks when a datagram lands
// elsewhere (an IPv6 extension header, a group without the program): it is handed over, only
// slower. Any goroutine may call anything here; nothing is retained.
package steer

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"tsubame/netio/flow"
)

// Family is an address family. Each has its own sockets, group and program.
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// The hash takes 32-bit words: the source address, then the source port as one more word.
// Its steps are those that classic BPF has (multiply, exclusive or, shift right by a
// constant), and its constants are those of MurmurHash3's finaliser, chosen there because
// every input bit moves half of the output bits.
const (
	hashSeed  = 0x2c1b3c6d
	mixFactor = 0x85ebca6b
	mixShift  = 15
	endFactor = 0xc2b2ae35
	endShift  = 16
)

func mix(h, word uint32) uint32 {
	h = (h ^ word) * mixFactor
	return h ^ h>>mixShift
}

func finish(h uint32) uint32 {
	h *= endFactor
	return h ^ h>>endShift
}

// ShardOf returns the shard, of n, whose socket receives what the source ap sends. An
// IPv4-mapped address counts as IPv4 and a zone is ignored. It panics if n < 1.
func ShardOf(ap netip.AddrPort, n int) int {
	return shardOf(flow.AddrOf(ap.Addr()), ap.Port(), n)
}

// ShardOfKey is ShardOf of the key's remote end.
func ShardOfKey(k flow.Key, n int) int { return shardOf(k.Remote, k.Port, n) }

func shardOf(a flow.Addr, port uint16, n int) int {
	checkShards(n)
	h := uint32(hashSeed)
	words := a[:]
	if a.Is4() {
		words = a[12:]
	}
	for ; len(words) > 0; words = words[4:] {
		h = mix(h, binary.BigEndian.Uint32(words))
	}
	return int(finish(mix(h, uint32(port))) % uint32(n))
}

func checkShards(n int) {
	if n < 1 {
		panic(fmt.Sprintf("steer: %d shards", n))
	}
}
