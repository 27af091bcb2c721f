package e2e

import (
	"context"
	"testing"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
)

// timed gives a lab a clock that runs as long as everything takes at the worst that is no
// fault: the server needs all the time that it is given to become calm, and more and more
// viewers are held.
func timed(l *lab) {
	clock := time.Unix(0, 0)
	take := func(d time.Duration) { clock = clock.Add(d) }
	l.now = func() time.Time { return clock }
	inner := l.load
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		const ends = 10 * time.Second // the server's start and end, first packets, and what comes late
		took := time.Duration(sc.Rooms*sc.Clients)*time.Second/time.Duration(sc.JoinRate) + ends
		if !sc.Storm {
			took += sc.Warmup + sc.Calm
		}
		if sc.Name != "memory-publisher-viewers" {
			took += sc.Duration
		}
		take(took)
		return inner(ctx, sc, p)
	}
	loop := func(bare.Config) (bare.Cost, error) {
		take(3 * time.Second)
		return bare.Cost{PerPacket: 500 * time.Nanosecond}, nil
	}
	l.gso, l.sendmmsg = loop, loop
	l.handshake = func(bare.HandshakeConfig) (bare.HandshakeCost, error) {
		take(5 * time.Second)
		return bare.HandshakeCost{PerHandshake: time.Millisecond}, nil
	}
}

func TestStandardSetTakesLessThanAnHour(t *testing.T) {
	l, _, _ := fakeLab(700 * time.Nanosecond)
	timed(l)
	table, err := l.run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, r := range table.Rows {
		t.Logf("%-18s %v", r.Key, r.Took)
		sum += r.Took
	}
	if table.Took > 55*time.Minute || table.Took < 15*time.Minute || sum > table.Took {
		t.Errorf("%v, the rows %v", table.Took, sum)
	}
}

func TestQuickSetTakesMinutes(t *testing.T) {
	l, _, _ := fakeLab(700 * time.Nanosecond)
	l.quick = true
	timed(l)
	table, err := l.run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if table.Took > 9*time.Minute || table.Took < 2*time.Minute {
		t.Errorf("%v", table.Took)
	}
}
