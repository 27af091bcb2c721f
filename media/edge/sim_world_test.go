package edge

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
)

// sim is a whole plane without sockets, and model peers on networks of their own, under a
// virtual clock. Nothing in it depends on anything but the plan.
type sim struct {
	*rig
	tb    *simTB
	plan  *simPlan
	rnd   *rand.Rand
	begun mono.Time
	heals mono.Time // from here on no network does any harm

	events simHeap
	serial uint64
	next   []mono.Time // when each shard's timers are due
	dirty  []bool      // shards whose timers have to be looked at
	in     *mmsg.RxBatch
	spare  [][]byte

	peers  []*simPeer            // in order of joining; those that left are gone
	at     map[flow.Key]*simPeer // whom an address leads to
	ever   map[flow.Key]*simPeer // whose it was last
	seals  map[simStreamID]*simSeals
	probed int  // bytes of retransmissions beyond their share
	idle   int  // turns of shards that were to be called again at once
	over   bool // nobody joins any more
	ports  int
	ssrcs  uint32
	stats  simStats
}

// simStats is what a schedule came to.
type simStats struct {
	sent, decoded int // video frames
	keyAsked      int // key frame requests that reached publishers
	rtxBytes      uint64
	mediaBytes    uint64
	slowest       time.Duration // until a viewer decoded live again
	rejoins       int
	redundant     int // blocks of redundant audio that viewers got
}

// simTB makes a failure of a helper one of the schedule. Only simulate recovers it.
type simTB struct {
	testing.TB
	cleanups []func()
}

type simFailure struct{ what string }

func (*simTB) Helper()                   {}
func (tb *simTB) Cleanup(f func())       { tb.cleanups = append(tb.cleanups, f) }
func (*simTB) Fatal(args ...any)         { panic(simFailure{fmt.Sprint(args...)}) }
func (*simTB) Fatalf(f string, a ...any) { panic(simFailure{fmt.Sprintf(f, a...)}) }
func (*simTB) Error(args ...any)         { panic(simFailure{fmt.Sprint(args...)}) }
func (*simTB) Errorf(f string, a ...any) { panic(simFailure{fmt.Sprintf(f, a...)}) }
func (tb *simTB) end() {
	for _, f := range tb.cleanups {
		f()
	}
}
func (s *sim) fail(f string, args ...any) {
	s.tb.Fatalf("at %v: %s", s.now.Sub(s.begun), fmt.Sprintf(f, args...))
}
func (s *sim) after(d time.Duration, do func()) { s.when(s.now.Add(d), do) }

// when plans do for an instant.
func (s *sim) when(at mono.Time, do func()) {
	s.serial++
	s.events.push(simEvent{at: max(at, s.now), serial: s.serial, do: do})
}

// chance is true with probability p.
func (s *sim) chance(p float64) bool { return s.rnd.Float64() < p }

// between returns a time from lo to hi.
func (s *sim) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(s.rnd.Int64N(int64(hi-lo)))
}

// simMemory is what schedules that run one after the other share.
type simMemory struct {
	outs  []*mmsg.TxQueue
	in    *mmsg.RxBatch
	spare [][]byte
}

func newSimMemory() *simMemory {
	m := &simMemory{in: mmsg.NewRxBatch(1)}
	for range maxSimShards {
		m.outs = append(m.outs, mmsg.NewTxQueue(64))
	}
	return m
}

const maxSimShards = 3

// silent is for planes whose log nobody reads.
var silent = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))

