// Package e2e measures the standard set: it starts the server's binary with a configuration of
// its own for each row, loads it by package load, measures the bare loops of package bare in
// the same run, and says which numbers were reached. A cost is the median of the parts, five at
// least, into which the measured time is cut. A bare loop is measured before and after what is
// compared with it, and counts with the mean of both, because machines, virtual ones above all,
// become faster and slower within minutes. It tunes nothing: the server runs with its
// defaults but for what a row is about, and limits on clients of one address. Run may be called
// from one goroutine at a time: two runs would measure each other.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/harness/process"
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
	Heap() (heap, error)
	Stop() error
}

// lab is everything a row works with; tests have another.
type lab struct {
	quick   bool
	log     io.Writer
	results []*report.Result
	shed    uint64 // feedback that servers of this row dropped undecrypted
	held    int    // viewers of viewers-5000 that were held; 0: it was not run; below 0: they were not

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
	binary, err := process.Build(ctx, o.Root, filepath.Join("bin", "bench", "tsubame"))
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
	t := &report.Table{Title: "standard set", Started: l.now()}
	if l.quick {
		t.Title = "standard set, quick: short and with fewer clients, so only for a first look"
	}
	atStart := l.speed()
	todo := 0
	for _, r := range rows {
		if len(only) > 0 && !slices.Contains(only, r.key) {
			continue
		}
		if todo++; ctx.Err() == nil {
			t.Rows = append(t.Rows, l.row(ctx, r))
		}
	}
	if ctx.Err() != nil {
		t.Title += fmt.Sprintf("; interrupted in row %d of %d", len(t.Rows), todo)
		t.Speed = fmt.Sprintf("%s: %s at the start", speedName, atStart)
	} else {
		t.Speed = fmt.Sprintf("%s: %s at the start, %s at the end", speedName, atStart, l.speed())
	}
	l.say("%s", t.Speed)
	t.Took = l.now().Sub(t.Started)
	return t, ctx.Err()
}

// row measures one row.
func (l *lab) row(ctx context.Context, r row) report.Row {
	started := l.now()
	l.say("== %s: %s", r.key, r.what)
	out := report.Row{Key: r.key, What: r.what, Want: r.want}
	if l.quick {
		out.What += " (quick: shorter and smaller)"
	}
	l.shed = 0
	if err := r.measure(ctx, l, &out); err != nil {
		out.Verdict = report.NotMeasured
		if ctx.Err() != nil {
			err = errInterrupted
		}
		out.Notes = append(out.Notes, err.Error())
	}
	if l.shed > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("the server was behind and dropped %s datagrams of feedback, which flatters its cost", report.Count(l.shed)))
	}
	out.Took = l.now().Sub(started)
	l.say("   %s: %s, want %s: %s, in %s", r.key, out.Got, out.Want, out.Verdict, report.Time(out.Took))
	return out
}

// errInterrupted is what a row says that was under way when the set was interrupted.
var errInterrupted = errors.New("interrupted")

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
