package admission

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	start = time.Unix(1_700_000_000, 0)
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
)

// numbered returns one of many addresses.
func numbered(n uint32) netip.Addr {
	b := [4]byte{10}
	binary.BigEndian.PutUint32(b[:], 10<<24|n)
	return netip.AddrFrom4(b)
}

func TestWithoutBoundsEverybodyComesIn(t *testing.T) {
	g := New(Config{})
	for range 10_000 {
		if d := g.Ask(start, alice, State{Joining: 1 << 20, Load: 1}); !d.Admitted() || d.Counter != CounterAdmitted {
			t.Fatalf("got %+v", d)
		}
	}
}

// Row SIG-08.
func TestARateBoundsWhatOneSourceOpens(t *testing.T) {
	g := New(Config{RatePerAddress: 10})
	for i := range 10 {
		if d := g.Ask(start, alice, State{}); !d.Admitted() {
			t.Fatalf("of the burst, number %d: %+v", i, d)
		}
	}
	d := g.Ask(start, alice, State{})
	if d.Status != 429 || d.Counter != CounterRate || d.RetryAfter != 1 || d.Text == "" {
		t.Errorf("beyond the burst: %+v", d)
	}
	if d := g.Ask(start, bob, State{}); !d.Admitted() {
		t.Errorf("another source: %+v", d)
	}
	// Asking in vain costs nothing: a token comes every 100 ms all the same.
	now := start.Add(99 * time.Millisecond)
	for range 1000 {
		if d := g.Ask(now, alice, State{}); d.Admitted() {
			t.Fatal("admitted too early")
		}
	}
	now = start.Add(100 * time.Millisecond)
	if d := g.Ask(now, alice, State{}); !d.Admitted() {
		t.Errorf("with a token: %+v", d)
	}
	if d := g.Ask(now, alice, State{}); d.Admitted() {
		t.Error("a token was used twice")
	}
}

func TestOpenSocketsOfASourceAreBounded(t *testing.T) {
	g := New(Config{MaxPerAddress: 3})
	for range 3 {
		g.Ask(start, alice, State{})
	}
	if d := g.Ask(start.Add(time.Hour), alice, State{}); d.Status != 429 || d.Counter != CounterSockets || d.RetryAfter != retrySockets {
		t.Errorf("the fourth: %+v", d)
	}
	g.Leave(start, alice)
	if d := g.Ask(start, alice, State{}); !d.Admitted() {
		t.Errorf("after one left: %+v", d)
	}
}

func TestAnIPv6CustomerIsOneSource(t *testing.T) {
	g := New(Config{MaxPerAddress: 1})
	g.Ask(start, netip.MustParseAddr("2001:db8:1:2::1"), State{})
	for addr, status := range map[string]int{
		"2001:db8:1:2:ffff::9":      429,
		"2001:db8:1:2::1%eth0":      429,
		"2001:db8:1:3::1":           0,
		"::ffff:192.0.2.1":          0,
		"2001:db8:1:2:0:0:0:ffff":   429,
		"2001:db8:ffff:ffff:8000::": 0,
	} {
		if d := g.Ask(start, netip.MustParseAddr(addr), State{}); d.Status != status {
			t.Errorf("%s: %+v", addr, d)
		}
	}
	if SourceOf(netip.MustParseAddr("::ffff:192.0.2.1")) != alice {
		t.Error("a mapped address is another source than its IPv4 address")
	}
}

func TestJoiningSessionsAreBounded(t *testing.T) {
	g := New(Config{MaxJoining: 5, RatePerAddress: 2})
	if d := g.Ask(start, alice, State{Joining: 4}); !d.Admitted() {
		t.Errorf("below the bound: %+v", d)
	}
	told := map[int]bool{}
	for range 100 {
		d := g.Ask(start, alice, State{Joining: 5})
		if d.Status != 503 || d.Counter != CounterJoining || d.RetryAfter < retryLeast || d.RetryAfter >= retryLeast+retrySpread {
			t.Fatalf("at the bound: %+v", d)
		}
		told[d.RetryAfter] = true
	}
	if len(told) != retrySpread {
		t.Errorf("all are to come back together: %v", told)
	}
	// A refusal of the server is not held against the source.
	if d := g.Ask(start, alice, State{}); !d.Admitted() {
		t.Errorf("later: %+v", d)
	}
}

// Row SIG-08.
func TestLoadShedsJoinsWithHysteresis(t *testing.T) {
	g := New(Config{ShedAt: 0.8})
	now := start
	for i, c := range []struct {
		load float64
		in   bool
	}{
		{0.5, true}, {0.8, true}, {0.81, false}, {0.79, false}, {0.73, false}, {0.71, true}, {0.79, true}, {0.9, false}, {0.75, false}, {0, true},
	} {
		now = now.Add(100 * time.Millisecond)
		d := g.Ask(now, alice, State{Load: c.load})
		if d.Admitted() != c.in || !c.in && (d.Status != 503 || d.Counter != CounterLoad) {
			t.Errorf("step %d, load %v: %+v", i, c.load, d)
		}
		if shedding := g.Counters()["signal_shedding"]; (shedding == 0) != c.in {
			t.Errorf("step %d: signal_shedding is %d", i, shedding)
		}
	}
	g.Ask(now, alice, State{Load: 1})
	if d := g.Ask(now.Add(staleAfter), alice, State{Load: 0.75}); !d.Admitted() {
		t.Errorf("what was long ago still counts: %+v", d)
	}
}

