package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
)

// fakeServer counts what is asked of it.
type fakeServer struct {
	config  map[string]string
	asked   int
	stopped int
	err     error // of Stop
}

func (f *fakeServer) URL() string { return "ws://127.0.0.1:1/signaling" }
func (f *fakeServer) PID() int    { return 1 }
func (f *fakeServer) Stop() error { f.stopped++; return f.err }
func (f *fakeServer) Counters() (map[string]uint64, error) {
	f.asked++
	return map[string]uint64{"notifications": 7}, nil
}
func (f *fakeServer) Heap() (heap, error) { return heap{1000, 5}, nil }

// fakeLab returns a lab in which every packet costs the server perPacket, and what it started
// and loaded.
func fakeLab(perPacket time.Duration) (*lab, *[]*fakeServer, *[]load.Scenario) {
	var servers []*fakeServer
	var seen []load.Scenario
	var mu sync.Mutex // of what the load of a row's second client changes too
	clock := time.Unix(0, 0)
	l := &lab{
		now: func() time.Time { clock = clock.Add(10 * time.Second); return clock },
		start: func(_ context.Context, config map[string]string) (target, error) {
			servers = append(servers, &fakeServer{config: config})
			return servers[len(servers)-1], nil
		},
		load: func(ctx context.Context, sc load.Scenario, progress report.Progress) (*report.Result, error) {
			mu.Lock()
			seen = append(seen, sc)
			mu.Unlock()
			if sc.Name == "memory-publisher-viewers" {
				fakeResult(sc, perPacket, progress)
				<-ctx.Done() // it goes on until it is ended
				return nil, ctx.Err()
			}
			return fakeResult(sc, perPacket, progress), nil
		},
		gso:      func(bare.Config) (bare.Cost, error) { return bare.Cost{PerPacket: 500 * time.Nanosecond}, nil },
		sendmmsg: func(bare.Config) (bare.Cost, error) { return bare.Cost{PerPacket: 600 * time.Nanosecond}, nil },
		handshake: func(bare.HandshakeConfig) (bare.HandshakeCost, error) {
			return bare.HandshakeCost{PerHandshake: 500 * time.Microsecond}, nil
		},
	}
	return l, &servers, &seen
}

func fakeResult(sc load.Scenario, perPacket time.Duration, progress report.Progress) *report.Result {
	peers := sc.Rooms * sc.Clients
	short := report.Distribution{Count: 10, P50: 100 * time.Microsecond, P99: 900 * time.Microsecond}
	r := &report.Result{
		Name: sc.Name, Peers: peers, Connected: peers, Audio: short, FrameFirst: short, FrameLast: short,
		IdlePSS: 20 << 20, ServerPSS: 20<<20 + uint64(peers)*(60<<10), MachineCPU: time.Second,
		JoinCPU: time.Duration(peers) * time.Millisecond, JoinTime: 10 * time.Second, Duration: 10 * time.Second,
	}
	if sc.Storm {
		return r
	}
	const each = 10_000
	phases := []report.Phase{report.Joining, report.WarmingUp}
	for range 10 {
		phases = append(phases, report.Measuring)
	}
	phases = append(phases, report.Leaving)
	if sc.Silence > 0 {
		phases = append(phases, report.Silent, report.Leaving)
	}
	for i, phase := range phases {
		s := report.Sample{At: time.Duration(i+1) * time.Second, Phase: phase, Connected: peers, Forwarded: each, ServerCPU: each * perPacket}
		if phase == report.Measuring {
			r.Forwarded += s.Forwarded
			r.ServerCPU += s.ServerCPU
		}
		r.Samples = append(r.Samples, s)
		progress(s)
	}
	r.Bytes, r.Expected = r.Forwarded*200, r.Forwarded
	return r
}

