package configs

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestReferenceFileIsTheDefaults(t *testing.T) {
	got, warnings, err := Load("tsubame.conf")
	if err != nil || len(warnings) != 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if want := Defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// entry is a key as the reference file has it.
type entry struct {
	name, value string
	commented   bool
	reload      string // of the last line before it, in the same paragraph, that says so
}

var entryLine = regexp.MustCompile(`^(# )?([a-z][a-z0-9_]*) = (.*)$`)

// reference reads the reference file.
func reference(t *testing.T) []entry {
	t.Helper()
	data, err := os.ReadFile("tsubame.conf")
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	reload := ""
	for line := range strings.SplitSeq(string(data), "\n") {
		if line == "" {
			reload = ""
		}
		if said, ok := strings.CutPrefix(line, "# Reload: "); ok {
			reload = said
		}
		if m := entryLine.FindStringSubmatch(line); m != nil {
			entries = append(entries, entry{name: m[2], value: m[3], commented: m[1] != "", reload: reload})
		}
	}
	return entries
}

func TestReferenceFileHasEveryKeyOnceInTheOrderOfTheCode(t *testing.T) {
	var got, want []string
	for _, e := range reference(t) {
		got = append(got, e.name)
	}
	for _, k := range keys {
		want = append(want, k.name)
	}
	if !slices.Equal(got, want) {
		for i, name := range want {
			if i >= len(got) || got[i] != name {
				t.Fatalf("%d keys, want %d; the first that differs should be %s", len(got), len(want), name)
			}
		}
		t.Fatalf("%d keys, want %d", len(got), len(want))
	}
}

func TestReferenceFileSaysDefaultsAndReloads(t *testing.T) {
	for _, e := range reference(t) {
		k := byName[e.name]
		if k == nil {
			t.Errorf("%s: no such key", e.name)
			continue
		}
		if e.commented != (k.def == "") {
			t.Errorf("%s: only keys without a default are commented out", e.name)
		}
		if !e.commented && e.value != k.def {
			t.Errorf("%s = %q, want the default %q", e.name, e.value, k.def)
		}
		want := "restart"
		if k.reload {
			want = "yes"
		}
		if k.idle != "" && !k.reload {
			want = "" // there is nothing to take over
		}
		if e.reload != want {
			t.Errorf("%s: Reload: %q, want %q", e.name, e.reload, want)
		}
	}
}

func TestExamplesOfTheReferenceFileAreValid(t *testing.T) {
	for _, e := range reference(t) {
		line := e.name + " = " + e.value
		c, warnings, err := Parse("x", []byte(line+"\n"+beside(e.name)))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		idle := e.commented && byName[e.name].idle != ""
		if (len(warnings) == 1) != idle {
			t.Errorf("%q: warnings %v", line, warnings)
		}
		text, ok := byName[e.name].get(&c)
		again, _, err := Parse("x", []byte(e.name+" = "+text+"\n"+beside(e.name)))
		if !ok || err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q: written as %q: %v", line, text, err)
		}
	}
}

func TestOtherNamesOfKeysAreInTheReferenceFile(t *testing.T) {
	data, err := os.ReadFile("tsubame.conf")
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range byName {
		if name != k.name && !strings.Contains(string(data), "("+name+" is another name") {
			t.Errorf("%s is not explained", name)
		}
	}
	for name := range byName {
		if len(name) > maxKey {
			t.Errorf("%s: maxKey is too small for it", name)
		}
	}
}