func TestDecisionsAreCounted(t *testing.T) {
	g := New(Config{RatePerAddress: 2, MaxPerAddress: 3, MaxJoining: 1, ShedAt: 0.5})
	g.Ask(start, alice, State{})
	g.Ask(start, alice, State{})
	g.Ask(start, alice, State{})
	g.Ask(start.Add(time.Second), alice, State{})
	g.Ask(start.Add(time.Second), alice, State{})
	g.Ask(start, bob, State{Joining: 1})
	g.Ask(start, bob, State{Load: 0.6})
	for name, want := range map[string]uint64{CounterAdmitted: 3, CounterRate: 1, CounterSockets: 1, CounterJoining: 1, CounterLoad: 1, "signal_shedding": 1} {
		if n := g.Counters()[name]; n != want {
			t.Errorf("%s is %d, not %d", name, n, want)
		}
	}
}

// Row SIG-08.
func TestAFloodOfSourcesTakesNoMoreThanTheTable(t *testing.T) {
	g := New(Config{RatePerAddress: 1})
	g.maxIdle = 1000
	g.Ask(start, alice, State{}) // has a socket, so that it is not forgotten
	for i := range uint32(100_000) {
		from := numbered(i)
		if d := g.Ask(start, from, State{}); !d.Admitted() {
			t.Fatalf("a new source: %+v", d)
		}
		g.Leave(start, from)
	}
	if len(g.sources) != 1001 || g.idle.Len() != 1000 {
		t.Errorf("%d sources, %d idle", len(g.sources), g.idle.Len())
	}
	if d := g.Ask(start, alice, State{}); d.Status != 429 {
		t.Errorf("the flood washed away what a connected source has used: %+v", d)
	}
	if d := g.Ask(start, numbered(99_999), State{}); d.Status != 429 {
		t.Errorf("the latest source was forgotten: %+v", d)
	}
	if d := g.Ask(start, numbered(0), State{}); !d.Admitted() {
		t.Errorf("the oldest source was not forgotten: %+v", d)
	}
	// A second later there is nothing to remember of anybody without a socket.
	g.Ask(start.Add(time.Second), bob, State{})
	if len(g.sources) != 3 {
		t.Errorf("%d sources are left", len(g.sources))
	}
}

func TestLeavingMoreOftenThanComingPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Config{}).Leave(start, alice)
}

// model is the obvious gate: it remembers every admission.
type model struct {
	cfg      Config
	admitted map[netip.Addr][]time.Time
	open     map[netip.Addr]int
}

// allows reports whether a source may open a socket: never more in any stretch of time than
// a full bucket and what came into it.
func (m *model) allows(now time.Time, a netip.Addr) bool {
	if m.open[a] >= m.cfg.MaxPerAddress {
		return false
	}
	interval := time.Second / time.Duration(m.cfg.RatePerAddress)
	list := m.admitted[a]
	for i := range list {
		// With this one, len(list)-i+1 came since list[i].
		if taken := time.Duration(len(list)-i+1) * interval; taken > time.Second+now.Sub(list[i]) {
			return false
		}
	}
	return true
}

// Row SIG-08.
func TestTheGateAgreesWithTheObviousOne(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 8))
		cfg := Config{RatePerAddress: 1 << r.IntN(5), MaxPerAddress: 1 + r.IntN(20), MaxJoining: 1 + r.IntN(10)}
		g, m := New(cfg), &model{cfg: cfg, admitted: map[netip.Addr][]time.Time{}, open: map[netip.Addr]int{}}
		now, joining := start, 0
		for i := range 2000 {
			now = now.Add(time.Duration(r.IntN(200)) * time.Millisecond / time.Duration(1+r.IntN(8)))
			a := numbered(uint32(r.IntN(4)))
			if m.open[a] > 0 && r.IntN(3) == 0 {
				g.Leave(now, a)
				m.open[a]--
				continue
			}
			joining = max(0, joining+r.IntN(5)-2)
			own := m.allows(now, a)
			d := g.Ask(now, a, State{Joining: joining})
			want := 0
			switch {
			case !own:
				want = 429
			case joining >= cfg.MaxJoining:
				want = 503
			}
			if d.Status != want {
				t.Fatalf("seed %d, step %d: %+v, the model says %d", seed, i, d, want)
			}
			if d.Admitted() {
				m.admitted[a] = append(m.admitted[a], now)
				m.open[a]++
			} else if d.RetryAfter < 1 {
				t.Fatalf("seed %d, step %d: %+v without a time to come back", seed, i, d)
			}
		}
	}
}

// Who comes back when it was told to is let in, if it alone asks.
func TestRetryAfterIsLongEnough(t *testing.T) {
	for _, rate := range []int{1, 3, 7, 1000} {
		g := New(Config{RatePerAddress: rate})
		now := start
		for range 10 {
			for g.Ask(now, alice, State{}).Admitted() {
			}
			d := g.Ask(now, alice, State{})
			now = now.Add(time.Duration(d.RetryAfter) * time.Second)
			if d := g.Ask(now, alice, State{}); !d.Admitted() {
				t.Fatalf("rate %d: %+v", rate, d)
			}
		}
	}
}

func TestRefusingAllocatesNothing(t *testing.T) {
	g := New(Config{RatePerAddress: 1, MaxJoining: 1})
	g.Ask(start, alice, State{})
	if n := testing.AllocsPerRun(1000, func() {
		g.Ask(start, alice, State{})
		g.Ask(start, bob, State{Joining: 1})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRefusal(b *testing.B) {
	g := New(Config{RatePerAddress: 1})
	g.Ask(start, alice, State{})
	b.ReportAllocs()
	for b.Loop() {
		g.Ask(start, alice, State{})
	}
}
