package edge

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"tsubame/media/param"
)

// simCarrier is how a peer reaches the server.
type simCarrier int

const (
	simUDP simCarrier = iota
	simTURN
	simTURNTCP
	simTCP
	simCarriers
)

// simPeerPlan is what a peer is.
type simPeerPlan struct {
	Join               time.Duration
	Video, Audio, View bool
	FPS, Size          int
	Ptime              time.Duration
	DTX, TWCC, Liar    bool
	RED                bool // redundant audio, as a publisher and as a viewer
	Carrier            simCarrier
	Up, Down           simNet // while nothing is wrong
	Drift, AudioDrift  int    // of its clock, and of that of its sound device besides: millionths
	AudioReports       int    // one in so many reports is about audio too; 0: each
}

// simDeed is something that a plan has happen.
type simDeed struct {
	At   time.Duration
	Peer int // index of simPlan.peers; whoever joined by it last
	What simWhat
	Up   bool // of a network: in this direction
	Down bool
	Net  simNet
	For  time.Duration
	By   simCarrier
}

type simWhat int

const (
	simImpair  simWhat = iota // a network gets worse, for some time
	simDark                   // nothing comes through
	simMove                   // another network, by another carrier
	simRebind                 // a NAT has forgotten its mapping
	simRestart                // ICE begins anew
	simEncoder                // a publisher's encoder restarts, under another SSRC
	simLeave
	simPause   // a publisher sends nothing
	simUnwatch // a viewer watches less for some time
	simWhats
)

func (w simWhat) String() string {
	return [...]string{"impair", "dark", "move", "rebind", "restart", "encoder", "leave", "pause", "unwatch"}[w]
}

// simPlan is one schedule. What chance has in store beyond it comes from the seed too.
type simPlan struct {
	seed   uint64
	shards int
	window bool // video leaves by frames
	cache  bool // viewers begin with what is held of a track
	grace  bool // connections outlive their peers' consent, and ICE restarts when one is silent
	peers  []simPeerPlan
	deeds  []simDeed
	heal   time.Duration // all harm is over
	clean  time.Duration // and this long is given after it
	change func(*Config)

	measure time.Duration // from here on everything is counted, up to a few seconds from the end
}

// measures reports whether what happens then is counted.
func (p *simPlan) measures(at time.Duration) bool {
	return p.measure > 0 && at >= p.measure && at < p.heal-3*time.Second
}

// newSimPlan makes the schedule of a seed.
func newSimPlan(seed uint64) *simPlan {
	r := rand.New(rand.NewPCG(seed, 0))
	ms := func(lo, hi int) time.Duration { return time.Duration(lo+r.IntN(hi-lo+1)) * time.Millisecond }
	p := &simPlan{
		seed: seed, shards: 1 + r.IntN(maxSimShards), window: r.IntN(2) == 0, cache: r.IntN(2) == 0, grace: r.IntN(2) == 0,
		heal: ms(3000, 10000), clean: 7 * time.Second,
	}
	for i := range 2 + r.IntN(4) {
		q := simPeerPlan{
			Join: ms(0, 1000), FPS: []int{8, 10, 15, 30}[r.IntN(4)], Size: 20 + r.IntN(200),
			Ptime: []time.Duration{20, 40, 60}[r.IntN(3)] * time.Millisecond,
			DTX:   r.IntN(3) == 0, RED: r.IntN(2) == 0, TWCC: r.IntN(4) > 0, Carrier: simCarrier(max(0, r.IntN(8)-4)),
			Up:   simNet{Delay: ms(1, 100)},
			Down: simNet{Delay: ms(1, 100)},
		}
		if r.IntN(5) == 0 {
			q.Size = 700 // and key frames that pacers spread
		}
		switch {
		case i == 0:
			q.Join, q.Video, q.Audio, q.View = 0, true, r.IntN(3) == 0, r.IntN(3) == 0
		case r.IntN(4) == 0:
			q.Video, q.Audio, q.View = r.IntN(2) == 0, r.IntN(2) == 0, true
			if r.IntN(3) == 0 {
				q.Join = ms(1000, int(p.heal/time.Millisecond))
			}
		default:
			q.View, q.Liar = true, r.IntN(20) == 0
			if r.IntN(3) == 0 {
				q.Join = ms(1000, int(p.heal/time.Millisecond))
			}
		}
		p.peers = append(p.peers, q)
	}
	for range 2 + r.IntN(9) {
		p.deeds = append(p.deeds, newSimDeed(p, r, ms))
	}
	for _, d := range p.deeds {
		if d.What == simDark && p.heal < d.At+d.For {
			p.heal = d.At + d.For // a long one goes on to its end
		}
	}
	slices.SortFunc(p.deeds, func(a, b simDeed) int { return int(a.At - b.At) })
	return p
}

