// Package admission decides whether a new signaling socket may come in, so that a storm of
// joins waits outside instead of hurting the calls that there are. It is told the time, the
// load and the number of sessions that are joining; it reads no clock, starts nothing and
// never touches a socket or an established session. Every method of Gate may be called from
// any goroutine and none waits for anything but the gate's own lock. Decisions are values
// and belong to the caller.
//
// Bounds, and what happens at each:
//
//	Config.RatePerAddress  429 until the source's bucket has a token again
//	Config.MaxPerAddress   429 until a socket of the source closes
//	Config.MaxJoining      503 until fewer sessions are joining
//	Config.ShedAt          503 until the load has fallen by a tenth (recoverAt)
//	maxIdle                of the sources without a socket the one that lost its last longest
//	                       ago is forgotten, and has a full bucket again
package admission

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Config is for New. A zero is no bound.
type Config struct {
	RatePerAddress int     // new sockets of one source a second; as many may come at once
	MaxPerAddress  int     // open sockets of one source
	MaxJoining     int     // sessions between connect and established
	ShedAt         float64 // load, 0..1, beyond which nobody is let in
}

// State is what the server says of itself at the moment of a request.
type State struct {
	Joining int     // sessions between connect and established
	Load    float64 // 0..1: the share of its time that the busiest shard is in use
}

// Decision is the answer to one request.
type Decision struct {
	Status     int    // HTTP status of a refusal; 0: come in
	RetryAfter int    // seconds; of a refusal
	Counter    string // one of the names below
	Text       string // for a human; of a refusal
}

// Admitted reports whether the socket may come in; Leave has to follow when it is gone.
func (d Decision) Admitted() bool { return d.Status == 0 }

// The names of the counters, one for each decision.
const (
	CounterAdmitted = "signal_admitted"
	CounterRate     = "signal_refused_rate_per_address"
	CounterSockets  = "signal_refused_sockets_per_address"
	CounterJoining  = "signal_refused_joining"
	CounterLoad     = "signal_refused_load"
)

const (
	// recoverAt is the share of ShedAt below which the load has to fall before joins are
	// taken again: without a gap the gate would open and close with every sample.
	recoverAt = 0.9
	// staleAfter is for how long the gate remembers that it was shedding. Nobody tells it
	// the load while nobody asks.
	staleAfter = 10 * time.Second
	// retrySockets is told to a source that has too many sockets: only its own doing helps.
	retrySockets = 10
	// retryLeast and retrySpread make the seconds that are told when the server is busy.
	// Those that are refused together are told different ones, lest they return together.
	retryLeast, retrySpread = 2, 6
	// maxIdle bounds the sources without a socket whose buckets are not full. A bucket is
	// full after a second, so that it takes this many sources a second to be forgotten
	// early, and what keeps those out is not the bound of each but the server's.
	maxIdle = 1 << 16
)

// Gate remembers what sources have done.
type Gate struct {
	cfg      Config
	interval time.Duration // between tokens; 0: no bound
	maxIdle  int

	mu       sync.Mutex
	sources  map[netip.Addr]*source
	idle     *list.List // of *source: those without a socket, longest ago first
	shedding bool
	sampled  time.Time // of shedding
	refused  int       // by the server's own bounds
	counts   map[string]uint64
}

// source is one address, or one /64. Those with open sockets are as many as there are
// sockets, which others bound; the rest is the idle list.
type source struct {
	addr netip.Addr
	open int
	// full is when the bucket will be full (the generic cell rate algorithm): each token
	// taken moves it one interval ahead, and it may not be further than a second away.
	full   time.Time
	inIdle *list.Element // nil: it has open sockets
}

// New returns a gate that has seen nobody.
func New(cfg Config) *Gate {
	g := &Gate{cfg: cfg, maxIdle: maxIdle, sources: map[netip.Addr]*source{}, idle: list.New(), counts: map[string]uint64{}}
	if cfg.RatePerAddress > 0 {
		g.interval = time.Second / time.Duration(cfg.RatePerAddress)
	}
	return g
}

// SourceOf returns what counts as one source: an IPv4 address, or the /64 that one IPv6
// customer usually has.
func SourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Ask decides about one request from an address. A refused request takes no token: who
// comes back in time is not held up by having asked.
func (g *Gate) Ask(now time.Time, from netip.Addr, s State) Decision {
	addr := SourceOf(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	src := g.sources[addr]
	d := g.decide(now, src, s)
	g.counts[d.Counter]++
	if !d.Admitted() {
		return d
	}
	if src == nil {
		src = &source{addr: addr}
		g.sources[addr] = src
	}
	if src.inIdle != nil {
		g.idle.Remove(src.inIdle)
		src.inIdle = nil
	}
	src.open++
	if src.full.Before(now) {
		src.full = now
	}
	src.full = src.full.Add(g.interval)
	return d
}

// Leave says that a socket that was admitted is gone.
func (g *Gate) Leave(now time.Time, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	src := g.sources[SourceOf(from)]
	if src == nil || src.open == 0 {
		panic("admission: more sockets left than came")
	}
	if src.open--; src.open == 0 {
		src.inIdle = g.idle.PushBack(src)
		g.forget(now)
	}
}

// decide takes the source's own bounds first, so that a flood is told that it is one.
func (g *Gate) decide(now time.Time, src *source, s State) Decision {
	shed := g.shed(now, s.Load)
	if src != nil {
		if g.cfg.MaxPerAddress > 0 && src.open >= g.cfg.MaxPerAddress {
			return Decision{429, retrySockets, CounterSockets, "too many connections from your address"}
		}
		if wait := src.full.Add(g.interval).Sub(now) - time.Second; g.interval > 0 && wait > 0 {
			return Decision{429, int((wait + time.Second - 1) / time.Second), CounterRate, "too many new connections from your address"}
		}
	}
	if shed {
		return Decision{503, g.retry(), CounterLoad, "the server is busy"}
	}
	if g.cfg.MaxJoining > 0 && s.Joining >= g.cfg.MaxJoining {
		return Decision{503, g.retry(), CounterJoining, "the server is busy"}
	}
	return Decision{Counter: CounterAdmitted}
}

func (g *Gate) retry() int {
	g.refused++
	return retryLeast + g.refused%retrySpread
}

// shed notes the load and reports whether it is too high.
func (g *Gate) shed(now time.Time, load float64) bool {
	if g.cfg.ShedAt <= 0 {
		return false
	}
	at := g.cfg.ShedAt
	if g.shedding && now.Sub(g.sampled) < staleAfter {
		at *= recoverAt
	}
	g.shedding, g.sampled = load > at, now
	return g.shedding
}

// forget drops idle sources of which there is nothing to remember, and the oldest ones
// beyond the bound. Each source is dropped once, so that this costs little.
func (g *Gate) forget(now time.Time) {
	for e := g.idle.Front(); e != nil; e = g.idle.Front() {
		src := e.Value.(*source)
		if src.full.After(now) && g.idle.Len() <= g.maxIdle {
			return
		}
		g.idle.Remove(e)
		delete(g.sources, src.addr)
	}
}

// Counters returns how many requests were decided how, by the names above, and under
// signal_shedding whether the last sample of the load was too high.
func (g *Gate) Counters() map[string]uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]uint64{"signal_shedding": 0}
	for _, name := range []string{CounterAdmitted, CounterRate, CounterSockets, CounterJoining, CounterLoad} {
		out[name] = g.counts[name]
	}
	if g.shedding {
		out["signal_shedding"] = 1
	}
	return out
}
