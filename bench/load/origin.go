package load

import (
	"encoding/binary"
	"sync/atomic"

	"tsubame/media/param"
)

// keySize is how many bytes at a payload's end tell it from others of the same length.
const keySize = 8

// noIndex is a bound that is not set yet.
const noIndex = ^uint64(0)

// What an entry says of its packet's place in its frame.
const (
	frameFirst = 1 << iota
	frameLast
)

// origin is one stream as its publisher sends it: what viewers recognise its packets by, and
// which of them are measured. Its publisher's shard writes, all shards read.
type origin struct {
	kind param.Kind
	name string  // as the server calls its publisher's stream; "": not known
	ring []entry // by index
	next atomic.Uint64

	// Packets from (inclusive) to (exclusive) are measured; noIndex: not known yet.
	from, to atomic.Uint64
}

// entry is one packet. It is valid for the packet whose index it has; the index is cleared
// before and written after the rest.
type entry struct {
	index atomic.Uint64 // plus 1; 0: none
	key   atomic.Uint64
	size  atomic.Uint32 // of the payload in bytes, in the upper 24 bits, and the flags
	sent  atomic.Int64  // Unix time in nanoseconds; 0: not yet
}

// newOrigin remembers a power of two of packets.
func newOrigin(kind param.Kind, size int) *origin {
	o := &origin{kind: kind, ring: make([]entry, size)}
	o.from.Store(noIndex)
	o.to.Store(noIndex)
	return o
}

// keyOf returns what tells a payload from others. Shorter ones than keySize have themselves.
func keyOf(payload []byte) uint64 {
	if n := len(payload); n >= keySize {
		return binary.LittleEndian.Uint64(payload[n-keySize:])
	}
	var b [keySize]byte
	copy(b[:], payload)
	return binary.LittleEndian.Uint64(b[:])
}

// put notes the next packet and returns its entry, of which sent is to be filled in.
func (o *origin) put(payload []byte, flags uint32) *entry {
	index := o.next.Load()
	e := &o.ring[index%uint64(len(o.ring))]
	e.index.Store(0)
	e.key.Store(keyOf(payload))
	e.size.Store(uint32(len(payload))<<8 | flags)
	e.sent.Store(0)
	e.index.Store(index + 1)
	o.next.Store(index + 1)
	return e
}

// mark sets the bounds of what is measured, before the packet with index next is put.
func (o *origin) mark(p phase) {
	switch {
	case p == measuring && o.from.Load() == noIndex:
		o.from.Store(o.next.Load())
	case p > measuring && o.from.Load() != noIndex && o.to.Load() == noIndex:
		o.to.Store(o.next.Load())
	}
}

// measured returns how many packets are; the publisher has ended or passed the phase.
func (o *origin) measured() (from, to uint64) {
	from, to = o.from.Load(), o.to.Load()
	if from == noIndex {
		return 0, 0
	}
	return from, min(to, o.next.Load())
}

// at returns the entry of an index if the payload is that packet's.
func (o *origin) at(index uint64, payload []byte) *entry {
	e := &o.ring[index%uint64(len(o.ring))]
	if e.index.Load() != index+1 || e.key.Load() != keyOf(payload) || e.size.Load()>>8 != uint32(len(payload)) {
		return nil
	}
	return e
}

// find returns the index of a payload, the newest one where a source repeats itself: what
// comes now was sent just now.
func (o *origin) find(payload []byte) (index uint64, ok bool) {
	key, size := keyOf(payload), uint32(len(payload))
	for i := range o.ring {
		e := &o.ring[i]
		if e.key.Load() != key || e.size.Load()>>8 != size {
			continue
		}
		if n := e.index.Load(); n > index {
			index, ok = n, true
		}
	}
	return index - 1, ok
}
