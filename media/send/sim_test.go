package send_test

// A simulation of one SFU between publishers and viewers over lossy links, under a virtual
// clock: everything below media/conn that a packet passes, without encryption. Each run is
// one random schedule; its seed is printed when it fails, and -sim.seed runs it again.

import (
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/netio/mono"
)

var (
	simSeed = flag.Uint64("sim.seed", 0, "run only the schedule with this seed")
	simRuns = flag.Int("sim.runs", 3000, "how many schedules to run at most")
)

// simTime bounds the whole test.
const simTime = 5 * time.Second

func TestCallsOverLossyNetworksHeal(t *testing.T) {
	f := newSFU(t)
	if *simSeed != 0 {
		simulate(t, f, *simSeed)
		return
	}
	base, begun, runs := rand.Uint64()>>16, time.Now(), 0
	for ; runs < *simRuns && time.Since(begun) < simTime; runs++ {
		simulate(t, f, base+uint64(runs))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d schedules from seed %d in %v", runs, base, time.Since(begun))
}

// event is something that happens at an instant; events of one instant keep their order.
type event struct {
	at    mono.Time
	order int
	do    func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// world is the virtual clock and all that is random.
type world struct {
	t      testing.TB
	seed   uint64
	rng    *rand.Rand
	now    mono.Time
	queue  events
	orders int
	heals  mono.Time // from here on no link loses anything
	ends   mono.Time
}

const (
	simStart  = mono.Time(time.Hour)
	ntpOffset = 3_900_000_000 // seconds
)

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), now: simStart}
	w.heals = simStart.Add(w.between(300*time.Millisecond, 1600*time.Millisecond))
	w.ends = w.heals.Add(5200 * time.Millisecond)
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, at %v: %s", w.seed, w.now.Sub(simStart), fmt.Sprintf(format, args...))
}

// at plans do for an instant, at the earliest now.
func (w *world) at(when mono.Time, do func()) {
	w.orders++
	heap.Push(&w.queue, event{at: max(when, w.now), order: w.orders, do: do})
}

// run lets time pass until everything has happened or the world ends.
func (w *world) run() {
	for len(w.queue) > 0 {
		e := heap.Pop(&w.queue).(event)
		if e.at > w.ends {
			return
		}
		w.now = e.at
		e.do()
	}
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// ntp is the SFU's wall clock.
func (w *world) ntp() uint64 {
	return uint64(ntpOffset+w.now/1e9)<<32 | uint64(w.now%1e9)<<32/1e9
}

// link is one direction of a path.
type link struct {
	w       *world
	loss    float64
	dup     float64
	bursts  float64 // chance that a loss goes on with the next packet
	delay   time.Duration
	jitter  time.Duration
	losing  bool
	packets int
	lost    int
}

// newLink makes a link of a random character.
func newLink(w *world) *link {
	return &link{
		w:      w,
		loss:   []float64{0, 0.01, 0.03, 0.1, 0.2}[w.rng.IntN(5)],
		dup:    []float64{0, 0, 0.02}[w.rng.IntN(3)],
		bursts: []float64{0, 0, 0.5, 0.8}[w.rng.IntN(4)],
		delay:  w.between(0, 80*time.Millisecond),
		jitter: []time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond}[w.rng.IntN(3)],
	}
}

// send delivers b, which the receiver may keep, unless it is lost.
func (l *link) send(b []byte, deliver func([]byte)) {
	w := l.w
	l.packets++
	if w.now < w.heals {
		if l.losing = w.chance(l.loss) || l.losing && w.chance(l.bursts); l.losing {
			l.lost++
			return
		}
		if w.chance(l.dup) {
			w.at(w.now.Add(l.delay+w.between(0, 2*l.jitter)), func() { deliver(b) })
		}
	}
	w.at(w.now.Add(l.delay+w.between(0, l.jitter)), func() { deliver(b) })
}
