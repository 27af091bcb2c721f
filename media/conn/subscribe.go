package conn

import (
	"time"

	"tsubame/media/pace"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/media/rtp"
	"tsubame/media/send"
	"tsubame/media/srtp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// subscriber is one track that we send to the peer. What Send touches for every packet stands
// in front, and ends within the stream: three cache lines (a test says so).
type subscriber struct {
	sealer  *srtp.Stream
	class   mmsg.Class
	waiting bool // in the fan-out
	pending bool // the track is about to be published: see activate
	red     redViewer
	wide    bool // its packets have transport-wide sequence numbers
	replays bool // what is held of the track is being sent: see cache.go
	stream  send.Stream

	replay replay
	spec   param.Subscribe
	rtx    *srtp.Stream // nil: no RTX was negotiated
	info   router.Info
	shared *router.Track
	keyed  uint64 // Meta.Seq of the last packet sent that begins a key frame; 0: none
	jam    jam
	calm   uint8 // reports in a row of little loss: see redViewer
}

// retryInterval is how soon a subscription looks again for a track that is not there yet.
const retryInterval = 10 * time.Millisecond

// Subscribe makes the peer a receiver of a track: at once when the connection is
// established, else when it will be. It returns false when there is no room or one of the
// SSRCs is taken.
func (c *Conn) Subscribe(env *Env, now mono.Time, spec *param.Subscribe) (bool, router.Result) {
	if _, taken := c.bySSRC[spec.SSRC]; taken || spec.SSRC == 0 {
		return false, router.Result{}
	}
	if _, taken := c.bySSRC[spec.RTXSSRC]; taken && spec.RTXSSRC != 0 {
		return false, router.Result{}
	}
	slot := -1
	for i, s := range c.subs {
		if s == nil {
			slot = i
			break
		}
	}
	if slot < 0 {
		if len(c.subs) >= param.MaxSubscribe {
			return false, router.Result{}
		}
		c.subs = append(c.subs, nil)
		slot = len(c.subs) - 1
	}
	s := &subscriber{spec: *spec, class: mmsg.Video}
	if spec.Kind == param.Audio {
		s.class = mmsg.Audio
	}
	s.stream.Init(*spec, env.random(), env.random())
	s.stream.Borrow(&env.Lent)
	s.red.begin(spec.REDType, spec.PayloadType)
	s.wide = s.stream.TransportWide()
	if s.wide && spec.Feedback.TransportCC {
		c.estimate(env, now)
	}
	c.subs[slot] = s
	c.bySSRC[spec.SSRC] = uint32(slot)
	if spec.RTXSSRC != 0 {
		c.bySSRC[spec.RTXSSRC] = uint32(slot)
	}
	c.reduced = c.reduced || spec.ReducedSize
	if c.session == nil {
		return true, router.Result{}
	}
	return true, c.activate(env, now, uint32(slot), s)
}

// activate puts a subscription into the fan-out, now that there are keys to send under,
// and asks for the key frame that every new viewer needs. A track that has been named but
// is still on its way to its publisher's shard is looked for again a little later, so that
// nobody has to wait for one shard before telling another.
func (c *Conn) activate(env *Env, now mono.Time, slot uint32, s *subscriber) router.Result {
	if s.sealer == nil {
		if s.sealer = c.sealer(s.spec.SSRC); s.sealer == nil {
			env.Count.DropSeal.Inc()
			return router.Result{}
		}
		if s.spec.RTXSSRC != 0 && s.spec.RTXType != 0 {
			s.rtx = c.sealer(s.spec.RTXSSRC)
		}
	}
	s.pending = env.Tracks.Reserved(s.spec.Track)
	if s.pending {
		c.retry = mono.Earliest(c.retry, now.Add(retryInterval))
		return router.Result{}
	}
	info, ok, res := env.Fanout.Add(s.spec.Track, router.Sink{Conn: c.Index, Slot: slot})
	if !ok {
		return res // the track ended meanwhile: signaling will say so
	}
	s.info, s.waiting = info, true
	if s.red.payloadType != 0 {
		env.remember(s.spec.Track)
	}
	s.shared = env.Tracks.Index(s.spec.Track.Index)
	if s.spec.Kind == param.Video && !c.replay(env, now, slot, s) {
		env.wantKeyFrame(s.spec.Track)
	}
	return res
}

// retryPending looks again for the tracks that were not there yet, and goes on with replays.
func (c *Conn) retryPending(env *Env, now mono.Time) {
	c.retry = mono.Never
	for slot, s := range c.subs {
		switch {
		case s == nil:
		case s.pending:
			if res := c.activate(env, now, uint32(slot), s); res.Last {
				c.results = append(c.results, res)
			}
		case s.replays:
			c.feed(env, now, uint32(slot), s)
		}
	}
}

// sealer returns a stream to seal under ssrc, which must not have sent in this connection
// before: its numbers begin anew, and none may be sealed twice. nil: it has.
func (c *Conn) sealer(ssrc uint32) *srtp.Stream {
	st := c.session.AddStream(ssrc)
	if st != nil && st.Next() != 0 {
		c.session.RemoveStream(st)
		return nil
	}
	return st
}

// Unsubscribe ends the subscription with that SSRC.
func (c *Conn) Unsubscribe(env *Env, ssrc uint32) router.Result {
	slot, ok := c.bySSRC[ssrc]
	if !ok {
		return router.Result{}
	}
	return c.detach(env, slot, c.subs[slot])
}

// Dropped tells the connection that the track of the subscription in slot is gone and that
// the fan-out has forgotten it; the subscription itself ends when signaling says so.
func (c *Conn) Dropped(slot uint32) {
	if int(slot) < len(c.subs) && c.subs[slot] != nil {
		c.subs[slot].waiting, c.subs[slot].shared, c.subs[slot].replays = false, nil, false
	}
}

func (c *Conn) detach(env *Env, slot uint32, s *subscriber) router.Result {
	c.forgetPaced(env, slot)
	c.quality.ended(s)
	s.stream.Close()
	c.subs[slot] = nil
	delete(c.bySSRC, s.spec.SSRC)
	if s.spec.RTXSSRC != 0 {
		delete(c.bySSRC, s.spec.RTXSSRC)
	}
	if c.session != nil {
		if s.sealer != nil {
			c.session.RemoveStream(s.sealer)
		}
		if s.rtx != nil {
			c.session.RemoveStream(s.rtx)
		}
	}
	if !s.waiting {
		return router.Result{}
	}
	return env.Fanout.Remove(s.spec.Track, router.Sink{Conn: c.Index, Slot: slot})
}

// Send rewrites, seals and queues a run of packets of one track for the subscription in
// slot. The packets stay the caller's and are not changed. Video beyond what the way to the peer
// takes at once waits for its turn: see wait.
func (c *Conn) Send(env *Env, now mono.Time, slot uint32, run []Packet) {
	s := c.subs[slot]
	if s.replays {
		c.beside(env, now, slot, s, run)
		return
	}
	if !c.waits(s.class) {
		c.emit(env, now, s, run, nil)
		return
	}
	if n := c.emit(env, now, s, run, &c.out.pace); n < len(run) {
		c.wait(env, now, slot, s, run[n:])
	}
}

// emit sends packets of a run now, all of them or, if p is not nil, as many as it lets pass. It
// returns how many of the run it is done with.
func (c *Conn) emit(env *Env, now mono.Time, s *subscriber, run []Packet, p *pace.Pacer) (done int) {
	to, ok := c.SendPath()
	var f Frame
	if ok && to.Via != 0 {
		f, ok = env.Frame(c.Book, to)
	}
	if !ok {
		env.Count.DropNoPath.Add(uint64(len(run)))
		return len(run)
	}
	c.relayed = f.head != 0
	stream := to.Via.IsStream()
	var sent, size, framed uint64 // counters cost an atomic store each: once a run
	done = len(run)
	for i := range run {
		if p != nil && !p.Free(now) {
			done = i
			break
		}
		m, pad := run[i].Meta, run[i].Pad
		if len(run[i].Body) == 0 && s.stream.Skip(m) {
			continue // a probe of the publisher's: its gap is closed
		}
		waited := s.stream.Waiting()
		if waited && !s.mayAsk(now) && m.Flags&packet.FlagKeyFrame == 0 {
			c.notSent(env, now, s) // nobody has been asked for a key frame, so that none is overdue
			continue
		}
		out, ok := s.stream.Munge(m)
		if !ok {
			c.notSent(env, now, s)
			continue
		}
		if m.Flags&packet.FlagKeyFrame != 0 {
			s.keyed = m.Seq
		} else if waited && s.spec.Kind == param.Video {
			env.Count.BlindStarts.Inc()
		}
		slot := env.Out.Slot()
		if slot == nil {
			env.Count.DropTxFull.Inc()
			continue
		}
		buf := slot[f.head:]
		h := s.stream.PutHeader(buf, m, out, now, env.NTP, c.twccOut)
		if pad > 0 {
			rtp.SetPadded(buf)
		}
		body := run[i].Body
		if run[i].red != nil {
			body = s.red.wrap(env, &run[i], buf)
		}
		n, err := c.session.SealRTP(buf, h, body, s.sealer, out.Index)
		if err != nil {
			env.Count.DropSeal.Inc()
			continue
		}
		if s.wide {
			c.numbered(now, n)
		}
		s.stream.Sent(n - int(pad))
		sealed := n
		if f.head != 0 {
			n = f.Close(slot, n)
		}
		if !env.Out.Commit(n, to, s.class) {
			c.tallies.unsent.add(sealed)
			s.interrupted(env, now)
			continue
		}
		if stream {
			s.jam.took(uint16(out.Index))
		}
		sent, size, framed = sent+1, size+uint64(sealed), framed+uint64(n)
	}
	c.relayedBy(&f, sent)
	if f.head != 0 && !stream {
		env.Count.TurnUDPOut.Add(sent)
		env.Count.TurnUDPOutBytes.Add(framed)
	}
	env.Count.RTPOut.Add(sent)
	env.Count.RTPOutBytes.Add(size)
	return done
}

// notSent counts a packet that the munger has no number for: the viewer waits for a key
// frame, or the packet comes too late for it.
func (c *Conn) notSent(env *Env, now mono.Time, s *subscriber) {
	if !s.stream.Waiting() {
		env.Count.DropLate.Inc()
		return
	}
	env.Count.DropNotReady.Inc()
	if s.spec.Kind == param.Video && s.mayAsk(now) {
		env.wantKeyFrame(s.spec.Track)
	}
}

// Subscriptions returns how many tracks the peer is sent, or will be once established.
func (c *Conn) Subscriptions() (n int) {
	for _, s := range c.subs {
		if s != nil {
			n++
		}
	}
	return n
}
