package turnsrv

import (
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/netio/wheel"
)

// allocation is one client's relay: the state of RFC 8656 section 3.2 without a socket.
// Permissions and channels stand at the places of our addresses, so there cannot be more.
type allocation struct {
	channel [flow.MaxPeers]uint16 // 0: not bound; with claim and book all that ChannelData looks at
	claim   claim                 // of a number among the connection's allocations
	book    *Book
	untold  relayed

	key                flow.Key // the client's flow: the 5-tuple
	connection, serial uint32

	tx       [12]byte // of the Allocate that made it
	lifetime uint32   // seconds that it was answered with
	port     uint16   // of the relayed transport address; nothing is bound to it
	relayed  [2]int8  // places of its IPv4 and its IPv6 address; none without

	expires   mono.Time
	permitted [flow.MaxPeers]mono.Time // until when; Never: not
	bound     [flow.MaxPeers]mono.Time // until when a channel is

	timer   uint32
	sibling *allocation // the next of the same connection on this shard
}

// none is the place of no address.
const none = -1

// of reports whether a is the connection's that account belongs to.
func (a *allocation) of(account Account) bool {
	return a.connection == account.Connection && a.serial == account.Serial
}

// lives reports whether a still has its number: see Book.take.
func (a *allocation) lives() bool { return a.book.holds(a.claim) }

// place returns where the relayed address of a family is.
func (a *allocation) place(family byte) *int8 { return &a.relayed[family-family4] }

// deadline returns when something of a ends that ChannelData would not notice.
func (a *allocation) deadline() mono.Time {
	at := a.expires
	for _, until := range a.bound {
		at = mono.Earliest(at, until)
	}
	return at
}

// unbind ends the channel to peer.
func (a *allocation) unbind(peer int) {
	a.channel[peer], a.bound[peer] = 0, mono.Never
	a.book.bind(a.claim, peer, 0)
}

// forget ends permission and channel to peer.
func (a *allocation) forget(peer int) {
	a.permitted[peer] = mono.Never
	if a.channel[peer] != 0 {
		a.unbind(peer)
	}
}

// connectionKey names a connection in the table.
type connectionKey struct{ index, serial uint32 }

// table holds the allocations of a shard: by flow, by connection, and by timer.
type table struct {
	flows       map[flow.Key]*allocation
	connections map[connectionKey]*allocation // the first; the others are siblings
	timers      []*allocation                 // grows to the most there ever were
	free        []uint32                      // timers without allocation
	wheel       *wheel.Wheel
	most        int
}

func (t *table) init(most int) {
	t.flows = make(map[flow.Key]*allocation)
	t.connections = make(map[connectionKey]*allocation)
	t.wheel = wheel.New(0, most)
	t.most = most
}

func (t *table) find(k flow.Key) *allocation { return t.flows[k] }

func (t *table) full() bool { return len(t.flows) >= t.most }

// through returns the allocation that the relayed path goes through, nil if it has ended. A
// later one on the same flow has another number, or is as good.
func (t *table) through(path flow.Key) *allocation {
	if !path.Via.IsRelayed() {
		return nil
	}
	k := path
	k.Via = k.Via.Unwrapped()
	a := t.flows[k]
	if a == nil || int(a.claim.number) != path.Via.Allocation() || !a.lives() {
		return nil
	}
	return a
}

func (t *table) add(a *allocation) {
	if n := len(t.free); n > 0 {
		a.timer = t.free[n-1]
		t.free = t.free[:n-1]
		t.timers[a.timer] = a
	} else {
		a.timer = uint32(len(t.timers))
		t.timers = append(t.timers, a)
	}
	t.flows[a.key] = a
	c := connectionKey{a.connection, a.serial}
	a.sibling = t.connections[c]
	t.connections[c] = a
	t.arm(a)
}

func (t *table) arm(a *allocation) { t.wheel.Set(a.timer, a.deadline()) }

