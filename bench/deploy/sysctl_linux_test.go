package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tsubame/configs"
	"tsubame/netio/mmsg/netns"
)

// kernelSetting is one line of the file.
type kernelSetting struct {
	key   string
	value int
}

// path is where the kernel has it (proc(5)).
func (k kernelSetting) path() string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(k.key, ".", "/"))
}

func kernelSettings(t *testing.T) (all []kernelSetting) {
	t.Helper()
	reason := false
	for line := range strings.Lines(repository(t, "configs/sysctl/90-tsubame.conf")) {
		line = strings.TrimSpace(line)
		key, text, ok := strings.Cut(line, " = ")
		switch {
		case line == "":
			reason = false
		case strings.HasPrefix(line, "#"):
			reason = true
		case !ok:
			t.Errorf("%q is no setting", line)
		default:
			value, err := strconv.Atoi(text)
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
			if !reason {
				t.Errorf("%s has no reason above it", key)
			}
			all = append(all, kernelSetting{key, value})
		}
	}
	if len(all) == 0 {
		t.Fatal("the file has no setting")
	}
	return all
}

func TestKernelKnowsEverySetting(t *testing.T) {
	sysctl := needs(t, "sysctl")
	for _, k := range kernelSettings(t) {
		out, err := exec.Command(sysctl, "-n", k.key).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", k.key, err, out)
			continue
		}
		if _, err := strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
			t.Errorf("%s is no number to the kernel: %q", k.key, out)
		}
	}
	if out, err := exec.Command(sysctl, "-n", "net.core.rmem_maximum").CombinedOutput(); err == nil {
		t.Errorf("what the kernel does not know was not seen: %s", out)
	}
}

// What a network namespace has for itself is set there by the real program, from the real lines.
func TestSettingsOfANamespaceAreTaken(t *testing.T) {
	sysctl, space := needs(t, "sysctl"), netns.New(t)
	inside := func(args ...string) (string, error) {
		out, err := exec.Command("ip", append([]string{"netns", "exec", space.Name()}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	var file strings.Builder
	var own []kernelSetting
	for _, k := range kernelSettings(t) {
		// What is not the namespace's own is not there, or may not be written.
		if out, err := inside("sh", "-c", "test -w "+k.path()); err == nil {
			own = append(own, k)
			fmt.Fprintf(&file, "%s = %d\n", k.key, k.value)
		} else if out != "" {
			t.Fatalf("%s: %s", k.key, out)
		}
	}
	if len(own) < 3 {
		t.Fatalf("only %v are the namespace's own", own)
	}
	name := filepath.Join(t.TempDir(), "90-tsubame.conf")
	if err := os.WriteFile(name, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := inside(sysctl, "-p", name); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, k := range own {
		if got, err := inside(sysctl, "-n", k.key); err != nil || got != strconv.Itoa(k.value) {
			t.Errorf("%s is %s, not %d: %v", k.key, got, k.value, err)
		}
	}
}

// The buffers are as large as the reference configuration asks for, and the queue of new
// connections as long as signaling lets them wait.
func TestSettingsFitTheDefaultConfiguration(t *testing.T) {
	c := configs.Defaults()
	least := map[string]int{
		"net.core.rmem_max": c.Media.RecvBuffer, "net.core.wmem_max": c.Media.SendBuffer,
		"net.core.somaxconn": c.Signaling.MaxHalfOpen, "net.ipv4.tcp_max_syn_backlog": c.Signaling.MaxHalfOpen,
	}
	for _, k := range kernelSettings(t) {
		if k.value < least[k.key] {
			t.Errorf("%s is %d, the defaults ask for %d", k.key, k.value, least[k.key])
		}
		delete(least, k.key)
	}
	for key, value := range least {
		t.Errorf("%s = %d is missing", key, value)
	}
}
