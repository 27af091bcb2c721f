package edge

import (
	"time"

	"tsubame/media/conn"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/ring"
	"tsubame/netio/wheel"
	"tsubame/turnsrv"
)

// Budgets of one iteration, so that no mailbox can keep a shard from its sockets.
const (
	controlBudget = 256
	mediaBudget   = 1024
	flagBudget    = 256
	framesBudget  = 512 // of all streams together

	// sendBudget is how many packets the entries of the media lane may become, for all
	// viewers together: some 4 ms of work. The last entry may go beyond it.
	sendBudget = 4096
)

// lingerTime is how long a closed connection stays to send its close_notify.
const lingerTime = 250 * time.Millisecond

// tickInterval is the least time between two turns of one connection's timer.
const tickInterval = time.Millisecond

// media is an entry of a shard's media lane: a run of packets of one track, or one datagram
// of a flow that landed on another shard than the one that owns its connection.
type media struct {
	run  router.Run // of a forwarded datagram: its one buffer
	kind mediaKind
	// Of a forwarded datagram:
	conn    uint32
	serial  uint32    // of the connection: its place may be another's by now
	checked mono.Time // the path's last valid check, on the shard that received this
	key     flow.Key
	mapped  flow.Key // of a check: see ice.Request
	// Of a datagram for a stream: where it goes is key, and
	class mmsg.Class
}

type mediaKind uint8

const (
	mediaRun mediaKind = iota
	mediaForward
	mediaSend // a framed datagram for a stream whose home this shard is
)

// shard is one thread's part of the plane; it implements netio.Handler. Only its own
// goroutine calls it, but for push, tell and the mailboxes themselves.
type shard struct {
	plane *Plane
	index int
	env   conn.Env
	count Counters
	ice   ice.Codec
	turn  *turnsrv.Server

	live    []*live   // by connection index; nil: not owned here
	flows   flowTable // validated paths of connections owned here
	foreign strangers // paths validated here of connections that are not
	swept   mono.Time
	press   [2]press // by socket: IPv6, IPv4
	left    int      // turns that the media lane was left for them
	timers  *wheel.Wheel
	window  *router.Window // packets that wait for the rest of their frame
	wakeSet []bool         // shards to wake at the end of this iteration

	// The mailboxes. Others write, this shard reads.
	waker       *ring.Waker
	commands    *ring.MPSC[control]
	media       *ring.MPSC[media]
	keyFrames   *ring.Flags
	ended       *ring.Flags
	readable    *ring.Flags
	relaysEnded *ring.Flags

	dirty []*link    // streams that something was sent to in this iteration
	dead  []flow.Key // paths over streams that are no more, to be forgotten

	// Scratch, kept to be used again.
	response [turnsrv.MaxResponse]byte
	run      router.Run
	readers  []int
	sinks    []router.Sink
	hints    [hints]hint
	results  []router.Result
	ending   []param.TrackID
	paths    []flow.Key
}

// live is a connection that this shard owns.
type live struct {
	*conn.Conn
	handle  *Conn
	armed   mono.Time     // what the timer is set to
	heard   mono.Time     // the last media or report by one of its paths, authentic or not
	usual   time.Duration // between the last word of it and a check
	closing bool          // closed; stays until armed to send its close_notify
	parked  bool          // its DTLS endpoint is, or never will be

	lapsed   bool      // consent to send is lost, and until
	graceEnd mono.Time // a check may bring it back
}

func newShard(p *Plane, index, shards int, waker *ring.Waker, now mono.Time) *shard {
	s := &shard{
		plane: p, index: index, waker: waker,
		live:        make([]*live, len(p.slots)),
		flows:       newFlowTable(),
		foreign:     newStrangers(),
		timers:      wheel.New(now, len(p.slots)),
		wakeSet:     make([]bool, shards),
		commands:    ring.NewMPSC[control](p.cfg.ControlLane),
		media:       ring.NewMPSC[media](p.cfg.MediaLane),
		keyFrames:   ring.NewFlags(p.tracks.Len()),
		ended:       ring.NewFlags(p.tracks.Len()),
		readable:    ring.NewFlags(len(p.streams.links)),
		relaysEnded: ring.NewFlags(len(p.slots)),
	}
	s.turn = turnsrv.NewServer(p.cfg.Turn, s.lookup)
	s.turn.Ended = s.unprove
	s.window = router.NewWindow(p.tracks.Len(), p.cfg.FrameWindow, &s.count.Window)
	s.env = conn.Env{
		Shard: index, Arena: p.arena, Mag: p.arena.Magazine(), RTX: p.rings,
		Tracks: p.tracks, Fanout: router.NewFanout(index, p.tracks), Count: &s.count.Conn,
		CacheAge: p.cfg.CacheAge,
	}
	return s
}

// push brings a command; it waits for room and returns false once the shard has stopped.
func (s *shard) push(c control) bool {
	if !s.commands.Push(c) {
		return false
	}
	s.waker.Wake()
	return true
}

// begin prepares for one of the Handler's calls.
func (s *shard) begin(now mono.Time, out *mmsg.TxQueue) {
	if s.env.Out != out {
		s.env.Out = out
		out.SetStreams(s.toStream)
	}
	s.env.NTP = netio.NTP(now)
}

