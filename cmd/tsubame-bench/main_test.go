package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
	"tsubame/bench/scenario"
)

// fake stands for the engine: it notes the scenarios and returns a result for each.
type fake struct {
	seen   []load.Scenario
	result report.Result
	err    error
}

func (f *fake) run(_ context.Context, sc load.Scenario, progress report.Progress) (*report.Result, error) {
	f.seen = append(f.seen, sc)
	if progress != nil {
		progress(report.Sample{Phase: report.Measuring, At: time.Second, Connected: 2})
	}
	if f.err != nil {
		return nil, f.err
	}
	r := f.result
	r.Name = sc.Name
	return &r, nil
}

// call runs a command line and returns its exit code and output.
func call(t *testing.T, f *fake, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(t.Context(), args, &out, &err, f.run)
	return code, out.String(), err.String()
}

func good() *fake {
	return &fake{result: report.Result{Peers: 2, Connected: 2, Sent: 10, Forwarded: 10, Expected: 10, Duration: time.Second}}
}

func TestFlagsReachTheEngine(t *testing.T) {
	f := good()
	code, out, progress := call(t, f, "--rooms", "12", "-clients=8", "--video=false", "--latency", "--name", "x")
	if code != exitGood || len(f.seen) != 1 {
		t.Fatalf("%d: %s", code, progress)
	}
	if s := f.seen[0]; s.Rooms != 12 || s.Clients != 8 || s.Video || !s.Audio || !s.Latency {
		t.Errorf("%+v", s)
	}
	if !strings.HasPrefix(out, "x, ") || !strings.Contains(progress, "measure") {
		t.Errorf("%q, %q", out, progress)
	}
	if _, _, progress := call(t, good(), "--quiet"); progress != "" {
		t.Errorf("progress %q", progress)
	}
}

func TestEverySettingIsAFlag(t *testing.T) {
	help := helpText()
	for _, s := range scenario.Settings() {
		arg := "--" + s.Name
		if s.Value != "" {
			arg += "=?"
		}
		// A value that is wrong, and one that is right, both show that the flag exists.
		if _, err := parse([]string{arg}); err != nil && strings.Contains(err.Error(), "no flag") {
			t.Errorf("%s: %v", s.Name, err)
		}
		if !strings.Contains(help, "--"+s.Name) {
			t.Errorf("%s is not in the help", s.Name)
		}
	}
}

func TestHelpNamesEveryFlagThatThereIs(t *testing.T) {
	var given []scenario.Assignment
	var text string
	for what, c := range map[string]struct {
		help  string
		flags *flag.FlagSet
	}{
		"tsubame-bench":          {helpText(), (&command{}).flags(&given, &text)},
		"tsubame-bench standard": {standardHelp(), (&standardCommand{}).flags(&text)},
	} {
		n := 0
		c.flags.VisitAll(func(f *flag.Flag) {
			n++
			if !strings.Contains(c.help, "\n  --"+f.Name+" ") {
				t.Errorf("%s: --%s is not in the help", what, f.Name)
			}
		})
		if n < 5 || strings.Count(c.help, "\n  --") != n {
			t.Errorf("%s: %d flags, %d in the help", what, n, strings.Count(c.help, "\n  --"))
		}
	}
}

// commands returns the command lines of tsubame-bench in a text, with continued lines joined.
func commands(text string) (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		_, args, ok := strings.Cut(line, "tsubame-bench ")
		if trimmed := strings.TrimSpace(line); ok && (strings.HasPrefix(trimmed, "bin/tsubame-bench ") || strings.HasPrefix(trimmed, "tsubame-bench --")) {
			all = append(all, strings.ReplaceAll(args, "$(pidof tsubame)", "1"))
		}
	}
	return all
}

