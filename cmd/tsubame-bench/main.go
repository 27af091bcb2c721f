// Command tsubame-bench loads a server with thousands of real WebRTC clients and says what it
// costs the server: CPU time for each forwarded packet, memory for each connection, loss and
// latency. "tsubame-bench standard" starts a server by itself and measures the standard set.
// It is a thin shell: scenarios are read by bench/scenario, run by bench/load and bench/e2e,
// and written by bench/report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/load"
	"tsubame/bench/proc"
	"tsubame/bench/report"
	"tsubame/bench/scenario"
)

// The exit codes.
const (
	exitGood  = 0
	exitBad   = 1 // packets were lost, joins failed, numbers were not reached, or nothing could be measured
	exitUsage = 2 // the command line or a file is wrong

	exitInterrupted = 130 // SIGINT or SIGTERM ended it, as shells have it for SIGINT
)

// runner is load.Run; tests have another.
type runner func(context.Context, load.Scenario, report.Progress) (*report.Result, error)

func main() {
	bare.ServeHandshakes() // in the process that measures bare handshakes this does not return
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // so that the next signal ends the process, and the kernel its server
		fmt.Fprintln(os.Stderr, "tsubame-bench: interrupted, what was measured is written; a second signal ends it at once")
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, load.Run))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, do runner) int {
	if len(args) > 0 && args[0] == "standard" {
		return standard(ctx, args[1:], stdout, stderr)
	}
	c, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, helpText())
		return exitGood
	}
	if err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitUsage
	}
	return c.run(ctx, stdout, stderr, do)
}

// command is a command line that was understood.
type command struct {
	scenarios []scenario.Scenario
	json      string
	html      string
	results   string
	allowLoss bool
	quiet     bool
}

// flags are all flags of a run. What is set goes to c, settings of scenarios to given, in
// their order, and the name of a file of them to file.
func (c *command) flags(given *[]scenario.Assignment, file *string) *flag.FlagSet {
	flags := flag.NewFlagSet("tsubame-bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(file, "scenario", "", "")
	flags.StringVar(&c.json, "json", "", "")
	flags.StringVar(&c.html, "html", "", "")
	flags.StringVar(&c.results, "results", "", "")
	flags.BoolVar(&c.allowLoss, "allow-loss", false, "")
	flags.BoolVar(&c.quiet, "quiet", false, "")
	for _, s := range scenario.Settings() {
		set := func(v string) error {
			*given = append(*given, scenario.Assignment{Name: s.Name, Value: v, Where: "--" + s.Name})
			return nil
		}
		if s.Value == "" {
			flags.BoolFunc(s.Name, "", set)
		} else {
			flags.Func(s.Name, "", set)
		}
	}
	return flags
}

// parse reads a command line. Flags go over the settings of a file.
func parse(args []string) (*command, error) {
	c := &command{}
	var given []scenario.Assignment
	file := ""
	flags := c.flags(&given, &file)
	if err := flags.Parse(args); err != nil {
		return nil, inWords(err, flags)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; every setting is a flag, and a value of true or false needs its =, as in --video=false", flags.Arg(0))
	}
	var err error
	if file == "" {
		var one scenario.Scenario
		if one, err = scenario.Build("", given); err == nil {
			c.scenarios = append(c.scenarios, one)
		}
		return c, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c.scenarios, err = scenario.ParseFile(file, string(text), given)
	return c, err
}

// inWords adds the nearest flag to an error about an unknown one.
func inWords(err error, flags *flag.FlagSet) error {
	name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return err
	}
	name = strings.TrimLeft(name, "-")
	names := []string{"help", "standard"}
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if n := scenario.Nearest(name, names...); n != "" {
		return fmt.Errorf("there is no flag --%s; did you mean --%s?", name, n)
	}
	return fmt.Errorf("there is no flag --%s; see --help", name)
}

// run runs the scenarios one after the other and writes what came out.
func (c *command) run(ctx context.Context, stdout, stderr io.Writer, do runner) int {
	code := exitGood
	var results []*report.Result
	for i := range c.scenarios {
		s := &c.scenarios[i]
		if len(c.scenarios) > 1 {
			fmt.Fprintf(stderr, "%s (%d of %d)\n", s.Name, i+1, len(c.scenarios))
		}
		started := time.Now()
		var samples []report.Sample // for what is left of a run that is interrupted
		r, err := do(ctx, s.Scenario, func(one report.Sample) {
			samples = append(samples, one)
			if !c.quiet {
				fmt.Fprintln(stderr, one.Line())
			}
		})
		if ctx.Err() != nil && err != nil {
			r, err = report.Partial(s.Name, started, s.Rooms*s.Clients, samples), nil
			r.Machine = proc.Describe(".")
		}
		if err != nil {
			fmt.Fprintf(stderr, "tsubame-bench: %s: %v\n", s.Name, err)
			code = exitBad
			continue
		}
		r.Lossy = s.Lossy()
		results = append(results, r)
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		if err := r.WriteText(stdout); err != nil {
			fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
			return exitBad
		}
		if r.Interrupted {
			break
		}
		for _, fault := range faults(r, c.allowLoss || s.Lossy()) {
			fmt.Fprintf(stderr, "tsubame-bench: %s: %s\n", s.Name, fault)
			code = exitBad
		}
	}
	if err := c.write(results); err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		code = exitBad
	}
	if ctx.Err() != nil {
		fmt.Fprintf(stderr, "tsubame-bench: interrupted in run %d of %d\n", len(results), len(c.scenarios))
		return exitInterrupted
	}
	return code
}

// faults says in words what a run must not show.
func faults(r *report.Result, allowLoss bool) []string {
	var all []string
	if missing := r.Peers - r.Connected; missing > 0 || r.Failed > 0 {
		all = append(all, fmt.Sprintf("%s of %s peers did not join or did not stay",
			report.Count(uint64(max(missing, r.Failed))), report.Count(uint64(r.Peers))))
	}
	if lost := r.ServerLost(); lost > 0 && !allowLoss {
		all = append(all, fmt.Sprintf("the server lost %s of %s packets (--allow-loss accepts that)",
			report.Count(lost), report.Count(r.Expected)))
	}
	return all
}

// write makes the files that were asked for.
func (c *command) write(results []*report.Result) error {
	if c.json != "" {
		if err := toFile(c.json, func(w io.Writer) error { return report.WriteJSON(w, results) }); err != nil {
			return err
		}
	}
	if c.html != "" {
		if err := toFile(c.html, func(w io.Writer) error { return report.WriteHTML(w, nil, results) }); err != nil {
			return err
		}
	}
	if c.results != "" {
		for _, r := range results {
			if err := report.AppendResults(c.results, r.Markdown()); err != nil {
				return err
			}
		}
	}
	return nil
}

func toFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = write(f)
	return errors.Join(err, f.Close())
}
