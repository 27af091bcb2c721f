package e2e

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

// turnRow runs the row with what a packet costs by each way, after change.
func turnRow(t *testing.T, cost map[load.TURN]time.Duration, change func(load.TURN, *report.Result)) (report.Row, []load.Scenario, []*fakeServer) {
	t.Helper()
	l, servers, seen := fakeLab(time.Microsecond)
	l.load = func(_ context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
		*seen = append(*seen, sc)
		r := fakeResult(sc, cost[sc.TURN], p)
		if change != nil {
			change(sc.TURN, r)
		}
		return r, nil
	}
	table, err := l.run(t.Context(), []string{"turn"})
	if err != nil {
		t.Fatal(err)
	}
	return table.Rows[0], *seen, *servers
}

var turnCosts = map[load.TURN]time.Duration{
	load.Direct: 1000 * time.Nanosecond, load.TURNUDP: 1090 * time.Nanosecond,
	load.TURNTCP: 3 * time.Microsecond, load.TURNTLS: 5 * time.Microsecond,
}

func TestTURNIsMeasuredByTurnsAgainstOneServer(t *testing.T) {
	r, seen, servers := turnRow(t, turnCosts, nil)
	if want := "UDP 1.09 us, 1.09 x direct 1.00 us, 0.00000 allocations a packet; TCP 3.00 us, TLS 5.00 us"; r.Got != want || r.Verdict != report.Reached {
		t.Errorf("%+v, want %q", r, want)
	}
	if len(servers) != 1 || servers[0].stopped != 1 || len(seen) != 2*parts+3 {
		t.Fatalf("%d servers, %d loads", len(servers), len(seen))
	}
	for i, sc := range seen[:len(seen)-1] {
		if sc.TURN != turnOrder(parts)[i] || sc.Clients != 65 || sc.PayloadSize != 1100 || sc.Silence != 0 {
			t.Errorf("load %d: %+v", i, sc)
		}
	}
	if last := seen[len(seen)-1]; last.TURN != load.TURNUDP || last.Silence == 0 {
		t.Errorf("allocations are counted with %+v", last)
	}
	if file := servers[0].config["tls_private_key_file"]; file == "" {
		t.Error("a server without TLS")
	} else if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the key is left: %v", err)
	}
}

func TestTURNThatCostsMoreOrLosesIsNotReached(t *testing.T) {
	dear := map[load.TURN]time.Duration{load.Direct: 1000, load.TURNUDP: 1110, load.TURNTCP: 1000, load.TURNTLS: 1000}
	if r, _, _ := turnRow(t, dear, nil); r.Verdict != report.NotReached || !strings.Contains(r.Got, "1.11 x") {
		t.Errorf("%+v", r)
	}
	for way, want := range map[load.TURN]report.Verdict{
		load.Direct: report.NotReached, load.TURNUDP: report.NotReached, load.TURNTCP: report.Reached, load.TURNTLS: report.Reached,
	} {
		r, _, _ := turnRow(t, turnCosts, func(by load.TURN, r *report.Result) {
			if by == way {
				r.Lost = 1
			}
		})
		if r.Verdict != want || !strings.Contains(strings.Join(r.Notes, "; "), "the server lost 1 of") {
			t.Errorf("lost by %q: %+v", way, r)
		}
	}
	if r, _, _ := turnRow(t, turnCosts, func(by load.TURN, r *report.Result) {
		if by == load.TURNTLS {
			r.Samples = nil
		}
	}); r.Verdict != report.NotMeasured {
		t.Errorf("nothing by TLS: %+v", r)
	}
}

func TestTURNThatAllocatesIsNotReached(t *testing.T) {
	l, _, _ := fakeLab(time.Microsecond)
	l.start = func(context.Context, map[string]string) (target, error) {
		return &allocating{between: []uint64{0, 2300, 0, 0, 2000}}, nil
	}
	table, err := l.run(t.Context(), []string{"turn"})
	if err != nil {
		t.Fatal(err)
	}
	if row := table.Rows[0]; row.Verdict != report.NotReached || !strings.Contains(row.Got, "0.00300 allocations a packet") {
		t.Errorf("%+v", row)
	}
}

func TestServerOfTheRowHasACertificateForItsName(t *testing.T) {
	config, done, err := turnConfig()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	pair, err := tls.LoadX509KeyPair(config["tls_certificate_file"], config["tls_private_key_file"])
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Leaf.VerifyHostname(config["turn_tls_fqdn"]); err != nil {
		t.Error(err)
	}
}
