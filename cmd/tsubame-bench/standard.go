package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tsubame/bench/e2e"
	"tsubame/bench/report"
)

// standardCommand is a command line of the standard set.
type standardCommand struct {
	options e2e.Options
	json    string
	html    string
	results string // "": none
}

func parseStandard(args []string) (*standardCommand, error) {
	c := &standardCommand{}
	only := ""
	flags := flag.NewFlagSet("tsubame-bench standard", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&only, "only", "", "")
	flags.BoolVar(&c.options.Quick, "quick", false, "")
	flags.StringVar(&c.json, "json", "", "")
	flags.StringVar(&c.html, "html", "", "")
	flags.StringVar(&c.results, "results", "bench/RESULTS.md", "")
	if err := flags.Parse(args); err != nil {
		return nil, inWords(err, []string{"only", "quick", "json", "html", "results"})
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

The exit code is 1 if a row is not reached or could not be measured.
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
	if c.options.Root, err = workTree(ctx); err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitBad
	}
	c.options.Log = stderr
	table, results, err := e2e.Run(ctx, c.options)
	if err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
	}
	if table == nil {
		return exitBad
	}
	if err := errors.Join(err, c.write(stdout, table, results)); err != nil {
		fmt.Fprintf(stderr, "tsubame-bench: %v\n", err)
		return exitBad
	}
	if table.Missed() > 0 {
		return exitBad
	}
	return exitGood
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
	if c.results != "" {
		path := c.results
		if path == "bench/RESULTS.md" {
			path = filepath.Join(c.options.Root, path)
		}
		err = errors.Join(err, report.AppendResults(path, table.Markdown()))
	}
	return err
}

// workTree returns the folder of go.mod.
func workTree(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("the standard set builds the server: run it within the work tree")
	}
	return filepath.Dir(file), nil
}