func TestEveryRowIsReachedByAFastServer(t *testing.T) {
	l, servers, seen := fakeLab(700 * time.Nanosecond)
	table, err := l.run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != len(rows) || table.Missed() != 0 {
		t.Errorf("%+v", table.Rows)
	}
	for _, r := range table.Rows {
		if r.Got == "" || r.Want == "" || r.What == "" || r.Busy != "10.0 %" {
			t.Errorf("%+v", r)
		}
	}
	for _, s := range *servers {
		if s.stopped != 1 {
			t.Errorf("a server was stopped %d times", s.stopped)
		}
	}
	beside := 1 + 2*parts + 2 // loads of a server that has had another: of the memory of publishers, and of TURN
	if len(*servers) != len(*seen)-beside || len(l.results) != len(*seen) {
		t.Errorf("%d servers, %d loads, %d results", len(*servers), len(*seen), len(l.results))
	}
}

func TestRowsAreTheWorkloadsOfTheTable(t *testing.T) {
	l, _, seen := fakeLab(time.Microsecond)
	if _, err := l.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	of := func(name string) load.Scenario {
		i := slices.IndexFunc(*seen, func(sc load.Scenario) bool { return sc.Name == name })
		if i < 0 {
			t.Fatalf("no load %q", name)
		}
		return (*seen)[i]
	}
	if sc := of("video-fanout"); sc.Clients != 65 || sc.PayloadSize != 1100 || sc.Profile != "gcm" || sc.Audio {
		t.Errorf("%+v", sc)
	}
	if sc := of("audio-fanout"); sc.Clients != 201 || sc.PayloadSize != 100 || sc.Video {
		t.Errorf("%+v", sc)
	}
	if sc := of("conference-12x8"); sc.Rooms != 12 || sc.Clients != 8 || sc.Role != load.SendRecv || sc.Bitrate != 1_000_000 || sc.FrameRate != 20 || !sc.Audio {
		t.Errorf("%+v", sc)
	}
	if sc := of("viewers-5000"); sc.Clients != 5001 || sc.Bitrate != 300_000 || sc.FrameRate != 15 || sc.Duration != 5*time.Minute || sc.Notify {
		t.Errorf("%+v", sc)
	}
	if sc := of("storm"); sc.Rooms*sc.Clients != 5000 || sc.JoinRate < 500 || !sc.Storm {
		t.Errorf("%+v", sc)
	}
	if sc := of("storm-one-room"); sc.Rooms != 1 || sc.Clients != 5000 || !sc.Notify {
		t.Errorf("%+v", sc)
	}
}

