package e2e

import (
	"context"
	"fmt"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

func growthViewers(ctx context.Context, l *lab, r *report.Row) error {
	few, many := pick(l, 200, 50), pick(l, 2000, 200)
	return l.growth(ctx, r, func(b bool) (map[string]string, load.Scenario) {
		n := few
		if b {
			n = many
		}
		return quiet, audience(l, fmt.Sprintf("%s-%d", r.Key, n), n, measured(l))
	})
}

func growthShards(ctx context.Context, l *lab, r *report.Row) error {
	return l.growth(ctx, r, func(b bool) (map[string]string, load.Scenario) {
		n := "1"
		if b {
			n = "2"
		}
		return map[string]string{"shards": n}, conference(l, r.Key+"-"+n, 12, 1_000_000)
	})
}

// growth compares the costs of two ways, each measured twice by turns, once in a quick run.
func (l *lab) growth(ctx context.Context, r *report.Row, way func(b bool) (map[string]string, load.Scenario)) error {
	var all [2][]time.Duration
	var results []*report.Result
	for i := range pick(l, 4, 2) {
		config, sc := way(i%2 == 1)
		out, err := l.once(ctx, job{config: config, scenario: sc})
		if err != nil {
			return err
		}
		all[i%2] = append(all[i%2], costs(out.Result)...)
		results = append(results, out.Result)
	}
	a, aText, err := l.cost(all[0])
	if err != nil {
		return err
	}
	b, bText, err := l.cost(all[1])
	if err != nil {
		return err
	}
	x := ratio(b, a)
	r.Got = fmt.Sprintf("%.2f x", x)
	r.Busy = busy(results...)
	r.Notes = append(r.Notes, fmt.Sprintf("%s against %s, each of %d parts by turns", bText, aText, len(all[0])))
	r.Verdict = verdict(healthy(r, results...) && x <= 1.15)
	return nil
}
