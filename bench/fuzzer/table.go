package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is what is known of one target.
type row struct {
	target
	Time       time.Duration
	Executions int64
	Corpus     int64
	Covered    float64 // percent, or unknown
	Date       string
	Result     string
}

// table is the record, sorted by package and name.
type table []row

const preamble = `# Fuzzing

What ` + "`make fuzz FUZZTIME=...`" + ` last did, written by bench/fuzzer. Covered: the statements that the
corpus runs, of all functions of the package that the target enters.

| package | target | time | executions | corpus | covered | date | result |
|---|---|---|---|---|---|---|---|
`

func (t *table) set(r row) {
	i := slices.IndexFunc(*t, func(o row) bool { return o.target == r.target })
	if i < 0 {
		*t = append(*t, r)
	} else {
		(*t)[i] = r
	}
	slices.SortFunc(*t, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Name, b.Name))
	})
}

// keep drops the rows of targets that exist no more.
func (t *table) keep(targets []target) {
	*t = slices.DeleteFunc(*t, func(r row) bool { return !slices.Contains(targets, r.target) })
}

func (t table) String() string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, r := range t {
		covered := "unknown"
		if r.Covered != unknown {
			covered = fmt.Sprintf("%.1f %%", r.Covered)
		}
		fmt.Fprintf(&b, "| %s | %s | %v | %d | %d | %s | %s | %s |\n",
			r.Package, r.Name, r.Time, r.Executions, r.Corpus, covered, r.Date, r.Result)
	}
	return b.String()
}

func (t table) write(file string) error {
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(t.String()), 0o644)
}

func readTable(file string) (table, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseTable(string(b))
}

func parseTable(text string) (table, error) {
	var t table
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 8 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "package" || strings.HasPrefix(cells[0], "---") {
			continue
		}
		r := row{target: target{cells[0], cells[1]}, Covered: unknown, Date: cells[6], Result: cells[7]}
		var errs [4]error
		r.Time, errs[0] = time.ParseDuration(cells[2])
		r.Executions, errs[1] = strconv.ParseInt(cells[3], 10, 64)
		r.Corpus, errs[2] = strconv.ParseInt(cells[4], 10, 64)
		if cells[5] != "unknown" {
			r.Covered, errs[3] = strconv.ParseFloat(strings.TrimSuffix(cells[5], " %"), 64)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		t.set(r)
	}
	return t, nil
}
