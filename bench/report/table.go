package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// Verdict says whether a number was reached.
type Verdict string

// The verdicts.
const (
	Reached     Verdict = "reached"
	NotReached  Verdict = "NOT reached"
	NotMeasured Verdict = "NOT measured"
	Informative Verdict = "-" // reported, without a number to reach
)

// Row is one number of a standard set beside what it is to be.
type Row struct {
	Key     string // its short name, "video-fanout"
	What    string // in words
	Want    string // "<= 1.0 us"
	Got     string // "0.91 us", with the spread of the runs where there were several
	Busy    string // busy time of the machine, of one core
	Took    time.Duration
	Verdict Verdict
	Notes   []string // what else is to be known; below the table
}

// Table is a standard set that was run.
type Table struct {
	Title   string
	Started time.Time
	Took    time.Duration
	Machine Machine
	Speed   string // how fast the machine was at the start and at the end, in words; "": not known
	Rows    []Row
}

// head is what stands above the rows, in lines.
func (t *Table) head() []string {
	lines := []string{fmt.Sprintf("%s; took %s; %s.", t.Machine, Time(t.Took), t.summary())}
	if t.Speed != "" {
		lines = append(lines, t.Speed+".")
	}
	return lines
}

// Missed returns how many rows were not reached or not measured.
func (t *Table) Missed() int {
	n := 0
	for _, r := range t.Rows {
		if r.Verdict == NotReached || r.Verdict == NotMeasured {
			n++
		}
	}
	return n
}

var tableHead = []string{"row", "what", "reach", "measured", "machine busy", "took", "verdict"}

func (r *Row) cells() []string {
	took := ""
	if r.Took > 0 {
		took = Time(r.Took)
	}
	return []string{r.Key, r.What, r.Want, r.Got, r.Busy, took, string(r.Verdict)}
}

// WriteText writes the table with aligned columns.
func (t *Table) WriteText(w io.Writer) error {
	rows := [][]string{tableHead}
	for i := range t.Rows {
		rows = append(rows, t.Rows[i].cells())
	}
	width := make([]int, len(tableHead))
	for _, row := range rows {
		for j, cell := range row {
			width[j] = max(width[j], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, took %s\n%s\n", t.Title, t.Started.UTC().Format("2006-01-02 15:04 UTC"), Time(t.Took), t.Machine)
	if t.Speed != "" {
		fmt.Fprintln(&b, t.Speed)
	}
	b.WriteByte('\n')
	for i, row := range rows {
		for j, cell := range row {
			if j > 0 {
				b.WriteString("  ")
			}
			b.WriteString(cell)
			if j < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell)))
			}
		}
		b.WriteByte('\n')
		if i == 0 {
			for j, n := range width {
				if j > 0 {
					b.WriteString("  ")
				}
				b.WriteString(strings.Repeat("-", n))
			}
			b.WriteByte('\n')
		}
	}
	for i := range t.Rows {
		for _, note := range t.Rows[i].Notes {
			fmt.Fprintf(&b, "\n%s: %s", t.Rows[i].Key, note)
		}
	}
	fmt.Fprintf(&b, "\n\n%s\n", t.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) summary() string {
	count := map[Verdict]int{}
	for _, r := range t.Rows {
		count[r.Verdict]++
	}
	return fmt.Sprintf("%d reached, %d not reached, %d not measured", count[Reached], count[NotReached], count[NotMeasured])
}

// Markdown returns the table as a section of a results file.
func (t *Table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: %s\n\n%s\n\n", t.Started.UTC().Format("2006-01-02 15:04 UTC"), t.Title, strings.Join(t.head(), "\n\n"))
	markdownRow(&b, tableHead)
	b.WriteString("|" + strings.Repeat("---|", len(tableHead)) + "\n")
	for i := range t.Rows {
		markdownRow(&b, t.Rows[i].cells())
	}
	for i := range t.Rows {
		for j, note := range t.Rows[i].Notes {
			note = strings.Join(strings.Fields(note), " ") // a line break would end the list
			if j == 0 {
				fmt.Fprintf(&b, "\n- `%s`: %s", t.Rows[i].Key, note)
			} else {
				fmt.Fprintf(&b, "; %s", note)
			}
		}
	}
	b.WriteString("\n")
	return b.String()
}

// Markdown returns a run as a section of a results file.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: %s\n\n%s; %s measured.\n\n", r.Started.UTC().Format("2006-01-02 15:04 UTC"), r.title(), r.Machine, Time(r.Duration))
	b.WriteString("| what | measured | |\n|---|---|---|\n")
	for _, s := range r.sections() {
		for _, f := range s.facts {
			markdownRow(&b, []string{f.name, f.value, f.note})
		}
	}
	for _, rows := range [][][]string{
		distributionRows("time from connect to", r.joins()),
		distributionRows("forwarding latency", r.latencies()),
	} {
		for i, row := range rows {
			if i == 0 {
				b.WriteByte('\n')
			}
			markdownRow(&b, row)
			if i == 0 {
				b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
			}
		}
	}
	return b.String()
}

func markdownRow(b *strings.Builder, cells []string) {
	for _, c := range cells {
		fmt.Fprintf(b, "| %s ", strings.NewReplacer("|", `\|`, "\n", " ").Replace(c))
	}
	b.WriteString("|\n")
}

const resultsHead = `# Results

What ` + "`make bench-e2e`" + ` and ` + "`tsubame-bench`" + ` measured, oldest first. Server CPU is utime + stime of the
server; the machine's busy time is that of all its CPUs, the benchmark clients included.
Numbers of one machine, with what else it did at the time: compare within a section.
`

// AppendResults adds a section to the results file at path, which it makes where there is none.
func AppendResults(path, markdown string) error {
	text := "\n" + markdown
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		text = resultsHead + text
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = io.WriteString(f, text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
