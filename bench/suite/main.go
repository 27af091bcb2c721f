// Command suite runs one suite of tests and prints its total, so that `make test`
// can run several and still say at its end how many tests passed:
//
//	suite -name unit -totals FILE -- ./netio/... ./media/...
//	suite -totals FILE -expect unit,race
//
// The first form runs `go test -json` with what stands behind the dashes, writes
// a line for every package and the output of the tests that failed, and adds its
// total to FILE; the second prints the sum of FILE. Both end with status 1 if
// anything failed, the second also if an expected suite left no total. It uses one goroutine and keeps nothing but the output of
// tests that have not passed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	name := flag.String("name", "", "name of the suite; without it print the sum of all")
	file := flag.String("totals", "bin/test/totals", "file that collects the totals")
	expect := flag.String("expect", "", "names of the suites that must have run, with commas")
	flag.Parse()
	var err error
	if *name == "" {
		err = printSum(*file, strings.FieldsFunc(*expect, func(r rune) bool { return r == ',' }))
	} else {
		err = runSuite(*name, *file, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

func runSuite(name, file string, args []string) error {
	start := time.Now()
	fmt.Printf("\n== suite %s\n", name)
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	sum, err := collect(out, os.Stdout)
	if waitErr := cmd.Wait(); waitErr != nil && sum.Failed == 0 {
		sum.Failed++ // the go command failed before it could say which test did
		err = errors.Join(err, waitErr)
	}
	if sum.Passed+sum.Failed == 0 {
		sum.Failed++
		err = errors.Join(err, errors.New("no test was run"))
	}
	fmt.Printf("suite %s: %s (%v)\n", name, sum, time.Since(start).Round(100*time.Millisecond))
	if appendErr := appendTotals(file, name, sum); appendErr != nil {
		return appendErr
	}
	if err != nil {
		return err
	}
	if sum.Failed > 0 {
		return fmt.Errorf("%s: %d failed", name, sum.Failed)
	}
	return nil
}

func appendTotals(file, name string, sum totals) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d %d %d\n", name, sum.Passed, sum.Failed, sum.Skipped)
	return errors.Join(err, f.Close())
}

// printSum repeats the suites' totals and closes with the line of all of them.
func printSum(file string, expected []string) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no suite was run")
	}
	if err != nil {
		return err
	}
	var sum totals
	fmt.Println()
	for line := range strings.Lines(string(b)) {
		var name string
		var one totals
		if _, err := fmt.Sscan(line, &name, &one.Passed, &one.Failed, &one.Skipped); err != nil {
			return fmt.Errorf("%s: %q: %w", file, line, err)
		}
		fmt.Printf("suite %s: %s\n", name, one)
		sum = sum.add(one)
		expected = slices.DeleteFunc(expected, func(s string) bool { return s == name })
	}
	for _, name := range expected {
		fmt.Printf("suite %s: no total, it did not come to its end\n", name)
		sum.Failed++
	}
	fmt.Printf("total: %s\n", sum)
	if sum.Failed > 0 {
		return fmt.Errorf("%d failed", sum.Failed)
	}
	return nil
}
