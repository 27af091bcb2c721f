package real

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tsubame/bench/harness"
	"tsubame/bench/report"
)

// patience is how long a command may take. It is never waited for.
const patience = 2 * time.Minute

// binary builds tsubame-bench once.
var binary = sync.OnceValues(func() (string, error) {
	root, err := harness.Root()
	if err != nil {
		return "", err
	}
	file := filepath.Join(root, "bin", "test", "tsubame-bench")
	build := exec.Command("go", "build", "-trimpath", "-o", file, "./cmd/tsubame-bench")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return file, nil
})

// command is a running tsubame-bench.
type command struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	lines  *bufio.Scanner // of stderr
}

// start starts tsubame-bench at the root of the work tree.
func start(t *testing.T, args ...string) *command {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c := &command{t: t, cmd: exec.CommandContext(ctx, file, args...)}
	c.cmd.Dir = root
	c.cmd.Stdout = &c.stdout
	out, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(io.TeeReader(out, &c.stderr))
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// await reads the progress up to a line that matches.
func (c *command) await(what string) {
	c.t.Helper()
	for re := regexp.MustCompile(what); c.lines.Scan(); {
		if re.MatchString(c.lines.Text()) {
			return
		}
	}
	c.t.Fatalf("no line %q:\n%s%s", what, c.stderr.String(), c.stdout.String())
}

// end waits for the end and returns the exit code.
func (c *command) end() int {
	c.t.Helper()
	for c.lines.Scan() {
	}
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// children returns the processes that the command has started and that are still there.
func (c *command) children() []int {
	c.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		c.t.Fatal(err)
	}
	var all []int
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(c.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, pid)
		}
	}
	return all
}

func results(t *testing.T, file string) (all []report.Result) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whether a cost is reached is up to the machine, which does other things too; that everything
// is measured, and that the server loses nothing, is not.
func TestStandardSetMeasuresTheServerOfThisTree(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	c := start(t, "standard", "--quick", "--only", "video-fanout,allocations",
		"--json", path("x.json"), "--html", path("x.html"), "--results", path("R.md"))
	code := c.end()
	table := c.stdout.String()
	t.Logf("%s%s", c.stderr.String(), table)
	if missed := strings.Contains(table, "NOT reached"); code != 0 && !(code == 1 && missed) || code == 0 && missed {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`(?m)^video-fanout .* \d[\d.]* (us|ns) \(.* to .*\), \d+\.\d\d x \d[\d.]* (us|ns) .* (reached|NOT reached)$`,
		`(?m)^allocations .* \d+\.\d{5} a packet, \d+\.\d{3} GC a second .* (reached|NOT reached)$`,
		`(?m)^the bare loop .*: \d+.* a packet at the start, \d+.* a packet at the end$`,
		`(?m)^video-fanout: the bare loop: \d.* before and \d.* after; at the pace`,
		`(?m)^(\d) reached, (\d) not reached, 0 not measured$`,
	} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("no %q in the table", want)
		}
	}
	if strings.Contains(table, "the server lost") || strings.Contains(table, "peers connected") {
		t.Error("packets or peers were lost")
	}
	all := results(t, path("x.json"))
	if len(all) != 2 {
		t.Fatalf("%d results", len(all))
	}
	for _, r := range all {
		if r.Forwarded == 0 || r.Forwarded != r.Expected-r.Lost || r.ServerCPU <= 0 || r.IdlePSS == 0 || r.ServerPSS == 0 ||
			r.Connected != r.Peers || len(r.Samples) < 6 || r.Interrupted {
			t.Errorf("%+v", r)
		}
	}
	if all[0].Peers != 65 || all[1].Peers != 16 || all[0].Machine.Commit == "" {
		t.Errorf("%d and %d peers, commit %q", all[0].Peers, all[1].Peers, all[0].Machine.Commit)
	}
	for name, want := range map[string]string{"R.md": "| video-fanout | ", "x.html": "<td>allocations</td>"} {
		text, err := os.ReadFile(path(name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, no %q", name, err, want)
		}
	}
}

func TestInterruptedStandardSetEndsItsServerAndKeepsWhatItHas(t *testing.T) {
	results := filepath.Join(t.TempDir(), "R.md")
	c := start(t, "standard", "--quick", "--only", "latency", "--results", results)
	c.await(` s (join|warmup|measure) .* peers `)
	servers := c.children()
	if len(servers) != 1 {
		t.Errorf("%d servers run", len(servers))
	}
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := c.end(); code != 130 {
		t.Errorf("exit code %d\n%s", code, c.stderr.String())
	}
	for _, pid := range servers {
		if !gone(pid) {
			t.Errorf("the server %d is still there", pid)
		}
	}
	table := c.stdout.String()
	if !strings.Contains(table, "interrupted in row 1 of 1") || !strings.Contains(table, "\nlatency: interrupted\n") {
		t.Errorf("%s", table)
	}
	if _, err := os.Stat(results); !os.IsNotExist(err) {
		t.Errorf("a table without a number was appended: %v", err)
	}
}

// gone reports whether a process has ended; one that nobody has waited for is no process.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// The server does not answer any more, so that the set would wait for its end.
func TestSecondSignalEndsAllAtOnce(t *testing.T) {
	c := start(t, "standard", "--quick", "--only", "latency", "--results", "")
	c.await(` s (join|warmup|measure) .* peers `)
	servers := c.children()
	if len(servers) != 1 {
		t.Fatalf("%d servers run", len(servers))
	}
	if err := syscall.Kill(servers[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			c.await(`a second signal ends it at once`)
		}
	}
	c.end()
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("%v", c.cmd.ProcessState)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !gone(servers[0]); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the server is still there")
		}
	}
}

func TestInterruptedRunLeavesTheServerAndIsWritten(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	file := filepath.Join(t.TempDir(), "x.json")
	c := start(t, "--url", s.SignalingURL(), "--pid", strconv.Itoa(s.PID()), "--duration", "1h", "--warmup", "0s",
		"--clients", "3", "--json", file)
	c.await(` s measure .* out [1-9]`)
	c.await(` s measure `)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := c.end(); code != 130 {
		t.Errorf("exit code %d", code)
	}
	if text := c.stdout.String(); !strings.HasPrefix(text, "run, ended early, ") || !strings.Contains(text, "forwarded") {
		t.Errorf("%s", text)
	}
	if !strings.Contains(c.stderr.String(), "interrupted in run 1 of 1") {
		t.Errorf("%s", c.stderr.String())
	}
	all := results(t, file)
	if len(all) != 1 || !all[0].Interrupted || all[0].Connected != 3 || all[0].Forwarded == 0 || all[0].Duration < time.Second || all[0].ServerCPU <= 0 {
		t.Errorf("%+v", all)
	}
	if !s.Running() {
		t.Error("the server has ended with the clients")
	}
}
