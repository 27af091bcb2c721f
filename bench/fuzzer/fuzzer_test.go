package main

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestListBelongsToThePackageBehindIt(t *testing.T) {
	got := parseList("FuzzA\nFuzzB\nok  \ttsubame/p\t0.01s\nok  \ttsubame/q\t0.01s\n?   \ttsubame/r\t[no test files]\nFuzzC\nok  \ttsubame/s\t0.01s\n")
	want := []target{{"tsubame/p", "FuzzA"}, {"tsubame/p", "FuzzB"}, {"tsubame/s", "FuzzC"}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%v", got)
	}
}

func TestProgressIsTheLastLineOfIt(t *testing.T) {
	var r row
	r.readProgress(strings.NewReader(`fuzz: elapsed: 0s, gathering baseline coverage: 0/7 completed
fuzz: elapsed: 3s, execs: 102 (34/sec), new interesting: 1 (total: 8)
fuzz: elapsed: 6s, execs: 2345 (747/sec), new interesting: 5 (total: 12)
PASS
`))
	if r.Executions != 2345 || r.Corpus != 12 {
		t.Fatalf("%+v", r)
	}
}

func TestTableSurvivesWritingAndReading(t *testing.T) {
	var a table
	a.set(row{target: target{"tsubame/q", "FuzzB"}, Time: 10 * time.Minute, Executions: 5_000_000_000, Corpus: 3, Covered: 92.5, Date: "2026-01-02", Result: resultClean})
	a.set(row{target: target{"tsubame/p", "FuzzA"}, Time: time.Second, Covered: unknown, Date: "2026-01-02", Result: resultFailed})
	b, err := parseTable(a.String())
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Fatalf("%v\n%v\n%v", err, a, b)
	}
	b.keep([]target{{"tsubame/p", "FuzzA"}})
	if len(b) != 1 || b[0].Name != "FuzzA" {
		t.Fatalf("%v", b)
	}
	if _, err := parseTable("| p | F | soon | 1 | 1 | 1 % | d | r |\n"); err == nil {
		t.Fatal("a broken row was taken")
	}
}

func TestShareCountsOnlyFunctionsThatWereEntered(t *testing.T) {
	profile := `mode: set
tsubame/p/a.go:3.20,5.2 4 1
tsubame/p/a.go:5.2,7.3 1 0
tsubame/p/a.go:10.1,12.2 100 0
`
	spans := func(string) ([]span, error) { return []span{{3, 8}, {10, 13}}, nil }
	got, err := enteredShare(profile, spans)
	if err != nil || got != 80 {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := enteredShare("mode: set\n", spans); err != nil || got != unknown {
		t.Fatalf("empty profile: %v, %v", got, err)
	}
	if _, err := enteredShare("no profile\n", spans); err == nil {
		t.Fatal("a broken profile was taken")
	}
}
