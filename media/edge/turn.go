package edge

import (
	"net/netip"
	"slices"

	"tsubame/media/ice"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// A client whose network lets nothing else through reaches us through our own TURN server. Each
// shard has one for the flows that land on it; which connection's allocations they are makes no
// difference to it. What comes through a relay is unwrapped here and goes on as a datagram that
// came by a path of its own: the same flow, with a Via that names the allocation and which
// address of ours it was sent to. What is sent to such a path is wrapped by conn.Frame.

// defaultRealm is that of a plane whose configuration names none.
const defaultRealm = "tsubame"

// SetAddresses names the addresses of our candidates: with the plane's port they are all that
// a client can reach through TURN, and what its relayed candidates have. Those that were named
// before are relayed to as long as there is room, the latest first: calls that were offered them
// go on. At most flow.MaxPeers are taken, in the order given; what is beyond that is logged. It
// may be called at any time, but not by two goroutines at once.
func (p *Plane) SetAddresses(all []netip.Addr) {
	var list []turnsrv.Address
	for _, a := range all {
		switch {
		case !a.IsValid():
		case len(list) == flow.MaxPeers:
			p.log.Warn("TURN: more addresses than can be relayed to", "address", a, "max", flow.MaxPeers)
		default:
			list = append(list, turnsrv.Address{Addr: flow.AddrOf(a.WithZone("")), Port: p.port()})
		}
	}
	var earlier []turnsrv.Address
	for _, a := range p.relayedTo {
		if len(list)+len(earlier) < flow.MaxPeers && !slices.Contains(list, a) {
			earlier = append(earlier, a)
		}
	}
	p.relayedTo = slices.Concat(list, earlier)
	for _, s := range p.shards {
		s.push(control{cmd: command{op: opAddresses, addresses: list, earlier: earlier}})
	}
}

// port returns the UDP port. Planes that are run by hand, which have no sockets, make it up.
func (p *Plane) port() uint16 {
	if p.group == nil {
		return 3478
	}
	return uint16(p.group.Port())
}

// setAddresses takes over what SetAddresses has named.
func (s *shard) setAddresses(current, earlier []turnsrv.Address) {
	s.turn.SetAddresses(current, earlier...)
	for i := range s.env.Peers {
		s.env.Peers[i], _ = s.turn.Peer(flow.Via(0).Relayed(0, i))
	}
}

// lookup tells the TURN server who a username is.
func (s *shard) lookup(username []byte) (turnsrv.Account, bool) {
	c := s.plane.byUsername(username)
	if c == nil {
		return turnsrv.Account{}, false
	}
	return turnsrv.Account{
		Connection: c.index, Serial: c.serial, Key: c.turnKey(s.plane.cfg.Turn.Realm), Book: &c.account.book,
	}, true
}

// handleTURN takes a STUN message that is the TURN server's.
func (s *shard) handleTURN(now mono.Time, k flow.Key, b []byte) {
	if s.plane.cfg.NoTURN {
		s.count.DropSTUNType.Inc()
		return
	}
	s.cameByTURN(k, len(b))
	// Not into a slot of the transmit queue: indications, which some browsers send all their
	// media in, have no answer and should not cost a queued packet its place.
	res := s.turn.Handle(now, k, b, s.response[:])
	switch res.Outcome {
	case turnsrv.Reply:
		s.answer(k, s.response[:res.Size])
	case turnsrv.Data:
		s.inner(now, res.Path, res.Payload)
	}
	if res.Reason == turnsrv.Allocated {
		s.allocated(k)
	}
	if res.Evicted {
		s.evictRelay(k)
	}
	if k.Via.IsStream() {
		s.settleStream(k)
	}
}

// answer sends what the TURN server has to say.
func (s *shard) answer(k flow.Key, response []byte) {
	slot := s.env.Out.Slot()
	if slot == nil {
		s.count.Conn.DropTxFull.Inc()
		return
	}
	if !k.Via.IsStream() {
		s.count.Conn.TurnUDPOut.Inc()
		s.count.Conn.TurnUDPOutBytes.Add(uint64(len(response)))
	}
	s.env.Out.Commit(copy(slot, response), k, mmsg.Control)
}

// allocated ends the allocation that was made over flow k if its connection has ended since it
// was looked up: endRelays may have passed by.
func (s *shard) allocated(k flow.Key) {
	index, serial, ok := s.turn.Serves(k)
	if !ok {
		return
	}
	c := s.plane.slots[index].conn.Load()
	if c == nil || c.serial != serial || c.dead.Load() || c.shut.Load() {
		s.turn.End(index, serial)
	}
}

// evictRelay has the other shards let go of what has given way to the allocation over flow k.
func (s *shard) evictRelay(k flow.Key) {
	index, _, ok := s.turn.Serves(k)
	for i, other := range s.plane.shards {
		if ok && i != s.index {
			other.relaysEnded.Set(index)
			s.later(i)
		}
	}
}

// relayEnded serves one bit of the relays mailbox: a connection has ended, or some of its
// allocations have given way to others.
func (s *shard) relayEnded(i uint32) {
	s.turn.End(i, s.plane.slots[i].relayed.Load())
	if c := s.plane.slots[i].conn.Load(); c != nil {
		s.turn.Purge(i, c.serial)
	}
}

// settleStream notes whether a stream has an allocation.
func (s *shard) settleStream(k flow.Key) {
	if _, _, ok := s.turn.Serves(k); ok {
		s.prove(&k)
	} else {
		s.unprove(k)
	}
}

// unprove notes that the allocation over flow k has ended, by whatever it was. If that is a stream
// its client has proven nothing any longer: it may make another, but not keep its place for nothing.
func (s *shard) unprove(k flow.Key) {
	if !k.Via.IsStream() {
		return
	}
	if l := s.plane.streams.at(&k); l != nil && l.proven {
		l.proven = false
		l.Unprove()
	}
}

// handleChannelData takes ChannelData (RFC 8656 section 12.4).
func (s *shard) handleChannelData(now mono.Time, k flow.Key, b []byte) {
	s.cameByTURN(k, len(b))
	if path, payload, ok := s.turn.ChannelData(k, b); ok {
		s.inner(now, path, payload)
	}
}

// cameByTURN counts what came over UDP for the TURN server; what came over a stream is counted
// with its stream.
func (s *shard) cameByTURN(k flow.Key, n int) {
	if !k.Via.IsStream() {
		s.count.TurnUDP.in(n)
	}
}

// inner handles a datagram that was inside something else. There is no relaying twice.
func (s *shard) inner(now mono.Time, k flow.Key, b []byte) {
	switch rtp.Classify(b) {
	case rtp.ClassSTUN:
		s.handleSTUN(now, k, b)
	case rtp.ClassDTLS:
		s.handleDTLS(now, k, b)
	case rtp.ClassRTP:
		s.handleMedia(now, k, b)
	default:
		s.count.DropUnknown.Inc()
	}
}

// source fills in what a check's peer is to learn that its address is. It returns false for
// what came through the relay of another connection (row TURN-03) or of none any more.
func (s *shard) source(now mono.Time, k flow.Key, req *ice.Request, c *Conn) bool {
	req.Mapped = k
	if !k.Via.IsRelayed() {
		return true
	}
	index, serial, ok := s.turn.Owner(k)
	if !ok || index != c.index || serial != c.serial {
		s.count.DropForeignRelay.Inc()
		return false
	}
	s.turn.Checked(now, k)
	req.Mapped.Remote, req.Mapped.Port, ok = s.turn.Relayed(k)
	return ok
}

// endRelays ends the allocations of a connection that is no more, on all shards but the one
// given, which has seen to its own. Any goroutine may call it.
func (p *Plane) endRelays(c *Conn, but int) {
	if c.account.book.Allocations() == 0 {
		return
	}
	p.slots[c.index].relayed.Store(c.serial)
	for i, s := range p.shards {
		if i != but {
			s.relaysEnded.Set(c.index)
			s.waker.Wake()
		}
	}
}
