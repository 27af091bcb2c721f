package proc

import (
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestStatOfAProcess(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 100 200 300"
	for name, c := range map[string]struct {
		text string
		want Usage
		bad  string
	}{
		"plain":                 {text: "12 (tsubame)" + tail, want: Usage{CPU: 3 * time.Second, User: 2500 * time.Millisecond, Threads: 7}},
		"name with parentheses": {text: "12 (a) b (c) 9)" + tail, want: Usage{CPU: 3 * time.Second, User: 2500 * time.Millisecond, Threads: 7}},
		"empty":                 {text: "", bad: "without a command name"},
		"cut short":             {text: "12 (tsubame) S 1 2 3", bad: "has 4 fields"},
		"no number":             {text: strings.Replace("12 (x)"+tail, "250", "2x0", 1), bad: "CPU time"},
		"no number of threads":  {text: strings.Replace("12 (x)"+tail, " 0 7 ", " 0 y ", 1), bad: "number of threads"},
	} {
		got, err := parseStat(c.text)
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: error %v, want %q", name, err, c.bad)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestTimesOfTheMachine(t *testing.T) {
	for text, want := range map[string]Times{
		"cpu  100 10 50 1000 20 3 7 5 90 9\ncpu0 1 2 3 4": {Busy: 1700 * time.Millisecond, Idle: 10200 * time.Millisecond, Stolen: 50 * time.Millisecond},
		"cpu 1 1 1 1 1 1 1": {Busy: 50 * time.Millisecond, Idle: 20 * time.Millisecond}, // an old kernel without steal
	} {
		if got, err := parseTimes(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 x 4 5 6 7 8"} {
		if got, err := parseTimes(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestSizesAreBytes(t *testing.T) {
	text := "5600-7fff ---p 00000000 00:00 0 [rollup]\nRss:   900 kB\nPss:             700 kB\nPss_Dirty:  600 kB\nBad: x kB\nPages: 5\n"
	if got, err := sized(text, "Pss"); err != nil || got != 700<<10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, name := range []string{"Swap", "Bad", "Pages"} {
		if got, err := sized(text, name); err == nil {
			t.Errorf("%s: %d, want an error", name, got)
		}
	}
}

func TestModelOfTheCPU(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: Intel(R)  Xeon(R) \nmodel name\t: other\n": "Intel(R) Xeon(R)",
		"processor\t: 0\nBogoMIPS\t: 50.00\n":                                     "",
	} {
		if got := modelName(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestRevisionOfABinary(t *testing.T) {
	long := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	for want, settings := range map[string][]debug.BuildSetting{
		"":                 {{Key: "vcs.modified", Value: "true"}},
		"0123456789":       {long, {Key: "vcs.modified", Value: "false"}},
		"0123456789-dirty": {long, {Key: "vcs.modified", Value: "true"}},
	} {
		if got := revision(settings); got != want {
			t.Errorf("%v: %q, want %q", settings, got, want)
		}
	}
}