func (t *table) remove(a *allocation) {
	t.wheel.Cancel(a.timer)
	t.timers[a.timer] = nil
	t.free = append(t.free, a.timer)
	delete(t.flows, a.key)
	c := connectionKey{a.connection, a.serial}
	first := t.connections[c]
	if first == a {
		if a.sibling == nil {
			delete(t.connections, c)
		} else {
			t.connections[c] = a.sibling
		}
		return
	}
	for first.sibling != a {
		first = first.sibling
	}
	first.sibling = a.sibling
}

// find returns the allocation of a flow. One whose number is another's by now ends here.
func (s *Server) find(k flow.Key) *allocation {
	a := s.table.find(k)
	if a != nil && !a.lives() {
		s.remove(a)
		return nil
	}
	return a
}

// Checked says that a valid connectivity check has come by path: the allocation that it goes
// through is in use.
func (s *Server) Checked(now mono.Time, path flow.Key) {
	if a := s.table.through(path); a != nil {
		a.book.note(a.claim, now)
	}
}

// Purge ends the allocations of a connection that have given way to others of it. They have no
// effect any more, and would take room until their time is over.
func (s *Server) Purge(connection, serial uint32) {
	for a := s.table.connections[connectionKey{connection, serial}]; a != nil; {
		next := a.sibling
		if !a.lives() {
			s.remove(a)
		}
		a = next
	}
}

// remove ends an allocation.
func (s *Server) remove(a *allocation) {
	s.table.remove(a)
	a.settle()
	a.book.release(a.claim)
	s.Counters.Allocations.Set(uint64(len(s.table.flows)))
	if s.Ended != nil {
		s.Ended(a.key)
	}
}

// Expire ends what has lived its time at now.
func (s *Server) Expire(now mono.Time) {
	for {
		timer, ok := s.table.wheel.Expire(now)
		if !ok {
			return
		}
		a := s.table.timers[timer]
		if a.expires.Due(now) {
			s.remove(a)
			continue
		}
		for peer, until := range a.bound {
			if until.Due(now) {
				a.unbind(peer)
			}
		}
		s.table.arm(a)
	}
}

// Deadline returns when Expire is to be called next, mono.Never if there is nothing to wait for.
func (s *Server) Deadline() mono.Time { return s.table.wheel.Next() }

// End ends the allocations that a connection has on this shard. Its credentials end by Lookup.
func (s *Server) End(connection, serial uint32) {
	for {
		a := s.table.connections[connectionKey{connection, serial}]
		if a == nil {
			return
		}
		s.remove(a)
	}
}

// StreamClosed ends the allocation that was made over stream k, if there is one: it lives no
// longer than its connection (RFC 8656 section 3.1).
func (s *Server) StreamClosed(k flow.Key) {
	if a := s.table.find(k); a != nil {
		s.remove(a)
	}
}

// Serves returns whose allocation was made over flow k; false if there is none.
func (s *Server) Serves(k flow.Key) (connection, serial uint32, ok bool) {
	a := s.find(k)
	if a == nil {
		return 0, 0, false
	}
	return a.connection, a.serial, true
}

// Relayed returns the relayed transport address of the allocation that path goes through: what
// an ICE agent behind the relay sees as the client's address, and so answers to a check as
// XOR-MAPPED-ADDRESS. It reports false if the allocation has ended.
func (s *Server) Relayed(path flow.Key) (addr flow.Addr, port uint16, ok bool) {
	a := s.table.through(path)
	peer, known := s.Peer(path.Via)
	if a == nil || !known {
		return flow.Addr{}, 0, false
	}
	place := *a.place(familyOf(peer.Addr))
	if place == none {
		return flow.Addr{}, 0, false
	}
	return s.peers.at[place].Addr, a.port, true
}

// Owner returns whose allocation path goes through; false if it has ended. A connection must
// not take a check that came through another's (row TURN-03).
func (s *Server) Owner(path flow.Key) (connection, serial uint32, ok bool) {
	a := s.table.through(path)
	if a == nil {
		return 0, 0, false
	}
	return a.connection, a.serial, true
}
