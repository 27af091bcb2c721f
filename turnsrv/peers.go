package turnsrv

import (
	"bytes"
	"encoding/binary"
	"slices"

	"tsubame/netio/flow"
)

// Address is one of our candidates: what a client may send to. Port is in host byte order.
type Address struct {
	Addr flow.Addr
	Port uint16
}

// peers are our candidates, each at a place that it keeps as long as it is one. A zero Address
// is a free place.
type peers struct {
	at         [flow.MaxPeers]Address
	advertised uint8 // the places of those that new allocations may be told of, a bit each
	next       int   // where the search for a free place begins: one given back is used again last
}

// SetAddresses says which our candidates are, as they are advertised, and which earlier ones are
// relayed to still: at most flow.MaxPeers together, those beyond are not. No new allocation gets
// an earlier one as its relayed address. An address that was named before keeps its place, which
// is what Via.Peer names; the allocations whose relayed address is one that is gone end, and so
// do permissions and channels for it. All shards have to be told the same lists in the same
// order, so that places agree.
func (s *Server) SetAddresses(current []Address, earlier ...Address) {
	addresses := slices.Concat(current, earlier)
	addresses = addresses[:min(len(addresses), flow.MaxPeers)]
	for place, old := range s.peers.at {
		if old != (Address{}) && !slices.Contains(addresses, old) {
			s.peers.at[place] = Address{}
			s.forget(place)
		}
	}
	for _, a := range addresses {
		s.peers.add(a)
	}
	s.peers.advertised = 0
	for place, a := range s.peers.at {
		if slices.Contains(current, a) {
			s.peers.advertised |= 1 << place
		}
	}
}

// forget ends what hangs on the address at a place.
func (s *Server) forget(place int) {
	for _, a := range s.table.flows {
		if slices.Contains(a.relayed[:], int8(place)) {
			s.remove(a)
			continue
		}
		a.forget(place)
		s.table.arm(a)
	}
}

// add gives a a place if it has none. There is room: no more than MaxPeers are asked for, and
// those that are not among them have gone.
func (p *peers) add(a Address) {
	if a == (Address{}) || slices.Contains(p.at[:], a) {
		return
	}
	for p.at[p.next] != (Address{}) {
		p.next = (p.next + 1) % flow.MaxPeers
	}
	p.at[p.next] = a
	p.next = (p.next + 1) % flow.MaxPeers
}

// Peer returns our address that a relayed path goes to; false if it is ours no more.
func (s *Server) Peer(v flow.Via) (Address, bool) {
	a := s.peers.at[v.Peer()]
	return a, v.IsRelayed() && a != (Address{})
}

// of returns the place of an address of a family that a relayed address can be, preferring the
// one that the client reaches us by; none if there is none.
func (p *peers) of(family byte, local flow.Addr) int8 {
	place := int8(none)
	for i, a := range p.at {
		if a == (Address{}) || p.advertised>>i&1 == 0 || familyOf(a.Addr) != family {
			continue
		}
		if a.Addr == local {
			return int8(i)
		}
		if place == none {
			place = int8(i)
		}
	}
	return place
}

// uses reports whether a candidate of ours has port.
func (p *peers) uses(port uint16) bool {
	return slices.ContainsFunc(p.at[:], func(a Address) bool { return a.Port == port })
}

// find returns the places of the candidates that have q's address, and of those the one that
// has its port too, or none. The address of an IPv6 peer that maps an IPv4 address is nobody's.
func (p *peers) find(q peerAddress) (places uint8, exact int) {
	exact = none
	for i, a := range p.at {
		if a == (Address{}) || a.Addr != q.addr || familyOf(a.Addr) != q.family {
			continue
		}
		places |= 1 << i
		if a.Port == q.port {
			exact = i
		}
	}
	return places, exact
}

// judge says whether a may have dealings with peer q: with what it is refused, if not.
//
// RFC 8656 section 10.2 has 443 for a peer of a family that the allocation lacks. An IPv6
// address that only spells an IPv4 address is of neither, and forbidden whatever it spells:
// one of our candidates is written as it is (row TURN-02).
func (s *Server) judge(a *allocation, q peerAddress) (places uint8, exact int, refused *refusal) {
	places, exact = s.peers.find(q)
	switch {
	case places == 0 && q.family == family6 && spellsIPv4(q.addr):
		return 0, none, &turnForbidden
	case *a.place(q.family) == none:
		return 0, none, &turnFamilyMismatch
	case places == 0:
		return 0, none, &turnForbidden
	}
	return places, exact, nil
}

// familyOf returns the family of an address in an attribute.
func familyOf(a flow.Addr) byte {
	if a.Is4() {
		return family4
	}
	return family6
}

// spellsIPv4 reports whether an IPv6 address has an IPv4 address in it that some translator or
// tunnel would send to.
func spellsIPv4(a flow.Addr) bool {
	interfaceID := binary.BigEndian.Uint32(a[8:])
	switch {
	case bytes.HasPrefix(a[:], make([]byte, 10)) && (a[10] == 0xff && a[11] == 0xff || a[10] == 0 && a[11] == 0):
		return true // mapped ::ffff:0:0/96, and compatible ::/96, which has :: and ::1 (RFC 4291 section 2.5.5)
	case bytes.HasPrefix(a[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}):
		return true // translated, ::ffff:0:0:0/96 (RFC 2765 section 2.1)
	case bytes.HasPrefix(a[:], []byte{0, 0x64, 0xff, 0x9b}):
		return true // NAT64: 64:ff9b::/96 (RFC 6052) and 64:ff9b:1::/48 (RFC 8215)
	case bytes.HasPrefix(a[:], []byte{0x20, 0x02}):
		return true // 6to4, 2002::/16 (RFC 3056)
	case bytes.HasPrefix(a[:], []byte{0x20, 0x01, 0, 0}):
		return true // Teredo, 2001::/32 (RFC 4380)
	}
	return interfaceID&^0x02000000 == 0x00005efe // ISATAP (RFC 5214 section 6.1)
}