func TestReadmeShowsCommandsThatWork(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := commands(string(text))
	if len(all) == 0 {
		t.Error("there is none")
	}
	for _, line := range all {
		if _, err := parse(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestFileOfTheHelpIsRead(t *testing.T) {
	_, rest, ok := strings.Cut(helpText(), "settings are named as the flags are:\n")
	text, _, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatal("the help shows no file")
	}
	file := filepath.Join(t.TempDir(), "runs.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f := good()
	if code, _, text := call(t, f, "--scenario", file, "--duration", "30s"); code != exitGood {
		t.Fatalf("%d: %s", code, text)
	}
	if len(f.seen) != 2 || f.seen[0].Name != "small" || f.seen[0].Rooms != 2 || f.seen[0].Clients != 4 ||
		f.seen[1].Role != load.Broadcast || f.seen[1].Clients != 1001 || f.seen[1].Duration != 30*time.Second {
		t.Errorf("%+v", f.seen)
	}
}

func TestInterruptedRunIsWrittenAsFarAsItCame(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "runs.conf"), filepath.Join(dir, "x.json")
	if err := os.WriteFile(file, []byte("[a]\nrooms = 1\n[b]\nrooms = 2\n[c]\nrooms = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := good()
	var stdout, stderr strings.Builder
	code := run(ctx, []string{"--scenario", file, "--json", out}, &stdout, &stderr,
		func(ctx context.Context, sc load.Scenario, p report.Progress) (*report.Result, error) {
			if sc.Name == "b" {
				p(report.Sample{Phase: report.Measuring, At: time.Second, Connected: 4, Forwarded: 77})
				cancel()
				return nil, ctx.Err()
			}
			return f.run(ctx, sc, p)
		})
	if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted in run 2 of 3") || strings.Contains(stderr.String(), "the server lost") {
		t.Errorf("%d, %s", code, stderr.String())
	}
	if !strings.Contains(stdout.String(), "\nb, ended early, 1.00 s measured") {
		t.Errorf("%s", stdout.String())
	}
	data, err := os.ReadFile(out)
	var back []report.Result
	if err := errors.Join(err, json.Unmarshal(data, &back)); err != nil || len(back) != 2 || back[0].Interrupted || !back[1].Interrupted || back[1].Forwarded != 77 {
		t.Errorf("%v, %+v", err, back)
	}
}

func TestWrongCommandLinesAreSaidInWords(t *testing.T) {
	for line, want := range map[string]string{
		"--room 3":                 `there is no flag --room; did you mean --rooms?`,
		"--scenarios f":            `did you mean --scenario?`,
		"--wqpoiuzt 3":             `there is no flag --wqpoiuzt; see --help`,
		"--rooms 0":                "--rooms: 0 is not in",
		"--video false":            "needs its =",
		"--rooms":                  "needs an argument",
		"--audio=false":            "",
		"--scenario none-there":    "no such file",
		"--storm --latency":        "leave latency out",
		"--allow-loss=maybe":       "invalid boolean",
		"standard --only nonsense": `there is no row "nonsense"`,
	} {
		f := good()
		code, _, text := call(t, f, strings.Fields(line)...)
		if want == "" {
			if code != exitGood {
				t.Errorf("%s: %d, %s", line, code, text)
			}
			continue
		}
		if code != exitUsage || !strings.Contains(text, want) || len(f.seen) != 0 {
			t.Errorf("%s: %d, %q, want %q", line, code, text, want)
		}
	}
}

func TestHelpTeachesByExamplesThatWork(t *testing.T) {
	code, out, _ := call(t, good(), "--help")
	if code != exitGood {
		t.Fatal(code)
	}
	lines := 0
	for _, line := range commands(out) {
		if strings.Contains(line, "--scenario ") {
			continue // has a test of its own
		}
		if _, err := parse(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		lines++
	}
	if lines < 7 {
		t.Errorf("%d examples", lines)
	}
}

func TestLossAndFailedJoinsEndWithOne(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fake)
		args   []string
		code   int
		text   string
	}{
		"loss":             {func(f *fake) { f.result.Lost = 3 }, nil, exitBad, "the server lost 3 of 10 packets"},
		"loss allowed":     {func(f *fake) { f.result.Lost = 3 }, []string{"--allow-loss"}, exitGood, ""},
		"loss of the link": {func(f *fake) { f.result.Lost = 3 }, []string{"--loss", "2"}, exitGood, ""},
		"loss of clients":  {func(f *fake) { f.result.Lost, f.result.ClientLoss = 3, 3 }, nil, exitGood, ""},
		"joins":            {func(f *fake) { f.result.Connected = 1 }, []string{"--allow-loss"}, exitBad, "1 of 2 peers did not join"},
		"gone later":       {func(f *fake) { f.result.Failed = 2 }, nil, exitBad, "2 of 2 peers"},
		"no run":           {func(f *fake) { f.err = errors.New("no server there") }, nil, exitBad, "run: no server there"},
	} {
		f := good()
		c.change(f)
		code, _, text := call(t, f, append(c.args, "--quiet")...)
		if code != c.code || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d, %q", name, code, text)
		}
	}
}

func TestFilesAreWrittenForAllScenarios(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("runs.conf"), []byte("rooms = 2\n[a]\nclients = 3\n[b]\nclients = 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := good()
	code, out, text := call(t, f, "--scenario", path("runs.conf"), "--duration", "1s", "--json", path("x.json"),
		"--html", path("x.html"), "--results", path("R.md"))
	if code != exitGood || len(f.seen) != 2 || f.seen[1].Clients != 4 || f.seen[0].Rooms != 2 || f.seen[0].Duration != time.Second {
		t.Fatalf("%d, %+v, %s", code, f.seen, text)
	}
	if !strings.HasPrefix(out, "a, ") || !strings.Contains(out, "\nb, ") {
		t.Errorf("%s", out)
	}
	data, err := os.ReadFile(path("x.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back []report.Result
	if err := json.Unmarshal(data, &back); err != nil || len(back) != 2 || back[1].Name != "b" {
		t.Errorf("%v, %+v", err, back)
	}
	for name, want := range map[string]string{"x.html": "<h2>b</h2>", "R.md": ": b\n"} {
		data, err := os.ReadFile(path(name))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v, %s", name, err, data)
		}
	}
	if code, _, text := call(t, good(), "--json", filepath.Join(dir, "none", "x")); code != exitBad || !strings.Contains(text, "no such file") {
		t.Errorf("%d, %s", code, text)
	}
}
