package edge

import (
	"errors"
	"runtime"

	"tsubame/media/conn"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/netio/mono"
)

// command does what a control goroutine asked. Commands that come too late, after the
// connection's end, are let go.
func (s *shard) command(now mono.Time, c *Conn, cmd command) {
	if c == nil {
		s.ownCommand(cmd)
		return
	}
	l := s.live[c.index]
	if l == nil || l.handle != c {
		c.discard(cmd)
		return
	}
	if l.closing {
		if cmd.op == opRecords { // the close_notify
			l.SendDTLS(&s.env, cmd.records)
			return
		}
		c.discard(cmd)
		return
	}
	switch cmd.op {
	case opRemote:
		up, err := l.SetRemote(&s.env, now, cmd.remote)
		s.progress(now, l, up, err)
	case opHandshake:
		if cmd.err != nil {
			s.plane.log.Debug("dtls handshake failed", "connection", l.Index, "err", cmd.err)
			s.count.HandshakesFailed.Inc()
			s.end(now, l, ReasonDTLSFailed)
			return
		}
		up, err := l.HandshakeDone(&s.env, now, cmd.result)
		s.progress(now, l, up, err)
	case opRecords:
		l.SendDTLS(&s.env, cmd.records)
	case opDTLSClosed:
		s.end(now, l, ReasonDTLSClosed)
	case opPublish:
		if !l.Publish(&s.env, now, cmd.track, cmd.publish) {
			c.discard(cmd)
			s.count.PublishRefused.Inc()
		}
	case opUnpublish:
		if l.Unpublish(&s.env, cmd.track) {
			s.closeTrack(now, cmd.track)
		}
	case opSubscribe:
		ok, res := l.Subscribe(&s.env, now, cmd.subscribe)
		if !ok {
			s.count.SubscribeRefused.Inc()
		}
		s.settle(res)
		s.arm(l, l.Deadline())
	case opUnsubscribe:
		s.settle(l.Unsubscribe(&s.env, cmd.ssrc))
	case opKeyFrame:
		s.env.KeyFrames = append(s.env.KeyFrames, cmd.track)
	case opClose:
		s.end(now, l, ReasonRequested)
	}
}

// progress follows a step towards establishment.
func (s *shard) progress(now mono.Time, l *live, up bool, err error) {
	switch {
	case errors.Is(err, conn.ErrBadFingerprint):
		s.count.BadFingerprints.Inc()
		s.end(now, l, ReasonBadFingerprint)
	case err != nil:
		s.plane.log.Warn("keys refused", "connection", l.Index, "err", err)
		s.end(now, l, ReasonDTLSFailed)
	case up:
		s.count.Established.Inc()
		s.settleAll(l)
		s.followPath(l)
		l.PublishStats()
		l.handle.established()
		s.arm(l, l.Deadline())
	}
}

// end closes a connection: its tracks, its subscriptions, its paths. What is left lingers
// for its close_notify to go out, and then makes room.
func (s *shard) end(now mono.Time, l *live, reason string) {
	if l.closing {
		return
	}
	l.closing = true
	s.ending, s.results = l.Close(&s.env, s.ending[:0], s.results[:0])
	for _, id := range s.ending {
		s.closeTrack(now, id)
	}
	for _, r := range s.results {
		s.settle(r)
	}
	l.PublishStats()
	l.handle.closed(now, reason)
	s.rearm(l, now.Add(lingerTime))
}

// forget lets go of a closed connection.
func (s *shard) forget(l *live) {
	s.paths = l.ICE.Paths(s.paths[:0])
	for _, k := range s.paths {
		s.unlead(k, l)
		s.plane.streams.hangUp(&k)
	}
	s.timers.Cancel(l.Index)
	s.live[l.Index] = nil
	s.turn.End(l.Index, l.handle.serial)
	s.plane.endRelays(l.handle, s.index)
	s.count.Connections.Set(s.count.Connections.Load() - 1)
	l.PublishStats() // the farewell
	l.handle.disown()
	l.handle.released()
}

// closeTrack is phase one of a track's end: what waits for the rest of its frame goes out,
// and its readers are told.
func (s *shard) closeTrack(now mono.Time, id param.TrackID) {
	s.window.End(id)
	s.release(now)
	tr := s.plane.tracks.Index(id.Index)
	alone := s.plane.tracks.Close(id)
	for t := tr.NextReader(0); t >= 0; t = tr.NextReader(t + 1) {
		s.plane.shards[t].ended.Set(id.Index)
		s.later(t)
	}
	if alone {
		s.reap(id.Index)
	}
}

// trackEnded serves one bit of the ended mailbox: as a reader this shard drops its sinks,
// as the owner it reaps what nobody reads any more.
func (s *shard) trackEnded(i uint32) {
	if s.plane.tracks.Closing(i) {
		var res router.Result
		s.sinks, res = s.env.Fanout.Drop(i, s.sinks[:0])
		for _, sink := range s.sinks {
			if sink.Tap != nil {
				sink.Tap.Detach()
				continue
			}
			if l := s.live[sink.Conn]; l != nil {
				l.Dropped(sink.Slot)
			}
		}
		s.settle(res)
	}
	s.reap(i)
}

// settleAll settles what a connection has left to.
func (s *shard) settleAll(l *live) {
	for _, res := range l.TakeResults() {
		s.settle(res)
	}
}

// settle tells the owner of a track that nobody reads it any more, if it waits for that.
func (s *shard) settle(r router.Result) {
	if r.Last {
		s.plane.shards[r.Owner].ended.Set(r.Track)
		s.later(r.Owner)
	}
}

// reap is phase two: the ring is emptied and the index free for another track.
func (s *shard) reap(i uint32) {
	info, ok := s.plane.tracks.Reap(i, s.index)
	if !ok {
		return
	}
	if info.HasRTX {
		s.plane.rings.Close(info.RTX, s.env.Mag)
	}
	s.plane.tracks.Release(i)
	s.count.TracksReaped.Inc()
}

// shutdown lets go of what is left; the shard's goroutine has ended, and those of all other
// shards too. Control goroutines may still be about to push, and are refused.
func (s *shard) shutdown() {
	s.commands.Close()
	for !s.commands.Drained() {
		c, ok := s.commands.Pop()
		switch {
		case !ok:
			runtime.Gosched() // somebody is in the middle of a push that came before Close
		case c.conn != nil:
			c.conn.discard(c.cmd)
		case c.cmd.tap != nil:
			c.cmd.tap.Detach()
		}
	}
	for {
		m, ok := s.media.Pop()
		if !ok {
			break
		}
		s.drop(&m.run)
	}
	s.window.EndAll()
	for run := s.window.Take(); run != nil; run = s.window.Take() {
		s.drop(run)
	}
	// What follows is there when nobody waited for the connections' end.
	for _, l := range s.live {
		if l == nil {
			continue
		}
		l.Abandon(&s.env)
		l.PublishStats()
		if l.DTLS != nil {
			l.DTLS.Close()
		}
	}
	for i := range uint32(s.plane.tracks.Len()) {
		s.sinks, _ = s.env.Fanout.Drop(i, s.sinks[:0])
		for _, sink := range s.sinks {
			if sink.Tap != nil {
				sink.Tap.Detach()
			}
		}
	}
	s.env.Mag.Drain()
}
