package edge

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/media/param"
)

// A deterministic simulation: a plane without sockets, model peers, and networks that do to
// datagrams whatever networks do. Each run is a schedule of its own; its seed is printed when it
// fails, and
//
//	go test ./media/edge -run TestAnyScheduleEndsWell -seed N
//
// runs it again, step by step the same. Which schedules are run is always the same too, so that what
// fails is what was changed; -new runs others.
var (
	simSeed = flag.Uint64("seed", 0, "run only the schedule with this seed")
	simRuns = flag.Int("schedules", 2000, "how many random schedules to run")
	simNew  = flag.Bool("new", false, "schedules that were not run before, instead of always the same")
)

func TestAnyScheduleEndsWell(t *testing.T) {
	if *simSeed != 0 {
		plan := newSimPlan(*simSeed)
		var totals simTotals
		if what := simulate(t, newSimMemory(), plan, &totals); what != "" {
			failedPlan(t, plan.seed)
		} else {
			t.Logf("%v%v", plan, &totals)
		}
		return
	}
	runs := *simRuns
	if testing.Short() {
		runs /= 10
	}
	if raceEnabled {
		runs /= 40
	}
	first, begun := uint64(1)<<40, time.Now()
	if *simNew {
		first = rand.Uint64() >> 20
	}
	t.Logf("%d schedules from seed %d", runs, first)
	all, failed := simulateAll(t, first, runs)
	if failed != 0 {
		failedPlan(t, failed)
		return
	}
	t.Logf("%v: %s", time.Since(begun), all.String())
	all.plausible(t)
}

// simulateAll runs schedules on all CPUs. It returns the sum of what they came to, and the seed
// of one that failed.
func simulateAll(t *testing.T, first uint64, runs int) (sum simTotals, failed uint64) {
	var next, bad atomic.Uint64
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			memory := newSimMemory()
			var mine simTotals
			for i := next.Add(1) - 1; i < uint64(runs) && bad.Load() == 0; i = next.Add(1) - 1 {
				if simulate(t, memory, newSimPlan(first+i), &mine) != "" {
					bad.CompareAndSwap(0, first+i)
				}
			}
			mu.Lock()
			sum.merge(&mine)
			mu.Unlock()
		})
	}
	workers.Wait()
	return sum, bad.Load()
}

// failedPlan says what is wrong with the schedule of a seed, in as few deeds as show it.
func failedPlan(t *testing.T, seed uint64) {
	plan := newSimPlan(seed)
	what := simulate(t, newSimMemory(), plan, new(simTotals))
	least := minimise(t, plan)
	t.Errorf("%s\n%vrun it again by -seed %d; the least of it that fails: %s\n%v",
		what, plan, seed, simulate(t, newSimMemory(), least, new(simTotals)), least)
}

// minimise leaves out of a schedule that fails whatever it fails without.
func minimise(t *testing.T, plan *simPlan) *simPlan {
	memory, least := newSimMemory(), *plan
	for i := len(least.deeds) - 1; i >= 0; i-- {
		less := least
		less.deeds = append(append([]simDeed{}, least.deeds[:i]...), least.deeds[i+1:]...)
		if simulate(t, memory, &less, new(simTotals)) != "" {
			least = less
		}
	}
	return &least
}

// simulate runs one schedule to its end and holds it to what has to be. It returns what was
// wrong, if anything.
func simulate(t testing.TB, m *simMemory, plan *simPlan, totals *simTotals) (what string) {
	s := newSim(t, m, plan)
	defer s.close(m)
	defer func() {
		switch f := recover().(type) {
		case nil:
		case simFailure:
			what = f.what
		default:
			what = fmt.Sprintf("seed %d: panic: %v", plan.seed, f)
			what += "\n" + string(debug.Stack())
		}
	}()
	s.begin()
	end := s.heals.Add(plan.clean)
	s.run(end)
	s.healed()
	for _, p := range s.peers {
		for _, src := range p.pubs {
			src.stopped = true
		}
	}
	s.run(end.Add(simDrain))
	s.still()
	s.over = true
	for len(s.peers) > 0 {
		s.peers[0].leave()
	}
	s.run(s.now.Add(param.ConsentTimeout + 10*time.Second))
	s.empty()
	totals.add(s)
	return ""
}

// simDrain is how long after the last packet everything has to be still. That of what a viewer may
// begin with is renewed from time to time, and asked for a few seconds until it comes.
const simDrain = 8 * time.Second

