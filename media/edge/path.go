package edge

import (
	"errors"
	"slices"
	"time"

	"tsubame/media/conn"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// maxStrange is how many paths of one connection a shard remembers that does not own it. A
// browser checks from a handful of candidates; thousands of source ports are an attack (row
// ICE-08), and without a bound for each connection one participant could fill the table for
// all. The path that was not used for longest makes room.
const maxStrange = 32

// maxForeign bounds the paths that one shard remembers for others.
const maxForeign = 65536

// sweepInterval is how often paths of others that nobody used are forgotten.
const sweepInterval = 5 * time.Second

// stranger is a path that this shard has seen a valid check on, of a connection that it
// does not own: nobody's yet, or another shard's.
type stranger struct {
	conn *Conn
	used mono.Time
}

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
	if err != nil {
		s.reply(k, &req, cr, ice.CodeUnknownAttribute)
		return
	}
	req.Generation = cr.generation
	owner, owned := c.owner()
	switch {
	case !owned:
		s.checkUnowned(now, k, &req, c, cr)
	case owner == s.index:
		s.check(now, k, &req, s.live[c.index], cr)
	case owner == nobody:
		s.count.DropUfrag.Inc()
	default:
		s.remember(now, k, c)
		s.forward(k, c, owner, b, true)
	}
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
	out := l.ICE.HandleCheck(now, k, req)
	if out.HasEvicted {
		s.evicted(out.Evicted)
	}
	if out.ErrorCode == 0 {
		s.flows[k] = l.Index
		if st := s.foreign[k]; st != nil {
			s.forget(k, st)
		}
	}
	if out.Selected {
		s.count.PathSwitches.Inc()
	}
	l.handle.retire(l.ICE.Generation())
	s.reply(k, req, cr, out.ErrorCode)
	s.arm(l, l.ICE.Deadline())
}

// checkUnowned answers from the seed alone and remembers the path; the first check that
// nominates makes the connection this shard's.
func (s *shard) checkUnowned(now mono.Time, k flow.Key, req *ice.Request, c *Conn, cr *credentials) {
	if req.Controlled {
		s.reply(k, req, cr, ice.CodeRoleConflict)
		return
	}
	if req.UseCandidate {
		if l := s.adopt(now, k, c); l != nil {
			s.check(now, k, req, l, cr)
			return
		}
		// Another shard was first. The peer repeats the check, which then goes there; until
		// that one has answered, this path is as good as any other that was validated.
	}
	if !s.remember(now, k, c) {
		s.count.DropPaths.Inc()
		return
	}
	s.reply(k, req, cr, 0)
}

func (s *shard) reply(k flow.Key, req *ice.Request, cr *credentials, code int) {
	slot := s.env.Out.Slot()
	if slot == nil {
		s.count.Conn.DropTxFull.Inc()
		return
	}
	var msg []byte
	if code == 0 {
		msg = s.ice.AppendSuccess(slot[:0], req, k, cr.Password)
		s.count.STUNReplies.Inc()
	} else {
		msg = s.ice.AppendError(slot[:0], req, code, cr.Password)
		s.count.STUNErrors.Inc()
	}
	s.env.Out.Commit(len(msg), k, mmsg.Control)
}

// remember keeps a validated path of a connection that this shard does not own. It returns
// false when there are too many.
func (s *shard) remember(now mono.Time, k flow.Key, c *Conn) bool {
	if st := s.foreign[k]; st != nil {
		if st.conn == c {
			st.used = now
			return true
		}
		s.forget(k, st)
	}
	if len(s.strange[c]) >= maxStrange {
		s.forgetOldest(c)
	}
	if len(s.foreign) >= maxForeign {
		return false
	}
	delete(s.flows, k)
	s.foreign[k] = &stranger{conn: c, used: now}
	s.strange[c] = append(s.strange[c], k)
	return true
}

func (s *shard) forget(k flow.Key, st *stranger) {
	delete(s.foreign, k)
	left := s.strange[st.conn]
	if i := slices.Index(left, k); i >= 0 {
		left[i] = left[len(left)-1]
		left = left[:len(left)-1]
	}
	if len(left) == 0 {
		delete(s.strange, st.conn)
		return
	}
	s.strange[st.conn] = left
}

// forgetOldest makes room for another path of a connection that this shard does not own.
func (s *shard) forgetOldest(c *Conn) {
	var oldest flow.Key
	var st *stranger
	for _, k := range s.strange[c] {
		if x := s.foreign[k]; st == nil || x.used < st.used {
			oldest, st = k, x
		}
	}
	s.forget(oldest, st)
	s.count.DropPaths.Inc()
}

// evicted forgets a path that a connection of this shard's has given up for another.
func (s *shard) evicted(k flow.Key) {
	delete(s.flows, k)
	s.count.DropPaths.Inc()
}

// sweep forgets paths of others that have carried nothing for as long as consent lasts.
func (s *shard) sweep(now mono.Time) {
	if now.Sub(s.swept) < sweepInterval {
		return
	}
	s.swept = now
	for k, st := range s.foreign {
		owner, owned := st.conn.owner()
		if now.Sub(st.used) > param.ConsentTimeout || (owned && owner == nobody) {
			s.forget(k, st)
		}
	}
	s.count.Foreign.Set(uint64(len(s.foreign)))
}

