package edge

import (
	"net/netip"

	"tsubame/netio/flow"
)

// addresses are those that our candidates name, and so those that clients may reach through
// a relay. Each keeps its place for as long as it is one, since the keys of relayed flows
// have the place in them (flow.Via.Peer). An invalid one is a free place.
type addresses [flow.MaxPeers]netip.Addr

// with returns the places of the given addresses: those that are among a already keep theirs.
// What is more than fits is returned as left.
func (a *addresses) with(all []netip.Addr) (next *addresses, left []netip.Addr) {
	next = new(addresses)
	var fresh []netip.Addr
	for _, addr := range all {
		if addr = addr.Unmap().WithZone(""); !addr.IsValid() || next.has(addr) {
			continue
		}
		if i := a.find(addr); i >= 0 {
			next[i] = addr
			continue
		}
		fresh = append(fresh, addr)
	}
	for _, addr := range fresh {
		switch i := next.find(netip.Addr{}); {
		case next.has(addr):
		case i < 0:
			left = append(left, addr)
		default:
			next[i] = addr
		}
	}
	return next, left
}

func (a *addresses) has(addr netip.Addr) bool { return a.find(addr) >= 0 }

func (a *addresses) find(addr netip.Addr) int {
	for i, x := range a {
		if x == addr {
			return i
		}
	}
	return -1
}

// SetAddresses names the addresses of our candidates: with the plane's port they are all that
// a client can reach through TURN, and what its relayed candidates have. It may be called at
// any time and replaces what was named before; allocations keep going for addresses that stay.
// At most flow.MaxPeers are taken, in the order given; what is beyond that is logged.
func (p *Plane) SetAddresses(all []netip.Addr) {
	for {
		old := p.addresses.Load()
		next, left := old.with(all)
		if !p.addresses.CompareAndSwap(old, next) {
			continue
		}
		for _, addr := range left {
			p.log.Warn("TURN: more addresses than it can serve", "address", addr, "max", flow.MaxPeers)
		}
		break
	}
	for _, s := range p.shards {
		s.push(control{cmd: command{op: opAddresses}})
	}
}

// addressesChanged takes over what SetAddresses has named last.
func (s *shard) addressesChanged() {}