// HandleBatch takes what a socket has received. Packets are decrypted one by one and routed
// afterwards, in runs of one track.
func (s *shard) HandleBatch(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
	s.begin(now, out)
	p := s.pressOf(now, in)
	many := in.Len() >= aheadFrom && s.flows.len() >= aheadPaths
	if many {
		for i := -aheadSteps; i < 0; i++ {
			s.ahead(in, i, p.behind())
		}
	}
	for i := range in.Len() {
		if many {
			s.ahead(in, i, p.behind())
		}
		b := in.Packet(i)
		if p.behind() && p.drops(b) {
			s.count.DropFeedback.Inc()
			continue
		}
		s.datagram(now, in.Key(i), b)
	}
	s.finish(now)
}

// datagram tells the protocols apart by the first byte (RFC 7983).
func (s *shard) datagram(now mono.Time, k flow.Key, b []byte) {
	switch rtp.Classify(b) {
	case rtp.ClassSTUN:
		if turnsrv.Is(b) {
			s.handleTURN(now, k, b)
			return
		}
		s.handleSTUN(now, k, b)
	case rtp.ClassDTLS:
		s.handleDTLS(now, k, b)
	case rtp.ClassRTP:
		s.handleMedia(now, k, b)
	case rtp.ClassChannelData:
		s.handleChannelData(now, k, b)
	default:
		s.count.DropUnknown.Inc()
	}
}

// finish routes what was decrypted, passes on what is wanted of publishers and wakes the
// shards that were given something: each once.
func (s *shard) finish(now mono.Time) {
	s.route(now)
	s.forgetDead(now)
	s.askKeyFrames(now)
	s.armPaced()
	s.wake()
}

// armPaced sets the timers of the connections in which something has begun to wait for its turn.
func (s *shard) armPaced() {
	for _, i := range s.env.Paced {
		if l := s.live[i]; l != nil {
			s.arm(l, l.Deadline())
		}
	}
	s.env.Paced = s.env.Paced[:0]
}

// wake wakes the shards that were given something.
func (s *shard) wake() {
	for i, wake := range s.wakeSet {
		if wake {
			s.wakeSet[i] = false
			s.plane.shards[i].waker.Wake()
		}
	}
}

// HandleMessages drains the mailboxes, each up to its budget.
func (s *shard) HandleMessages(now mono.Time, out *mmsg.TxQueue) (more bool) {
	s.begin(now, out)
	for range controlBudget {
		c, ok := s.commands.Pop()
		if !ok {
			break
		}
		s.command(now, c.conn, c.cmd)
	}
	enough, entries := s.count.Conn.RTPOut.Load()+sendBudget, mediaBudget
	if s.leaveLane(now) {
		entries = 0
	}
	for range entries {
		if s.count.Conn.RTPOut.Load() >= enough {
			break
		}
		m, ok := s.media.Pop()
		if !ok {
			break
		}
		s.receive(now, &m)
	}
	for frames := 0; frames < framesBudget; {
		i, ok := s.readable.Next()
		if !ok {
			break
		}
		frames += 1 + s.readStream(now, i)
	}
	for range flagBudget {
		i, ok := s.relaysEnded.Next()
		if !ok {
			break
		}
		s.relayEnded(i)
	}
	for range flagBudget {
		i, ok := s.keyFrames.Next()
		if !ok {
			break
		}
		s.keyFrameWanted(now, i)
	}
	for range flagBudget {
		i, ok := s.ended.Next()
		if !ok {
			break
		}
		s.trackEnded(i)
	}
	s.finish(now)
	s.count.MediaDepth.Set(uint64(s.media.Len()))
	return s.Pending()
}

// Pending reports whether a mailbox has something.
func (s *shard) Pending() bool {
	return !s.commands.Empty() || !s.media.Empty() || !s.keyFrames.Empty() || !s.ended.Empty() ||
		!s.readable.Empty() || !s.relaysEnded.Empty()
}

// HandleTimers serves the connections and the frames whose time has come.
func (s *shard) HandleTimers(now mono.Time, out *mmsg.TxQueue) mono.Time {
	s.begin(now, out)
	for {
		i, ok := s.timers.Expire(now)
		if !ok {
			break
		}
		l := s.live[i]
		if l == nil {
			continue
		}
		l.armed = mono.Never
		switch {
		case l.closing:
			s.forget(l)
		case !l.Tick(&s.env, now):
			s.consentLost(now, l)
		default:
			s.watch(now, l)
			s.settleAll(l)
			s.followPath(l)
			// What could not be done now (no path, no room) is not tried again at once.
			s.rearm(l, max(l.Deadline(), now.Add(tickInterval)))
		}
	}
	s.window.Expire(now)
	s.release(now)
	s.finish(now)
	s.sweep(now)
	if s.turn.Deadline().Due(now) {
		s.turn.Expire(now)
	}
	s.flushStreams()
	next := mono.Earliest(mono.Earliest(s.timers.Next(), s.window.Deadline()), s.turn.Deadline())
	if len(s.foreign.paths) > 0 {
		next = mono.Earliest(next, s.swept.Add(sweepInterval))
	}
	return next
}

// arm makes sure that the connection's timer fires at or before at.
func (s *shard) arm(l *live, at mono.Time) {
	if at == mono.Never || l.closing || (l.armed != mono.Never && l.armed <= at) {
		return
	}
	s.rearm(l, at)
}

func (s *shard) rearm(l *live, at mono.Time) {
	l.armed = at
	s.timers.Set(l.Index, at)
}

// later notes that another shard has to be woken when this iteration ends, or before this
// one does something that takes long.
func (s *shard) later(shard int) { s.wakeSet[shard] = true }
