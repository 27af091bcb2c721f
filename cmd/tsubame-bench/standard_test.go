package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tsubame/bench/e2e"
	"tsubame/bench/report"
)

func TestFlagsOfTheStandardSet(t *testing.T) {
	c, err := parseStandard(strings.Fields("--only storm,latency --quick --json a --html b --results c"))
	if err != nil || !slices.Equal(c.options.Only, []string{"storm", "latency"}) || !c.options.Quick || c.json != "a" || c.html != "b" || c.results != "c" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := parseStandard(nil); err != nil || len(c.options.Only) != 0 || c.options.Quick || c.results != "bench/RESULTS.md" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWrongLinesOfTheStandardSetAreSaidInWords(t *testing.T) {
	for line, want := range map[string]string{
		"standard storm":         "rows are named by --only",
		"standard --onyl storm":  "did you mean --only?",
		"standard --only strom":  `there is no row "strom"; the rows are `,
		"standard --quick=maybe": "invalid boolean",
	} {
		if code, _, text := call(t, good(), strings.Fields(line)...); code != exitUsage || !strings.Contains(text, want) {
			t.Errorf("%s: %d, %q, want %q", line, code, text, want)
		}
	}
}

func TestHelpOfTheStandardSetNamesEveryRow(t *testing.T) {
	code, out, _ := call(t, good(), "standard", "--help")
	if code != exitGood {
		t.Fatal(code)
	}
	for _, key := range e2e.Keys() {
		if !strings.Contains(out, key) {
			t.Errorf("%s is not in the help", key)
		}
	}
}

func TestStandardSetIsWrittenToItsFiles(t *testing.T) {
	dir := t.TempDir()
	c := &standardCommand{json: filepath.Join(dir, "x.json"), html: filepath.Join(dir, "x.html"), results: "bench/RESULTS.md"}
	c.options.Root = dir
	if err := os.Mkdir(filepath.Join(dir, "bench"), 0o755); err != nil {
		t.Fatal(err)
	}
	table := &report.Table{Title: "standard set", Rows: []report.Row{{Key: "storm", Got: "all", Verdict: report.Reached}}}
	var out strings.Builder
	if err := c.write(&out, table, []*report.Result{{Name: "storm"}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x.json": `"name": "storm"`, "x.html": `class="good"`, "bench/RESULTS.md": "| storm |"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %s", name, err, text)
		}
	}
	if !strings.Contains(out.String(), "1 reached, 0 not reached") {
		t.Errorf("%s", out.String())
	}
	table.Rows[0].Verdict = report.NotMeasured
	c.results = filepath.Join(dir, "R.md")
	if err := c.write(&out, table, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.results); !os.IsNotExist(err) {
		t.Errorf("a table without a single number was appended: %v", err)
	}
	c.json = filepath.Join(dir, "none", "x")
	if err := c.write(&out, table, nil); err == nil {
		t.Error("a file in a folder that does not exist")
	}
}
