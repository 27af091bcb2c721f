package turnsrv

import (
	"encoding/binary"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
)

// Lifetimes that RFC 8656 fixes (sections 9 and 12).
const (
	permissionLifetime = 300 * time.Second
	channelLifetime    = 600 * time.Second
)

// createPermission answers a CreatePermission (RFC 8656 section 10.2): all of the addresses or
// none. Ports do not matter.
func (s *Server) createPermission(x *exchange, a *allocation) Result {
	if !x.has(hasPeer) {
		return s.refuse(x, stunBadRequest)
	}
	var all uint8
	for off := headerLen; off < x.end; {
		typ, v, next, _ := attributeAt(x.b, off) // parse has been here
		off = next
		if typ != stun.AttrXORPeerAddress {
			continue
		}
		q, _ := decodePeer(v, x.b)
		places, _, refused := s.judge(a, q)
		if refused != nil {
			return s.refuse(x, *refused)
		}
		all |= places
	}
	a.permit(x, all)
	return s.reply(x, x.success(), Permitted)
}

// permit makes or refreshes permissions.
func (a *allocation) permit(x *exchange, places uint8) {
	for peer := range a.permitted {
		if places>>peer&1 != 0 {
			a.permitted[peer] = x.now.Add(permissionLifetime)
		}
	}
}

// channelBind answers a ChannelBind (RFC 8656 section 12.2). The port has to be a candidate's
// too: what else there is on this host is none of the client's business.
func (s *Server) channelBind(x *exchange, a *allocation) Result {
	if !x.has(hasChannel|hasPeer) || x.channel < minChannel || x.channel > maxChannel {
		return s.refuse(x, stunBadRequest)
	}
	places, peer, refused := s.judge(a, x.peer)
	if refused != nil {
		return s.refuse(x, *refused)
	}
	if peer == none {
		return s.refuse(x, turnForbidden)
	}
	for other, channel := range a.channel {
		if channel == x.channel && other != peer || other == peer && channel != 0 && channel != x.channel {
			if !a.bound[other].Due(x.now) {
				return s.refuse(x, stunBadRequest)
			}
			a.unbind(other)
		}
	}
	a.channel[peer] = x.channel
	a.bound[peer] = x.now.Add(channelLifetime)
	a.book.bind(a.claim, peer, x.channel)
	a.permit(x, places)
	s.table.arm(a)
	return s.reply(x, x.success(), ChannelBound)
}

// send takes a Send indication (RFC 8656 section 11.2). Nobody signs indications: the flow and
// the permission have to do. None is answered.
func (s *Server) send(x *exchange) Result {
	if x.bad || x.numUnknown > 0 || !x.has(hasPeer|hasData) || len(x.data) == 0 {
		return drop(Malformed)
	}
	a := s.find(x.k)
	if a == nil || a.expires.Due(x.now) {
		return drop(Unallocated)
	}
	_, peer, refused := s.judge(a, x.peer)
	if refused != nil || peer == none {
		return drop(ForeignPeer)
	}
	if until := a.permitted[peer]; until <= x.now { // Never is before everything
		return drop(Unpermitted)
	}
	a.relays(&a.untold.indications)
	return Result{Outcome: Data, Reason: Relayed, Path: a.path(x.k, peer), Payload: x.data}
}

// path is k as it is for what comes through a to peer.
func (a *allocation) path(k flow.Key, peer int) flow.Key {
	k.Via = k.Via.Relayed(int(a.claim.number), peer)
	return k
}

// ChannelData takes one ChannelData message that came on flow k: a datagram, or a frame of a
// stream. It returns the path by which payload, a view into b that is not empty, came to us. It
// is one look into one table. Channels end in Expire, so that has to be called in time.
func (s *Server) ChannelData(k flow.Key, b []byte) (path flow.Key, payload []byte, ok bool) {
	if len(b) <= ChannelHeader {
		s.Counters.Reasons[BadChannelData].Inc()
		return flow.Key{}, nil, false
	}
	channel, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	// Padding is allowed over UDP too (RFC 8656 section 12.5), but no more than that.
	if n == 0 || ChannelHeader+n > len(b) || len(b) > Padded(ChannelHeader+n) {
		s.Counters.Reasons[BadChannelData].Inc()
		return flow.Key{}, nil, false
	}
	// Channels that may be bound are never 0, so a place without one is not found; a relayed
	// flow is in no table.
	if a := s.table.find(k); a != nil && channel >= minChannel && a.lives() {
		for peer, bound := range a.channel {
			if bound == channel {
				s.Counters.ChannelData.Inc()
				a.relays(&a.untold.channelData)
				return a.path(k, peer), b[ChannelHeader : ChannelHeader+n], true
			}
		}
	}
	s.Counters.Reasons[UnboundChannel].Inc()
	return flow.Key{}, nil, false
}
