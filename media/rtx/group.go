package rtx

import "tsubame/netio/packet"

// A group is a key frame and all that came after it. While a ring holds one, its packets stay
// beyond MaxAge, so that a viewer who comes late can be sent the group from its beginning, and
// what it loses of that again. Each new key frame begins a group; what was of the one before is
// then held to the bounds of all packets.

// Hold makes packet seq, which is a key frame's first, and what follows it the group that is
// held, if the packet is there, and newer than where the present group begins. A group that gets
// larger than HoldBytes, older than HoldAge or longer than the ring is let go: its packets are
// from then on like any others, and there is no group until Hold names the next.
func (g *Ring) Hold(seq uint64, m *packet.Magazine) {
	limit := g.pool.cfg.HoldBytes
	if limit == 0 || g.stats.Held == 0 || seq <= g.held.Load() || seq < g.oldest || seq > g.newest ||
		g.slots[g.at(seq)].Load() == 0 {
		return
	}
	size := 0
	for at := seq; at <= g.newest; at++ { // one step, but for a key frame that came late
		if r := packet.Ref(g.slots[g.at(at)].Load()); r != 0 {
			size += len(g.pool.arena.Bytes(r))
		}
	}
	if size > limit {
		g.letGo()
		return
	}
	g.stats.Groups++
	g.held.Store(seq)
	g.group = size
	g.trim(m)
}

// Holds reports whether there is a group.
func (g *Ring) Holds() bool { return g.held.Load() != 0 }

// heldIsOldest reports whether the group's first packet would be the next to go.
func (g *Ring) heldIsOldest() bool {
	held := g.held.Load()
	return held != 0 && g.oldest == held
}

// letGo ends the group; its packets stay for as long as any others do.
func (g *Ring) letGo() {
	if g.held.Load() != 0 {
		g.stats.Outgrown++
		g.held.Store(0)
	}
	g.group = 0
}

// Held returns the first packet of the group that id's ring holds. It may be let go, or be
// another one, the next moment: Get says what is there. Any goroutine may call it.
func (p *Pool) Held(id ID) (seq uint64, ok bool) {
	gen := &p.gens[id.Index]
	if gen.Load() != id.Gen || p.rings[id.Index] == nil {
		return 0, false
	}
	seq = p.rings[id.Index].held.Load()
	return seq, seq != 0 && gen.Load() == id.Gen
}

// Next returns the first packet at or after seq that was there a moment ago, up to a ring's
// length further. A packet that was inserted before the call is found, unless it has gone. Any
// goroutine may call it; an empty ring costs a look at each of its slots.
func (p *Pool) Next(id ID, seq uint64) (uint64, bool) {
	if p.gens[id.Index].Load() != id.Gen {
		return 0, false
	}
	slots := p.slots[uint64(id.Index)*(p.mask+1):][:p.mask+1]
	for end := seq + p.mask + 1; seq != end; seq++ {
		if word := slots[seq&p.mask].Load(); uint32(word) != 0 && uint32(word>>32) == uint32(seq) {
			return seq, p.gens[id.Index].Load() == id.Gen
		}
	}
	return 0, false
}