func TestSlowServerReachesNoCost(t *testing.T) {
	l, _, _ := fakeLab(10 * time.Microsecond)
	table, err := l.run(t.Context(), []string{"video-fanout", "audio-fanout", "conference-4x8", "conference-170k"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows {
		if r.Verdict != report.NotReached || !strings.Contains(r.Got, "10.0 us") {
			t.Errorf("%+v", r)
		}
	}
}

// worse runs one row with results that were changed.
func worse(t *testing.T, key string, change func(*report.Result)) report.Row {
	t.Helper()
	l, _, _ := fakeLab(700 * time.Nanosecond)
	inner := l.load
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		r, err := inner(ctx, sc, p)
		if err == nil {
			change(r)
		}
		return r, err
	}
	table, err := l.run(t.Context(), []string{key})
	if err != nil {
		t.Fatal(err)
	}
	return table.Rows[0]
}

func TestLossLatencyMemoryAndFailedJoinsAreNotReached(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		change func(*report.Result)
	}{
		"loss":      {"conference-12x8", func(r *report.Result) { r.Lost = 1 }},
		"CPU":       {"conference-12x8", func(r *report.Result) { r.ServerCPU = 3 * time.Second }},
		"peers":     {"viewers-5000", func(r *report.Result) { r.Connected-- }},
		"p99":       {"latency", func(r *report.Result) { r.FrameLast.P99 = 2 * time.Millisecond }},
		"p50":       {"latency", func(r *report.Result) { r.Audio.P50 = 151 * time.Microsecond }},
		"viewer":    {"memory-viewer", func(r *report.Result) { r.ServerPSS *= 2 }},
		"publisher": {"memory-publisher", func(r *report.Result) { r.ServerPSS *= 20 }},
		"join CPU":  {"storm", func(r *report.Result) { r.JoinCPU *= 2 }},
		"join time": {"storm", func(r *report.Result) { r.JoinTime = 12 * time.Second }},
		"one room":  {"storm-one-room", func(r *report.Result) { r.ServerPSS = 6 << 30 }},
	} {
		if r := worse(t, c.key, c.change); r.Verdict != report.NotReached {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The fake server makes 500 allocations each time that it is asked, and besides as many as
// the test says between the readings: of the beginning and the end with media, then in silence.
func TestAllocationsThatMediaAddsAreThoseOfThePackets(t *testing.T) {
	for _, c := range []struct {
		media, silent uint64
		got, note     string
		verdict       report.Verdict
	}{
		{0, 0, "0.00000 a packet, 0.000 GC a second", "0 allocations a second of the whole process with media, 0 ", report.Reached},
		{2000, 2000, "0.00000 a packet", "200 allocations a second of the whole process with media, 200 with the same clients in silence (10.0 s and 10.0 s", report.Reached},
		{2000, 2100, "0.00000 a packet", "else it would be 0.02000 a packet", report.Reached},
		{2300, 2000, "0.00300 a packet", "230 allocations", report.NotReached},
	} {
		l, _, _ := fakeLab(time.Microsecond)
		l.start = func(context.Context, map[string]string) (target, error) {
			return &allocating{between: []uint64{0, c.media, 0, 0, c.silent}}, nil
		}
		table, err := l.run(t.Context(), []string{"allocations"})
		if err != nil {
			t.Fatal(err)
		}
		row := table.Rows[0]
		if !strings.HasPrefix(row.Got, c.got) || len(row.Notes) == 0 || !strings.Contains(row.Notes[0], c.note) || row.Verdict != c.verdict {
			t.Errorf("%+v: %+v", c, row)
		}
	}
}

func TestCollectionsAreThoseWithMedia(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	l.start = func(context.Context, map[string]string) (target, error) { return &allocating{cycles: 10}, nil }
	table, err := l.run(t.Context(), []string{"allocations"})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; !strings.HasSuffix(row.Got, ", 1.000 GC a second") || row.Verdict != report.NotReached {
		t.Errorf("%+v", row)
	}
}

// allocating is a server that allocates between two readings.
type allocating struct {
	fakeServer
	between []uint64 // before the second reading, the third, ...
	cycles  uint64   // in the measured part
	read    int
	h       heap
}

func (a *allocating) Heap() (heap, error) {
	a.h.mallocs += 500
	if i := a.read - 1; i >= 0 && i < len(a.between) {
		a.h.mallocs += a.between[i]
	}
	if a.read == 2 {
		a.h.cycles += a.cycles
	}
	a.read++
	return a.h, nil
}

func TestARowSaysWhyPeersFailed(t *testing.T) {
	r := worse(t, "storm-one-room", func(r *report.Result) {
		r.Connected, r.Failed, r.Failures = r.Connected-3, 3, []report.Failure{{Cause: "closed by the server", Count: 2}, {Cause: "no path", Count: 1}}
	})
	notes := strings.Join(r.Notes, "\n")
	if !strings.Contains(notes, "2 failed: closed by the server\n1 failed: no path") {
		t.Errorf("%q", r.Notes)
	}
}

func TestWhatCannotBeReadIsNotMeasured(t *testing.T) {
	for key, change := range map[string]func(*report.Result){
		"memory-viewer":  func(r *report.Result) { r.ServerPSS = 0 },
		"conference-4x8": func(r *report.Result) { r.Samples = r.Samples[:5] },
		"latency":        func(r *report.Result) { r.Audio.Count = 0 },
	} {
		if r := worse(t, key, change); r.Verdict != report.NotMeasured || len(r.Notes) == 0 {
			t.Errorf("%s: %+v", key, r)
		}
	}
}

// What a row's verdict is not about does not keep it from one.
func TestRowsAboutOtherThingsDoWithoutAMedianCost(t *testing.T) {
	r := worse(t, "conference-12x8", func(r *report.Result) { r.Samples = r.Samples[:5] })
	if r.Verdict != report.Reached || !strings.HasSuffix(r.Got, ", 700 ns a packet") {
		t.Errorf("%+v", r)
	}
}

func TestServerThatEndsIsInItsRow(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	l.start = func(context.Context, map[string]string) (target, error) {
		return &fakeServer{err: errors.New("the server ended by itself")}, nil
	}
	table, err := l.run(t.Context(), []string{"conference-4x8"})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Rows[0]; r.Verdict != report.NotMeasured || !strings.Contains(strings.Join(r.Notes, " "), "ended by itself") {
		t.Errorf("%+v", r)
	}
}

func TestGrowthComparesByTurns(t *testing.T) {
	l, servers, _ := fakeLab(time.Microsecond)
	calls := 0
	l.load = func(_ context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		calls++
		return fakeResult(sc, time.Duration(1000+200*((calls+1)%2))*time.Nanosecond, p), nil
	}
	table, err := l.run(t.Context(), []string{"growth-shards"})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Rows[0]; r.Got != "1.20 x" || r.Verdict != report.NotReached {
		t.Errorf("%+v", r)
	}
	var shards []string
	for _, s := range *servers {
		shards = append(shards, s.config["shards"])
	}
	if !slices.Equal(shards, []string{"1", "2", "1", "2"}) {
		t.Errorf("%v", shards)
	}
}

func TestQuickRunIsSmallerAndSaysSo(t *testing.T) {
	l, _, seen := fakeLab(500 * time.Nanosecond)
	l.quick = true
	table, err := l.run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.Title, "quick") {
		t.Errorf("%q", table.Title)
	}
	for _, r := range table.Rows {
		if !strings.Contains(r.What, "quick") {
			t.Errorf("%q", r.What)
		}
	}
	for _, sc := range *seen {
		if sc.Rooms*sc.Clients > 701 || !sc.Storm && sc.Duration > 10*time.Second && sc.Name != "memory-publisher-viewers" {
			t.Errorf("%+v", sc)
		}
	}
}

func TestCostNeedsItsParts(t *testing.T) {
	all := []time.Duration{5, 3, 1, 4, 2}
	for _, c := range []struct {
		quick bool
		parts int
		want  time.Duration
	}{{false, 5, 3}, {false, 4, 0}, {true, 3, 3}, {true, 2, 0}} {
		l := &lab{quick: c.quick}
		if got, _, err := l.cost(all[:c.parts]); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestUnknownRowsAreRefused(t *testing.T) {
	if err := Check([]string{"storm", "strom"}); err == nil || !strings.Contains(err.Error(), `no row "strom"`) {
		t.Errorf("%v", err)
	}
	if err := Check(Keys()); err != nil {
		t.Error(err)
	}
}

func TestMedianIsTheMiddle(t *testing.T) {
	for want, all := range map[int][]int{0: nil, 3: {5, 3, 1}, 2: {4, 2, 1, 3}, 7: {7}} {
		if got := median(all); got != want {
			t.Errorf("%v: %d, want %d", all, got, want)
		}
	}
}

// behind dropped feedback.
type behind struct{ fakeServer }

func (f *behind) Counters() (map[string]uint64, error) {
	c, err := f.fakeServer.Counters()
	c["drop_feedback"] = 1234
	return c, err
}

func TestDroppedFeedbackIsNoted(t *testing.T) {
	l, _, _ := fakeLab(800 * time.Nanosecond)
	l.start = func(context.Context, map[string]string) (target, error) { return &behind{}, nil }
	table, err := l.run(t.Context(), []string{"video-fanout", "conference-4x8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows {
		if n := len(r.Notes); n == 0 || !strings.Contains(r.Notes[n-1], "dropped 1,234 datagrams of feedback") {
			t.Errorf("%s: notes %q", r.Key, r.Notes)
		}
	}
}
