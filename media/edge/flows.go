package edge

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"tsubame/media/prefetch"
	"tsubame/netio/flow"
)

// flowTable finds the connection that a validated path leads to: once for each datagram, with
// thousands of paths, none of which the cache holds. It is a table with open addressing and
// linear probing whose slots are a cache line each, so that a lookup waits for one line of
// memory, which ask has asked for some datagrams before.
//
// The hash is keyed by random numbers that nobody outside learns, so that no client, even one
// with a whole IPv6 prefix to choose addresses from, can make its paths collide. How many
// paths there are is bounded by those who set them: ice.MaxPaths for each connection. The
// table doubles when it is three quarters full, which takes some microseconds for each
// thousand paths, and never shrinks.
type flowTable struct {
	slots []flowSlot // a power of two
	n     int
	seed  [4]uint64
}

// flowSlot is one cache line.
type flowSlot struct {
	tag   uint32 // upper half of the hash, never 0; 0: the slot is free
	index uint32 // of the connection
	key   flow.Key
	_     [64 - 8 - unsafe.Sizeof(flow.Key{})]byte
}

const minFlowSlots = 64

func newFlowTable() flowTable {
	t := flowTable{slots: make([]flowSlot, minFlowSlots)}
	for i := range t.seed {
		t.seed[i] = rand.Uint64()
	}
	return t
}

// hash returns the place and tag of k under this table's seed.
func (t *flowTable) hash(k *flow.Key) uint64 {
	word := func(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
	h := fold(word(k.Local[:8])^t.seed[0], word(k.Local[8:])^t.seed[1])
	h ^= fold(word(k.Remote[:8])^t.seed[2], word(k.Remote[8:])^t.seed[3]^uint64(k.Port)<<8^uint64(k.Via)<<24)
	return fold(h^t.seed[1], uint64(k.Port)^uint64(k.Via)<<24^t.seed[2]) | 1<<32
}

// fold mixes two words into one by their whole product.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// ask asks for the memory that find will read.
func (t *flowTable) ask(h uint64) {
	prefetch.Line(unsafe.Pointer(&t.slots[h&uint64(len(t.slots)-1)]))
}

// find returns the connection that k, whose hash is h, leads to.
func (t *flowTable) find(k *flow.Key, h uint64) (index uint32, ok bool) {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.tag == uint32(h>>32) && s.key == *k {
			return s.index, true
		}
		if s.tag == 0 {
			return 0, false
		}
	}
}

// get is find for a key that is not hashed yet.
func (t *flowTable) get(k *flow.Key) (index uint32, ok bool) { return t.find(k, t.hash(k)) }

// len returns how many paths there are.
func (t *flowTable) len() int { return t.n }

// set makes k lead to a connection, whichever it led to before.
func (t *flowTable) set(k *flow.Key, index uint32) {
	if 4*(t.n+1) > 3*len(t.slots) {
		t.grow()
	}
	if t.put(k, t.hash(k), index) {
		t.n++
	}
}

// put writes into the slot of k, or the first free one. It reports whether k is new.
func (t *flowTable) put(k *flow.Key, h uint64, index uint32) bool {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.tag == 0 {
			*s = flowSlot{tag: uint32(h >> 32), index: index, key: *k}
			return true
		}
		if s.tag == uint32(h>>32) && s.key == *k {
			s.index = index
			return false
		}
	}
}

func (t *flowTable) grow() {
	old := t.slots
	t.slots = make([]flowSlot, 2*len(old))
	for i := range old {
		if s := &old[i]; s.tag != 0 {
			t.put(&s.key, t.hash(&s.key), s.index)
		}
	}
}

// remove forgets k. What stands behind it moves up, so that the table has no graves.
func (t *flowTable) remove(k *flow.Key) {
	mask := uint64(len(t.slots) - 1)
	h := t.hash(k)
	i := h & mask
	for t.slots[i].tag != uint32(h>>32) || t.slots[i].key != *k {
		if t.slots[i].tag == 0 {
			return
		}
		i = (i + 1) & mask
	}
	t.n--
	for j := (i + 1) & mask; t.slots[j].tag != 0; j = (j + 1) & mask {
		home := t.hash(&t.slots[j].key) & mask
		if (j-home)&mask >= (j-i)&mask { // it may stand as far up as slot i
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = flowSlot{}
}
