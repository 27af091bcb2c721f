package edge

import (
	"unsafe"

	"tsubame/media/conn"
	"tsubame/media/prefetch"
	"tsubame/media/router"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// route hands the batch's packets on, in runs of one track. Video goes by the frame window,
// unless that is off; audio never waits.
func (s *shard) route(now mono.Time) {
	all := s.env.Routed
	for len(all) > 0 {
		if all[0].Video && !s.window.Off() {
			s.hold(now, &all[0])
			all = all[1:]
			continue
		}
		r := &s.run
		r.Track, r.Video, r.N = all[0].Track, all[0].Video, 0
		for r.N < router.MaxRun && int(r.N) < len(all) && all[r.N].Track == r.Track {
			r.Refs[r.N] = all[r.N].Ref
			r.N++
		}
		s.routeRun(now, r)
		all = all[r.N:]
	}
	s.env.Routed = s.env.Routed[:0]
}

// hold gives a packet to the frame window, and routes what that releases.
func (s *shard) hold(now mono.Time, p *conn.Routed) {
	m := s.env.Arena.Meta(p.Ref)
	s.window.Add(now, &router.Held{
		Track: p.Track, Ref: p.Ref, Timestamp: m.Timestamp, Seq: m.Seq,
		End: m.Flags&(packet.FlagMarker|packet.FlagFrameEnd) != 0,
	})
	s.release(now)
}

// release routes the runs that the frame window has released.
func (s *shard) release(now mono.Time) {
	for run := s.window.Take(); run != nil; run = s.window.Take() {
		s.routeRun(now, run)
	}
}

// routeRun brings a run to everybody: as one entry into the media lane of every other shard
// that reads the track, and to this shard's sinks directly. References are counted once for
// all shards: one for each that gets the run, the one that it came with included.
func (s *shard) routeRun(now mono.Time, run *router.Run) {
	run.Pads = [router.MaxRun]uint8{}
	if run.Video && run.N > 1 && !s.plane.cfg.NoPadding {
		s.env.Equalise(run)
	}
	tr, here := s.plane.tracks.Index(run.Track.Index), false
	s.readers = s.readers[:0]
	for t := tr.NextReader(0); t >= 0; t = tr.NextReader(t + 1) {
		if t == s.index {
			here = true
		} else {
			s.readers = append(s.readers, t)
		}
	}
	if n := len(s.readers); n > 0 {
		for _, ref := range run.Refs[:run.N] {
			s.env.Arena.Retain(ref, n)
		}
		for _, t := range s.readers {
			s.share(tr, t, run)
		}
	}
	s.count.Runs.Inc()
	s.count.RunPackets.Add(uint64(run.N))
	if here {
		s.fanOut(now, run)
	}
	s.drop(run)
}

// share puts a run into another shard's media lane, and a reference of each packet with it.
// When that is full the packets are lost for its viewers, who need a key frame then.
func (s *shard) share(tr *router.Track, to int, run *router.Run) {
	if s.plane.shards[to].media.TryPush(media{kind: mediaRun, run: *run}) {
		s.later(to)
		return
	}
	s.drop(run)
	s.count.DropRingMedia.Add(uint64(run.N))
	if tr.MarkLossy() {
		s.env.KeyFrames = append(s.env.KeyFrames, run.Track)
	}
}

// drop gives back one reference of each packet of a run.
func (s *shard) drop(run *router.Run) {
	for _, ref := range run.Refs[:run.N] {
		s.env.Mag.Release(ref)
	}
}

// receive takes an entry of the media lane.
func (s *shard) receive(now mono.Time, m *media) {
	switch m.kind {
	case mediaForward:
		s.forwarded(now, m)
		return
	case mediaSend:
		s.sendFor(m)
		return
	}
	s.fanOut(now, &m.run)
	s.drop(&m.run)
}

// wakeFirst is how many packets a shard may seal before it wakes the others whom it has given
// the same run: some 30 us. What takes longer they do meanwhile.
const wakeFirst = 64

// fanOut sends a run to this shard's sinks. They take no reference: what they send is
// sealed into the transmit queue before this returns, and a tap takes its own.
func (s *shard) fanOut(now mono.Time, run *router.Run) {
	local := s.env.Fanout.Find(run.Track)
	if local == nil {
		s.count.DropTrack.Add(uint64(run.N))
		return
	}
	if len(local.Sinks)*int(run.N) >= wakeFirst {
		s.wake()
	}
	packets := s.env.Resolve(run)
	if local.Redundancy != nil {
		s.env.AddRedundancy(local.Redundancy, packets)
	}
	many := len(local.Sinks) >= warmFrom
	for i := range local.Sinks {
		if many {
			s.warm(local.Sinks, i)
		}
		sink := &local.Sinks[i]
		if sink.Tap != nil {
			for _, ref := range run.Refs[:run.N] {
				sink.Tap.Push(s.env.Arena, s.env.Mag, run.Track, ref)
			}
			continue
		}
		s.live[sink.Conn].Send(&s.env, now, sink.Slot, packets)
	}
}

// warmFrom is how many sinks a track has to have for their memory to be asked for ahead. In a
// loop that does nothing else 200 sinks stay in the cache from one packet to the next, and
// asking costs 50 ns each for nothing. A server is not such a loop: it slept before the packet,
// others used the cache meanwhile, and asking ahead saves 5 to 15 % of all that 64 or 200
// viewers cost (bench/LOG.md). Of fewer than this the first ones are needed before what was
// asked for can have come.
const warmFrom = 4

// warm asks for the memory of the sinks that come after sink i, each one step further.
func (s *shard) warm(sinks []router.Sink, i int) {
	for step := range conn.WarmSteps + 1 {
		n := i + 1 + step
		if n >= len(sinks) {
			return
		}
		if sinks[n].Tap != nil {
			continue
		}
		l := s.live[sinks[n].Conn]
		if step == conn.WarmSteps {
			prefetch.Line(unsafe.Pointer(l))
			continue
		}
		l.Warm(step, sinks[n].Slot)
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
