package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"tsubame/bench/e2e"
	"tsubame/bench/harness/process"
	"tsubame/bench/report"
)

// standardCommand is a command line of the standard set.
type standardCommand struct {
	options e2e.Options
	json    string
	html    string
	results string // "": none
}

// flags are all flags of the standard set; only gets the keys of rows as they were given.
func (c *standardCommand) flags(only *string) *flag.FlagSet {
	flags := flag.NewFlagSet("tsubame-bench standard", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(only, "only", "", "")
	flags.BoolVar(&c.options.Quick, "quick", false, "")
	flags.StringVar(&c.json, "json", "", "")
	flags.StringVar(&c.html, "html", "", "")
	flags.StringVar(&c.results, "results", "bench/RESULTS.md", "")
	return flags
}

func parseStandard(args []string) (*standardCommand, error) {
	c := &standardCommand{}
	only := ""
	flags := c.flags(&only)
	if err := flags.Parse(args); err != nil {
		return nil, inWords(err, flags)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; rows are named by --only", flags.Arg(0))
	}
	for _, key := range strings.Split(only, ",") {
		if key = strings.TrimSpace(key); key != "" {
			c.options.Only = append(c.options.Only, key)
		}
	}
	return c, e2e.Check(c.options.Only)
}

func standardHelp() string {
	return `tsubame-bench standard builds the server from this work tree, measures the standard set, says for
each row whether its number is reached, and appends the table to bench/RESULTS.md.

  tsubame-bench standard
  tsubame-bench standard --only video-fanout,audio-fanout --html out.html
  tsubame-bench standard --quick --results ""

  --only ROW,ROW     only these rows: ` + strings.Join(e2e.Keys(), ", ") + `
  --quick            short and with fewer clients, to see that all works
  --json FILE        all runs as JSON
  --html FILE        one page with the table and the plots of all runs
  --results FILE     the file the table is appended to (bench/RESULTS.md); "": none

The exit code is 0 if all rows are reached, 1 if one is not or could not be measured, 2 for a
wrong command line, and 130 after SIGINT (Ctrl-C) or SIGTERM: the server is ended, and the rows
that were measured till then are printed and appended, under a title that says so.
`
}

func standard(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseStandard(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, standardHelp())
		return exitGood
	}
	if err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitUsage
	}
	if c.options.Root, err = process.Root(ctx); err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: the standard set builds the server: %v\n", err)
		return exitBad
	}
	c.options.Log = stderr
	table, results, err := e2e.Run(ctx, c.options)
	if table == nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitOf(ctx, exitBad)
	}
	if err := c.write(stdout, table, results); err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitOf(ctx, exitBad)
	}
	if table.Missed() > 0 {
		return exitOf(ctx, exitBad)
	}
	return exitOf(ctx, exitGood)
}

// exitOf is the exit code, if the program was not interrupted.
func exitOf(ctx context.Context, code int) int {
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return code
}

// write prints the table and makes the files.
func (c *standardCommand) write(stdout io.Writer, table *report.Table, results []*report.Result) error {
	err := table.WriteText(stdout)
	if c.json != "" {
		err = errors.Join(err, toFile(c.json, func(w io.Writer) error { return report.WriteJSON(w, results) }))
	}
	if c.html != "" {
		err = errors.Join(err, toFile(c.html, func(w io.Writer) error { return report.WriteHTML(w, table, results) }))
	}
	if c.results != "" && slices.ContainsFunc(table.Rows, func(r report.Row) bool { return r.Verdict != report.NotMeasured }) {
		path := c.results
		if path == "bench/RESULTS.md" {
			path = filepath.Join(c.options.Root, path)
		}
		err = errors.Join(err, report.AppendResults(path, table.Markdown()))
	}
	return err
}
