package packet

import (
	"tsubame/netio/count"
)

// Priority says what a buffer is for, and so who goes without when there are few.
type Priority uint8

// The priorities. Video may use what is above the reserve, the others everything.
const (
	Video Priority = iota
	Audio
	Control
	priorities
)

// Magazine is one shard's stock of free buffers: a stack a class, filled from and emptied
// into the arena's depots half a stack at a time. It belongs to one goroutine.
type Magazine struct {
	arena  *Arena
	stacks []stack

	failures [priorities]count.Word
	tooLong  count.Word
	spilled  count.Word
}

type stack struct {
	class *class
	refs  []Ref // the capacity is the magazine's size
}

// Magazine makes a magazine for one shard goroutine. The arena remembers it for its
// statistics, so it is made once a shard and never again.
func (a *Arena) Magazine() *Magazine {
	m := &Magazine{arena: a, stacks: make([]stack, len(a.classes))}
	for i, c := range a.classes {
		m.stacks[i] = stack{class: c, refs: make([]Ref, 0, max(2, min(a.magazine, c.count/8)))}
	}
	a.mu.Lock()
	a.magazines = append(a.magazines, m)
	a.mu.Unlock()
	return m
}

// Get takes a buffer of at least size bytes with one reference, length 0 and a zero Meta.
// When the class that fits best has none to give it tries the larger ones. It reports
// false, and counts by priority, when none has; also for a size beyond the largest class,
// which is counted apart. The bytes are what the last owner left.
func (m *Magazine) Get(size int, p Priority) (Ref, bool) {
	if size < 0 {
		panic("packet: Get of a negative size")
	}
	fits := false
	for i := range m.stacks {
		s := &m.stacks[i]
		if size > s.class.size {
			continue
		}
		if r, ok := s.take(p); ok {
			if fits {
				m.spilled.Inc()
			}
			s.class.open(r)
			return r, true
		}
		fits = true
	}
	if fits {
		m.failures[p].Inc()
	} else {
		m.tooLong.Inc()
	}
	return 0, false
}

// open starts a life of r.
func (c *class) open(r Ref) {
	h := &c.heads[int(r&indexMask)-1]
	h.n = 0
	h.meta = Meta{}
	if h.refs.Swap(1) != 0 {
		panic("packet: a free buffer has references")
	}
}

// take pops a free buffer. The reserve is a level of the depot: while it is below, Video
// gets nothing, and what this shard still holds goes back first, so that the level rises
// by what it can and Video does not starve beside a full magazine.
func (s *stack) take(p Priority) (Ref, bool) {
	if p == Video && s.class.free.Load() < s.class.reserve && len(s.refs) > 0 {
		s.class.put(s.refs)
		s.refs = s.refs[:0]
	}
	if len(s.refs) == 0 {
		if s.refs = s.class.get(s.refs, cap(s.refs)/2, p); len(s.refs) == 0 {
			return 0, false
		}
	}
	last := len(s.refs) - 1
	r := s.refs[last]
	s.refs = s.refs[:last]
	return r, true
}

// Release gives back one reference. The last one frees the buffer into this magazine,
// wherever it was taken.
func (m *Magazine) Release(r Ref) { m.ReleaseN(r, 1) }

// ReleaseN gives back n references at once. Giving back more than there are panics.
func (m *Magazine) ReleaseN(r Ref, n int) {
	if n < 0 {
		panic("packet: ReleaseN of a negative number")
	}
	if !m.arena.drop(r, n) {
		return
	}
	s := &m.stacks[r>>indexBits]
	if len(s.refs) == cap(s.refs) {
		// The lower half goes: it is the half that has been out of the caches longest.
		half := cap(s.refs) / 2
		s.class.put(s.refs[:half])
		s.refs = s.refs[:copy(s.refs, s.refs[half:])]
	}
	s.refs = append(s.refs, r)
}

// Drain gives all free buffers back to the depot: at shutdown, or before a shard idles.
func (m *Magazine) Drain() {
	for i := range m.stacks {
		s := &m.stacks[i]
		s.class.put(s.refs)
		s.refs = s.refs[:0]
	}
}

// get moves up to n free buffers from the depot to dst, for Video none of the reserve.
func (c *class) get(dst []Ref, n int, p Priority) []Ref {
	keep := int32(0)
	if p == Video {
		keep = c.reserve
	}
	if c.free.Load() <= keep { // refused without the lock, which others need just now
		return dst
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, int(c.free.Load()-keep))
	for ; n > 0; n-- {
		if last := len(c.stack) - 1; last >= 0 {
			dst = append(dst, c.stack[last])
			c.stack = c.stack[:last]
			continue
		}
		c.fresh++
		dst = append(dst, c.tag|Ref(c.fresh))
	}
	c.level()
	return dst
}

// put gives free buffers back to the depot.
func (c *class) put(refs []Ref) {
	if len(refs) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.stack)+len(refs) > c.fresh {
		panic("packet: more buffers given back than were ever taken")
	}
	c.stack = append(c.stack, refs...)
	c.level()
}

// level publishes how many buffers the depot has. The lock is held.
func (c *class) level() { c.free.Store(int32(len(c.stack) + c.count - c.fresh)) }
