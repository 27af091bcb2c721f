package edge

import (
	"slices"

	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// maxStrange is how many paths of one connection a shard remembers that does not own it. A
// browser checks from a handful of candidates; thousands of source ports are an attack (row
// ICE-08), and without a bound for each connection one participant could fill the table for
// all. The path that was not used for longest makes room.
const maxStrange = 32

// stranger is a path that this shard has seen a valid check on, of a connection that it
// does not own: nobody's yet, or another shard's.
type stranger struct {
	conn    *Conn
	checked mono.Time    // the last valid check: consent counts from it
	used    mono.Time    // the last datagram of any kind
	policer recv.Policer // what may be handed to the owner: as much as it would take itself
}

// strangers are the paths that one shard remembers for others.
type strangers struct {
	paths map[flow.Key]*stranger
	of    map[*Conn][]flow.Key // the same paths, by connection
}

func newStrangers() strangers {
	return strangers{paths: make(map[flow.Key]*stranger), of: make(map[*Conn][]flow.Key)}
}

func (g *strangers) find(k flow.Key) *stranger { return g.paths[k] }

// add notes a valid check of c on path k. It reports whether another path of c had to make
// room.
func (g *strangers) add(now mono.Time, k flow.Key, c *Conn) (st *stranger, evicted bool) {
	if st = g.paths[k]; st != nil && st.conn == c {
		st.checked, st.used = now, now
		return st, false
	}
	g.remove(k)
	if evicted = len(g.of[c]) >= maxStrange; evicted {
		g.remove(g.oldest(g.of[c]))
	}
	st = &stranger{conn: c, checked: now, used: now}
	st.policer.Init(0, 0)
	g.paths[k] = st
	g.of[c] = append(g.of[c], k)
	return st, evicted
}

// oldest returns the path that was not used for longest.
func (g *strangers) oldest(paths []flow.Key) flow.Key {
	oldest := paths[0]
	for _, k := range paths[1:] {
		if g.paths[k].used < g.paths[oldest].used {
			oldest = k
		}
	}
	return oldest
}

// remove forgets a path, if it is known.
func (g *strangers) remove(k flow.Key) {
	st := g.paths[k]
	if st == nil {
		return
	}
	delete(g.paths, k)
	left := g.of[st.conn]
	i := slices.Index(left, k)
	left[i] = left[len(left)-1]
	left = left[:len(left)-1]
	if len(left) == 0 {
		delete(g.of, st.conn)
		return
	}
	g.of[st.conn] = left
}

// sweep forgets what has had no valid check for as long as consent lasts, and the paths of
// connections that have ended.
func (g *strangers) sweep(now mono.Time) {
	for k, st := range g.paths {
		owner, owned := st.conn.owner()
		if now.Sub(st.checked) >= param.ConsentTimeout || owned && owner == nobody {
			g.remove(k)
		}
	}
}