// healed holds the call to being one again.
func (s *sim) healed() {
	for _, p := range s.peers {
		if p.lost() {
			s.fail("peer %d is lost although the networks are well", p.c.index)
		}
		for _, src := range p.pubs {
			if src.asked > int(s.now.Sub(src.born)/(500*time.Millisecond))+2 {
				s.fail("source %d was asked for %d key frames in %v", src.id, src.asked, s.now.Sub(src.born))
			}
		}
		for _, v := range p.views {
			if v.recovered == 0 && !p.spec.Liar {
				s.fail("peer %d, SSRC %d of source %d: not live %v after the networks healed: %s", p.c.index, v.ssrc, v.src.id, s.plan.clean, v.state())
			}
			if v.gaps > 0 {
				s.fail("peer %d, SSRC %d: %d gaps in the audio after the networks healed", p.c.index, v.ssrc, v.gaps)
			}
		}
	}
}

// still holds the plane to having nothing left to do for a call in which nobody sends.
func (s *sim) still() {
	quiet := s.now.Add(-2 * time.Second)
	for _, p := range s.peers {
		for _, src := range p.pubs {
			if src.askedAt > quiet && !s.lies() {
				s.fail("source %d is still asked for key frames", src.id)
			}
			if src.nackAt > quiet {
				s.fail("source %d is still asked for packets", src.id)
			}
		}
		for _, v := range p.views {
			if p.spec.Liar {
				continue
			}
			if len(v.missing) > 0 {
				s.fail("peer %d, SSRC %d: %d packets are missing: %+v", p.c.index, v.ssrc, len(v.missing), v.missing[0])
			}
			if v.frame != v.src.frame || v.epoch != v.src.epoch {
				s.fail("peer %d, SSRC %d of source %d: not decoded to the end: %s", p.c.index, v.ssrc, v.src.id, v.state())
			}
		}
	}
	for i, sh := range s.p.shards {
		if n := sh.env.Missing.Lent(); n != 0 {
			s.fail("shard %d: %d lists of missing packets", i, n)
		}
		if n := sh.env.Waiting.Lent(); n != 0 {
			s.fail("shard %d: pacers hold packets: %d blocks", i, n)
		}
		if n := sh.window.Held(); n != 0 {
			s.fail("shard %d: %d packets wait for the rest of their frame", i, n)
		}
		for _, l := range sh.live {
			if l == nil {
				continue
			}
			if packets, keys := l.Asking(); packets != 0 || keys != 0 && !s.lies() {
				s.fail("connection %d is asked for %d packets and %d key frames", l.Index, packets, keys)
			}
		}
	}
}

// lies reports whether anybody does.
func (s *sim) lies() bool {
	for _, q := range s.plan.peers {
		if q.Liar {
			return true
		}
	}
	return false
}

// empty holds the plane to having nothing left of anybody.
func (s *sim) empty() {
	s.finish()
	probes := s.sum(func(c *Counters) uint64 { return c.Conn.ProbeBytes.Load() })
	if uint64(s.probed) > probes {
		s.fail("%d bytes of retransmissions beyond their share, but %d of probes", s.probed, probes)
	}
	for i, sh := range s.p.shards {
		for name, n := range map[string]int{
			"lists of missing packets": sh.env.Missing.Lent(),
			"tables of streams":        sh.env.Lent.Lent(),
			"blocks of pacers":         sh.env.Waiting.Lent(),
			"timers":                   sh.timers.Len(),
			"packets in the window":    sh.window.Held(),
			"entries in the lane":      sh.media.Len(),
			"paths of others":          len(sh.foreign.paths),
		} {
			if n != 0 {
				s.fail("shard %d: %d %s of nobody", i, n, name)
			}
		}
		if n := sh.count.Conn.DropSeal.Load(); n != 0 {
			s.fail("shard %d: drop_seal %d", i, n)
		}
	}
	if n := s.p.streams.free.Free(); n != len(s.p.streams.links) {
		s.fail("%d of %d places of streams free", n, len(s.p.streams.links))
	}
}

// state says how far a viewer is.
func (v *simView) state() string {
	return fmt.Sprintf("frame %d of epoch %d decoded, the source is at %d of %d; next %d, highest %d, %d missing, key frames %v, %d plis, waits since %v",
		v.frame, v.epoch, v.src.frame, v.src.epoch, v.pos, v.highest, len(v.missing), v.keys, v.plis, v.p.s.now.Sub(v.since))
}

// simTotals is what many schedules came to.
type simTotals struct {
	simStats
	schedules int
	waits     []time.Duration
	counters  [len(simCounted)]uint64
}

