package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/report"
)

func storm(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Rooms, sc.Clients, sc.Role, sc.Storm, sc.JoinRate = pick(l, 625, 50), 8, load.SendRecv, true, 550 // the last begins after 9.1 s
	var handshakes [2]time.Duration                                                                      // a bare one before and after
	var out outcome
	for i := range handshakes {
		c, err := l.handshake(bare.HandshakeConfig{Rounds: pick(l, 5, 2)})
		if err != nil {
			return err
		}
		handshakes[i] = c.PerHandshake
		if i == 0 {
			if out, err = l.once(ctx, job{scenario: sc}); err != nil {
				return err
			}
		}
	}
	each := out.JoinCPU / time.Duration(max(out.Connected, 1))
	bound := 2*mean(handshakes) + 500*time.Microsecond
	in := pick(l, 10*time.Second, 2*time.Second)
	r.Got = fmt.Sprintf("%d of %d in %s, %s each", out.Connected, out.Peers, report.Time(out.JoinTime), report.Time(each))
	r.Busy = busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("a bare handshake cost %s before and %s after, so the bound is %s; connected after p50 %s, p99 %s",
		report.Time(handshakes[0]), report.Time(handshakes[1]), report.Time(bound), report.Time(out.Join.P50), report.Time(out.Join.P99)))
	r.Verdict = verdict(healthy(r, out.Result) && each <= bound && out.JoinTime <= in)
	return nil
}

func stormOneRoom(ctx context.Context, l *lab, r *report.Row) error {
	sc := base(l, r.Key)
	sc.Clients, sc.Role, sc.Storm, sc.JoinRate, sc.Notify = pick(l, 5000, 300), load.RecvOnly, true, 500, true
	out, err := l.once(ctx, job{config: map[string]string{"signaling_notify": "true"}, scenario: sc})
	if err != nil {
		return err
	}
	r.Got = fmt.Sprintf("%d of %d in %s, %s of PSS", out.Connected, out.Peers, report.Time(out.JoinTime), report.Size(out.ServerPSS))
	r.Busy = busy(out.Result)
	for _, name := range slices.Sorted(maps.Keys(out.last)) {
		if strings.Contains(name, "notif") || strings.Contains(name, "coalesc") {
			r.Notes = append(r.Notes, fmt.Sprintf("%s %s", name, report.Count(out.last[name])))
		}
	}
	r.Notes = append(r.Notes, fmt.Sprintf("%s a join, %s a connection; bounded is taken as <= 1 MiB a connection",
		report.Time(out.JoinCPU/time.Duration(max(out.Connected, 1))), report.Size(out.PerPeer())))
	r.Verdict = verdict(healthy(r, out.Result) && out.PerPeer() > 0 && out.PerPeer() <= 1<<20)
	return nil
}
