package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

// job is one load of one server.
type job struct {
	config   map[string]string
	scenario load.Scenario
	counted  bool // count what the server allocates, with media and in silence

	// giveUp is nil, or says why a run is not to go on, which ends it: so a row that cannot be
	// reached any more does not take its whole time. "": it goes on.
	giveUp func(report.Sample) string
}

// outcome is what came of a job.
type outcome struct {
	*report.Result
	media, silent *span             // of the measured part and of the silence, if they were counted
	last          map[string]uint64 // counters after it all
	gaveUp        string            // why the run was ended early; Result is a partial one then
}

// once starts a server, runs a job against it and stops it.
func (l *lab) once(ctx context.Context, j job) (out outcome, err error) {
	s, err := l.start(ctx, j.config)
	if err != nil {
		return out, err
	}
	defer func() {
		stopErr := s.Stop()
		if stopErr != nil && out.gaveUp != "" {
			out.gaveUp += "; " + stopErr.Error() // that may well be why
			return
		}
		err = errors.Join(err, stopErr)
	}()
	return l.against(ctx, s, j)
}

// against runs a job against a server that runs.
func (l *lab) against(ctx context.Context, s target, j job) (out outcome, err error) {
	sc := j.scenario
	sc.URL, sc.PID = s.URL(), s.PID()
	phase := report.Joining
	started := l.now()
	var counting *span
	var samples []report.Sample
	running, end := context.WithCancel(ctx)
	defer end()
	progress := func(one report.Sample) {
		l.say("   %s", one.Line())
		samples = append(samples, one)
		if j.counted && one.Phase != phase {
			counting.end(s, l.now)
			counting = nil
			switch one.Phase {
			case report.Measuring:
				counting = beginSpan(s, l.now)
				out.media = counting
			case report.Silent:
				counting = beginSpan(s, l.now)
				out.silent = counting
			}
		}
		phase = one.Phase
		if j.giveUp != nil && out.gaveUp == "" {
			if out.gaveUp = j.giveUp(one); out.gaveUp != "" {
				l.say("   ended early: %s", out.gaveUp)
				end()
			}
		}
	}
	out.Result, err = l.load(running, sc, progress)
	if err != nil {
		partial := report.Partial(sc.Name, started, sc.Rooms*sc.Clients, samples)
		if len(samples) > 0 {
			l.results = append(l.results, partial)
		}
		if out.gaveUp == "" || ctx.Err() != nil {
			out.gaveUp = ""
			return out, err
		}
		out.Result = partial
		return out, nil
	}
	out.gaveUp = "" // it was at its end anyway
	l.results = append(l.results, out.Result)
	if out.last, err = s.Counters(); err != nil {
		return out, err
	}
	l.shed += out.last["drop_feedback"]
	return out, nil
}

// hopeless returns a giveUp for runs in which everybody is to join and to stay: it ends a run
// when one of a hundred has failed, and when joining takes more than three times as long as it
// should and half a minute.
func hopeless(sc load.Scenario) func(report.Sample) string {
	peers := sc.Rooms * sc.Clients
	longest := 3*time.Duration(peers)*time.Second/time.Duration(max(sc.JoinRate, 1)) + 30*time.Second
	return func(s report.Sample) string {
		switch {
		case s.Failed > peers/100:
			return fmt.Sprintf("%s of %s peers had failed after %s", report.Count(uint64(s.Failed)), report.Count(uint64(peers)), report.Time(s.At))
		case s.Phase == report.Joining && s.At > longest:
			return fmt.Sprintf("only %s of %s peers had joined after %s", report.Count(uint64(s.Connected)), report.Count(uint64(peers)), report.Time(s.At))
		}
		return ""
	}
}