// darkens reports whether anybody's network lets nothing through for some time.
func (p *simPlan) darkens() bool {
	return slices.ContainsFunc(p.deeds, func(d simDeed) bool { return d.What == simDark })
}

func newSimDeed(p *simPlan, r *rand.Rand, ms func(lo, hi int) time.Duration) simDeed {
	d := simDeed{At: ms(200, int(p.heal/time.Millisecond)), Peer: r.IntN(len(p.peers)), By: simCarrier(r.IntN(int(simCarriers)))}
	switch n := r.IntN(20); {
	case n < 8:
		d.What, d.For = simImpair, ms(300, 8000)
		d.Net = simNet{Delay: ms(1, 200)}
		if r.IntN(2) == 0 {
			d.Net.Loss = []float64{0.01, 0.05, 0.1, 0.2, 0.4}[r.IntN(5)]
			d.Net.Burst = []float64{0, 0, 3, 8}[r.IntN(4)]
		}
		if r.IntN(3) == 0 {
			d.Net.Jitter = ms(1, 150)
		}
		if r.IntN(4) == 0 {
			d.Net.Duplicate = 0.1
		}
		if r.IntN(5) == 0 {
			d.Net.Corrupt = 0.05
		}
		if r.IntN(4) == 0 {
			d.Net.Rate = 20_000 + r.IntN(300_000)
			d.Net.Queue = min(2000+r.IntN(20_000), d.Net.Rate/8) // a second at most
		}
	case n < 11:
		d.What, d.For = simDark, ms(100, 6000)
		if r.IntN(8) == 0 {
			d.For = ms(6000, 40000)
		}
	case n < 13:
		d.What = simMove
	case n < 15:
		d.What = simRebind
	case n < 16:
		d.What = simRestart
	case n < 17:
		d.What = simEncoder
	case n < 18:
		d.What, d.For = simPause, ms(100, 4000)
	case n < 19:
		d.What, d.For = simUnwatch, ms(50, 3000)
	default:
		d.What = simLeave
	}
	d.Up, d.Down = r.IntN(3) > 0, r.IntN(3) > 0
	if !d.Up && !d.Down {
		d.Up, d.Down = true, true
	}
	return d
}

