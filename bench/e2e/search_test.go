package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

func TestLimitIsFoundUpwardsAndDownwards(t *testing.T) {
	for _, c := range []struct {
		first bool // viewers-5000 is measured before
		limit int  // viewers that are held
		want  string
		tried []int
	}{
		{true, 7200, "7,000, not 7,500", []int{5000, 6000, 7000, 8000, 7500}},
		{true, 5700, "5,500, not 6,000", []int{5000, 6000, 5500}},
		{true, 3600, "3,500, not 4,000", []int{5000, 4000, 3000, 3500}},
		{true, 4999, "4,500, not 5,000", []int{5000, 4000, 4500}},
		{true, 100, "fewer than 1,000", []int{5000, 4000, 3000, 2000, 1000}},
		{false, 5100, "5,000, not 5,500", []int{5000, 6000, 5500}},
		{false, 2999, "2,500, not 3,000", []int{5000, 4000, 3000, 2000, 2500}},
		{true, 1 << 20, "17,000 or more", []int{5000, 6000, 7000, 8000, 9000, 10_000, 11_000, 12_000, 13_000, 14_000, 15_000, 16_000, 17_000}},
	} {
		l, servers, seen := fakeLab(time.Microsecond)
		inner := l.load
		l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
			r, err := inner(ctx, sc, p)
			if sc.Clients-1 > c.limit {
				r.Lost = 1
			}
			return r, err
		}
		only := []string{"viewers-limit"}
		if c.first {
			only = append(only, "viewers-5000")
		}
		table, err := l.run(t.Context(), only)
		if err != nil {
			t.Fatal(err)
		}
		row := table.Rows[len(table.Rows)-1]
		var tried []int
		for i, sc := range *seen {
			tried = append(tried, sc.Clients-1)
			if bound := (*servers)[i].config["max_connections"]; (bound == "") != (sc.Name == "viewers-5000") {
				t.Errorf("%s: the server takes %q connections", sc.Name, bound)
			}
		}
		if row.Got != c.want || row.Verdict != report.Informative || !slices.Equal(tried, c.tried) {
			t.Errorf("%d: %+v, tried %v", c.limit, row, tried)
		}
	}
}

func TestSearchForTheLimitEndsAfterItsTime(t *testing.T) {
	l, _, seen := fakeLab(time.Microsecond)
	clock := time.Unix(0, 0)
	l.now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	table, err := l.run(t.Context(), []string{"viewers-limit"})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; len(*seen) > 12 || !strings.Contains(row.Got, "or more") || !strings.Contains(strings.Join(row.Notes, " "), "no more audiences than") {
		t.Errorf("%d loads: %+v", len(*seen), row)
	}
}

func TestInterruptedSearchSaysWhatItKnows(t *testing.T) {
	for calls, want := range map[int]string{1: "", 2: "5,000 or more", 3: "6,000 or more"} {
		l, _, _ := fakeLab(time.Microsecond)
		ctx, cancel := context.WithCancel(t.Context())
		inner, n := l.load, 0
		l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
			if n++; n < calls {
				return inner(ctx, sc, p)
			}
			cancel()
			return nil, ctx.Err()
		}
		table, err := l.run(ctx, []string{"viewers-limit"})
		if row := table.Rows[0]; err == nil || row.Got != want || row.Verdict != report.NotMeasured {
			t.Errorf("%d: %v, %+v", calls, err, row)
		}
	}
}

// failing is a load in which clients fail one after the other until it is told to end.
func failing(ctx context.Context, sc load.Scenario, progress report.Progress) (*report.Result, error) {
	for n := 0; n <= sc.Clients; n++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		progress(report.Sample{At: time.Duration(n) * time.Second, Phase: report.Measuring, Connected: sc.Clients, Failed: n})
	}
	return nil, fmt.Errorf("nobody told it to end")
}

func TestAudienceThatFailsEndsItsRunEarly(t *testing.T) {
	l, servers, _ := fakeLab(time.Microsecond)
	l.load = failing
	table, err := l.run(t.Context(), []string{"viewers-5000"})
	if err != nil {
		t.Fatal(err)
	}
	row := table.Rows[0]
	if row.Verdict != report.NotReached || row.Got != "4,950 of 5,001, ended early" ||
		!strings.Contains(strings.Join(row.Notes, " "), "51 of 5,001 peers had failed after 51.0 s") {
		t.Errorf("%+v", row)
	}
	if len(l.results) != 1 || !l.results[0].Interrupted || (*servers)[0].stopped != 1 || l.held >= 0 {
		t.Errorf("%+v, %d, %d", l.results, (*servers)[0].stopped, l.held)
	}
}

func TestAudienceThatDoesNotJoinEndsItsRunEarly(t *testing.T) {
	sc := load.Scenario{Rooms: 1, Clients: 1000, JoinRate: 100}
	giveUp := hopeless(sc)
	for at, want := range map[time.Duration]string{
		59 * time.Second: "",
		61 * time.Second: "only 700 of 1,000 peers had joined after 61.0 s",
	} {
		if got := giveUp(report.Sample{At: at, Phase: report.Joining, Connected: 700, Failed: 10}); got != want {
			t.Errorf("%v: %q", at, got)
		}
	}
	if got := giveUp(report.Sample{At: time.Hour, Phase: report.Measuring, Connected: 1000}); got != "" {
		t.Errorf("all are there: %q", got)
	}
}

func TestLoadThatFailsByItselfIsNoEarlyEnd(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	l.load = func(_ context.Context, _ load.Scenario, progress report.Progress) (*report.Result, error) {
		progress(report.Sample{At: time.Second, Phase: report.Joining})
		return nil, fmt.Errorf("no server there")
	}
	table, err := l.run(t.Context(), []string{"viewers-5000"})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; row.Verdict != report.NotMeasured || !slices.Equal(row.Notes, []string{"no server there"}) {
		t.Errorf("%+v", row)
	}
}

func TestInterruptedSetKeepsWhatItHasAndSaysSo(t *testing.T) {
	l, servers, _ := fakeLab(700 * time.Nanosecond)
	ctx, cancel := context.WithCancel(t.Context())
	inner, calls := l.load, 0
	l.load = func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		if calls++; calls < 3 {
			return inner(ctx, sc, p)
		}
		p(report.Sample{At: time.Second, Phase: report.Measuring, Forwarded: 5})
		cancel()
		return nil, ctx.Err()
	}
	table, err := l.run(ctx, nil)
	if err != context.Canceled || len(table.Rows) != 3 {
		t.Fatalf("%v, %+v", err, table)
	}
	if table.Rows[1].Verdict != report.Reached || table.Rows[2].Verdict != report.NotMeasured || table.Rows[2].Notes[0] != "interrupted" {
		t.Errorf("%+v", table.Rows)
	}
	if want := fmt.Sprintf("interrupted in row 3 of %d", len(rows)); !strings.Contains(table.Title, want) {
		t.Errorf("%q", table.Title)
	}
	if n := len(l.results); n != 3 || !l.results[2].Interrupted || l.results[2].Forwarded != 5 {
		t.Errorf("%d results", n)
	}
	if (*servers)[2].stopped != 1 {
		t.Errorf("the last server was stopped %d times", (*servers)[2].stopped)
	}
}
