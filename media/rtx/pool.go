// Package rtx keeps the latest packets of each published track for retransmission: one ring
// a track, written by the shard that receives the track, read without locks by all shards
// that serve NACKs for it. A ring may hold a key frame with all that came after it for longer,
// for viewers who come late. The package also has the payload format of retransmissions (RFC
// 4588).
//
// The package sends nothing and decides nothing about who may ask how often. Rings come
// from a pool whose memory never moves and never changes its type; they are known by index
// and generation, so that somebody who asks a ring that serves another track by now gets a
// miss. Open, Close and the Ring belong to the shard goroutine that receives the track; Get
// is for any goroutine, and what it returns is held by a reference that the caller gives
// back. After NewPool only Open allocates, 200 bytes when a ring is opened for the first time.
package rtx

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
	"tsubame/netio/slab"
)

// ID names a ring for as long as it serves one track. The zero ID names none.
type ID struct{ Index, Gen uint32 }

// Config bounds each ring of a pool.
type Config struct {
	Slots    int           // packets, a power of two up to MaxSlots
	MaxAge   time.Duration // how long a packet is kept; 0: as long as there is room
	MaxBytes int           // buffer memory of all its packets; 0: no bound but Slots

	// What a group is held for that Ring.Hold names. MaxBytes does not count its packets.
	HoldBytes int           // buffer memory of a group; 0: none is held
	HoldAge   time.Duration // from its first packet on; at least MaxAge
}

// MaxSlots is half of the 16-bit sequence number space: a subscriber's NACK cannot name
// anything older.
const MaxSlots = 1 << 15

// Pool is a fixed number of rings.
type Pool struct {
	arena *packet.Arena
	cfg   Config
	mask  uint64

	// Slot i of ring k is slots[k*Slots+i]: the low 32 bits of the packet's extended
	// sequence number above its Ref, or 0. Packet seq is in slot seq mod Slots.
	slots []atomic.Uint64
	// gens are the generations, apart from what the writers change with every packet.
	gens []atomic.Uint32

	// stamps are the rings' (see Ring), and rings what was opened at least once: that stays
	// where it is, and so do the tables, hence readers of an id that is over find a ring.
	stamps []mono.Time
	rings  []*Ring
	free   *ring.IndexPool
	slabs  slab.Set
}

// NewPool makes n rings for buffers of arena. Their tables lie outside of Go's heap where the
// system allows it, and cost no resident memory before they are used; Release gives them back.
func NewPool(arena *packet.Arena, n int, cfg Config) *Pool {
	switch {
	case cfg.Slots < 1 || cfg.Slots > MaxSlots || cfg.Slots&(cfg.Slots-1) != 0:
		panic(fmt.Sprintf("rtx: %d slots, want a power of two up to %d", cfg.Slots, MaxSlots))
	case cfg.MaxAge < 0 || cfg.MaxBytes < 0:
		panic("rtx: negative bound")
	case cfg.HoldBytes < 0 || cfg.HoldBytes > 0 && (cfg.MaxAge == 0 || cfg.HoldAge < cfg.MaxAge):
		panic("rtx: a group that is held for less than any packet, or for ever")
	}
	p := &Pool{
		arena: arena,
		cfg:   cfg,
		mask:  uint64(cfg.Slots - 1),
		gens:  make([]atomic.Uint32, n),
		rings: make([]*Ring, n),
		free:  ring.NewIndexPool(n),
	}
	p.slots = table[atomic.Uint64](&p.slabs, n*cfg.Slots)
	p.stamps = table[mono.Time](&p.slabs, n*cfg.Slots)
	for i := range p.gens {
		p.gens[i].Store(1)
	}
	slab.Guard(p, &p.slabs)
	return p
}

// table returns n zero values, from Go's heap if the system does not map more memory: that
// costs pace of the collector, and nothing else.
func table[T any](s *slab.Set, n int) []T {
	t, err := slab.Make[T](s, n)
	if err != nil {
		return make([]T, n)
	}
	return t
}

// Release gives the memory of all rings back when nobody opens, writes or reads any more.
// Free may be called after it, all else panics.
func (p *Pool) Release() error {
	p.slots, p.stamps, p.rings = nil, nil, nil
	return p.slabs.Release()
}

// Open takes a ring for a track, or reports false when all are taken: then the track does
// without, and its subscribers' losses are repaired by key frames.
func (p *Pool) Open() (ID, bool) {
	i, ok := p.free.Get()
	if !ok {
		return ID{}, false
	}
	if p.rings[i] == nil {
		from, to := int(i)*p.cfg.Slots, (int(i)+1)*p.cfg.Slots
		p.rings[i] = &Ring{pool: p, slots: p.slots[from:to:to], stamps: p.stamps[from:to:to]}
	}
	p.rings[i].open = true
	return ID{Index: i, Gen: p.gens[i].Load()}, true
}

// Free returns how many rings are not taken. Any goroutine may call it.
func (p *Pool) Free() int { return p.free.Free() }

// Writer returns the ring that Open gave, for its owner.
func (p *Pool) Writer(id ID) *Ring {
	p.check(id)
	return p.rings[id.Index]
}

// check panics unless the caller can be the owner.
func (p *Pool) check(id ID) {
	if p.gens[id.Index].Load() != id.Gen || p.rings[id.Index] == nil || !p.rings[id.Index].open {
		panic(fmt.Sprintf("rtx: ring %d of generation %d is not open", id.Index, id.Gen))
	}
}

// Get returns packet seq (extended) with one reference that the caller gives back, or
// reports false: it was never there, is gone, or id is over. Any goroutine may call it.
//
// The order of the steps is what makes it safe; package packet has the argument. The
// generation is read once more in the end: if it is still id's, then so was everything that
// was read before, because Close raises it before the ring can serve another track. The
// first look at it only saves the trouble.
func (p *Pool) Get(id ID, seq uint64) (packet.Ref, bool) {
	gen := &p.gens[id.Index]
	if gen.Load() != id.Gen {
		return 0, false
	}
	slot := &p.slots[uint64(id.Index)*(p.mask+1)+seq&p.mask]
	word := slot.Load()
	r := packet.Ref(word)
	if r == 0 || uint32(word>>32) != uint32(seq) || !p.arena.TryRetain(r) {
		return 0, false
	}
	if slot.Load() != word || gen.Load() != id.Gen {
		// Rare enough for the depot's lock: the packet went in the middle of this.
		p.arena.Release(r)
		return 0, false
	}
	return r, true
}

// Oldest returns a number below which the ring held nothing a moment ago, so that who asks for
// many packets that have gone need not look for each; a packet that was recovered since may be
// below it. It is above all numbers when id is over. Any goroutine may call it.
func (p *Pool) Oldest(id ID) uint64 {
	gen := &p.gens[id.Index]
	if gen.Load() != id.Gen { // also of the zero ID, whose ring may never have been opened
		return math.MaxUint64
	}
	oldest := p.rings[id.Index].floor.Load()
	if gen.Load() != id.Gen {
		return math.MaxUint64
	}
	return oldest
}

// Close ends id: from now on Get misses, the packets are released, and the ring is free for
// another track. The owner calls it when all who read the ring were told, so that they do
// not count misses; readers that were not are safe all the same.
func (p *Pool) Close(id ID, m *packet.Magazine) {
	p.check(id)
	g := p.rings[id.Index]
	next := id.Gen + 1
	if next == 0 { // the zero ID names no ring, after 2^32 lives either
		next = 1
	}
	p.gens[id.Index].Store(next)
	g.reset(m)
	p.free.Put(id.Index)
}
