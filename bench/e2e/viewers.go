package e2e

import (
	"context"
	"fmt"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

// audience is one publisher of 300 kbps and its viewers.
func audience(l *lab, name string, viewers int, d time.Duration) load.Scenario {
	sc := base(l, name)
	sc.Clients, sc.Bitrate, sc.FrameRate, sc.Duration = viewers+1, 300_000, 15, d
	return sc
}

// hold is a run with an audience that is ended when it cannot be held any more.
func (l *lab) hold(ctx context.Context, config map[string]string, sc load.Scenario) (outcome, error) {
	return l.once(ctx, job{config: config, scenario: sc, giveUp: hopeless(sc)})
}

// unbounded is for the search of the limit, which is to be the machine's.
var unbounded = map[string]string{"signaling_notify": "false", "max_connections": "100000"}

func viewers5000(ctx context.Context, l *lab, r *report.Row) error {
	viewers := pick(l, 5000, 300)
	l.held = -viewers // until it is known better
	out, err := l.hold(ctx, quiet, audience(l, r.Key, viewers, pick(l, 5*time.Minute, 6*time.Second)))
	if err != nil {
		return err
	}
	r.Busy = busy(out.Result)
	if out.gaveUp != "" {
		r.Got = fmt.Sprintf("%s of %s, ended early", report.Count(uint64(max(0, out.Connected-out.Failed))), report.Count(uint64(out.Peers)))
		r.Notes = append(append(r.Notes, out.gaveUp), failures(out.Result)...)
		r.Verdict = report.NotReached
		return nil
	}
	r.Got = fmt.Sprintf("%s of %s, %s lost", report.Count(uint64(out.Connected)), report.Count(uint64(out.Peers)), report.Count(out.ServerLost()))
	r.Notes = append(r.Notes, fmt.Sprintf("%s a packet, server %s of one core, %s a connection", l.costText(out.Result),
		report.Percent(float64(out.ServerCPU)/float64(max(out.Duration, 1))), report.Size(out.PerPeer())))
	good := healthy(r, out.Result)
	if good {
		l.held = viewers
	}
	r.Verdict = verdict(good)
	return nil
}

// Bounds of viewers-limit: what it has found out until then is its result.
const (
	limitSteps = 12
	limitTime  = 12 * time.Minute // after which no step is begun
)

// viewersLimit searches for the largest audience that is held: in whole steps from what is
// known, upwards until one is not held or downwards until one is, then half a step above the
// last that was.
func viewersLimit(ctx context.Context, l *lab, r *report.Row) error {
	step := pick(l, 1000, 100)
	n, most, least := l.held+step, max(l.held, 0), 0 // most was held; least, if not 0, was not
	switch {
	case l.held < 0:
		n, least = -l.held-step, -l.held
	case l.held == 0:
		n = pick(l, 5000, 300)
	}
	began := l.now()
	for steps := 0; n > 0 && n != most && n != least; steps++ {
		if steps == pick(l, limitSteps, 1) || l.now().Sub(began) > limitTime {
			r.Notes = append(r.Notes, fmt.Sprintf("no more audiences than %d were tried", steps))
			break
		}
		held, err := l.tryAudience(ctx, r, n)
		if err != nil {
			r.Got = between(most, least)
			return err
		}
		if held {
			most = n
		} else {
			least = n
		}
		switch {
		case least == 0:
			n = most + step
		case most == 0:
			n = least - step
		case least-most > step/2:
			n = most + step/2
		default:
			n = most
		}
	}
	r.Got = between(most, least)
	r.Verdict = report.Informative
	return nil
}

// between says what is known when most viewers were held and least were not; 0: not known.
func between(most, least int) string {
	switch {
	case most == 0 && least == 0:
		return ""
	case most == 0:
		return fmt.Sprintf("fewer than %s", report.Count(uint64(least)))
	case least == 0:
		return fmt.Sprintf("%s or more", report.Count(uint64(most)))
	}
	return fmt.Sprintf("%s, not %s", report.Count(uint64(most)), report.Count(uint64(least)))
}

// tryAudience reports whether so many viewers are held without loss. What kept others from it
// becomes a note of the row.
func (l *lab) tryAudience(ctx context.Context, r *report.Row, n int) (bool, error) {
	sc := audience(l, fmt.Sprintf("%s-%d", r.Key, n), n, pick(l, 20*time.Second, 3*time.Second))
	out, err := l.hold(ctx, unbounded, sc)
	if ctx.Err() != nil {
		return false, err
	}
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%d viewers: %v", n, err))
		return false, nil
	}
	r.Busy = busy(out.Result)
	if out.gaveUp != "" {
		r.Notes = append(append(r.Notes, fmt.Sprintf("%d viewers: %s", n, out.gaveUp)), failures(out.Result)...)
		return false, nil
	}
	var one report.Row
	held := healthy(&one, out.Result) && out.ClientLoss == 0
	load := fmt.Sprintf("%d viewers: the machine was busy for %s, %s of it this program", n, r.Busy,
		report.Percent(float64(out.ClientCPU)/float64(max(out.Duration, 1))))
	r.Notes = append(append(r.Notes, load), one.Notes...)
	return held, nil
}
