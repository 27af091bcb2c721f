package edge

import (
	"sync/atomic"

	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
	"tsubame/netio/steer"
	"tsubame/netio/stream"
	"tsubame/turnsrv"
)

// Streams are TCP and TLS connections that carry TURN or ICE (package stream). Each has a home,
// the shard that a datagram from the same address and port would land on, which alone takes
// frames from it and sends frames into it; so their paths are in no way different from those
// of UDP. A connection that another shard owns is sent to through the home's media lane.

// streamBudget is how many frames of one stream a shard takes before it looks at the others.
const streamBudget = 64

// pipe is what a shard wants of a stream: *stream.Stream.
type pipe interface {
	Next() (frame []byte, ok bool)
	Release()
	Send(c mmsg.Class, frame []byte) bool
	Flush()
	Prove()
	Unprove()
	Close()
}

// link is a stream in its place of the table.
type link struct {
	pipe
	key  flow.Key // with a Via that is not relayed
	tls  bool
	home int

	over  atomic.Bool // no frame comes any more beyond those that wait
	lossy atomic.Bool // video from another shard was refused since that one asked last

	dirty  bool // home: in its list
	proven bool // home: the peer has shown credentials
}

// carries reports whether path k goes over the stream. Places are used again, so that a path
// that somebody still remembers may name the place of a stream of another client.
func (l *link) carries(k *flow.Key) bool {
	return l.key.Local == k.Local && l.key.Remote == k.Remote && l.key.Port == k.Port && l.key.Via == k.Via.Unwrapped()
}

// streams is the table of all of them.
type streams struct {
	links []atomic.Pointer[link] // by place
	free  *ring.IndexPool
}

func newStreams(n int) streams {
	return streams{links: make([]atomic.Pointer[link], n), free: ring.NewIndexPool(n)}
}

// at returns the stream that path k goes over, or nil when that is no more.
func (t *streams) at(k *flow.Key) *link {
	i := int(k.Via.Stream())
	if i >= len(t.links) {
		return nil
	}
	if l := t.links[i].Load(); l != nil && l.carries(k) {
		return l
	}
	return nil
}

// hangUp ends the stream that path k goes over, if it goes over one: its connection is no more,
// and it can have no other.
func (t *streams) hangUp(k *flow.Key) {
	if !k.Via.IsStream() {
		return
	}
	if l := t.at(k); l != nil {
		l.Close()
	}
}

// close ends all of them; what was flushed still goes out.
func (t *streams) close() {
	for i := range t.links {
		if l := t.links[i].Load(); l != nil {
			l.Close()
		}
	}
}

// Streams returns what streams are to be given to. At the bound, Config.MaxStreams, one more is
// refused. The plane closes those that are there when it is closed.
func (p *Plane) Streams() stream.Sink { return sink{p} }

// sink is the plane as package stream sees it. Its methods are called by readers.
type sink struct{ p *Plane }

func (k sink) Open(s *stream.Stream) bool {
	if k.p.ended.Load() {
		return false
	}
	place, ok := k.p.streams.free.Get()
	if !ok {
		return false
	}
	s.SetPlace(place)
	k.p.openStream(place, s, s.Key(), s.Info().TLS)
	return true
}

func (k sink) Ready(s *stream.Stream) { k.p.streamReady(s.Via().Stream()) }

func (k sink) Gone(s *stream.Stream) { k.p.streamOver(s.Via().Stream()) }

// openStream puts a stream into its place.
func (p *Plane) openStream(place uint32, s pipe, k flow.Key, tls bool) {
	p.streams.links[place].Store(&link{pipe: s, key: k, tls: tls, home: steer.ShardOfKey(k, len(p.shards))})
	if p.ended.Load() {
		s.Close() // Close may have passed this place by already
	}
}

// streamReady says that frames wait.
func (p *Plane) streamReady(place uint32) { p.flag(place, p.streams.links[place].Load()) }

// streamOver says that no more come. The home may have its flag of an earlier frame yet, and let
// go of the link as soon as it can see that it is over: here it is not looked up again.
func (p *Plane) streamOver(place uint32) {
	l := p.streams.links[place].Load()
	l.over.Store(true)
	p.flag(place, l)
}

// flag flags a stream in its home, and wakes that.
func (p *Plane) flag(place uint32, l *link) {
	home := p.shards[l.home]
	home.readable.Set(place)
	home.waker.Wake()
}

// prove notes that who is at the other end of stream k, whose home this is, has shown
// credentials.
func (s *shard) prove(k *flow.Key) {
	if l := s.plane.streams.at(k); l != nil && !l.proven {
		l.proven = true
		l.Prove()
	}
}

// readStream takes frames that wait in a stream, and returns how many.
func (s *shard) readStream(now mono.Time, place uint32) (frames int) {
	l := s.plane.streams.links[place].Load()
	if l == nil {
		return 0
	}
	defer s.route(now)
	over := l.over.Load() // before the last frame is looked for
	for ; frames < streamBudget; frames++ {
		b, ok := l.Next()
		if !ok {
			if over {
				s.streamEnded(now, place, l)
			}
			return frames
		}
		s.traffic(l).in(len(b))
		s.frame(now, l, b)
		l.Release()
	}
	s.readable.Set(place) // nobody says so again
	return frames
}

