package calls

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"tsubame/bench/bot"
)

// fixedPorts returns a TCP and a UDP port that are free, from below those that systems give to
// clients, so that nobody takes them while the test has not.
func fixedPorts(t *testing.T) (tcp, udp int) {
	t.Helper()
	for range 100 {
		port := 12000 + rand.IntN(8000)
		l, err := net.Listen("tcp", fmt.Sprint(":", port))
		if err != nil {
			continue
		}
		c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port + 1})
		l.Close()
		if err == nil {
			c.Close()
			return port, port + 1
		}
	}
	t.Fatal("no free ports")
	return 0, 0
}

// ends waits for a process, and requires that it ended as a signal ends one: by itself with
// code 0, or by the signal, which came before anybody listened.
func ends(t *testing.T, cmd *exec.Cmd, out *bytes.Buffer, sig syscall.Signal) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-done
		t.Fatalf("after %v the server goes on:\n%s", sig, out)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if byItself := status.Exited() && status.ExitStatus() == 0; !byItself && status.Signal() != sig {
		t.Errorf("after %v: %v\n%s", sig, cmd.ProcessState, out)
	}
	if strings.Contains(out.String(), "panic") || strings.Contains(out.String(), "level=ERROR") {
		t.Errorf("after %v:\n%s", sig, out)
	}
}

// A start is cut short at instants from its first to beyond its last, by each signal that
// ends a process, on the same ports: the next start always finds them free and nothing torn.
//
// Row OPS-07.
func TestStartMayBeCutShortAtAnyInstant(t *testing.T) {
	tcp, udp := fixedPorts(t)
	lines := []string{fmt.Sprint("signaling_port = ", tcp), fmt.Sprint("udp_port = ", udp), "shards = 2"}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		for instant := time.Duration(0); instant < 120*time.Millisecond; instant += 8 * time.Millisecond {
			cmd, out := command(t, lines...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-time.After(instant)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatalf("the start ended before its signal: %v\n%s", err, out)
			}
			ends(t, cmd, out, sig)
		}
	}
	w := start(t, map[string]string{"signaling_port": fmt.Sprint(tcp), "udp_port": fmt.Sprint(udp)})
	a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
	requireFrames(t, 5, among(a, b)...)
}

// SIGHUP a hundred times in a call: the call does not notice.
//
// Row OPS-07.
func TestReloadsDoNotDisturbACall(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	a, b := w.join(w.peer(bot.SendRecv)), w.join(w.peer(bot.SendRecv))
	requireFrames(t, 5, among(a, b)...)
	for range 100 {
		if err := w.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	requireFrames(t, 25, among(a, b)...)
	requireIntact(t, among(a, b)...)
}

// watched is a log that may be read while it is written.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// requireSaid waits for a word in the log, and returns what stands behind it.
func (w *watched) requireSaid(t *testing.T, word string) (after string) {
	t.Helper()
	eventually(t, word+" in the log", func() (ok bool, all any) {
		_, after, ok = strings.Cut(w.String(), word)
		return ok && strings.ContainsAny(after, " \n"), w.String()
	})
	return strings.FieldsFunc(after+" .", unicode.IsSpace)[0]
}

// A client that does not answer its close frame holds up the end, which is what
// shutdown_timeout bounds; a second SIGTERM does not wait for that.
//
// Row OPS-07.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	cmd, _ := command(t, "signaling_port = 0", "udp_port = 0", "shards = 1", "ipv4_address = 127.0.0.1", "shutdown_timeout = 10 min")
	log := &watched{}
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	silent := &clogged{}
	b, err := bot.Dial(within(t), bot.Config{
		URL: log.requireSaid(t, "signaling="), Channel: "room", Role: bot.RecvOnly, Audio: true, LocalAddrs: []netip.AddrPort{loopback},
		HTTP: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			silent.Conn = conn
			return silent, err
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	if err := b.WaitConnected(within(t)); err != nil {
		t.Fatal(err)
	}
	silent.gate.Lock()
	t.Cleanup(silent.gate.Unlock)
	for _, said := range []string{"msg=stopping", "stopped at once by a second"} {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		log.requireSaid(t, said)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v\n%s", err, log)
	}
}
