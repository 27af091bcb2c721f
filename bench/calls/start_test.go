package calls

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tsubame/bench/harness"
)

// command is the real binary with a configuration of these lines.
func command(t *testing.T, lines ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tsubame.conf")
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "turn_tcp_listen_port") {
		lines = append(lines, "turn_tcp_listen_port = 0") // others on this machine have the default
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", file)
	var out bytes.Buffer
	cmd.Stderr, cmd.Stdout = &out, &out
	return cmd, &out
}

// fails runs a binary that is not to start, and returns what it said.
func fails(t *testing.T, lines ...string) string {
	t.Helper()
	cmd, out := command(t, lines...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			t.Fatalf("the server ended without an error:\n%s", out)
		}
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-done
		t.Fatalf("the server started:\n%s", out)
	}
	return out.String()
}

func requireWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not said in:\n%s", w, text)
		}
	}
}

func TestTakenSignalingPortIsNamedWithItsKey(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	requireWords(t, fails(t, fmt.Sprint("signaling_port = ", port), "udp_port = 0"), fmt.Sprint(port), "signaling_port")
}

func TestTakenMediaPortIsNamedWithItsKey(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := c.LocalAddr().(*net.UDPAddr).Port
	requireWords(t, fails(t, fmt.Sprint("udp_port = ", port), "signaling_port = 0"), fmt.Sprint(port), "udp_port")
}

func TestWrongConfigurationIsNamedByFileAndLine(t *testing.T) {
	requireWords(t, fails(t, "# a comment", "udp_port = many"), "tsubame.conf:2", "udp_port")
	requireWords(t, fails(t, "shards = 1", "shards = 2"), "tsubame.conf:2", "shards")
	requireWords(t, fails(t, "no equals sign"), "tsubame.conf:1")
}

func TestSilentStunServerStopsTheStartWithAdvice(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	said := fails(t, "signaling_port = 0", "udp_port = 0", "public_address = stun:"+c.LocalAddr().String())
	requireWords(t, said, "public_address", "ipv4_address")
}

func TestUnknownKeyWarnsWithLineAndNearestName(t *testing.T) {
	s := harness.Start(t, harness.Options{Config: map[string]string{
		"shard": "1", "signaling_port": "0", "udp_port": "0",
	}})
	found := false
	for _, line := range s.Logs() {
		text := fmt.Sprint(line)
		found = found || strings.Contains(text, "shards") && strings.Contains(text, "shard")
	}
	if !found {
		t.Fatalf("no warning that names the nearest key: %v", s.Logs())
	}
}

func TestSignalsEndItWheneverTheyCome(t *testing.T) {
	cmd, out := command(t, "signaling_port = 0", "udp_port = 0", "dev = true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for deadline := time.After(20 * time.Second); ; {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
			if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 && code != -1 {
				t.Fatalf("exit code %d:\n%s", code, out)
			}
			return
		case <-deadline:
			cmd.Process.Kill()
			t.Fatal("signals did not end the server")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
