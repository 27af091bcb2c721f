package ws

import (
	"container/list"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"

	"tsubame/signal/admission"
)

// room holds the connections that have not sent connect: open TCP connections, HTTP
// requests and silent WebSockets alike. It is bounded in all and per source. At a bound the
// oldest of them (of that source) is closed, not the newest refused: a real client sends
// its connect as soon as it can, so a flood of silent sockets pushes out itself. So does
// a health check get in: nothing is newer than it.
//
// The first messages that are on their way are bounded too, in bytes of all together: each
// may be as long as any, and thousands that never end would take gigabytes. At that bound
// the socket goes whose message has been long for the longest time.
//
// A proxy's connections belong to no source until their request tells the client's; until
// then only the bound in all holds for them.
type room struct {
	max, maxPer int
	maxBytes    int // of first messages
	proxies     proxies

	mu      sync.Mutex
	guests  map[net.Conn]*guest
	all     *list.List // of *guest, oldest first
	sources map[netip.Addr]*list.List
	long    *list.List // of *guest: those whose bytes are counted, the first to be long first
	bytes   int
	evicted uint64
}

const (
	// maxFirstBytes bounds the buffers of first messages, beyond longFrom of each. A connect
	// with a browser's probing offer and some metadata has 10 to 30 KiB.
	maxFirstBytes = 64 << 20
	longFrom      = 16 << 10
)

type guest struct {
	conn   net.Conn
	source netip.Addr
	inAll  *list.Element
	inOwn  *list.Element // nil: of no source yet
	inLong *list.Element // nil: its message is short so far
	bytes  int           // of its buffer; 0 while it is short
}

func newRoom(max, maxPer int, p proxies) *room {
	return &room{max: max, maxPer: maxPer, maxBytes: maxFirstBytes, proxies: p, guests: map[net.Conn]*guest{}, all: list.New(),
		sources: map[netip.Addr]*list.List{}, long: list.New()}
}

// addressOf returns the address that connected; what has none is one source together.
func addressOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// enter adds a connection, or does nothing if it is there already.
func (r *room) enter(c net.Conn) {
	from := addressOf(c)
	r.mu.Lock()
	if r.guests[c] != nil {
		r.mu.Unlock()
		return
	}
	g := &guest{conn: c}
	var out *guest
	if !r.proxies.contain(from) {
		out = r.attribute(g, from)
	}
	if out == nil && r.max > 0 && r.all.Len() >= r.max {
		out = r.all.Front().Value.(*guest)
	}
	g.inAll = r.all.PushBack(g)
	r.guests[c] = g
	r.evict(out)
	r.mu.Unlock()
	if out != nil {
		drop(out.conn)
	}
}

// comesFrom says which client a proxy's connection is for.
func (r *room) comesFrom(c net.Conn, client netip.Addr) {
	r.mu.Lock()
	var out *guest
	if g := r.guests[c]; g != nil && g.inOwn == nil {
		out = r.attribute(g, client)
	}
	r.evict(out)
	r.mu.Unlock()
	if out != nil {
		drop(out.conn)
	}
}

// buffers notes how many bytes a guest's message takes by now.
func (r *room) buffers(c net.Conn, n int) {
	if n <= longFrom {
		return
	}
	var out []*guest
	r.mu.Lock()
	if g := r.guests[c]; g != nil {
		if g.inLong == nil {
			g.inLong = r.long.PushBack(g)
		}
		r.bytes += n - g.bytes
		g.bytes = n
		for r.bytes > r.maxBytes {
			oldest := r.long.Front().Value.(*guest)
			r.evict(oldest)
			out = append(out, oldest)
		}
	}
	r.mu.Unlock()
	for _, g := range out {
		drop(g.conn)
	}
}

// attribute puts a guest behind the others of its source, and returns the oldest of them if
// it has to make room.
func (r *room) attribute(g *guest, from netip.Addr) (out *guest) {
	g.source = admission.SourceOf(from)
	own := r.sources[g.source]
	if own == nil {
		own = list.New()
		r.sources[g.source] = own
	}
	if r.maxPer > 0 && own.Len() >= r.maxPer {
		out = own.Front().Value.(*guest)
	}
	g.inOwn = own.PushBack(g)
	return out
}

// evict removes a guest, if there is one, which its caller closes outside the lock.
func (r *room) evict(out *guest) {
	if out != nil {
		r.remove(out)
		r.evicted++
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
	if g.inLong != nil {
		r.long.Remove(g.inLong)
		r.bytes -= g.bytes
	}
	if g.inOwn == nil {
		return
	}
	own := r.sources[g.source]
	own.Remove(g.inOwn)
	if own.Len() == 0 {
		delete(r.sources, g.source)
	}
}

// closeAll closes every connection in the room; each leaves it by itself.
func (r *room) closeAll() {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.guests))
	r.mu.Unlock()
	for _, c := range all {
		drop(c)
	}
}

// drop closes a connection at once. TLS would say goodbye first, and wait for a client that
// reads nothing: here somebody else waits, the goroutine that accepts connections among them.
func drop(c net.Conn) {
	if below, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = below.NetConn()
	}
	c.Close()
}

// size returns how many connections are in the room, and how many were pushed out so far.
func (r *room) size() (n int, evicted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Len(), r.evicted
}