// String says what happens, for whom a seed is not enough.
func (p *simPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d shards, window %v, cache %v, grace %v, heals at %v\n", p.seed, p.shards, p.window, p.cache, p.grace, p.heal)
	for i, q := range p.peers {
		fmt.Fprintf(&b, "  peer %d: %+v\n", i, q)
	}
	for _, d := range p.deeds {
		fmt.Fprintf(&b, "  %8v peer %d: %v", d.At, d.Peer, d.What)
		switch d.What {
		case simImpair:
			fmt.Fprintf(&b, " for %v, up %v, down %v: %+v", d.For, d.Up, d.Down, d.Net)
		case simDark:
			fmt.Fprintf(&b, " for %v, up %v, down %v", d.For, d.Up, d.Down)
		case simPause, simUnwatch:
			fmt.Fprintf(&b, " for %v", d.For)
		case simMove, simRestart:
			fmt.Fprintf(&b, " by %d", d.By)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// begin plans all of it.
func (s *sim) begin() {
	for i := range s.plan.peers {
		q := &s.plan.peers[i]
		s.when(s.begun.Add(q.Join), func() { s.join(q) })
	}
	for i := range s.plan.deeds {
		d := &s.plan.deeds[i]
		s.when(s.begun.Add(d.At), func() {
			if p := s.who(d.Peer); p != nil {
				s.do(p, d)
				if d.What == simUnwatch || d.What == simMove {
					s.whilePaced(d, 2000)
				}
			}
		})
	}
	s.when(s.heals, func() {
		for _, p := range s.peers {
			p.heal()
		}
	})
}

// whilePaced does a deed once more as soon as something waits in a pacer, if that comes about within
// so many milliseconds: what waits has to be let go of, or to go another way.
//
// What is not watched any more is of a peer for whom something waits, whoever that is: all of its
// videos, since only videos wait.
func (s *sim) whilePaced(d *simDeed, ms int) {
	waits := slices.IndexFunc(s.peers, func(p *simPeer) bool { return p.waiting() > 0 })
	switch p := s.who(d.Peer); {
	case p == nil || ms == 0 || s.now >= s.heals:
	case waits >= 0 && d.What == simUnwatch:
		s.unwatch(s.peers[waits], d, func(v *simView) bool { return v.src.kind == param.Video })
	case waits >= 0:
		s.do(p, d)
	default:
		s.after(time.Millisecond, func() { s.whilePaced(d, ms-1) })
	}
}

// who returns the peer that a place of the plan is now; nil: nobody.
func (s *sim) who(i int) *simPeer {
	for _, p := range s.peers {
		if p.spec == &s.plan.peers[i] {
			return p
		}
	}
	return nil
}

func (s *sim) do(p *simPeer, d *simDeed) {
	links := []*simLink{}
	if d.Up {
		links = append(links, &p.up)
	}
	if d.Down {
		links = append(links, &p.down)
	}
	switch d.What {
	case simImpair:
		for _, l := range links {
			l.simNet = d.Net
			s.when(min(s.now.Add(d.For), s.heals), func() {
				l.simNet, l.bad = p.spec.Up, false
				if l == &p.down {
					l.simNet = p.spec.Down
				}
			})
		}
	case simDark:
		for _, l := range links {
			l.dark = max(l.dark, min(s.now.Add(d.For), s.heals))
		}
		if d.For > 10*time.Second {
			// A stream from which nothing comes is given up.
			k := p.key
			s.after(11*time.Second, func() {
				if !p.left && p.key == k && k.Via.IsStream() {
					p.move(simUDP, false)
				}
			})
		}
	case simMove:
		p.move(d.By, s.chance(0.5))
	case simRebind:
		p.rebind()
	case simRestart:
		p.restart(d.By)
	case simEncoder:
		for _, src := range p.pubs {
			if s.now.Sub(src.restarted) > 1500*time.Millisecond {
				src.restart()
			}
		}
	case simLeave:
		if len(s.peers) > 2 && d.Peer != 0 {
			p.leave()
		}
	case simPause:
		for _, src := range p.pubs {
			src.paused = true
			s.when(min(s.now.Add(d.For), s.heals), func() { src.paused = false })
		}
	case simUnwatch:
		s.unwatch(p, d, func(*simView) bool { return s.chance(0.5) })
	}
}

// unwatch ends those of a peer's subscriptions that which says, for some time.
func (s *sim) unwatch(p *simPeer, d *simDeed, which func(*simView) bool) {
	var was []*simSource
	for i := len(p.views) - 1; i >= 0; i-- {
		if v := p.views[i]; which(v) {
			was = append(was, v.src)
			p.unwatch(v.src)
		}
	}
	s.when(min(s.now.Add(d.For), s.heals), func() {
		for _, src := range was {
			if !p.left && !src.p.left && p.view(src) == nil {
				p.watch(src)
			}
		}
	})
}

// waiting returns how many packets wait for their turn in the peer's pacer. The shards are not
// asked, who have no business with it.
func (p *simPeer) waiting() int {
	owner, owned := p.c.owner()
	if !owned || owner == nobody {
		return 0
	}
	l := p.s.p.shards[owner].live[p.c.index]
	if l == nil || l.handle != p.c {
		return 0
	}
	out := reflect.ValueOf(l.Conn).Elem().FieldByName("out")
	if out.IsNil() {
		return 0
	}
	return int(out.Elem().FieldByName("pace").FieldByName("n").Int())
}
