package edge

import (
	"tsubame/media/conn"
	"tsubame/media/router"
	"tsubame/netio/mono"
)

// route hands the batch's packets on, in runs of one track. Each run goes to this shard's
// sinks directly and, as one entry, into the media lane of every other shard that reads
// the track. The reference that each packet came with is released at the end.
func (s *shard) route(now mono.Time) {
	all := s.env.Routed
	for len(all) > 0 {
		n := 1
		for n < len(all) && n < runLength && all[n].Track == all[0].Track {
			n++
		}
		s.routeRun(now, all[:n])
		all = all[n:]
	}
	s.env.Routed = s.env.Routed[:0]
}

func (s *shard) routeRun(now mono.Time, run []conn.Routed) {
	id := run[0].Track
	tr := s.plane.tracks.Index(id.Index)
	for t := tr.NextReader(0); t >= 0; t = tr.NextReader(t + 1) {
		if t == s.index {
			s.fanOut(now, run)
		} else {
			s.share(tr, t, run)
		}
	}
	for i := range run {
		s.env.Mag.Release(run[i].Ref)
	}
	s.count.Runs.Inc()
	s.count.RunPackets.Add(uint64(len(run)))
}

// share puts a run into another shard's media lane. When that is full the packets are lost
// for its viewers, who need a key frame then.
func (s *shard) share(tr *router.Track, to int, run []conn.Routed) {
	m := media{kind: mediaRun, track: run[0].Track, n: uint8(len(run))}
	for i := range run {
		m.refs[i] = run[i].Ref
		s.env.Arena.Retain(run[i].Ref, 1)
	}
	if s.plane.shards[to].media.TryPush(m) {
		s.later(to)
		return
	}
	for i := range run {
		s.env.Mag.Release(run[i].Ref)
	}
	s.count.DropRingMedia.Add(uint64(len(run)))
	if tr.MarkLossy() {
		s.env.KeyFrames = append(s.env.KeyFrames, run[0].Track)
	}
}

// receive takes an entry of the media lane.
func (s *shard) receive(now mono.Time, m *media) {
	if m.kind == mediaForward {
		s.forwarded(now, m)
		return
	}
	var run [runLength]conn.Routed
	for i, ref := range m.refs[:m.n] {
		run[i] = conn.Routed{Track: m.track, Ref: ref}
	}
	s.fanOut(now, run[:m.n])
	for _, ref := range m.refs[:m.n] {
		s.env.Mag.Release(ref)
	}
}

// fanOut sends a run to this shard's sinks. They take no reference: what they send is
// sealed into the transmit queue before this returns, and a tap takes its own.
func (s *shard) fanOut(now mono.Time, run []conn.Routed) {
	local := s.env.Fanout.Find(run[0].Track)
	if local == nil {
		s.count.DropTrack.Add(uint64(len(run)))
		return
	}
	for _, sink := range local.Sinks {
		if sink.Tap != nil {
			for i := range run {
				sink.Tap.Push(s.env.Arena, s.env.Mag, run[i].Track, run[i].Ref)
			}
			continue
		}
		s.live[sink.Conn].Send(&s.env, now, sink.Slot, run)
	}
}

// askKeyFrames passes the wishes for key frames that this call has gathered on to the
// shards of the publishers: a bit each, so that a thousand viewers ask once.
func (s *shard) askKeyFrames(now mono.Time) {
	for _, id := range s.env.KeyFrames {
		tr := s.plane.tracks.Live(id)
		if tr == nil {
			continue
		}
		if owner := s.plane.tracks.Owner(id.Index); owner != s.index {
			if s.plane.shards[owner].keyFrames.Set(id.Index) {
				s.later(owner)
			}
			continue
		}
		s.keyFrameWanted(now, id.Index)
	}
	s.env.KeyFrames = s.env.KeyFrames[:0]
}

// keyFrameWanted tells the publisher's connection, which asks as often as it may.
func (s *shard) keyFrameWanted(now mono.Time, i uint32) {
	id := s.plane.tracks.ID(i)
	if s.plane.tracks.Live(id) == nil || s.plane.tracks.Owner(i) != s.index {
		return
	}
	info := s.plane.tracks.Index(i).Info()
	if l := s.live[info.Conn]; l != nil && !l.closing {
		s.arm(l, l.KeyFrameWanted(id, info.Slot, now))
	}
}