func newSim(t testing.TB, m *simMemory, plan *simPlan) *sim {
	tb := &simTB{TB: t}
	s := &sim{
		rig: &rig{t: tb, now: mono.Time(time.Hour), relays: map[flow.Key]*relay{}, pipes: map[flow.Key]*testPipe{}},
		tb:  tb, plan: plan, rnd: rand.New(rand.NewPCG(plan.seed, 1)), in: m.in, spare: m.spare,
		at: map[flow.Key]*simPeer{}, ever: map[flow.Key]*simPeer{}, seals: map[simStreamID]*simSeals{}, ssrcs: 100_000,
		next: make([]mono.Time, plan.shards), dirty: make([]bool, plan.shards),
	}
	s.begun = s.now
	s.heals = s.begun.Add(plan.heal)
	cfg := Config{
		MaxConnections: 64, MaxTracks: 64, Log: silent, ControlLane: 256, MediaLane: 512,
		Buffers: packet.Config{Reserve: packet.DefaultReserve, Classes: []packet.ClassConfig{
			{Size: packet.SmallSize, Count: 6144}, {Size: packet.MediumSize, Count: 4096}, {Size: packet.LargeSize, Count: 2048},
		}},
	}
	if plan.change != nil {
		plan.change(&cfg)
	}
	if plan.window {
		frameByFrame(&cfg)
	}
	if plan.cache {
		cfg.KeyFrameCache = 128 << 10
	}
	if plan.grace {
		cfg.SilentAfter, cfg.ConsentGrace = 7*time.Second, 30*time.Second
	}
	cfg.defaults()
	p, err := assemble(cfg, plan.shards, s.now, func(int) *ring.Waker {
		w, err := ring.NewWaker()
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(w.Close)
		return w
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.wakeEvents.Close)
	s.p = p
	for i, sh := range p.shards {
		q := m.outs[i]
		q.Reset()
		q.SetFlusher(func() { s.collect(i) })
		s.outs = append(s.outs, q)
		numbers := rand.New(rand.NewPCG(plan.seed, uint64(100+i)))
		sh.env.Random = func() uint32 {
			if numbers.IntN(4) == 0 {
				return 32767 - numbers.Uint32N(200) // the wrap is not far
			}
			return numbers.Uint32()
		}
	}
	return s
}

// close gives back what the plane has of the system.
func (s *sim) close(m *simMemory) {
	for _, e := range s.events.all {
		if e.data != nil {
			s.spare = append(s.spare, e.data)
		}
	}
	m.spare = s.spare
	if _, err := s.p.giveBackNow(); err != nil {
		panic(err)
	}
	s.tb.end()
}

// giveBackNow returns the memory of packets, whoever has any.
func (p *Plane) giveBackNow() (int, error) {
	n, err := p.arena.Close()
	if e := p.rings.Release(); err == nil {
		err = e
	}
	return n, err
}

// run lets time pass until the given instant.
func (s *sim) run(until mono.Time) {
	for {
		at := until + 1
		if len(s.events.all) > 0 {
			at = min(at, s.events.all[0].at)
		}
		for _, n := range s.next {
			if n != mono.Never {
				at = min(at, n)
			}
		}
		if at > until {
			s.now = until
			return
		}
		s.now = max(at, s.now)
		for len(s.events.all) > 0 && s.events.all[0].at <= s.now {
			if e := s.events.pop(); e.do != nil {
				e.do()
				s.serve()
			} else {
				s.arrive(&e)
				s.spare = append(s.spare, e.data)
			}
		}
		s.serve()
	}
}

// arrive delivers a datagram that has crossed its network.
func (s *sim) arrive(f *simEvent) {
	if f.to != nil {
		f.to.receive(f.key, f.data)
		return
	}
	shard := s.steer(f.key)
	if f.key.Via != 0 {
		s.deliver(shard, f.key, f.data)
		for i := range s.dirty {
			s.dirty[i] = true
		}
	} else {
		s.in.Reset()
		s.in.Append(f.key, f.data)
		s.p.shards[shard].HandleBatch(s.now, s.in, s.outs[shard])
		s.dirty[shard] = true
	}
	s.serve()
}

// serve lets the shards do what is to be done now, as their loops would.
func (s *sim) serve() {
	for again := true; again; {
		again = false
		for i, sh := range s.p.shards {
			if sh.Pending() {
				sh.HandleMessages(s.now, s.outs[i])
				s.dirty[i], again = true, true
			}
			if s.dirty[i] || s.next[i].Due(s.now) {
				s.dirty[i], again = false, true
				s.next[i] = sh.HandleTimers(s.now, s.outs[i])
				if s.next[i] != mono.Never && s.next[i] <= s.now {
					s.idle++
					if s.idle > 1000 {
						s.fail("shard %d wants to be called at %v again and again", i, s.next[i].Sub(s.begun))
					}
					s.next[i] = s.now.Add(20 * time.Microsecond) // what an iteration takes
				} else {
					s.idle = 0
				}
			}
			if s.outs[i].Len() > 0 {
				s.collect(i)
			}
		}
		s.settleEvents()
	}
	for _, d := range s.take() {
		s.leaves(d)
	}
}

// settleEvents tells signaling what has happened.
func (s *sim) settleEvents() {
	for {
		i, ok := s.p.events.Next()
		if !ok {
			return
		}
		if c := s.p.slots[i].conn.Load(); c != nil {
			c.deliver()
			for _, p := range s.peers {
				if p.c == c {
					p.signaled()
				}
			}
		}
	}
}

// steer says which shard a flow belongs to.
func (s *sim) steer(k flow.Key) int {
	if v := s.relays[k]; v != nil {
		return v.shard
	}
	return int(k.Port) % len(s.p.shards)
}

// leaves takes a datagram that the server sends: it is held to what may be sealed, and put on
// the network of whom it is for.
func (s *sim) leaves(d datagram) {
	if p := s.ever[d.key]; p != nil && d.bytes[0]>>6 == 2 {
		s.sealed(p, d.bytes)
	}
	p := s.at[d.key]
	if p == nil {
		return // it has moved on, or its NAT has
	}
	s.send(&p.down, p, d.key, d.bytes)
	p.press(d.key)
}

// simStreamID names what the server seals packets of: an SSRC of a connection; its SRTCP by 0.
type simStreamID struct {
	conn   *Conn
	stream uint32
}

// simSeals is which of its indices have been sealed.
type simSeals struct {
	high  uint64
	seen  [64]uint64 // 4,096 of them
	bytes uint64
}

// sealed holds a packet to the one rule: nothing is sealed twice under one number.
func (s *sim) sealed(p *simPeer, b []byte) {
	id, number, seq := simStreamID{conn: p.c}, uint64(0), uint16(0)
	rtcp := b[1] >= 192 && b[1] <= 223
	if rtcp {
		number = uint64(binary.BigEndian.Uint32(b[len(b)-4:]) & 0x7fffffff)
	} else {
		id.stream, seq = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])
	}
	st := s.seals[id]
	if st == nil {
		st = &simSeals{high: 1<<16 + uint64(seq) - 1}
		if rtcp {
			st.high = 0
		}
		s.seals[id] = st
	}
	if !rtcp {
		number = st.high + uint64(int64(int16(seq-uint16(st.high))))
	}
	window := uint64(len(st.seen) * 64)
	for st.high < number {
		st.high++
		st.seen[st.high/64%64] &^= 1 << (st.high % 64)
	}
	if st.high-number >= window {
		s.fail("SSRC %d: number %d is sealed %d behind the newest", id.stream, number, st.high-number)
	}
	if st.seen[number/64%64]>>(number%64)&1 != 0 {
		s.fail("SSRC %d of connection %d: number %d is sealed twice", id.stream, p.c.index, number)
	}
	st.seen[number/64%64] |= 1 << (number % 64)
	st.bytes += uint64(len(b))
}