// simCounted are what has to happen in schedules that are worth anything.
var simCounted = [...]struct {
	name string
	of   func(*Counters) uint64
}{
	{"roamed", func(c *Counters) uint64 { return c.Roamed.Load() }},
	{"rtx_out", func(c *Counters) uint64 { return c.Conn.RTXOut.Load() }},
	{"recovered", func(c *Counters) uint64 { return c.Conn.Recovered.Load() }},
	{"pli_out", func(c *Counters) uint64 { return c.Conn.PLIOut.Load() }},
	{"turn_udp", func(c *Counters) uint64 { return c.Conn.TurnUDPOut.Load() }},
	{"turn_tcp", func(c *Counters) uint64 { return c.TurnTCP.Out.Load() + c.TurnTLS.Out.Load() }},
	{"ice_tcp", func(c *Counters) uint64 { return c.IceTCP.Out.Load() }},
	{"source_switches", func(c *Counters) uint64 { return c.Conn.SourceSwitches.Load() }},
	{"path_switches", func(c *Counters) uint64 { return c.PathSwitches.Load() }},
	{"interrupted", func(c *Counters) uint64 { return c.Conn.Interrupted.Load() }},
	{"probe bytes", func(c *Counters) uint64 { return c.Conn.ProbeBytes.Load() }},
	{"consent regained", func(c *Counters) uint64 { return c.ConsentRegained.Load() }},
	{"paced", func(c *Counters) uint64 { return c.Conn.Paced.Load() }},
	{"refused packets", func(c *Counters) uint64 { return c.Conn.DropAuth.Load() }},
}

func (a *simTotals) add(s *sim) {
	st := simTotals{simStats: s.stats, schedules: 1, waits: []time.Duration{s.stats.slowest}}
	for i, c := range simCounted {
		st.counters[i] = s.sum(c.of)
	}
	a.merge(&st)
}

func (a *simTotals) merge(b *simTotals) {
	a.schedules += b.schedules
	a.simStats.sent += b.simStats.sent
	a.decoded += b.decoded
	a.keyAsked += b.keyAsked
	a.rtxBytes += b.rtxBytes
	a.mediaBytes += b.mediaBytes
	a.rejoins += b.rejoins
	a.redundant += b.redundant
	a.waits = append(a.waits, b.waits...)
	for i, n := range b.counters {
		a.counters[i] += n
	}
}

func (a *simTotals) String() string {
	slices.Sort(a.waits)
	b := fmt.Sprintf("%d schedules, %d frames sent and %d shown, %d key frames asked for, %d joined again, %d blocks of redundant audio; "+
		"retransmissions are %.1f %% of the media; live again after %v (median), %v (99 %%), %v (most)",
		a.schedules, a.simStats.sent, a.decoded, a.keyAsked, a.rejoins, a.redundant, 100*float64(a.rtxBytes)/float64(a.mediaBytes),
		a.waits[len(a.waits)/2], a.waits[len(a.waits)*99/100], a.waits[len(a.waits)-1])
	for i, c := range simCounted {
		b += fmt.Sprintf(", %s %d", c.name, a.counters[i])
	}
	return b
}

// enoughSchedules is how many show each of simCounted, even the rarest: some happen to one schedule in
// fifty.
const enoughSchedules = 1000

// plausible holds schedules to having shown anything.
func (a *simTotals) plausible(t *testing.T) {
	if a.schedules < enoughSchedules {
		if a.decoded < 50*a.schedules {
			t.Errorf("too little happened: %s", a)
		}
		return
	}
	for i, c := range simCounted {
		if a.counters[i] == 0 {
			t.Errorf("the networks were not bad enough: %s is 0", c.name)
		}
	}
	if a.decoded < 50*a.schedules || a.rejoins == 0 || a.redundant == 0 {
		t.Errorf("too little happened: %s", a)
	}
}

// What a seed stands for is the same each time, or a failure could not be looked into.
func TestScheduleRunsTheSameAgain(t *testing.T) {
	m := newSimMemory()
	for seed := range uint64(20) {
		var first, second simTotals
		one := simulate(t, m, newSimPlan(seed+1), &first)
		two := simulate(t, m, newSimPlan(seed+1), &second)
		if one != "" || one != two {
			failedPlan(t, seed+1)
		}
		if a, b := first.String(), second.String(); a != b {
			t.Fatalf("seed %d: once\n%s\nand once\n%s", seed+1, a, b)
		}
	}
}
