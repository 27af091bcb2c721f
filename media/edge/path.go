package edge

import (
	"errors"
	"time"

	"tsubame/media/conn"
	"tsubame/media/ice"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// sweepInterval is how often paths of others that nobody used are forgotten.
const sweepInterval = 5 * time.Second

// handleSTUN answers a connectivity check: for a connection of ours, or from the seed
// alone while nobody owns it; a check that belongs to another shard's goes there.
func (s *shard) handleSTUN(now mono.Time, k flow.Key, b []byte) {
	req, err := s.ice.Parse(b)
	if err != nil && !errors.Is(err, ice.ErrUnknownAttribute) {
		s.count.stunError(err)
		return
	}
	c, cr := s.find(req.LocalUfrag)
	if c == nil {
		s.count.DropUfrag.Inc()
		return
	}
	if !s.ice.Verify(cr.Password) {
		// Without an answer there is no oracle, and nothing to reflect (rows ICE-03, ICE-06).
		s.count.DropIntegrity.Inc()
		return
	}
	if !s.source(now, k, &req, c) {
		return
	}
	c.counted.check(&k, len(b))
	if k.Via.Carrier() == flow.FramedStream {
		s.prove(&k)
	}
	if err != nil {
		s.reply(k, &req, c, cr, ice.CodeUnknownAttribute)
		return
	}
	req.Generation = cr.generation
	if owner, owned := c.owner(); !owned {
		if s.checkUnowned(now, k, &req, c, cr) {
			return
		}
	} else if owner == s.index {
		s.check(now, k, &req, s.live[c.index], cr)
		return
	}
	s.checkElsewhere(now, k, &req, c, b)
}

// find returns the connection that a user fragment of ours names, and the credentials.
func (s *shard) find(ufrag []byte) (*Conn, *credentials) {
	i, ok := ice.DecodeIndex(ufrag)
	if !ok || int(i) >= len(s.plane.slots) {
		return nil, nil
	}
	c := s.plane.slots[i].conn.Load()
	if c == nil {
		return nil, nil
	}
	cr := c.match(ufrag)
	if cr == nil {
		return nil, nil
	}
	return c, cr
}

// check handles a valid check for a connection that this shard owns.
func (s *shard) check(now mono.Time, k flow.Key, req *ice.Request, l *live, cr *credentials) {
	if l == nil || l.closing {
		s.count.DropUfrag.Inc()
		return
	}
	out := s.takeCheck(now, k, req, l)
	if out.HasEvicted {
		s.evicted(out.Evicted, l)
	}
	if out.ErrorCode == 0 {
		s.lead(k, l)
	}
	if out.Selected {
		s.count.PathSwitches.Inc()
		l.PathChanged()
	}
	if l.ICE.Nominated() {
		l.handle.counted.nominated(now)
	}
	l.handle.retire(l.ICE.Generation())
	s.followPath(l)
	s.reply(k, req, l.handle, cr, out.ErrorCode)
	s.arm(l, l.ICE.Deadline())
}

// checkUnowned answers from the seed alone and remembers the path; the first check that
// nominates makes the connection this shard's. It returns false when somebody else was
// faster: the check is then the owner's to answer, who would not learn of the nomination
// otherwise.
func (s *shard) checkUnowned(now mono.Time, k flow.Key, req *ice.Request, c *Conn, cr *credentials) bool {
	if req.Controlled {
		s.reply(k, req, c, cr, ice.CodeRoleConflict)
		return true
	}
	if req.UseCandidate {
		l := s.adopt(now, k, c)
		if l != nil {
			s.check(now, k, req, l, cr)
		}
		return l != nil
	}
	s.remember(now, k, c)
	s.reply(k, req, c, cr, 0)
	return true
}

// checkElsewhere hands a valid check to the shard that owns the connection.
func (s *shard) checkElsewhere(now mono.Time, k flow.Key, req *ice.Request, c *Conn, b []byte) {
	if owner, _ := c.owner(); owner == nobody {
		s.count.DropUfrag.Inc()
		return
	}
	s.forward(now, k, s.remember(now, k, c), &req.Mapped, b)
}

// reply answers a check by the way it came.
func (s *shard) reply(k flow.Key, req *ice.Request, c *Conn, cr *credentials, code int) {
	f, ok := s.env.Frame(&c.account.book, k)
	if !ok {
		s.count.Conn.DropNoPath.Inc()
		return
	}
	slot := s.env.Out.Slot()
	if slot == nil {
		s.count.Conn.DropTxFull.Inc()
		return
	}
	msg := slot[f.Head():f.Head()]
	if code == 0 {
		msg = s.ice.AppendSuccess(msg, req, req.Mapped, cr.Password)
		s.count.STUNReplies.Inc()
	} else {
		msg = s.ice.AppendError(msg, req, code, cr.Password)
		s.count.STUNErrors.Inc()
	}
	if s.env.Commit(f.Close(slot, len(msg)), k, mmsg.Control) {
		c.counted.answered(&f, len(msg), code != 0)
	}
}

// followPath tells signaling when the path that is sent on is carried by something else.
func (s *shard) followPath(l *live) {
	if k, ok := l.SendPath(); ok {
		l.handle.carriedBy(k.Via.IsStream())
	}
}

// remember keeps a validated path of a connection that this shard does not own. The path
// leads to the connection of the latest valid check, whichever it led to before: ports are
// used again.
func (s *shard) remember(now mono.Time, k flow.Key, c *Conn) *stranger {
	st, evicted := s.foreign.add(now, k, c)
	if evicted {
		s.count.DropPaths.Inc()
	}
	s.flows.remove(&k)
	return st
}

// lead makes what comes by path k go to l.
func (s *shard) lead(k flow.Key, l *live) {
	s.flows.set(&k, l.Index)
	s.foreign.remove(k)
}

// unlead takes a path from l, unless it leads to another connection by now.
func (s *shard) unlead(k flow.Key, l *live) {
	if i, ok := s.flows.get(&k); ok && i == l.Index {
		s.flows.remove(&k)
	}
}

// evicted takes a path from l that has made room for another.
func (s *shard) evicted(k flow.Key, l *live) {
	s.unlead(k, l)
	s.count.DropPaths.Inc()
}

// sweep forgets paths of others that nobody checks any more.
func (s *shard) sweep(now mono.Time) {
	if now.Sub(s.swept) < sweepInterval {
		return
	}
	s.swept = now
	s.foreign.sweep(now)
	s.count.Foreign.Set(uint64(len(s.foreign.paths)))
}

// adopt makes the connection this shard's, if nobody was faster, and runs the commands
// that waited for it. k is a validated path.
func (s *shard) adopt(now mono.Time, k flow.Key, c *Conn) *live {
	waiting, won := c.adopt(s.index)
	if !won {
		return nil
	}
	l := &live{Conn: conn.New(c.index, now, &c.account.book), handle: c}
	l.Network, l.Shared = &c.network, &c.counted.shared
	s.live[c.index] = l
	s.count.Adopted.Inc()
	s.count.Connections.Set(s.count.Connections.Load() + 1)
	l.ICE.Validate(now, k)
	s.lead(k, l) // its other paths follow when they are used: see own
	for _, cmd := range waiting {
		s.command(now, c, cmd)
	}
	s.rearm(l, l.Deadline())
	return l
}

// validate adds a path that a shard has answered a valid check on at that time.
func (s *shard) validate(checked mono.Time, k flow.Key, l *live) {
	if evicted, has := l.ICE.Validate(checked, k); has {
		s.evicted(evicted, l)
	}
	s.lead(k, l)
}

// own returns the connection that a path leads to, if it is one of this shard's; else who
// the path belongs to; or neither: no valid check has come by it.
func (s *shard) own(now mono.Time, k flow.Key) (*live, *stranger) {
	if i, ok := s.flows.get(&k); ok {
		return s.live[i], nil
	}
	st := s.foreign.find(k)
	if st == nil || !consented(now, st.checked) {
		return nil, nil
	}
	st.used = now
	if owner, owned := st.conn.owner(); !owned || owner != s.index {
		return nil, st
	}
	// It was adopted here since, by another path.
	l := s.live[st.conn.index]
	s.validate(st.checked, k, l)
	return l, nil
}

// handleDTLS feeds a record to the connection's endpoint. It is accepted from a validated
// path only (rows DTLS-01, ICE-10); the first one adopts.
func (s *shard) handleDTLS(now mono.Time, k flow.Key, b []byte) {
	l, st := s.own(now, k)
	if st != nil {
		if _, owned := st.conn.owner(); !owned {
			l = s.adopt(now, k, st.conn)
		}
		if l == nil {
			s.forward(now, k, st, nil, b)
			return
		}
	}
	if l == nil || l.closing {
		s.count.DropPath.Inc()
		return
	}
	s.feed(k, l, b)
}

// feed gives one DTLS datagram to the endpoint, which the first one starts.
func (s *shard) feed(k flow.Key, l *live, b []byte) {
	l.DTLSPath(k)
	l.CameDTLS(len(b))
	if l.DTLS == nil {
		ep, err := s.plane.dtls.Start(uint64(l.Index), k.Remote.Netip(), l.handle)
		if err != nil {
			s.count.DropHandshakes.Inc()
			return
		}
		s.count.Handshakes.Inc()
		l.DTLS = ep
	}
	if !l.DTLS.Feed(b) {
		s.count.DropRecords.Inc()
	}
}

// handleMedia takes RTP or RTCP.
func (s *shard) handleMedia(now mono.Time, k flow.Key, b []byte) {
	l, st := s.own(now, k)
	if st != nil {
		s.forward(now, k, st, nil, b)
		return
	}
	if l == nil {
		s.count.DropPath.Inc()
		return
	}
	s.deliver(now, l, b)
}

// deliver gives RTP or RTCP to a connection that this shard owns.
func (s *shard) deliver(now mono.Time, l *live, b []byte) {
	if l.closing {
		s.count.DropPath.Inc()
		return
	}
	l.heard = now
	if rtp.IsRTCP(b) {
		s.arm(l, l.HandleRTCP(&s.env, now, b))
	} else {
		s.arm(l, l.HandleRTP(&s.env, now, b))
	}
	if l.Heard && !l.parked {
		s.park(l)
	}
}
