package mmsg

import (
	"encoding/binary"
	"math/bits"

	"tsubame/netio/flow"
)

const (
	// maxSegments bounds a run: kernels before 6.9 refuse more (UDP_MAX_SEGMENTS).
	maxSegments = 64

	// maxRunBytes bounds a run's payload; with headers it has to fit an IP packet, which ends
	// at 65,535 bytes.
	maxRunBytes = 65000

	// maxHand bounds what one flush step hands to a socket, and so the segments of one
	// sendmmsg: some 0.2 ms of work, as raw system calls cannot be preempted.
	maxHand = 256
)

// run is datagrams that stand next to each other in a queue and leave as one message.
type run struct {
	first, n uint16 // of the slots given to buildRuns
	bytes    uint32 // payload
}

// buildRuns cuts slots, all of one family and in sending order, into runs of at most longest
// datagrams, and appends them to runs until all are covered or its capacity is reached. The
// datagrams of a run follow each other, go to one address from one address, and are of one
// length; only the last may be shorter, since the kernel cuts a run's bytes anew at multiples
// of the first's length: {1000, 999, 1000} would arrive as {1000, 1000, 999}. So the order of
// the datagrams is never changed. Flows in alone get runs of one.
func buildRuns(runs []run, entries []txEntry, slots []uint16, longest int, alone *flowSet) []run {
	for next := 0; next < len(slots) && len(runs) < cap(runs); {
		r := longestRun(entries, slots[next:], longest, alone)
		r.first = uint16(next)
		runs = append(runs, r)
		next += int(r.n)
	}
	return runs
}

// longestRun measures the run that begins at the first slot.
func longestRun(entries []txEntry, slots []uint16, longest int, alone *flowSet) run {
	head := &entries[slots[0]]
	r := run{n: 1, bytes: uint32(head.size)}
	for int(r.n) < min(len(slots), longest) {
		e := &entries[slots[r.n]]
		if e.size > head.size || r.bytes+uint32(e.size) > maxRunBytes || e.to != head.to {
			break
		}
		if r.n == 1 && alone.has(&head.to) {
			break
		}
		r.n++
		r.bytes += uint32(e.size)
		if e.size < head.size {
			break
		}
	}
	return r
}

// flowSet remembers flows by a hash, each in the one place that its hash names. At the bound,
// which is a second flow with the same place, the newer one is remembered and the older one
// forgotten. Two flows with the same hash are taken for one. Both are harmless to who asks
// whether a flow takes runs: a flow that was forgotten costs one more refused run, one that
// was taken for another sends its datagrams one by one.
type flowSet struct {
	hashes []uint64 // by hash modulo the length; nil before the first add
}

// flowSetSize is for some thousands of clients behind the same narrow link: 32 KiB, a socket,
// once there is one.
const flowSetSize = 4096

func (f *flowSet) add(k *flow.Key) {
	if f.hashes == nil {
		f.hashes = make([]uint64, flowSetSize)
	}
	h := hashFlow(k)
	f.hashes[h%flowSetSize] = h
}

func (f *flowSet) has(k *flow.Key) bool {
	if f.hashes == nil {
		return false
	}
	h := hashFlow(k)
	return f.hashes[h%flowSetSize] == h
}

// hashFlow mixes all of a key into a number that is never 0.
func hashFlow(k *flow.Key) uint64 {
	h := uint64(k.Port)
	for _, word := range [4]uint64{
		binary.NativeEndian.Uint64(k.Local[:]), binary.NativeEndian.Uint64(k.Local[8:]),
		binary.NativeEndian.Uint64(k.Remote[:]), binary.NativeEndian.Uint64(k.Remote[8:]),
	} {
		// The multiplier is 2^64 divided by the golden ratio. Both halves of the product
		// are needed: the lower one does not know the upper bits of the factors.
		high, low := bits.Mul64(h^word, 0x9e3779b97f4a7c15)
		h = high ^ low
	}
	return max(h, 1)
}