// adopt makes the connection this shard's, if nobody was faster, and runs the commands
// that waited for it. k is a validated path.
func (s *shard) adopt(now mono.Time, k flow.Key, c *Conn) *live {
	waiting, won := c.adopt(s.index)
	if !won {
		return nil
	}
	l := &live{Conn: conn.New(c.index, now), handle: c}
	s.live[c.index] = l
	s.count.Adopted.Inc()
	s.count.Connections.Set(s.count.Connections.Load() + 1)
	l.ICE.Validate(now, k)
	s.flows[k] = c.index
	if st := s.foreign[k]; st != nil { // its other paths follow when they are used: see own
		s.forget(k, st)
	}
	for _, cmd := range waiting {
		s.command(now, c, cmd)
	}
	s.rearm(l, l.Deadline())
	return l
}

// validate adds a path that a shard has answered a valid check on.
func (s *shard) validate(now mono.Time, l *live, k flow.Key) {
	if l.ICE.Validated(k) {
		return
	}
	if k, has := l.ICE.Validate(now, k); has {
		s.evicted(k)
	}
	s.flows[k] = l.Index
}

// own returns the connection that a path leads to: one of this shard's, or else a handle
// and its owner (or nobody) to forward to; nothing if no valid check has come by the path.
func (s *shard) own(now mono.Time, k flow.Key) (l *live, c *Conn, owner int, owned bool) {
	if i, ok := s.flows[k]; ok {
		return s.live[i], nil, 0, false
	}
	st := s.foreign[k]
	if st == nil {
		return nil, nil, 0, false
	}
	st.used = now
	owner, owned = st.conn.owner()
	if owned && owner == s.index { // adopted here since, by another path
		l = s.live[st.conn.index]
		s.forget(k, st)
		if l == nil || l.handle != st.conn {
			return nil, nil, 0, false
		}
		s.validate(now, l, k)
		return l, nil, 0, false
	}
	return nil, st.conn, owner, owned
}

// handleDTLS feeds a record to the connection's endpoint. It is accepted from a validated
// path only (rows DTLS-01, ICE-10); the first one adopts.
func (s *shard) handleDTLS(now mono.Time, k flow.Key, b []byte) {
	l, c, owner, owned := s.own(now, k)
	if c != nil && !owned {
		if l = s.adopt(now, k, c); l == nil {
			owner, owned = c.owner()
		}
	}
	if l == nil && owned {
		s.forward(k, c, owner, b, true)
		return
	}
	if l == nil || l.closing {
		s.count.DropPath.Inc()
		return
	}
	s.feed(now, k, l, b)
}

// feed gives one DTLS datagram to the endpoint, which the first one starts.
func (s *shard) feed(now mono.Time, k flow.Key, l *live, b []byte) {
	l.DTLSPath(k)
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
	l, c, owner, owned := s.own(now, k)
	if owned {
		s.forward(k, c, owner, b, true)
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
	if rtp.IsRTCP(b) {
		s.arm(l, l.HandleRTCP(&s.env, now, b))
		return
	}
	s.arm(l, l.HandleRTP(&s.env, now, b))
}

// forward hands a datagram to the shard that owns its connection: the flow has landed here
// because the peer's address changed, or because the peer checks from several. Always
// right, and slower only for those: most calls never come by here, which Roamed shows.
func (s *shard) forward(k flow.Key, c *Conn, owner int, b []byte, valid bool) {
	if owner == nobody {
		s.count.DropPath.Inc()
		return
	}
	ref, ok := s.env.Mag.Get(len(b), packet.Control)
	if !ok {
		s.count.Conn.DropArena.Inc()
		return
	}
	copy(s.env.Arena.Bytes(ref), b)
	s.env.Arena.SetLen(ref, len(b))
	m := media{kind: mediaForward, n: 1, conn: c.index, valid: valid, key: k}
	m.refs[0] = ref
	if !s.plane.shards[owner].media.TryPush(m) {
		s.env.Mag.Release(ref)
		s.count.DropRingForward.Inc()
		return
	}
	s.count.Roamed.Inc()
	s.later(owner)
}

// forwarded takes a datagram that another shard received.
func (s *shard) forwarded(now mono.Time, m *media) {
	ref := m.refs[0]
	defer s.env.Mag.Release(ref)
	l := s.live[m.conn]
	if l == nil || l.closing {
		s.count.DropPath.Inc()
		return
	}
	b := s.env.Arena.Data(ref)
	class := rtp.Classify(b)
	if class == rtp.ClassSTUN {
		req, err := s.ice.Parse(b)
		if err != nil {
			return
		}
		cr := l.handle.match(req.LocalUfrag)
		if cr == nil || !s.ice.Verify(cr.Password) {
			s.count.DropUfrag.Inc()
			return
		}
		req.Generation = cr.generation
		s.check(now, m.key, &req, l, cr)
		return
	}
	if !l.ICE.Validated(m.key) {
		s.paths = l.ICE.Paths(s.paths[:0])
		if !m.valid || len(s.paths) == ice.MaxPaths {
			s.count.DropPath.Inc()
			return
		}
		s.validate(now, l, m.key)
	}
	if class == rtp.ClassDTLS {
		s.feed(now, m.key, l, b)
		return
	}
	s.deliver(now, l, b)
}
