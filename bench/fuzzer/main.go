// Command fuzzer runs every fuzz target of the module for a given time each and
// keeps the record of it:
//
//	fuzzer -time 10m -record bench/FUZZ.md [-run REGEXP] [PACKAGES]
//
// For each target it notes executions, the size of the corpus, how much of the
// functions that the target enters the corpus covers, and the date. Rows of targets
// that this run left out stay as they were. It ends with status 1 if an input made
// a target fail; the go command has then written that input to the package's
// testdata/fuzz, where every later `go test` tries it again. It runs one target at
// a time, each on all CPUs, and keeps nothing in memory but the table.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	perTarget := flag.Duration("time", time.Minute, "time for each target")
	record := flag.String("record", "", "Markdown file to bring up to date; empty for none")
	only := flag.String("run", "", "regexp that the package and name of a target must match")
	jobs := flag.Int("jobs", 1, "targets at a time; with several each gets one worker")
	flag.Parse()
	if err := run(*perTarget, *record, *only, *jobs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzer:", err)
		os.Exit(1)
	}
}

// target is one fuzz function.
type target struct {
	Package string
	Name    string
}

func run(perTarget time.Duration, record, only string, jobs int, packages []string) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	everything := len(packages) == 0
	if everything {
		packages = []string{"./..."}
	}
	targets, err := list(packages)
	if err != nil {
		return err
	}
	table, err := readTable(record)
	if err != nil {
		return err
	}
	if everything {
		table.keep(targets)
	}
	var failed []string
	var firstErr error
	var mu sync.Mutex // of the table and of what failed
	var wg sync.WaitGroup
	free := make(chan struct{}, max(jobs, 1))
	for _, t := range targets {
		if !filter.MatchString(t.Package + " " + t.Name) {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			fmt.Printf("== %s %s, %v\n", t.Package, t.Name, perTarget)
			row := fuzz(t, perTarget, jobs > 1)
			mu.Lock()
			defer mu.Unlock()
			if row.Result != resultClean {
				failed = append(failed, t.Package+" "+t.Name)
			}
			table.set(row)
			// After each target, so that a run that is interrupted has recorded what it did.
			firstErr = errors.Join(firstErr, table.write(record))
		})
	}
	wg.Wait()
	if firstErr != nil {
		return firstErr
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// list asks the go command for all targets of the packages.
func list(packages []string) ([]target, error) {
	cmd := exec.Command("go", append([]string{"test", "-list", "^Fuzz"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -list: %w\n%s", err, out)
	}
	targets := parseList(string(out))
	if len(targets) == 0 {
		return nil, errors.New("there is no fuzz target")
	}
	return targets, nil
}

// parseList reads names, each group of them followed by its "ok  package  time".
func parseList(text string) []target {
	var targets []target
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, name := range names {
				targets = append(targets, target{fields[1], name})
			}
			names = nil
		}
	}
	return targets
}

const (
	resultClean  = "no failure"
	resultFailed = "FAILED"
)

// fuzz runs one target and measures what its corpus covers.
//
// The engine is told to stop minimizing an interesting input after ten tries: by default it
// may spend a minute on one, and most of the time with it.
func fuzz(t target, d time.Duration, oneWorker bool) row {
	r := row{target: t, Time: d, Date: time.Now().UTC().Format(time.DateOnly), Result: resultClean, Covered: unknown}
	args := []string{"test", "-run", "^$", "-fuzz", "^" + t.Name + "$", "-fuzztime", d.String(),
		"-fuzzminimizetime", "10x", "-timeout", "0"}
	if oneWorker {
		args = append(args, "-parallel", "1")
	}
	cmd := exec.Command("go", append(args, t.Package)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzzer:", err)
		r.Result = resultFailed
		return r
	}
	r.readProgress(io.TeeReader(out, os.Stdout))
	if cmd.Wait() != nil {
		r.Result = resultFailed
		return r
	}
	if r.Covered, err = coverage(t); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzer: coverage:", err)
		r.Covered = unknown
	}
	return r
}

// progress is a line that the fuzzing engine writes every three seconds.
var progress = regexp.MustCompile(`^fuzz: elapsed: .* execs: (\d+) .*\(total: (\d+)\)`)

// readProgress takes executions and corpus size from the last line of progress.
func (r *row) readProgress(in io.Reader) {
	scanner := bufio.NewScanner(in)
	for scanner.Scan() {
		m := progress.FindStringSubmatch(scanner.Text())
		if m == nil {
			continue
		}
		// Digits by the expression; a number beyond int64 would be a fault of the engine.
		r.Executions, _ = strconv.ParseInt(m[1], 10, 64)
		r.Corpus, _ = strconv.ParseInt(m[2], 10, 64)
	}
	_, _ = io.Copy(io.Discard, in) // a line too long for the scanner must not block the engine
}
