package deploy

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tsubame/bench/harness"
	"tsubame/bench/harness/process"
)

// maxExposure is what `systemd-analyze security` may say at most, in tenths: 0 is a service that
// can do nothing, 96 one that is not restricted at all. A server with ports, and names to look
// up, cannot do with less than 15.
const maxExposure = "20"

func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("this test runs %s, which is not installed: run bench/browser/install.sh (make deps)\n%v", program, err)
	}
	return path
}

// unit is the file, with the server as it was built for these tests.
func unit(t *testing.T) (text, file string) {
	t.Helper()
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	text = repository(t, "configs/systemd/tsubame.service")
	local := strings.ReplaceAll(text, "/usr/local/bin/tsubame", binary)
	if local == text {
		t.Fatal("the file does not start /usr/local/bin/tsubame")
	}
	file = filepath.Join(t.TempDir(), "tsubame.service")
	if err := os.WriteFile(file, []byte(local), 0o644); err != nil {
		t.Fatal(err)
	}
	return text, file
}

func TestSystemdFindsNoFaultWithTheUnit(t *testing.T) {
	analyze := needs(t, "systemd-analyze")
	_, file := unit(t)
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
	// What it says of a file with a fault.
	bad := strings.Replace(repository(t, "configs/systemd/tsubame.service"), "/usr/local/bin/tsubame", "/nowhere", 1)
	if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", file).CombinedOutput(); err == nil {
		t.Errorf("a fault was not seen: %s", out)
	}
}

func TestUnitIsHardened(t *testing.T) {
	analyze := needs(t, "systemd-analyze")
	_, file := unit(t)
	out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+maxExposure, file).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// settings are the values of the unit, by key.
func settings(text string) map[string][]string {
	all := make(map[string][]string)
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			all[key] = append(all[key], value)
		}
	}
	return all
}

func one(t *testing.T, all map[string][]string, key string) string {
	t.Helper()
	if len(all[key]) != 1 {
		t.Fatalf("%s: %q", key, all[key])
	}
	return all[key][0]
}

// systemCalls are those that the unit lets pass, by name.
func systemCalls(t *testing.T, filters []string) map[string]bool {
	t.Helper()
	out, err := exec.Command(needs(t, "systemd-analyze"), "syscall-filter", "--no-pager").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups, group := make(map[string][]string), ""
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case strings.TrimLeft(line, " ") == line:
			group = name
		default:
			groups[group] = append(groups[group], name)
		}
	}
	allowed := make(map[string]bool)
	var apply func(name string, pass bool)
	apply = func(name string, pass bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = pass
			return
		}
		if len(groups[name]) == 0 {
			t.Fatalf("systemd knows no group %s", name)
		}
		for _, member := range groups[name] {
			apply(member, pass)
		}
	}
	for _, filter := range filters {
		rest, without := strings.CutPrefix(filter, "~")
		for name := range strings.FieldsSeq(rest) {
			apply(name, !without)
		}
	}
	apply("@default", true) // always let pass (systemd.exec(5))
	maps.DeleteFunc(allowed, func(_ string, pass bool) bool { return !pass })
	return allowed
}

// The server does all that it does as nobody, with the one capability of the unit, its limit of
// files, and no system call that the unit refuses.
func TestServerLivesWithinTheUnit(t *testing.T) {
	text, _ := unit(t)
	all := settings(text)
	capability := one(t, all, "CapabilityBoundingSet")
	if one(t, all, "AmbientCapabilities") != capability {
		t.Errorf("%s of %s", all["AmbientCapabilities"], capability)
	}
	calls := systemCalls(t, all["SystemCallFilter"])
	if refused := confinedCall(t, capability, one(t, all, "LimitNOFILE"), calls); refused != "" {
		t.Errorf("system calls that the unit refuses:\n%s", refused)
	}
	// That one would have been seen.
	delete(calls, "listen")
	if refused := confinedCall(t, capability, one(t, all, "LimitNOFILE"), calls); !strings.Contains(refused, "listen(") {
		t.Errorf("a system call that is refused was not seen: %q", refused)
	}
}

// confinedCall starts a server as the unit does, has a call on it, reloads and ends it. It
// returns the system calls that were not among those given.
func confinedCall(t *testing.T, capability, files string, calls map[string]bool) string {
	t.Helper()
	capability = strings.ToLower(strings.TrimPrefix(capability, "CAP_"))
	var names []string
	for call := range calls {
		names = append(names, "?"+call) // not every one is there on every processor
	}
	slices.Sort(names)
	s := newSpace(t)
	dir := openDir(t)
	refused, done := filepath.Join(dir, "refused"), filepath.Join(dir, "done")
	p, err := process.Start(t.Context(), process.Options{
		Binary: copyOfServer(t, dir), Dir: dir,
		Config: map[string]string{"signaling_port": "443", "udp_port": "443", "ipv4_address": server4},
		Wrap: []string{
			"ip", "netns", "exec", s.serverSide.Name(), needs(t, "prlimit"), "--core=0", "--nofile=" + atMost(t, files),
			needs(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
			"--bounding-set=-all,+" + capability, "--inh-caps=-all,+" + capability, "--ambient-caps=-all,+" + capability,
			// -D: the server keeps the process id. The shell says when the last line is written.
			needs(t, "strace"), "-D", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none",
			"-e", "trace=!" + strings.Join(names, ","), "-o", fmt.Sprintf("|cat >%s; : >%s", refused, done),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65534\t65534", "NoNewPrivs:\t1", "CapEff:\t0000000000000400", "CapBnd:\t0000000000000400"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("not %q: %s", want, status)
		}
	}
	s.call("ws://"+server4+":443/signaling", server4+":443")
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if p.WaitLog(patience, func(l process.Line) bool { return strings.Contains(l.Text, "addresses advertised") }) == nil {
		t.Error("SIGHUP did nothing")
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	s.eventually("all is written", func() bool { _, err := os.Stat(done); return err == nil })
	b, err := os.ReadFile(refused)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// openDir is a folder that everybody may use.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copyOfServer puts the server where everybody may start it.
func copyOfServer(t *testing.T, dir string) string {
	t.Helper()
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "tsubame")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// atMost is a limit of files, or what this machine allows.
func atMost(t *testing.T, files string) string {
	t.Helper()
	want, err := strconv.ParseUint(files, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return strconv.FormatUint(min(want, limit.Max), 10)
}
