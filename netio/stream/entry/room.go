package entry

import (
	"container/list"
	"net/netip"
	"sync"
)

// room counts connections and keeps their bounds. Its mutex is held for a few map operations
// and never while anything is read or written.
type room struct {
	counts *counters
	max, maxPer,
	maxHalf, maxHalfPer int

	mu      sync.Mutex
	conns   map[*conn]struct{}
	sources map[netip.Addr]*source
	half    list.List // of *conn, oldest first
}

// source is what one address has. It exists while it has a connection.
type source struct {
	open int
	half list.List // of *conn, oldest first
}

// place is a connection's entry in the room; the room's mutex guards it.
type place struct {
	source       *source // nil: not known yet, behind a proxy
	address      netip.Addr
	inHalf       *list.Element
	inSourceHalf *list.Element
	gone         bool
}

// sourceOf is what counts as one address: providers give each customer a /64 at least.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// enter takes a connection in that has just been accepted; false: there is no room.
func (r *room) enter(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.conns) >= r.max {
		r.counts.inc(refusedFull)
		return false
	}
	if r.half.Len() >= r.maxHalf {
		r.evict(r.half.Front().Value.(*conn))
	}
	r.conns[c] = struct{}{}
	c.place.inHalf = r.half.PushBack(c)
	return true
}

// comesFrom counts a connection under its address; false: that has too many.
func (r *room) comesFrom(c *conn, a netip.Addr) bool {
	a = sourceOf(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place.gone || c.place.inHalf == nil {
		return false // evicted
	}
	s := r.sources[a]
	if s == nil {
		s = &source{}
		r.sources[a] = s
	}
	if s.open >= r.maxPer {
		r.counts.inc(refusedAddress)
		return false
	}
	if s.half.Len() >= r.maxHalfPer {
		r.evict(s.half.Front().Value.(*conn))
	}
	s.open++
	c.place.source, c.place.address = s, a
	c.place.inSourceHalf = s.half.PushBack(c)
	return true
}

// evict closes a half-open connection to make room; whoever serves it sees that and leaves.
func (r *room) evict(c *conn) {
	r.counts.inc(evicted)
	r.unlist(c)
	c.Conn.Close() // of TCP: does not wait
}

func (r *room) unlist(c *conn) {
	if c.place.inHalf != nil {
		r.half.Remove(c.place.inHalf)
		c.place.inHalf = nil
	}
	if c.place.inSourceHalf != nil {
		c.place.source.half.Remove(c.place.inSourceHalf)
		c.place.inSourceHalf = nil
	}
}

// settle says that it is known what a connection is; false: it was evicted before.
func (r *room) settle(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place.gone || c.place.inHalf == nil {
		return false
	}
	r.unlist(c)
	return true
}

// leave forgets a connection. It may be called again.
func (r *room) leave(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place.gone {
		return
	}
	c.place.gone = true
	r.unlist(c)
	delete(r.conns, c)
	if s := c.place.source; s != nil {
		if s.open--; s.open == 0 {
			delete(r.sources, c.place.address)
		}
	}
}

// each calls f for the connections that are in the room now.
func (r *room) each(f func(*conn)) {
	r.mu.Lock()
	all := make([]*conn, 0, len(r.conns))
	for c := range r.conns {
		all = append(all, c)
	}
	r.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

func (r *room) size() (open, half int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns), r.half.Len()
}

// isHalf reports whether it is still unknown what a connection is.
func (r *room) isHalf(c *conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.place.inHalf != nil
}
