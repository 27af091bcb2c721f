package edge

import (
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// forward hands a datagram to the shard that owns its connection: the flow has landed here
// because the peer's address changed, or because the peer checks from several. Always
// right, and slower only for those: most calls never come by here, which Roamed shows.
//
// Nothing has been decrypted yet, so audio is not told from video here: all RTP counts as
// video, that is as what goes first when there is no room; and of the lane it may have only
// half, so that no peer's roaming costs the owner's viewers their media.
//
// mapped goes with a check, and is nil otherwise: only this shard knows what a relay's client
// has to be told.
func (s *shard) forward(now mono.Time, k flow.Key, st *stranger, mapped *flow.Key, b []byte) {
	owner, owned := st.conn.owner()
	if !owned || owner == nobody {
		s.count.DropPath.Inc()
		return
	}
	lane := s.plane.shards[owner].media
	kind, priority, room := param.Audio, packet.Control, lane.Cap()
	if rtp.Classify(b) == rtp.ClassRTP && !rtp.IsRTCP(b) {
		kind, priority, room = param.Video, packet.Video, lane.Cap()/2
	}
	if !st.policer.Allow(now, len(b), kind) {
		s.count.Conn.DropPolicer.Inc()
		return
	}
	if lane.Len() >= room {
		s.count.DropRingForward.Inc()
		return
	}
	ref, ok := s.env.Mag.Get(len(b), priority)
	if !ok {
		s.count.Conn.DropArena.Inc()
		return
	}
	copy(s.env.Arena.Bytes(ref), b)
	s.env.Arena.SetLen(ref, len(b))
	m := media{
		kind: mediaForward, run: router.Run{N: 1},
		conn: st.conn.index, serial: st.conn.serial, checked: st.checked, key: k,
	}
	if mapped != nil {
		m.mapped = *mapped
	}
	m.run.Refs[0] = ref
	if !lane.TryPush(m) {
		s.env.Mag.Release(ref)
		s.count.DropRingForward.Inc()
		return
	}
	s.count.Roamed.Inc()
	s.later(owner)
}

// forwarded takes a datagram that another shard received. The connection may have ended
// while it was on its way, and its place may be another's.
func (s *shard) forwarded(now mono.Time, m *media) {
	ref := m.run.Refs[0]
	if l := s.live[m.conn]; l != nil && l.handle.serial == m.serial && !l.closing {
		s.arrived(now, l, m, s.env.Arena.Data(ref))
	} else {
		s.count.DropPath.Inc()
	}
	s.env.Mag.Release(ref)
}

// arrived handles a forwarded datagram as if it had come to this shard's own sockets.
func (s *shard) arrived(now mono.Time, l *live, m *media, b []byte) {
	class := rtp.Classify(b)
	if class == rtp.ClassSTUN {
		s.checkArrived(now, l, m, b)
		return
	}
	if !l.ICE.Validated(m.key) {
		// The check went to the other shard before this one owned the connection. If all
		// places are taken, others have come since, and this one was pushed out.
		s.paths = l.ICE.Paths(s.paths[:0])
		if !consented(now, m.checked) || len(s.paths) == ice.MaxPaths {
			s.count.DropPath.Inc()
			return
		}
		s.validate(m.checked, m.key, l)
	}
	if class == rtp.ClassDTLS {
		s.feed(m.key, l, b)
		return
	}
	s.deliver(now, l, b)
}

// checkArrived reads a check once more, whose views did not travel with it. What does not
// verify any longer was overtaken by a nomination under newer credentials.
func (s *shard) checkArrived(now mono.Time, l *live, m *media, b []byte) {
	req, err := s.ice.Parse(b)
	if err != nil {
		s.count.stunError(err)
		return
	}
	cr := l.handle.match(req.LocalUfrag)
	if cr == nil {
		s.count.DropUfrag.Inc()
		return
	}
	if !s.ice.Verify(cr.Password) {
		s.count.DropIntegrity.Inc()
		return
	}
	req.Generation, req.Mapped = cr.generation, m.mapped
	s.check(now, m.key, &req, l, cr)
}

// consented says whether a path that was checked then may still carry media.
func consented(now, checked mono.Time) bool { return now.Sub(checked) < param.ConsentTimeout }
