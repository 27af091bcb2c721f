package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"run","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA/sub","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.1}
{"Action":"skip","Package":"empty","Elapsed":0}
`

func TestTopLevelTestsAreCountedAndPassingOnesAreQuiet(t *testing.T) {
	var w strings.Builder
	sum, err := collect(strings.NewReader(passing), &w)
	if err != nil || sum != (totals{Passed: 1, Skipped: 1}) {
		t.Fatalf("%+v, %v", sum, err)
	}
	if out := w.String(); strings.Contains(out, "quiet") || !strings.Contains(out, "ok    p ") || strings.Contains(out, "empty") {
		t.Fatalf("output:\n%s", out)
	}
}

func TestFailuresShowTheirOutputAndThatOfTheirSubtests(t *testing.T) {
	var w strings.Builder
	sum, _ := collect(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA/sub","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA/sub"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`), &w)
	if sum != (totals{Failed: 1}) || !strings.Contains(w.String(), "why") {
		t.Fatalf("%+v\n%s", sum, w.String())
	}
}

func TestBrokenBuildCrashAndLostEndEachCountAsFailed(t *testing.T) {
	for name, events := range map[string]string{
		"build": `{"Action":"build-output","ImportPath":"p [p.test]","Output":"why\n"}
{"Action":"build-fail","ImportPath":"p [p.test]"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`,
		"crash": `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"why\n"}
{"Action":"fail","Package":"p"}
`,
		"lost end": `why
{"Action":"run","Package":"p","Test":"TestA"}
`,
	} {
		var w strings.Builder
		sum, _ := collect(strings.NewReader(events), &w)
		if sum != (totals{Failed: 1}) || !strings.Contains(w.String(), "why") {
			t.Errorf("%s: %+v\n%s", name, sum, w.String())
		}
	}
}

func TestSumOfSuitesFailsIfAnySuiteFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sub", "totals")
	if printSum(file, nil) == nil {
		t.Fatal("no suite at all is not a success")
	}
	if err := appendTotals(file, "unit", totals{Passed: 3}); err != nil {
		t.Fatal(err)
	}
	if err := printSum(file, nil); err != nil {
		t.Fatal(err)
	}
	if printSum(file, []string{"unit", "browser"}) == nil {
		t.Fatal("a suite that never came to its end was not missed")
	}
	if err := printSum(file, []string{"unit"}); err != nil {
		t.Fatal(err)
	}
	if err := appendTotals(file, "browser", totals{Passed: 1, Failed: 1}); err != nil {
		t.Fatal(err)
	}
	if printSum(file, nil) == nil {
		t.Fatal("a failed suite was lost")
	}
	if err := os.WriteFile(file, []byte("unit many few\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if printSum(file, nil) == nil {
		t.Fatal("a file that cannot be read is not a success")
	}
}

func TestSlowTestsAreNamedSlowestFirst(t *testing.T) {
	var w strings.Builder
	collect(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":19.9}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":21}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p","Test":"TestC","Elapsed":30}
{"Action":"pass","Package":"p","Elapsed":71}
`), &w)
	out := w.String()
	b, c := strings.Index(out, "21.0 s  TestB"), strings.Index(out, "30.0 s  TestC")
	if strings.Contains(out, "TestA") || c < 0 || b < c {
		t.Fatalf("output:\n%s", out)
	}
}
