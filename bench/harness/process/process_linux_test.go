package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script makes a program that stands for the server.
func script(t *testing.T, text string) Options {
	t.Helper()
	o := Options{Binary: filepath.Join(t.TempDir(), "server"), Dir: t.TempDir()}
	if err := os.WriteFile(o.Binary, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return o
}

const ready = `echo '{"msg":"ready","signaling":"127.0.0.1:4321","udp_port":1234,"tcp_port":3478,"tls_port":443}'` + "\n"

// obedient is a server that does what it is told by signals.
func obedient(t *testing.T, atEnd string) Options {
	o := script(t, `trap "echo '{\"msg\":\"counters\",\"rx\":7}'" USR1
trap '`+atEnd+`' TERM
`+ready+`while :; do sleep 0.01; done`)
	return o
}

func TestServerIsStartedAskedAndStopped(t *testing.T) {
	o := obedient(t, "exit 0")
	o.Config = map[string]string{"notify": "true"}
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if p.SignalingURL() != "ws://127.0.0.1:4321/signaling" || p.UDPPort() != 1234 || !p.Running() || p.PID() <= 0 {
		t.Errorf("%s, %d, %d", p.SignalingURL(), p.UDPPort(), p.PID())
	}
	if p.TCPPort() != 3478 || p.TLSPort() != 443 {
		t.Errorf("TCP %d, TLS %d", p.TCPPort(), p.TLSPort())
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, "tsubame.conf"))
	for _, want := range []string{"debug_listen = off\n", "log_format = json\n", "notify = true\n", "signaling_port = ", "udp_port = ", "turn_tcp_listen_port = 0\n"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v, %q does not have %q", err, text, want)
		}
	}
	if c, err := p.Counters(); err != nil || c["rx"] != 7 {
		t.Errorf("%v, %v", c, err)
	}
	if err := p.Stop(); err != nil || p.Running() {
		t.Errorf("%v", err)
	}
	if c, err := p.Counters(); err != nil || c["rx"] != 7 {
		t.Errorf("after the end: %v, %v", c, err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestBadEndsAreErrors(t *testing.T) {
	for name, c := range map[string]struct{ atEnd, want string }{
		"status": {"exit 3", "exit status 3"},
		"panic":  {"echo panic: x; exit 0", `says "panic: x"`},
	} {
		p, err := Start(t.Context(), obedient(t, c.atEnd))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServerThatEndsByItselfIsAnErrorOfStopAndCounters(t *testing.T) {
	p, err := Start(t.Context(), script(t, ready+"echo last words; exit 5"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 5") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("%v", err)
	}
	if _, err := p.Counters(); err == nil || !strings.Contains(err.Error(), "without writing its counters") {
		t.Errorf("%v", err)
	}
}

func TestServerThatIsNeverReadyIsAnErrorWithItsOutput(t *testing.T) {
	if _, err := Start(t.Context(), script(t, "echo no such key; exit 2")); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("%v", err)
	}
	if _, err := Start(t.Context(), Options{Binary: "/nonexistent", Dir: t.TempDir()}); err == nil {
		t.Error("a binary that is not there was started")
	}
}

func TestPortThatWasTakenIsTriedAgain(t *testing.T) {
	o := script(t, "echo . >> tries; [ $(wc -l < tries) = 2 ] || { echo bind: address already in use; exit 1; }\n"+ready+"exec sleep 60")
	p, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, script(t, "exec sleep 60")); err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("%v", err)
	}
}

// Ctrl-C in a terminal goes to a whole group: the server must be told by this program alone.
func TestServerHasAGroupOfItsOwn(t *testing.T) {
	p, err := Start(t.Context(), obedient(t, "exit 0"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); fields[2] != fmt.Sprint(p.PID()) {
		t.Errorf("the server %d is in group %s", p.PID(), fields[2])
	}
}
