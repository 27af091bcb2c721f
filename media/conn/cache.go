package conn

import (
	"time"

	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// The key frame cache: a viewer who starts is sent the last key frame with all that came after
// it, at once, instead of waiting for the publisher to make another.
//
// What is sent is in the track's retransmission ring, which holds it for longer then (rtx.Ring's
// Hold). The viewer's shard reads it there without a lock, and nobody has to be asked: no answer
// can be lost, and a packet of the replay that the network loses is sent again like any other.
// That the live packets join exactly follows from an order. The publisher's shard puts a packet
// into the ring first and looks afterwards who reads the track; the viewer's shard enters itself
// as a reader first and looks into the ring afterwards. So a packet is in the ring by then, or
// comes by the media lane, or both, and munger gives no number twice. What is still missing
// upstream leaves a gap, which closes like any other when it comes.
//
// Only viewers that start are served so. One that has been sent something of the track cannot
// go back: its numbers and timestamps only grow, so that an older key frame is no beginning for
// it; the same holds for a stream that changes its source (send.Stream's Retarget). What such a
// viewer has lost it asks for by number, and finds for as long as the group is held, be it several
// seconds; beyond that, and for a PLI, its publisher is asked.

// refreshHold is the least time between a key frame and the asking for another only because the
// cache has nothing to begin with: each costs all viewers of the stream some quality.
const refreshHold = 4 * time.Second

// holePatience is for how long a packet that is missing in a group may still come: several
// times the longest that a publisher takes to repeat it. A group with an older hole cannot be
// decoded, and is no start for anybody.
const holePatience = 500 * time.Millisecond

// The pace of a replay. It is given to the pacer bit by bit, so that nothing else waits behind all
// of it, and what the pacer has no bound for is not sent at once either.
const (
	feedPackets  = 32 // that wait at most
	feedInterval = 2 * time.Millisecond

	// feedShard is how many packets of replays all viewers of a shard are given in one interval: a
	// fifth or so of what it can send. When a crowd comes at once, whoever finds nothing left of that
	// waits for a key frame instead, which is then one for all of them.
	feedShard = 256

	// feedUnpaced is how many packets leave at once where there is no pacer. Then freshRate is the
	// rate: without feedback nothing tells what the way takes, and a burst at the rate of the
	// server's own link would be lost in the viewer's.
	feedUnpaced = 8

	// ReplayTime is how long a replay may take. A viewer whose way takes no more than the live
	// packets would never catch up; it goes on with a key frame of its own.
	ReplayTime = 2 * time.Second
)

// replay is what a subscription is being sent of the group that its track's ring holds.
type replay struct {
	next  uint64    // what is next to be sent of it: live packets from here on are left to the replay
	until mono.Time // when it is given up
	over  bool      // something between us and the viewer has refused a packet
	free  mono.Time // without a pacer: when what was sent will have passed, at freshRate
}

// cached takes a packet of video that the ring has taken. One that begins a key frame begins
// the group that is held. When that has been let go, or has grown so old that no viewer is sent
// it any more, another key frame is asked for, so that there is one for whoever comes next.
func (p *publisher) cached(env *Env, now mono.Time, m *packet.Meta) {
	const first = packet.FlagKeyFrame | packet.FlagFrameStart
	if m.Flags&first == first {
		p.ring.Hold(m.Seq, env.Mag)
		p.refreshed = now
		return
	}
	if p.refreshed == mono.Never { // nothing that we know as a key frame has come
		return
	}
	if age := now.Sub(p.refreshed); age >= refreshHold && (age >= env.CacheAge || !p.ring.Holds()) {
		p.refreshed = now
		env.Count.CacheRefreshes.Inc()
		p.ask(now)
	}
}

// replayable returns where the group begins that a viewer can be sent, if there is one: not too
// old, and without a hole that will not be filled any more.
func (e *Env) replayable(now mono.Time, info *router.Info) (uint64, bool) {
	if e.CacheAge == 0 || info.Kind != param.Video || !info.HasRTX {
		return 0, false
	}
	first, ok := e.RTX.Held(info.RTX)
	if !ok || e.since(now, info, first) > e.CacheAge {
		return 0, false
	}
	for seq := first; ; seq++ {
		next, ok := e.RTX.Next(info.RTX, seq)
		if !ok {
			return first, true
		}
		if next != seq && e.since(now, info, next) > holePatience {
			return 0, false
		}
		seq = next
	}
}

// since returns how long ago a packet of a ring came; for ever if it is there no more.
func (e *Env) since(now mono.Time, info *router.Info, seq uint64) time.Duration {
	ref, ok := e.RTX.Get(info.RTX, seq)
	if !ok {
		return 1<<63 - 1
	}
	d := now.Sub(e.Arena.Meta(ref).Arrival)
	e.Mag.Release(ref)
	return d
}

// replay starts the subscription in slot, which is in the fan-out and has been sent nothing yet,
// with what is held of its track. It returns false if that is of no use: the publisher is to be
// asked for a key frame then.
func (c *Conn) replay(env *Env, now mono.Time, slot uint32, s *subscriber) bool {
	if env.feedRoom(now) == 0 { // before all of the ring is looked at, for each of a crowd
		return false
	}
	first, ok := env.replayable(now, &s.info)
	if !ok {
		return false
	}
	env.Count.Replays.Inc()
	s.replay, s.replays = replay{next: first, until: now.Add(ReplayTime)}, true
	c.feed(env, now, slot, s)
	return true
}

// feed goes on with a replay, until it is over or enough of it waits in the pacer.
func (c *Conn) feed(env *Env, now mono.Time, slot uint32, s *subscriber) {
	r, ring := &s.replay, s.info.RTX
	if first, ok := env.RTX.Held(ring); ok && first > r.next {
		// The publisher has made another key frame meanwhile: the viewer is with it sooner. What
		// waits of the group before would be refused, and ask for one.
		r.next = first
		c.forgetPaced(env, slot)
		s.stream.Interrupt()
	} else if env.RTX.Oldest(ring) > r.next || now >= r.until {
		c.abandon(env, s)
		return
	}
	room, most := min(feedPackets, env.feedRoom(now)), router.MaxRun
	if c.out != nil {
		room -= c.out.pace.Len()
	} else {
		most = min(most, feedUnpaced)
	}
	for s.replays && room > 0 && r.free <= now.Add(feedInterval) {
		n, more := c.feedRun(env, now, slot, s, min(room, most))
		s.replays = more && !r.over
		room -= n
		env.feedLeft -= n
	}
	if s.replays {
		c.retry = mono.Earliest(c.retry, max(now, r.free.Add(-2*feedInterval)).Add(feedInterval))
	}
}

// feedRoom returns how many packets of replays the shard may give to viewers before this interval
// ends.
func (e *Env) feedRoom(now mono.Time) int {
	if now.Sub(e.feedSince) >= feedInterval {
		e.feedSince, e.feedLeft = now, feedShard
	}
	return e.feedLeft
}

// feedRun sends up to limit of the packets that are next. It returns how many, and false if the
// ring has no more.
func (c *Conn) feedRun(env *Env, now mono.Time, slot uint32, s *subscriber, limit int) (n int, more bool) {
	r, run := &s.replay, &env.replayed
	run.Track, run.Video, run.Pads, run.N = s.spec.Track, true, [router.MaxRun]uint8{}, 0
	for more = true; more && int(run.N) < limit; {
		var seq uint64
		if seq, more = env.RTX.Next(s.info.RTX, r.next); !more {
			break
		}
		r.next = seq + 1
		if ref, ok := env.RTX.Get(s.info.RTX, seq); ok {
			run.Refs[run.N] = ref
			run.N++
		}
	}
	if run.N == 0 {
		return 0, more
	}
	s.replays = false // so that Send does not leave these to the replay
	packets := env.Resolve(run)
	if c.out == nil {
		r.spend(now, packets)
	}
	c.Send(env, now, slot, packets)
	for _, ref := range run.Refs[:run.N] {
		env.Mag.Release(ref)
	}
	env.Count.ReplayedPackets.Add(uint64(run.N))
	return int(run.N), more
}

// spend notes what leaves without a pacer.
func (r *replay) spend(now mono.Time, packets []Packet) {
	size := 0
	for i := range packets {
		size += len(packets[i].Body) + sealedSize
	}
	r.free = max(r.free, now).Add(time.Duration(uint64(size) * 8 * uint64(time.Second) / freshRate))
}

// abandon gives a replay up: what comes next has gone from the ring, or the viewer does not catch
// up. It goes on with the next key frame.
func (c *Conn) abandon(env *Env, s *subscriber) {
	env.Count.ReplaysGivenUp.Inc()
	s.replays = false
	s.stream.Interrupt()
	env.wantKeyFrame(s.spec.Track)
}

// beside takes live packets while a replay is going on. Those ahead of it are in the ring, and
// it will come to them; one that it has passed came late.
func (c *Conn) beside(env *Env, now mono.Time, slot uint32, s *subscriber, run []Packet) {
	for i := range run {
		if run[i].Meta.Seq < s.replay.next {
			s.replays = false
			c.Send(env, now, slot, run[i:i+1])
			s.replays = !s.replay.over
		}
	}
}
