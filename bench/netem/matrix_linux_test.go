//go:build browser && netem

package netem

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tsubame/bench/harness"
)

// setting is an environment variable, or what it is without.
func setting(name, without string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return without
}

func number(t *testing.T, name string, without int) int {
	t.Helper()
	n, err := strconv.Atoi(setting(name, strconv.Itoa(without)))
	if err != nil || n < 1 {
		t.Fatalf("%s is a number from 1: %v", name, err)
	}
	return n
}

// record is one line of the file of results.
type record struct {
	At, Commit  string
	Measurement measurement
}

// TestMatrix measures all cells with all systems, and adds what it measured to bench/RESULTS.md.
// NETEM_CELLS and NETEM_SYSTEMS are expressions of those to measure, NETEM_SECONDS is how long
// the cells last that do not say so themselves, and NETEM_SEED that of the networks. What
// bin/netem/results.jsonl has already of this commit, seed and time is not measured again:
// NETEM_FRESH=1 does so all the same. With NETEM_SERVER another build's binary is measured, whose
// file's name stands for the commit.
func TestMatrix(t *testing.T) {
	which, err := regexp.Compile(setting("NETEM_CELLS", "."))
	if err != nil {
		t.Fatal(err)
	}
	whose, err := regexp.Compile(setting("NETEM_SYSTEMS", "."))
	if err != nil {
		t.Fatal(err)
	}
	lasts, seed := number(t, "NETEM_SECONDS", 30), uint64(number(t, "NETEM_SEED", 1))
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	done := openResults(t, filepath.Join(root, "bin", "netem", "results.jsonl"), commit(t, root))
	t.Logf("seed %d, %d s a cell, commit %s", seed, lasts, done.commit)
	w := newWorld(t)
	var all []measurement
	for _, c := range cells() {
		if !which.MatchString(c.name) {
			continue
		}
		for _, name := range c.systems() {
			if !whose.MatchString(name) {
				continue
			}
			if m, ok := done.find(c.name, name, seed, lasts); ok {
				all = append(all, m)
				continue
			}
			t.Run(c.name+"/"+name, func(t *testing.T) {
				m, err := w.run(c, startSystem(t, w, name), lasts, seed)
				if err != nil {
					m.Failed = err.Error()
					t.Error(err)
				}
				t.Log(m)
				m.Asked = lasts
				done.add(t, m)
				all = append(all, m)
			})
		}
	}
	if len(all) == 0 {
		t.Fatalf("no cell is called %v", which)
	}
	text := report(all, fmt.Sprintf("seed %d, %d s a cell, commit %s", seed, lasts, done.commit), time.Now())
	t.Log("\n" + text)
	appendTo(t, filepath.Join(root, "bench", "RESULTS.md"), text)
}

func commit(t *testing.T, root string) string {
	t.Helper()
	if path := os.Getenv("NETEM_SERVER"); path != "" {
		whole, err := filepath.EvalSymlinks(path)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(whole)
	}
	cmd := exec.Command("git", "describe", "--always", "--dirty")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git describe: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// results is the file of what was measured.
type results struct {
	path, commit string
	all          []record
}

func openResults(t *testing.T, path, commit string) *results {
	t.Helper()
	r := &results{path: path, commit: commit}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var one record
		// The last line is half a one where a run was ended.
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			r.all = append(r.all, one)
		}
	}
	return r
}

func (r *results) find(cell, system string, seed uint64, lasts int) (m measurement, ok bool) {
	if os.Getenv("NETEM_FRESH") != "" {
		return m, false
	}
	for _, one := range r.all {
		m = one.Measurement
		if one.Commit == r.commit && m.Cell == cell && m.System == system && m.Seed == seed && m.Asked == lasts && m.Failed == "" {
			return m, true
		}
	}
	return m, false
}

func (r *results) add(t *testing.T, m measurement) {
	t.Helper()
	line, err := json.Marshal(record{time.Now().UTC().Format(time.RFC3339), r.commit, m})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, string(line)+"\n")
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
