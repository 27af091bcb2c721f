package netio

import (
	"fmt"
)

// Offloads says which help of the system is in use. All of it is optional: what is missing
// costs speed and nothing else.
type Offloads struct {
	GSO       bool   // neighbouring datagrams to one client leave as one message
	GSOReason string // why not, or why not from all sockets; empty: from all

	Steering bool // each datagram arrives at its shard (Group.Steered); true for a single shard

	// FineTimers: sleeps end at the microsecond rather than the millisecond.
	FineTimers bool
}

// Offloads returns what is in use now: a socket stops sending runs when its device refuses one.
// Any goroutine may call it, also after Stop.
func (g *Group) Offloads() Offloads {
	o := Offloads{Steering: g.steered, FineTimers: true}
	var without, all int
	for _, t := range g.threads {
		o.FineTimers = o.FineTimers && t.fine
	}
	for _, s := range g.shards {
		for i := range s.ports {
			all++
			if on, why := s.ports[i].socket.GSO(); !on {
				without++
				o.GSOReason = why
			}
		}
	}
	o.GSO = without < all
	if without > 0 && o.GSO {
		o.GSOReason = fmt.Sprintf("%d of %d sockets: %s", without, all, o.GSOReason)
	}
	return o
}

// logOffloads says once, at start, what is in use.
func (g *Group) logOffloads() {
	o := g.Offloads()
	args := []any{"port", g.port, "shards", g.config.Shards, "gso", o.GSO}
	if o.GSOReason != "" {
		args = append(args, "gso_reason", o.GSOReason)
	}
	g.config.Log.Info("UDP sockets are open", append(args, "steering", o.Steering, "fine_timers", o.FineTimers)...)
}
