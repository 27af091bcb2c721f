package rtx

import (
	"sync/atomic"
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// Ring is the writer's side of one track's packets. It belongs to the shard goroutine that
// opened it.
type Ring struct {
	pool   *Pool
	slots  []atomic.Uint64
	stamps []mono.Time // by slot: since when the packet counts; never falls from older to newer packets

	// Packets are held between oldest and newest, which are less than a ring apart.
	// While any is held, the one at oldest is.
	oldest, newest uint64
	started        bool // newest means something
	open           bool
	span           uint32 // MaxAge in units of the track's RTP clock; 0: not known
	stats          Stats

	held  atomic.Uint64 // first packet of the group that is held, which is there; 0: none
	group int           // buffer memory from held on

	floor atomic.Uint64 // oldest, or newest+1 when nothing is held, for readers: see Pool.Oldest

	_ [64]byte // rings of different shards do not share a cache line
}

// Stats is what a ring did since it was opened.
type Stats struct {
	Held  int // packets now
	Bytes int // of buffer memory now

	Inserted   uint64
	Duplicates uint64 // refused: the packet is there
	TooOld     uint64 // refused: a whole ring behind the newest

	EvictedByCount uint64
	EvictedByAge   uint64
	EvictedByBytes uint64

	Groups   uint64 // that Hold began
	Outgrown uint64 // of those, let go because they reached a bound
}

// maxSpan is how many times MaxAge two packets may lie apart by their RTP timestamps before
// the timestamps are taken to have jumped, and tell nothing.
const maxSpan = 8

// SetClockRate tells the rate of the track's RTP clock, in units a second; 0: not known. From
// then on a packet also goes when its timestamp is MaxAge behind that of the newest, if it has
// been here for a quarter of MaxAge. In a steady stream that is when its time is up anyway.
// But a shard that got no processor for half a second then receives half a second of packets
// at one instant: by their arrival they would all stay for a whole second, beside the second
// that comes after them.
func (g *Ring) SetClockRate(rate uint32) {
	span := uint64(g.pool.cfg.MaxAge) * uint64(rate) / uint64(time.Second)
	if g.span = uint32(span); span > 1<<31/maxSpan {
		g.span = 0
	}
}

// Insert takes over one reference to packet seq (extended) and publishes it. The packet has
// to be complete: nobody may write to it from now on. Packets that are out of bounds by
// count, age or bytes are released, the oldest first. A packet that is there already, and
// one that is too old, is released at once.
func (g *Ring) Insert(seq uint64, r packet.Ref, now mono.Time, m *packet.Magazine) {
	if !g.open {
		panic("rtx: Insert into a ring that is closed")
	}
	g.Expire(now, m)
	size := uint64(len(g.slots))
	switch {
	case !g.started:
		g.started = true
		g.newest = seq
	case seq > g.newest:
		// Its slot and those of the packets that are missing in front of it have to be
		// free of the packets of one round ago. However far seq jumps, this ends with
		// the last packet held.
		g.newest = seq
		for g.stats.Held > 0 && seq-g.oldest >= size {
			if g.heldIsOldest() {
				g.letGo()
			}
			g.evict(m)
			g.stats.EvictedByCount++
		}
	case g.newest-seq >= size:
		g.stats.TooOld++
		m.Release(r)
		return
	case g.slots[g.at(seq)].Load() != 0: // within one ring of newest, so it is seq itself
		g.stats.Duplicates++
		m.Release(r)
		return
	}
	g.stamps[g.at(seq)] = g.stamp(seq, now)
	if g.stats.Held == 0 || seq < g.oldest {
		g.oldest = seq
		g.floor.Store(seq)
	}
	g.slots[g.at(seq)].Store(uint64(uint32(seq))<<32 | uint64(r))
	g.stats.Inserted++
	g.stats.Held++
	g.stats.Bytes += len(g.pool.arena.Bytes(r))
	if held := g.held.Load(); held != 0 && seq > held {
		if g.group += len(g.pool.arena.Bytes(r)); g.group > g.pool.cfg.HoldBytes {
			g.letGo()
		}
	}
	if seq == g.newest && g.span > 0 {
		g.expireBehind(g.pool.arena.Meta(r).Timestamp, now, m)
	}
	g.trim(m)
}

// trim keeps what is not of the group that is held within MaxBytes.
func (g *Ring) trim(m *packet.Magazine) {
	for limit := g.pool.cfg.MaxBytes; limit > 0 && g.stats.Bytes-g.group > limit; {
		g.evict(m)
		g.stats.EvictedByBytes++
	}
}

// Expire releases the packets that are MaxAge old at now.
func (g *Ring) Expire(now mono.Time, m *packet.Magazine) {
	for g.Deadline().Due(now) {
		if g.heldIsOldest() {
			g.letGo()
			continue
		}
		g.evict(m)
		g.stats.EvictedByAge++
	}
}

// expireBehind releases the packets that are MaxAge behind the RTP timestamp ts of the newest
// and were here for long enough for their viewers to ask.
func (g *Ring) expireBehind(ts uint32, now mono.Time, m *packet.Magazine) {
	for g.oldest != g.newest && !g.heldIsOldest() && now.Sub(g.stamps[g.at(g.oldest)]) >= g.pool.cfg.MaxAge/4 {
		oldest := packet.Ref(g.slots[g.at(g.oldest)].Load())
		behind := ts - g.pool.arena.Meta(oldest).Timestamp
		if behind <= g.span || behind > g.span*maxSpan {
			return
		}
		g.evict(m)
		g.stats.EvictedByAge++
	}
}

// Deadline returns when Expire will find something, or mono.Never.
func (g *Ring) Deadline() mono.Time {
	if g.stats.Held == 0 || g.pool.cfg.MaxAge == 0 {
		return mono.Never
	}
	if g.heldIsOldest() {
		return g.stamps[g.at(g.oldest)].Add(g.pool.cfg.HoldAge)
	}
	return g.stamps[g.at(g.oldest)].Add(g.pool.cfg.MaxAge)
}

// Stats returns the ring's counters.
func (g *Ring) Stats() Stats { return g.stats }

func (g *Ring) at(seq uint64) uint64 { return seq & g.pool.mask }

// stamp says since when a packet that comes now counts. One that comes late, by
// retransmission, counts since its successor came: it is of no use for longer, and the
// oldest packet in sequence stays the first to go.
func (g *Ring) stamp(seq uint64, now mono.Time) mono.Time {
	if g.stats.Held == 0 {
		return now
	}
	for next := seq + 1; next <= g.newest; next++ {
		if g.slots[g.at(next)].Load() != 0 {
			return g.stamps[g.at(next)]
		}
	}
	return now
}

// evict releases the oldest packet. The slot is emptied first: a reader that still finds it
// filled may rely on the ring's reference (see package packet).
func (g *Ring) evict(m *packet.Magazine) {
	slot := &g.slots[g.at(g.oldest)]
	r := packet.Ref(slot.Load())
	slot.Store(0)
	g.stats.Held--
	g.stats.Bytes -= len(g.pool.arena.Bytes(r))
	m.Release(r)
	if g.stats.Held == 0 {
		g.floor.Store(g.newest + 1)
		return
	}
	for g.oldest++; g.slots[g.at(g.oldest)].Load() == 0; g.oldest++ {
	}
	g.floor.Store(g.oldest)
}

// reset empties the ring for its next life.
func (g *Ring) reset(m *packet.Magazine) {
	g.letGo()
	for g.stats.Held > 0 {
		g.evict(m)
	}
	g.started, g.open, g.span = false, false, 0
	g.oldest, g.newest = 0, 0
	g.floor.Store(0)
	g.stats = Stats{}
}
