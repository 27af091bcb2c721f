// Package e2e measures the standard set: it starts the server's binary with a configuration of
// its own for each row, loads it by package load, measures the bare loops of package bare in
// the same run, and says which numbers were reached. A cost is the median of the parts, five at
// least, into which the measured time is cut. It tunes nothing: the server runs with its
// defaults but for what a row is about, and limits on clients of one address. Run may be called
// from one goroutine at a time: two runs would measure each other.
package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/proc"
	"tsubame/bench/report"
)

// Options say what to measure.
type Options struct {
	Root  string    // the work tree that the server is built from
	Only  []string  // keys of rows; none: all
	Quick bool      // short, with fewer clients: shows that all works, and no more
	Log   io.Writer // gets the progress; nil: nobody
}

// parts is how many parts the measured time of a cost has.
const parts = 5

// target is a server under load.
type target interface {
	URL() string
	PID() int
	Counters() (map[string]uint64, error)
	Stop() error
}

// lab is everything a row works with; tests have another.
type lab struct {
	quick   bool
	log     io.Writer
	results []*report.Result

	now       func() time.Time
	start     func(ctx context.Context, config map[string]string) (target, error)
	load      func(context.Context, load.Scenario, report.Progress) (*report.Result, error)
	gso       func(bare.Config) (bare.Cost, error)
	sendmmsg  func(bare.Config) (bare.Cost, error)
	handshake func(bare.HandshakeConfig) (bare.HandshakeCost, error)
}

// row is one line of the standard set. measure fills in what came out.
type row struct {
	key, what, want string
	measure         func(ctx context.Context, l *lab, r *report.Row) error
}

// Keys returns the keys of all rows, in their order.
func Keys() []string {
	var keys []string
	for _, r := range rows {
		keys = append(keys, r.key)
	}
	return keys
}

// Check says in words which of the keys is none.
func Check(only []string) error {
	for _, k := range only {
		if !slices.Contains(Keys(), k) {
			return fmt.Errorf("there is no row %q; the rows are %s", k, strings.Join(Keys(), ", "))
		}
	}
	return nil
}

// Run measures and returns the table, and the result of every load in it. The error is about
// what keeps everything from being measured; what concerns one row is in that row.
func Run(ctx context.Context, o Options) (*report.Table, []*report.Result, error) {
	if err := Check(o.Only); err != nil {
		return nil, nil, err
	}
	binary, err := build(ctx, o.Root)
	if err != nil {
		return nil, nil, err
	}
	l := &lab{
		quick: o.Quick, log: o.Log, now: time.Now, load: load.Run,
		gso: bare.GSO, sendmmsg: bare.Sendmmsg, handshake: bare.Handshake,
		start: func(ctx context.Context, config map[string]string) (target, error) {
			return startServer(ctx, binary, config)
		},
	}
	t, err := l.run(ctx, o.Only)
	t.Machine = proc.Describe(o.Root)
	return t, l.results, err
}

func (l *lab) run(ctx context.Context, only []string) (*report.Table, error) {
	t := &report.Table{Title: "standard set", Started: time.Now()}
	if l.quick {
		t.Title = "standard set, quick: short and with fewer clients, so only for a first look"
	}
	for _, r := range rows {
		if len(only) > 0 && !slices.Contains(only, r.key) {
			continue
		}
		l.say("== %s: %s", r.key, r.what)
		out := report.Row{Key: r.key, What: r.what, Want: r.want}
		if l.quick {
			out.What += " (quick: shorter and smaller)"
		}
		if err := r.measure(ctx, l, &out); err != nil {
			out.Verdict = report.NotMeasured
			out.Notes = append(out.Notes, err.Error())
		}
		l.say("   %s: %s, want %s: %s", r.key, out.Got, out.Want, out.Verdict)
		t.Rows = append(t.Rows, out)
		if ctx.Err() != nil {
			break
		}
	}
	t.Took = time.Since(t.Started)
	return t, ctx.Err()
}

