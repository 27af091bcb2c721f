package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// totals counts top-level tests. A package that does not build or ends before
// its tests do (a crash, a timeout) counts as one failed test more.
type totals struct {
	Passed  int
	Failed  int
	Skipped int
}

func (t totals) add(o totals) totals {
	return totals{t.Passed + o.Passed, t.Failed + o.Failed, t.Skipped + o.Skipped}
}

func (t totals) String() string {
	text := fmt.Sprintf("%d passed, %d failed", t.Passed, t.Failed)
	if t.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", t.Skipped)
	}
	return text
}

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string
	Elapsed    float64
	Output     string
}

// A package says of its slowest tests, up to slowCount, how long those took that took slowTime.
const (
	slowTime  = 20.0 // seconds
	slowCount = 12
)

// slow is a test that took long.
type slow struct {
	test    string
	seconds float64
}

// packageRun is what is known of one package that is being tested.
type packageRun struct {
	totals
	output  map[string]*strings.Builder // by top-level test; "" is the package's own
	failed  []string                    // top-level tests
	started map[string]bool             // top-level tests that have not ended
	slow    []slow                      // top-level tests
}

// collect reads the events of one `go test -json`, writes a line for every
// package and the output of what failed, and returns the sum. Lines that are not
// JSON (errors of the go command itself) are passed on.
func collect(r io.Reader, w io.Writer) (totals, error) {
	var sum totals
	packages := make(map[string]*packageRun)
	builds := make(map[string]*strings.Builder)
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for scanner.Scan() {
		var e event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil || e.Action == "" {
			fmt.Fprintln(w, scanner.Text())
			continue
		}
		switch e.Action {
		case "build-output":
			builder(builds, e.ImportPath).WriteString(e.Output)
			continue
		case "build-fail":
			fmt.Fprint(w, builder(builds, e.ImportPath).String())
			continue
		}
		p := packages[e.Package]
		if p == nil {
			p = &packageRun{output: make(map[string]*strings.Builder), started: make(map[string]bool)}
			packages[e.Package] = p
		}
		if e.Test != "" {
			p.testEvent(e)
			continue
		}
		if p.packageEvent(e, w) {
			sum = sum.add(p.totals)
			delete(packages, e.Package)
		}
	}
	for name := range packages { // the go command was killed
		sum.Failed++
		fmt.Fprintf(w, "FAIL  %s: no end was reported\n", name)
	}
	return sum, scanner.Err()
}

func builder(m map[string]*strings.Builder, key string) *strings.Builder {
	if m[key] == nil {
		m[key] = &strings.Builder{}
	}
	return m[key]
}

// testEvent follows one test; the output of a subtest belongs to its top-level test.
func (p *packageRun) testEvent(e event) {
	top, _, sub := strings.Cut(e.Test, "/")
	switch {
	case e.Action == "output":
		builder(p.output, top).WriteString(e.Output)
	case sub:
	case e.Action == "run":
		p.started[top] = true
	case e.Action == "pass":
		p.Passed++
		p.ended(top)
		if e.Elapsed >= slowTime {
			p.slow = append(p.slow, slow{top, e.Elapsed})
		}
	case e.Action == "skip":
		p.Skipped++
		p.ended(top)
	case e.Action == "fail":
		p.Failed++
		p.failed = append(p.failed, top)
		delete(p.started, top)
	}
}

// ended forgets the output of a test that did not fail.
func (p *packageRun) ended(top string) {
	delete(p.output, top)
	delete(p.started, top)
}

// packageEvent returns true when the package has ended.
func (p *packageRun) packageEvent(e event, w io.Writer) bool {
	switch e.Action {
	case "output":
		builder(p.output, "").WriteString(e.Output)
		return false
	case "pass", "skip":
		if p.Passed+p.Skipped > 0 {
			fmt.Fprintf(w, "ok    %s  %v  (%s)\n", e.Package, elapsed(e), p.totals)
		}
		p.printSlow(w)
		return true
	case "fail":
		if len(p.failed) == 0 || len(p.started) > 0 {
			p.Failed++ // it did not build, or it crashed in the middle of these tests
		}
		p.failed = append(p.failed, slices.Sorted(maps.Keys(p.started))...)
		for _, top := range p.failed {
			fmt.Fprint(w, builder(p.output, top).String())
		}
		fmt.Fprint(w, builder(p.output, "").String())
		fmt.Fprintf(w, "FAIL  %s  %v  (%s)\n", e.Package, elapsed(e), p.totals)
		p.printSlow(w)
		return true
	}
	return false
}

// printSlow names the slowest tests, those of parallel ones with the time that they waited.
func (p *packageRun) printSlow(w io.Writer) {
	slices.SortStableFunc(p.slow, func(a, b slow) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, s := range p.slow[:min(len(p.slow), slowCount)] {
		fmt.Fprintf(w, "      %6.1f s  %s\n", s.seconds, s.test)
	}
}

func elapsed(e event) time.Duration {
	return time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
}
