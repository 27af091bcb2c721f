package bwe

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/send"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// watched is video that a viewer watches over a link: media that is not shaped, sent again as
// send.Stream allows, voice, and probes. The viewer asks as libwebrtc does: at once, then once a
// round trip, ten times at most, for what is no older than the newest key frame.
type watched struct {
	f      *flow
	o      *Estimator
	stream send.Stream
	rate   float64

	packets []sentPacket // by sequence number of the media
	frames  []sentFrame
	way     []transit // under way to the viewer
	asked   []request // under way from it
	missing map[int]*missed
	highest int

	wantKey  mono.Time     // when a key frame will be made; Never: none is wanted
	shown    mono.Time     // the last frame that was
	begged   mono.Time     // the last request for a key frame
	patience time.Duration // until the next one
	next     int           // the frame to be shown next
	keyed    bool          // it follows one that was shown

	pictures, sentAgain, sent int // frames shown, bytes
}

type sentPacket struct {
	at    mono.Time
	size  int
	frame int
	there bool
}

type sentFrame struct {
	first, left int // packets that have not arrived
	key         bool
}

type transit struct {
	at  mono.Time
	seq int // of the media
}

type request struct {
	at  mono.Time
	seq int
	key bool
}

type missed struct {
	asked mono.Time
	tries int
}

func watch(l *link, rate float64, seed uint64) *watched {
	o := newOurs(Config{}, uint64(3*rate))
	w := &watched{f: newFlow(o, l, seed), o: o.Estimator, rate: rate, missing: map[int]*missed{}, highest: -1, wantKey: simStart, shown: simStart, patience: simPatience}
	w.f.demand, w.f.voice = []step{{0, 0}}, true
	w.stream.Init(param.Subscribe{Kind: param.Video, Codec: param.VP8, SSRC: 1, RTXSSRC: 2, PayloadType: 96, RTXType: 97, ClockRate: 90000}, 0, 0)
	return w
}

const (
	keyTimes    = 5                      // a key frame is so many frames large
	simRing     = time.Second            // what can be sent again
	simStalled  = 3 * time.Second        // after which a viewer asks for a key frame
	simPatience = time.Second            // until it asks again, and twice that the next time
	simFarEnd   = 100 * time.Millisecond // until a publisher has made one
)

// drive makes a millisecond pass.
func (w *watched) drive(now mono.Time) {
	t := now.Sub(simStart)
	if t%simFrame.Truncate(time.Millisecond) == 0 {
		w.frame(now)
	}
	w.f.drive(now)
	for len(w.way) > 0 && w.way[0].at <= now {
		w.arrive(now, w.way[0].seq)
		w.way = w.way[1:]
	}
	for len(w.asked) > 0 && w.asked[0].at <= now {
		w.serve(now, w.asked[0])
		w.asked = w.asked[1:]
	}
	if t%(20*time.Millisecond) == 0 {
		w.ask(now, func(m *missed) bool { return now.Sub(m.asked) >= 2*w.f.link.delay })
		if now.Sub(w.shown) > simStalled && now.Sub(w.begged) > w.patience {
			w.begged, w.patience = now, min(2*w.patience, 4*time.Second)
			w.asked = append(w.asked, request{now.Add(w.f.link.back), 0, true})
		}
	}
}

func (w *watched) frame(now mono.Time) {
	key := w.wantKey != mono.Never && w.wantKey <= now
	size := int(w.rate * 0.033 / 8 * (0.8 + 0.4*w.f.random.Float64()))
	if key {
		w.wantKey, size = mono.Never, size*keyTimes
	}
	n := (size + simPacket - 1) / simPacket
	w.frames = append(w.frames, sentFrame{len(w.packets), n, key})
	for i := range n {
		m := packet.Meta{Seq: uint64(len(w.packets)) + 1<<16, Timestamp: uint32(len(w.frames)) * 3000, Arrival: now}
		if key && i == 0 {
			m.Flags = packet.FlagKeyFrame | packet.FlagFrameStart
		}
		w.stream.Munge(&m)
		one := size / n
		w.stream.Sent(one + simHeader)
		w.packets = append(w.packets, sentPacket{now, one, len(w.frames) - 1, false})
		w.sent += one
		w.send(now, len(w.packets)-1)
	}
}

// send sends a packet, for the first time or again.
func (w *watched) send(now mono.Time, seq int) {
	before := len(w.f.flying)
	if !w.f.send(now, w.packets[seq].size+simHeader, 0) || len(w.f.flying) == before {
		return
	}
	at := mono.Time(0)
	for _, a := range w.f.flying {
		if a.seq == w.f.seq {
			at = a.at
		}
	}
	i := len(w.way)
	for i > 0 && w.way[i-1].at > at {
		i--
	}
	w.way = append(w.way, transit{})
	copy(w.way[i+1:], w.way[i:])
	w.way[i] = transit{at, seq}
}

// serve does what the viewer asks for.
func (w *watched) serve(now mono.Time, r request) {
	if r.key {
		if w.wantKey == mono.Never {
			w.wantKey = now.Add(simFarEnd)
		}
		return
	}
	p := w.packets[r.seq]
	congested := w.o.Congested(now)
	if now.Sub(p.at) > simRing || !w.stream.AllowResend(now, uint16(r.seq), p.size, 2*w.f.link.delay, congested) {
		return
	}
	w.sentAgain += p.size
	w.send(now, r.seq)
	if !congested && w.o.Stats().Loss >= 16 && w.stream.AllowTwice(uint16(r.seq), p.size) {
		w.sentAgain += p.size
		w.send(now, r.seq)
	}
}

