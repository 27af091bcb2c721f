// Package process runs the server's binary as a process, for tests and for the standard set:
// it starts it on free ports with a configuration of its own, waits until it says that it is
// ready, reads its log and its counters, and stops it by its process id. It never reaches into
// the server: everything goes by way of files, signals and the log. A Process's methods may be
// called from any goroutine; what they return is a copy and stays valid.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout   = 20 * time.Second // a start takes a fraction of a second; a loaded machine may take long
	stopTimeout    = 20 * time.Second // SIGTERM drains within a bound; more than this is a failure
	counterTimeout = 15 * time.Second
	startTries     = 3       // a port that was free a moment ago may be taken when the server opens it
	keptLines      = 1 << 17 // of the log, if Options do not say how many
)

// Options say how a server is started.
type Options struct {
	Binary string
	Dir    string // the server's working directory, where its configuration is written too; the caller's
	// Config is written to the server's configuration file, one "key = value" a
	// line. Ports and the log format are filled in where they are missing,
	// debug_listen is off, and turn_tcp_listen_port any.
	Config map[string]string
	// Args are put behind "-c FILE".
	Args []string
	// Wrap is a command that the server is started with, such as
	// {"ip", "netns", "exec", "a"}; it must exec the server, so that the process
	// id stays the same.
	Wrap []string
	// Lines is how many lines of the log are kept at least, the last ones; 0: 131,072.
	Lines int
}

// Process is one running server.
type Process struct {
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone and its log read to the end
	waitErr error         // valid after exited
	log     *logBook

	signalingPort int
	udpPort       int
	tcpPort       int
	tlsPort       int

	stopOnce sync.Once
	stopErr  error
}

// Start runs a server until Stop or Kill. It fails if the server does not become ready, or if
// ctx ends before; later ctx has no meaning.
func Start(ctx context.Context, o Options) (*Process, error) {
	var err error
	for range startTries {
		var p *Process
		if p, err = start(ctx, o); err == nil {
			return p, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, fmt.Errorf("process: %w", err)
}

var errPortTaken = errors.New("a port was taken meanwhile")

func start(ctx context.Context, o Options) (*Process, error) {
	if o.Lines <= 0 {
		o.Lines = keptLines
	}
	p := &Process{exited: make(chan struct{}), log: newLogBook(o.Lines)}
	file := filepath.Join(o.Dir, "tsubame.conf")
	if err := p.writeConfig(file, o.Config); err != nil {
		return nil, err
	}
	args := append(slices.Clone(o.Wrap), o.Binary, "-c", file)
	args = append(args, o.Args...)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir = o.Dir // whatever the server writes lands there
	if err := p.launch(); err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// launch starts the process and the goroutines that read its output and wait
// for its end.
func (p *Process) launch() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	started := make(chan error)
	go func() {
		// One thread starts the process and waits for it: the kernel ends the
		// server when that thread ends (dieWithParent), and so never before.
		release := dieWithParent(p.cmd)
		defer release()
		err := p.cmd.Start()
		in.Close()
		started <- err
		if err != nil {
			out.Close()
			return
		}
		p.log.read(out)
		out.Close()
		p.waitErr = p.cmd.Wait()
		close(p.exited)
	}()
	return <-started
}

func (p *Process) waitReady(ctx context.Context) error {
	found := p.log.waitFor(ctx, 0, readyTimeout, p.exited, func(l Line) bool { return l.Msg == "ready" })
	switch {
	case found != nil:
		for name, field := range map[string]*int{
			"signaling": &p.signalingPort, "udp_port": &p.udpPort, "tcp_port": &p.tcpPort, "tls_port": &p.tlsPort,
		} {
			if port, ok := portOf(found.Attrs[name]); ok {
				*field = port
			}
		}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if text := p.log.text(); inUse(text) {
		return fmt.Errorf("%w:\n%s", errPortTaken, text)
	}
	return fmt.Errorf("the server did not become ready; its output:\n%s", p.log.text())
}

// SignalingPort is the TCP port of signaling, the page and the health check.
func (p *Process) SignalingPort() int { return p.signalingPort }

// UDPPort is the port of all media.
func (p *Process) UDPPort() int { return p.udpPort }

// TCPPort is the port of TURN and ICE over TCP; 0: it is off.
func (p *Process) TCPPort() int { return p.tcpPort }

// TLSPort is the port of TLS and all that is inside; 0: it is off.
func (p *Process) TLSPort() int { return p.tlsPort }

// SignalingURL is what clients connect to, ws://127.0.0.1:PORT/signaling.
func (p *Process) SignalingURL() string {
	return fmt.Sprintf("ws://127.0.0.1:%d/signaling", p.signalingPort)
}

// PID is the server's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the server.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Logs returns the lines of the log that are kept.
func (p *Process) Logs() []Line { return p.log.lines() }

// Tail returns the end of the log as text.
func (p *Process) Tail() string { return p.log.text() }

// WaitLog returns the first kept line that matches, or nil when the time is up or the process
// has ended without one.
func (p *Process) WaitLog(timeout time.Duration, match func(Line) bool) *Line {
	return p.log.waitFor(context.Background(), 0, timeout, p.exited, match)
}

// Counters asks the server for its counters (SIGUSR1) and returns them. After its end it
// returns the last ones, which the server writes when it ends.
func (p *Process) Counters() (map[string]uint64, error) {
	if !p.Running() {
		for _, line := range slices.Backward(p.log.lines()) {
			if line.Msg == "counters" {
				return line.Counters(), nil
			}
		}
		return nil, fmt.Errorf("process: the server ended without writing its counters:\n%s", p.log.text())
	}
	from := p.log.len()
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		return nil, fmt.Errorf("process: SIGUSR1: %w", err)
	}
	line := p.log.waitFor(context.Background(), from, counterTimeout, p.exited, func(l Line) bool { return l.Msg == "counters" })
	if line == nil {
		return nil, fmt.Errorf("process: no counters within %v of SIGUSR1:\n%s", counterTimeout, p.log.text())
	}
	return line.Counters(), nil
}

// Stop ends the server with SIGTERM. The error says that it had ended by itself, did not end
// in time or not with status 0, or that its log tells of a crash; a panic that was recovered
// counts too. Calling it again, or after Kill, does nothing and returns the same.
func (p *Process) Stop() error {
	p.stopOnce.Do(func() { p.stopErr = p.stop() })
	return p.stopErr
}

func (p *Process) stop() error {
	if !p.Running() {
		return fmt.Errorf("process: the server ended before it was told to (%v):\n%s", p.waitErr, p.log.text())
	}
	if err := p.Signal(syscall.SIGTERM); err != nil && p.Running() {
		return fmt.Errorf("process: SIGTERM: %w", err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exited:
	case <-timeout.C:
		p.kill()
		return fmt.Errorf("process: the server did not end within %v of SIGTERM:\n%s", stopTimeout, p.log.text())
	}
	if p.waitErr != nil {
		return fmt.Errorf("process: the server ended badly (%v):\n%s", p.waitErr, p.log.text())
	}
	if line := p.log.crashed(); line != nil {
		return fmt.Errorf("process: the server's log says %q:\n%s", line.Text, p.log.text())
	}
	return nil
}

// Kill ends the server at once, without a chance to say good-bye, for tests of
// what clients and successors make of that. Stop then has nothing left to do.
func (p *Process) Kill() { p.stopOnce.Do(p.kill) }

func (p *Process) kill() {
	_ = p.cmd.Process.Kill() // the only error is that it has ended already
	<-p.exited
}
