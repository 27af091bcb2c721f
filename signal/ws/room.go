package ws

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// room holds the connections that have not sent connect: open TCP connections, HTTP
// requests and silent WebSockets alike. It is bounded in all and per source. At a bound the
// oldest of them (of that source) is closed, not the newest refused: a real client sends
// its connect as soon as it can, so a flood of silent sockets pushes out itself.
type room struct {
	max, maxPer int

	mu      sync.Mutex
	guests  map[net.Conn]*guest
	all     *list.List // of *guest, oldest first
	sources map[netip.Addr]*list.List
	evicted uint64
}

type guest struct {
	conn   net.Conn
	source netip.Addr
	inAll  *list.Element
	inOwn  *list.Element
}

func newRoom(max, maxPer int) *room {
	return &room{max: max, maxPer: maxPer, guests: map[net.Conn]*guest{}, all: list.New(), sources: map[netip.Addr]*list.List{}}
}

// sourceOf returns what counts as one source: an IPv4 address, or the /64 that one IPv6
// customer usually has. Anything else is one source together.
func sourceOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := a.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// enter adds a connection, or does nothing if it is there already.
func (r *room) enter(c net.Conn) {
	r.mu.Lock()
	if r.guests[c] != nil {
		r.mu.Unlock()
		return
	}
	g := &guest{conn: c, source: sourceOf(c)}
	own := r.sources[g.source]
	if own == nil {
		own = list.New()
		r.sources[g.source] = own
	}
	var out *guest
	switch {
	case r.maxPer > 0 && own.Len() >= r.maxPer:
		out = own.Front().Value.(*guest)
	case r.max > 0 && r.all.Len() >= r.max:
		out = r.all.Front().Value.(*guest)
	}
	g.inAll, g.inOwn = r.all.PushBack(g), own.PushBack(g)
	r.guests[c] = g
	if out != nil {
		r.remove(out)
		r.evicted++
	}
	r.mu.Unlock()
	if out != nil {
		out.conn.Close()
	}
}

// leave removes a connection; it need not be there.
func (r *room) leave(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.guests[c]; g != nil {
		r.remove(g)
	}
}

func (r *room) remove(g *guest) {
	delete(r.guests, g.conn)
	r.all.Remove(g.inAll)
	own := r.sources[g.source]
	own.Remove(g.inOwn)
	if own.Len() == 0 {
		delete(r.sources, g.source)
	}
}

// closeAll closes every connection in the room; each leaves it by itself.
func (r *room) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.guests {
		c.Close()
	}
}

// size returns how many connections are in the room, and how many were pushed out so far.
func (r *room) size() (n int, evicted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Len(), r.evicted
}