func (w *watched) arrive(now mono.Time, seq int) {
	for i := w.highest + 1; i < seq; i++ {
		w.missing[i] = new(missed)
	}
	skipped := seq > w.highest+1
	w.highest = max(w.highest, seq)
	delete(w.missing, seq)
	if skipped {
		w.ask(now, func(m *missed) bool { return m.tries == 0 })
	}
	if p := &w.packets[seq]; !p.there {
		p.there = true
		w.frames[p.frame].left--
		if f := &w.frames[p.frame]; f.left == 0 && f.key && p.frame >= w.next {
			w.next, w.keyed = p.frame, true
			for i := range w.missing {
				if i < f.first {
					delete(w.missing, i)
				}
			}
		}
	}
	for w.keyed && w.next < len(w.frames) && w.frames[w.next].left == 0 {
		w.next++
		w.pictures++
		w.shown, w.patience = now, simPatience
	}
}

func (w *watched) ask(now mono.Time, which func(*missed) bool) {
	if len(w.missing) == 0 {
		return
	}
	for i := max(0, w.highest-1000); i <= w.highest; i++ { // in order, the same every time
		m := w.missing[i]
		if m == nil || !which(m) {
			continue
		}
		w.asked = append(w.asked, request{now.Add(w.f.link.back), i, false})
		m.asked = now
		if m.tries++; m.tries >= 10 {
			delete(w.missing, i)
		}
	}
}

// during is how many pictures a second there were, and what share of the bytes was sent again,
// from one second of the simulation to another.
type during struct{ pictures, again float64 }

func (w *watched) run(length time.Duration, each func(now mono.Time)) (seconds []during) {
	var pictures, again, sent int
	for t := time.Duration(0); t < length; t += time.Millisecond {
		now := simStart.Add(t)
		if each != nil {
			each(now)
		}
		w.drive(now)
		if (t+time.Millisecond)%time.Second == 0 {
			seconds = append(seconds, during{float64(w.pictures - pictures), float64(w.sentAgain-again) / float64(w.sent-sent)})
			pictures, again, sent = w.pictures, w.sentAgain, w.sent
		}
	}
	return seconds
}

func mean(s []during) (pictures, again float64) {
	for _, x := range s {
		pictures += x.pictures / float64(len(s))
		again += x.again / float64(len(s))
	}
	return pictures, again
}

// stormy is a link that takes so much, much less for a while, and so much again.
func stormy(rate, loss float64) path {
	return path{
		rate:  []step{{0, rate}, {10 * second, 5e5}, {25 * second, rate}},
		queue: 200 * ms, tail: true, wire: 28, delay: 50 * ms, loss: loss,
	}
}

// What is sent again on a link that is full pushes out something else, which is asked for again:
// where nothing bounds that, it goes on when there would be room for the media.
func TestPictureComesBackToALinkThatWasTooSlowForAWhile(t *testing.T) {
	for _, c := range []struct {
		link, rate, loss float64
	}{{2e6, 1.5e6, 0}, {2e6, 1.65e6, 0}, {2.4e6, 1.5e6, 0.1}} {
		for seed := uint64(1); seed <= min(seeds, 3); seed++ {
			w := watch(newLink(stormy(c.link, c.loss), seed), c.rate, seed)
			s := w.run(45*second, nil)
			if _, again := mean(s[15:25]); again > 0.09 {
				t.Errorf("%+v, seed %d: of what is sent, %.2f is sent again while the link is too slow", c, seed, again)
			}
			if pictures, again := mean(s[35:]); pictures < 25 {
				t.Errorf("%+v, seed %d: %.1f pictures a second from 10 s on after the link was too slow, %.2f sent again", c, seed, pictures, again)
			}
		}
	}
}

func TestWhatIsLostAtRandomIsNotCongestion(t *testing.T) {
	for _, loss := range []float64{0.05, 0.1, 0.2} {
		for seed := uint64(1); seed <= min(seeds, 3); seed++ {
			w := watch(newLink(path{rate: []step{{0, 20e6}}, queue: 200 * ms, tail: true, wire: 28, delay: 50 * ms, loss: loss}, seed), 1.5e6, seed)
			congested := 0
			s := w.run(40*second, func(now mono.Time) {
				if w.o.Congested(now) {
					congested++
				}
			})
			if pictures, _ := mean(s[2:]); pictures < 29 || congested > 0 {
				t.Errorf("loss of %.2f, seed %d: %.1f pictures a second, congested for %d ms", loss, seed, pictures, congested)
			}
		}
	}
}

func TestAPathThatWasCongestedIsNotForLongAfterItsQueueIsGone(t *testing.T) {
	w := watch(newLink(stormy(2e6, 0), 1), 1.5e6, 1)
	var first, last time.Duration
	w.run(45*second, func(now mono.Time) {
		if w.o.Congested(now) {
			if last = now.Sub(simStart); first == 0 {
				first = last
			}
		}
	})
	if first < 10*second || first > 12*second || last < 25*second || last > 29*second {
		t.Errorf("congested from %v to %v, the link was too slow from 10 to 25 s", first, last)
	}
}
