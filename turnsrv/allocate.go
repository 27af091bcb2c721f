package turnsrv

import (
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/turnsrv/stunwire"
)

const (
	protocolUDP = 17   // in REQUESTED-TRANSPORT
	nextHigher  = 0x80 // the R bit of EVEN-PORT

	// The dynamic ports (RFC 6335), of which a relayed address has one. It is made of the
	// connection's index and the allocation's number, so that the relayed candidates of one
	// client differ; two clients may be told the same, since nothing is bound.
	firstPort = 49152
	numPorts  = 1<<16 - firstPort
)

// allocate answers an Allocate (RFC 8656 section 7.2) on a flow that has allocation old, if any.
func (s *Server) allocate(x *exchange, account Account, old *allocation) Result {
	if old != nil {
		if old.tx == x.tx && old.of(account) {
			return s.allocated(x, old, Repeated)
		}
		return s.refuse(x, turnAllocationExists)
	}
	if refused := x.checkAllocate(); refused != nil {
		return s.refuse(x, *refused)
	}
	relayed, refused := s.relayedAddresses(x)
	if refused != nil {
		return s.refuse(x, *refused)
	}
	if s.table.full() {
		return s.refuse(x, turnCapacity)
	}
	claim, evicts, ok := account.Book.take(x.now)
	if !ok {
		return s.refuse(x, turnQuota)
	}
	if evicts {
		s.Counters.Evicted.Inc()
		s.Purge(account.Connection, account.Serial)
	}
	a := &allocation{
		key: x.k, connection: account.Connection, serial: account.Serial, claim: claim, book: account.Book,
		tx: x.tx, lifetime: s.lifetime(x), port: s.port(account.Connection, int(claim.number)), relayed: relayed,
	}
	a.expires = x.now.Add(time.Duration(a.lifetime) * time.Second)
	s.table.add(a)
	s.Counters.Allocations.Set(uint64(len(s.table.flows)))
	r := s.allocated(x, a, Allocated)
	r.Evicted = evicts
	return r
}

// checkAllocate checks what an Allocate asks for, in the order of RFC 8656 section 7.2. Reserved
// and even ports are not to be had: a port of ours is a number and comes in no pairs.
func (x *exchange) checkAllocate() *refusal {
	switch {
	case !x.has(hasTransport):
		return &stunBadRequest
	case x.transport != protocolUDP:
		return &turnNotUDP
	case x.has(hasToken) && x.found&(hasEvenPort|hasFamily|hasAdditional) != 0:
		return &stunBadRequest
	case x.has(hasAdditional) && (x.has(hasFamily) || x.additional != family6):
		return &stunBadRequest
	case x.has(hasAdditional) && x.has(hasEvenPort) && x.evenPort&nextHigher != 0:
		return &stunBadRequest
	case x.has(hasFamily) && x.family != family4 && x.family != family6:
		return &turnFamilyUnsupported
	case x.found&(hasToken|hasEvenPort) != 0:
		return &turnCapacity
	}
	return nil
}

// relayedAddresses chooses addresses of ours for the families that are asked for.
//
// Who asks for none in particular is to have IPv4 (RFC 8656 section 7.2). Browsers never ask,
// and would not get through a server that has IPv6 only; so where there is no IPv4 they are
// given IPv6 instead of 440.
func (s *Server) relayedAddresses(x *exchange) (relayed [2]int8, refused *refusal) {
	four, six := s.peers.of(family4, x.k.Local), s.peers.of(family6, x.k.Local)
	switch {
	case x.has(hasAdditional):
		relayed = [2]int8{four, six}
	case x.has(hasFamily) && x.family == family6, !x.has(hasFamily) && four == none:
		relayed = [2]int8{none, six}
	default:
		relayed = [2]int8{four, none}
	}
	if relayed == [2]int8{none, none} {
		return relayed, &turnFamilyUnsupported
	}
	return relayed, nil
}

// port returns the port of a relayed address. None of our candidates has it: to a client it
// would be one of them.
func (s *Server) port(connection uint32, number int) uint16 {
	p := (uint64(connection)*flow.MaxAllocations + uint64(number)) % numPorts
	for s.peers.uses(uint16(firstPort + p)) {
		p = (p + flow.MaxAllocations) % numPorts // keeps the allocations of a connection apart
	}
	return uint16(firstPort + p)
}

// lifetime returns the seconds that an Allocate or Refresh is granted: what it asks for, but
// neither less than the default nor more than the most (RFC 8656 section 7.2).
func (s *Server) lifetime(x *exchange) uint32 {
	least, most := uint32(s.cfg.DefaultLifetime/time.Second), uint32(s.cfg.MaxLifetime/time.Second)
	return min(max(x.message.lifetime, least), most)
}

// allocated answers with what allocation a was made with.
func (s *Server) allocated(x *exchange, a *allocation, r Reason) Result {
	b := x.success()
	for _, place := range a.relayed {
		if place != none {
			b = stunwire.AppendAddress(b, 0, stun.AttrXORRelayedAddress, s.peers.at[place].Addr, a.port)
		}
	}
	if x.has(hasAdditional) {
		for i, place := range a.relayed {
			if place == none {
				b = appendError(b, attrAddressErrorCode, byte(family4+i), stun.CodeAddrFamilyNotSupported)
			}
		}
	}
	b = appendLifetime(b, a.lifetime)
	return s.reply(x, x.mapped(b), r)
}

// refresh answers a Refresh (RFC 8656 section 8.2). With a family and lifetime 0 it ends that
// half of an allocation that has two; the halves share one lifetime otherwise.
func (s *Server) refresh(x *exchange, a *allocation) Result {
	family := x.has(hasFamily)
	if family && (x.family != family4 && x.family != family6 || *a.place(x.family) == none) {
		return s.refuse(x, turnFamilyMismatch)
	}
	if !x.has(hasLifetime) || x.message.lifetime != 0 {
		seconds := s.lifetime(x)
		a.expires = x.now.Add(time.Duration(seconds) * time.Second)
		s.table.arm(a)
		return s.reply(x, appendLifetime(x.success(), seconds), Refreshed)
	}
	if family {
		s.halve(a, x.family)
	}
	if !family || a.relayed == [2]int8{none, none} {
		s.remove(a)
	}
	return s.reply(x, appendLifetime(x.success(), 0), Released)
}

// halve takes the relayed address of one family from an allocation, and its permissions and
// channels.
func (s *Server) halve(a *allocation, family byte) {
	*a.place(family) = none
	for place, p := range s.peers.at {
		if familyOf(p.Addr) == family {
			a.forget(place)
		}
	}
	s.table.arm(a)
}