func (l *lab) say(format string, args ...any) {
	if l.log != nil {
		fmt.Fprintf(l.log, format+"\n", args...)
	}
}

// pick returns the full value, or that of a quick run.
func pick[T any](l *lab, full, quick T) T {
	if l.quick {
		return quick
	}
	return full
}

// outcome is one load of one server.
type outcome struct {
	*report.Result
	before, after map[string]uint64 // counters at the ends of the measured part, if asked for
	last          map[string]uint64 // counters after it all
	between       time.Duration     // from before to after
}

// once starts a server, runs a scenario against it and stops it.
func (l *lab) once(ctx context.Context, config map[string]string, sc load.Scenario, counted bool) (out outcome, err error) {
	s, err := l.start(ctx, config)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	sc.URL, sc.PID = s.URL(), s.PID()
	phase := report.Joining
	var from time.Time
	progress := func(one report.Sample) {
		l.say("   %s", one.Line())
		if counted && one.Phase != phase {
			switch one.Phase {
			case report.Measuring:
				out.before, _ = s.Counters() // without them the row says that there were none
				from = l.now()
			case report.Leaving:
				out.after, _ = s.Counters()
				out.between = l.now().Sub(from)
			}
		}
		phase = one.Phase
	}
	if out.Result, err = l.load(ctx, sc, progress); err != nil {
		return out, err
	}
	if out.last, err = s.Counters(); err != nil {
		return out, err
	}
	if counted && out.after == nil {
		out.after, out.between = out.last, l.now().Sub(from) // the run left no sample of its end
	}
	l.results = append(l.results, out.Result)
	return out, nil
}

// costs returns the server's CPU time a packet in each part of the measured time.
func costs(r *report.Result) []time.Duration {
	var measured []report.Sample
	for _, s := range r.Samples {
		if s.Phase == report.Measuring {
			measured = append(measured, s)
		}
	}
	var all []time.Duration
	for i := range parts {
		var cpu time.Duration
		var packets uint64
		for _, s := range measured[i*len(measured)/parts : (i+1)*len(measured)/parts] {
			cpu += s.ServerCPU
			packets += s.Forwarded
		}
		if packets > 0 {
			all = append(all, cpu/time.Duration(packets))
		}
	}
	return all
}

// median returns the middle of all, the lower one of two; 0 of none.
func median[T cmp.Ordered](all []T) T {
	var zero T
	if len(all) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

// cost returns the median cost of a run with its spread in words, or an error if the parts are
// too few for one.
func cost(all []time.Duration) (time.Duration, string, error) {
	if len(all) < parts {
		return 0, "", fmt.Errorf("packets were forwarded in %d parts, want %d", len(all), parts)
	}
	m := median(all)
	return m, fmt.Sprintf("%s (%s to %s)", report.Time(m), report.Time(slices.Min(all)), report.Time(slices.Max(all))), nil
}

// busy is the machine's busy time of one or more runs in words.
func busy(all ...*report.Result) string {
	var used, time time.Duration
	for _, r := range all {
		used += r.MachineCPU
		time += r.Duration
	}
	if time <= 0 {
		return ""
	}
	return report.Percent(float64(used) / float64(time))
}

// verdict turns a comparison into a word.
func verdict(reached bool) report.Verdict {
	if reached {
		return report.Reached
	}
	return report.NotReached
}

// healthy adds what went wrong to a row, and reports whether nothing did.
func healthy(r *report.Row, all ...*report.Result) bool {
	good := true
	for _, one := range all {
		if one.Connected < one.Peers || one.Failed > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%d of %d peers connected, %d failed", one.Connected, one.Peers, one.Failed))
			good = false
		}
		if lost := one.ServerLost(); lost > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("the server lost %s of %s packets", report.Count(lost), report.Count(one.Expected)))
			good = false
		}
		if one.ClientLoss > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("the clients' own sockets dropped %s", report.Count(one.ClientLoss)))
		}
	}
	return good
}

// ratio divides two costs; 0 if there is nothing to divide by.
func ratio(a, b time.Duration) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}