// frame handles one frame.
func (s *shard) frame(now mono.Time, l *link, b []byte) {
	if l.key.Via.Carrier() == flow.FramedStream {
		s.inner(now, l.key, b)
		return
	}
	switch {
	case rtp.Classify(b) == rtp.ClassChannelData:
		s.handleChannelData(now, l.key, b)
	case turnsrv.Is(b):
		s.handleTURN(now, l.key, b)
	default:
		s.count.DropUnknown.Inc()
	}
}

// traffic returns the counters of what carries a stream.
func (s *shard) traffic(l *link) *Traffic {
	switch {
	case l.key.Via.Carrier() == flow.FramedStream:
		return &s.count.IceTCP
	case l.tls:
		return &s.count.TurnTLS
	}
	return &s.count.TurnTCP
}

// streamEnded lets go of a stream that is over: its allocation ends, and so do the paths of this
// shard's connections that went over it. Others find out when they send.
func (s *shard) streamEnded(now mono.Time, place uint32, l *link) {
	s.plane.streams.links[place].Store(nil)
	s.plane.streams.free.Put(place)
	if l.key.Via.Carrier() == flow.FramedStream {
		s.forgetPath(now, l.key)
		return
	}
	s.turn.StreamClosed(l.key)
	k := l.key
	for allocation := range flow.MaxAllocations {
		for peer := range flow.MaxPeers {
			k.Via = l.key.Via.Relayed(allocation, peer)
			s.forgetPath(now, k)
		}
	}
}

// forgetPath takes a path from whoever has it.
func (s *shard) forgetPath(now mono.Time, k flow.Key) {
	s.foreign.remove(k)
	i, ok := s.flows.get(&k)
	if !ok {
		return
	}
	s.flows.remove(&k)
	l := s.live[i]
	l.Forget(now, k)
	s.followPath(l)
	s.arm(l, l.Deadline())
}

// forgetDead forgets the paths over streams that had gone when they were sent on.
func (s *shard) forgetDead(now mono.Time) {
	for _, k := range s.dead {
		s.forgetPath(now, k)
	}
	s.dead = s.dead[:0]
}

// maxDead is how many paths wait to be forgotten; those beyond are found dead again.
const maxDead = 64

// toStream is what the transmit queue does with a datagram for a stream.
func (s *shard) toStream(to flow.Key, c mmsg.Class, b []byte) bool {
	l := s.plane.streams.at(&to)
	if l == nil {
		s.count.DropStreamGone.Inc()
		if n := len(s.dead); n < maxDead && (n == 0 || s.dead[n-1] != to) {
			s.dead = append(s.dead, to)
		}
		return false
	}
	if l.home != s.index {
		return s.sendThere(l, to, c, b)
	}
	return s.write(l, c, b)
}

// write gives a frame to a stream whose home this is.
func (s *shard) write(l *link, c mmsg.Class, b []byte) bool {
	if !l.Send(c, b) {
		switch c {
		case mmsg.Video:
			s.count.DropStreamVideo.Inc()
		case mmsg.Audio:
			s.count.DropStreamAudio.Inc()
		default:
			s.count.DropStreamControl.Inc()
		}
		return false
	}
	s.traffic(l).out(len(b))
	if !l.dirty {
		l.dirty = true
		s.dirty = append(s.dirty, l)
	}
	return true
}

// flushStreams hands what was written in this iteration to the streams' writers.
func (s *shard) flushStreams() {
	for i, l := range s.dirty {
		l.dirty = false
		l.Flush()
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[:0]
}

// sendThere hands a frame to the stream's home. Of the lane video may have only half, as in
// forward. What the home's stream refuses is known too late for this datagram, so that the next
// one that is video is refused instead.
func (s *shard) sendThere(l *link, to flow.Key, c mmsg.Class, b []byte) bool {
	lane := s.plane.shards[l.home].media
	priority, room := packet.Control, lane.Cap()
	switch c {
	case mmsg.Video:
		priority, room = packet.Video, lane.Cap()/2
		if l.lossy.Load() && l.lossy.Swap(false) {
			return false
		}
	case mmsg.Audio:
		priority = packet.Audio
	}
	if lane.Len() >= room {
		s.count.DropRingStream.Inc()
		return false
	}
	ref, ok := s.env.Mag.Get(len(b), priority)
	if !ok {
		s.count.Conn.DropArena.Inc()
		return false
	}
	copy(s.env.Arena.Bytes(ref), b)
	s.env.Arena.SetLen(ref, len(b))
	m := media{kind: mediaSend, run: router.Run{N: 1}, key: to, class: c}
	m.run.Refs[0] = ref
	if !lane.TryPush(m) {
		s.env.Mag.Release(ref)
		s.count.DropRingStream.Inc()
		return false
	}
	s.later(l.home)
	return true
}

// sendFor sends what another shard has sent here for one of this one's streams.
func (s *shard) sendFor(m *media) {
	ref := m.run.Refs[0]
	if l := s.plane.streams.at(&m.key); l == nil {
		s.count.DropStreamGone.Inc()
	} else if !s.write(l, m.class, s.env.Arena.Data(ref)) && m.class == mmsg.Video {
		l.lossy.Store(true)
	}
	s.env.Mag.Release(ref)
}
