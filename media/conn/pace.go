package conn

import (
	"time"

	"tsubame/media/pace"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// The rate that packets of a viewer are paced at is the larger of pacedTarget tenths of the
// estimate, which is libwebrtc's pacing factor, and pacedMedia times what is sent on average: the
// media is not shaped here, and a queue that never empties would only be delay. Until both are
// known it is freshRate, so that a new viewer's first key frame is not slowed. The pacer raises it
// when a queue would take longer than pace.MaxWait.
const (
	pacedTarget = 25 // tenths
	pacedMedia  = 2
	freshRate   = 20_000_000 // bit/s
)

// ordinary is for how long what the estimate and the media's rate carry may leave at once: the
// frames of all tracks at 25 frames a second or more. They leave as the runs that they came in,
// so that datagrams of one frame stay neighbours for GSO. What is larger is cut into pieces.
const ordinary = 40 * time.Millisecond

// sealedSize is about what a packet has more than its payload when it leaves.
const sealedSize = 40

// retune tells the pacer what it may let pass, after the estimate or the rate of the media may
// have changed.
func (c *Conn) retune() {
	o := c.out
	target, media := o.est.Target(), c.quality.media
	fresh := !o.fed || !c.quality.rated
	now := tuning{target, media, fresh}
	if now == o.tuned {
		return
	}
	o.tuned = now
	rate := max(target*pacedTarget/10, media*pacedMedia)
	if fresh {
		rate = max(rate, freshRate)
	}
	burst := max(target, media) / 8 * uint64(ordinary) / uint64(time.Second)
	o.pace.SetRate(rate, int(min(burst, 1<<20)))
}

// tuning is what the pacer's rate was made of.
type tuning struct {
	target, media uint64
	fresh         bool
}

// wait makes what the pacer does not let pass wait for its turn: references to the packets, which
// get their numbers and are sealed when they leave. Audio never comes here. The order of a stream
// is kept, since nothing is Free while something waits. What the pacer has no room for pushes out
// the oldest that waits, which leaves ahead of its time.
func (c *Conn) wait(env *Env, now mono.Time, slot uint32, s *subscriber, run []Packet) {
	o := c.out
	before := o.pace.Len()
	for i := range run {
		p := &run[i]
		it := pace.Item{Ref: p.Ref, Slot: uint16(slot), Size: uint16(len(p.Body) + sealedSize), Pad: p.Pad}
		if c.queue(env, now, pace.Media, it) {
			continue
		}
		c.emit(env, now, s, run[i:i+1], nil) // nothing waits, and there is no memory for it to
	}
	c.queued(env, now, before)
}

// queue pushes an item, and takes a reference for it. False: nothing waits and nothing can.
func (c *Conn) queue(env *Env, now mono.Time, lane pace.Lane, it pace.Item) bool {
	o := c.out
	for !o.pace.Push(now, lane, it) {
		early, lane, ok := o.pace.Take()
		if !ok {
			return false
		}
		env.Count.PacedEarly.Inc()
		c.leave(env, now, early, lane)
	}
	env.Arena.Retain(it.Ref, 1)
	env.Count.Paced.Inc()
	return true
}

// queued tells the shard that there is a deadline, if nothing waited before, and notes how long
// the queue is.
func (c *Conn) queued(env *Env, now mono.Time, before int) {
	o := c.out
	if before == 0 && o.pace.Len() > 0 {
		env.Paced = append(env.Paced, c.Index)
	}
	o.longest = max(o.longest, o.pace.Wait(now))
	o.most = max(o.most, o.pace.Len())
}

// release sends what the pacer lets out at now.
func (c *Conn) release(env *Env, now mono.Time) {
	for {
		it, lane, ok := c.out.pace.Next(now)
		if !ok {
			return
		}
		c.leave(env, now, it, lane)
	}
}

// leave sends what has waited, and lets go of it. What a track has left behind that ended
// meanwhile is not sent any more.
func (c *Conn) leave(env *Env, now mono.Time, it pace.Item, lane pace.Lane) {
	switch s := c.subs[it.Slot]; {
	case !s.waiting:
		env.Count.PacedDropped.Inc()
	case lane == pace.Resend:
		c.resendLate(env, now, s, it)
	default:
		one := [1]Packet{env.packet(it.Ref, it.Pad)}
		c.emit(env, now, s, one[:], nil)
	}
	env.Mag.Release(it.Ref)
}

// resendLate sends a retransmission that has waited, unless the viewer knows another packet by
// that number by now, or none.
func (c *Conn) resendLate(env *Env, now mono.Time, s *subscriber, it pace.Item) {
	if orig, ok := s.stream.Original(it.Seq); !ok || orig != env.Arena.Meta(it.Ref).Seq {
		env.Count.PacedDropped.Inc()
		return
	}
	if to, f, ok := c.way(env); ok {
		c.sendAgain(env, now, s, it.Seq, it.Ref, to, f)
	}
}

// forgetPaced lets go of what waits of the stream in slot.
func (c *Conn) forgetPaced(env *Env, slot uint32) {
	if c.out != nil && c.out.pace.Len() > 0 {
		c.out.pace.Drop(uint16(slot), func(it pace.Item) { env.Mag.Release(it.Ref) })
	}
}

// forgetAllPaced lets go of all that waits.
func (c *Conn) forgetAllPaced(env *Env) {
	for {
		it, _, ok := c.out.pace.Take()
		if !ok {
			return
		}
		env.Count.PacedDropped.Inc()
		env.Mag.Release(it.Ref)
	}
}

// Abandon lets go of the packets that wait to be sent, and of what was to be sent as a probe: when
// there will be no path for them, or the shard has stopped and nobody has closed the connection.
func (c *Conn) Abandon(env *Env) {
	if c.out != nil {
		c.forgetAllPaced(env)
		c.out.probing = probing{}
	}
}

// packet returns a packet that is held, as Resolve does.
func (e *Env) packet(ref packet.Ref, pad uint8) Packet {
	p := Packet{Meta: e.Arena.Meta(ref), Body: e.Arena.Payload(ref), Ref: ref, Pad: pad}
	if pad > 0 {
		begin := int(p.Meta.HeaderLen)
		p.Body = e.Arena.Bytes(ref)[begin : begin+len(p.Body)+int(pad)]
	}
	return p
}

// waits reports whether packets of class k may have to wait.
func (c *Conn) waits(k mmsg.Class) bool { return c.out != nil && k == mmsg.Video }
