package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
)

// drifting replaces the bare loops of a lab by ones that take 100 ns a packet more each time,
// from 400 ns on, and ten times as much at a pace; and notes the order of loops and loads.
func drifting(l *lab) *[]string {
	var order []string
	cost := 300 * time.Nanosecond
	loop := func(name string) loop {
		return func(c bare.Config) (bare.Cost, error) {
			if c.Interval > 0 {
				order = append(order, name+" paced")
				return bare.Cost{PerPacket: 10 * cost}, nil
			}
			cost += 100 * time.Nanosecond
			order = append(order, name)
			return bare.Cost{PerPacket: cost}, nil
		}
	}
	l.gso, l.sendmmsg = loop("gso"), loop("sendmmsg")
	inner := l.load
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		order = append(order, "load")
		return inner(ctx, sc, p)
	}
	return &order
}

func TestBareLoopIsMeasuredBeforeAndAfterItsRow(t *testing.T) {
	l, _, _ := fakeLab(900 * time.Nanosecond)
	order := drifting(l)
	table, err := l.run(t.Context(), []string{"video-fanout"})
	if err != nil {
		t.Fatal(err)
	}
	// The first and the last are about the machine's speed.
	if want := []string{"gso", "gso", "gso paced", "load", "gso", "gso paced", "gso"}; !slices.Equal(*order, want) {
		t.Errorf("%v", *order)
	}
	row := table.Rows[0]
	if !strings.HasSuffix(row.Got, "1.64 x 550 ns") || row.Verdict != report.NotReached {
		t.Errorf("%+v", row)
	}
	if notes := strings.Join(row.Notes, " "); !strings.Contains(notes, "500 ns before and 600 ns after") ||
		!strings.Contains(notes, "at the pace of the packets 5.00 us and 6.00 us, of which the cost is 0.16 x") {
		t.Errorf("%q", notes)
	}
	if !strings.HasSuffix(table.Speed, ": 400 ns a packet at the start, 700 ns a packet at the end") {
		t.Errorf("%q", table.Speed)
	}
	if row.Took <= 0 || table.Took <= row.Took {
		t.Errorf("the row took %v, the table %v", row.Took, table.Took)
	}
}

func TestBareHandshakeIsMeasuredBeforeAndAfterTheStorm(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	cost := 100 * time.Microsecond
	l.handshake = func(bare.HandshakeConfig) (bare.HandshakeCost, error) {
		cost += 100 * time.Microsecond
		return bare.HandshakeCost{PerHandshake: cost}, nil
	}
	table, err := l.run(t.Context(), []string{"storm"}) // whose joins cost 1 ms each
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; row.Verdict != report.Reached || !strings.Contains(row.Notes[0], "200 us before and 300 us after, so the bound is 1.00 ms") {
		t.Errorf("%+v", row)
	}
}

func TestRowWithoutItsBareLoopIsNotMeasured(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	l.gso = func(bare.Config) (bare.Cost, error) { return bare.Cost{}, errors.New("no GSO here") }
	table, err := l.run(t.Context(), []string{"video-fanout"})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; row.Verdict != report.NotMeasured || !strings.Contains(strings.Join(row.Notes, " "), "no GSO here") {
		t.Errorf("%+v", row)
	}
	if !strings.Contains(table.Speed, "no GSO here") {
		t.Errorf("%q", table.Speed)
	}
}

func TestMeanPayloadIsThatOfAudioAndVideo(t *testing.T) {
	l, _, _ := fakeLab(0)
	small, err := meanPayload(conference(l, "x", 12, 170_000))
	if err != nil {
		t.Fatal(err)
	}
	large, err := meanPayload(conference(l, "x", 12, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	// Opus packets are below 150 bytes and 50 a second.
	if small < 80 || small > 600 || large < 2*small || large > 1200 {
		t.Errorf("%d and %d bytes", small, large)
	}
}

// The rows that are about packets must not be reached when the server loses any.
func TestServerThatLosesPacketsReachesNoRow(t *testing.T) {
	for _, r := range rows {
		if r.key == "storm" || r.key == "storm-one-room" || r.key == "viewers-limit" {
			continue // no media in the first two; the third reports what does not lose any
		}
		row := worse(t, r.key, func(r *report.Result) { r.Expected, r.Lost = r.Expected+3, 3 })
		if row.Verdict != report.NotReached || !strings.Contains(strings.Join(row.Notes, " "), "the server lost 3 of") {
			t.Errorf("%s: %+v", r.key, row)
		}
	}
}

func TestPublishersAreMeasuredAboveTheViewersBesideThem(t *testing.T) {
	l, servers, seen := fakeLab(time.Microsecond)
	inner := l.load
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		r, err := inner(ctx, sc, p)
		if sc.Name == "memory-publisher" {
			r.IdlePSS = 150 << 20 // what the viewers take
			r.ServerPSS = r.IdlePSS + 100*(200<<10)
		}
		return r, err
	}
	table, err := l.run(t.Context(), []string{"memory-publisher"})
	if err != nil {
		t.Fatal(err)
	}
	row := table.Rows[0]
	if row.Got != "200 KiB" || row.Verdict != report.Reached || !strings.Contains(strings.Join(row.Notes, " "), "100 publishers above a server with 1900 parked viewers") {
		t.Errorf("%+v", row)
	}
	if len(*servers) != 1 || len(*seen) != 2 {
		t.Errorf("%d servers, %d loads", len(*servers), len(*seen))
	}
	clients := 0
	for _, sc := range *seen {
		clients += sc.Rooms * sc.Clients
	}
	if clients != 2000 {
		t.Errorf("%d connections", clients)
	}
}

func TestPublishersBesideViewersThatLeftAreNotMeasured(t *testing.T) {
	l, servers, _ := fakeLab(time.Microsecond)
	gone := make(chan struct{})
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		if sc.Name == "memory-publisher-viewers" {
			p(report.Sample{Phase: report.Measuring})
			defer close(gone)
			return nil, errors.New("all peers are gone")
		}
		<-gone
		for ctx.Err() == nil {
			p(report.Sample{Phase: report.Measuring})
		}
		return nil, ctx.Err()
	}
	table, err := l.run(t.Context(), []string{"memory-publisher"})
	if err != nil {
		t.Fatal(err)
	}
	row := table.Rows[0]
	if row.Verdict != report.NotMeasured || !strings.Contains(strings.Join(row.Notes, " "), "all peers are gone") || (*servers)[0].stopped != 1 {
		t.Errorf("%+v", row)
	}
}
