// Package harness runs the real server binary for integration tests: it builds
// the binary once a test process, starts it on free ports with a configuration
// of its own, waits until it says that it is ready, reads its log and its
// counters, and stops it by its process id. It never reaches into the server:
// everything goes by way of files, signals and the log. A Server's methods may
// be called from any goroutine; what they return is a copy and stays valid.
package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	readyTimeout   = 20 * time.Second // a start takes a fraction of a second; a loaded machine may take long
	stopTimeout    = 15 * time.Second // SIGTERM drains within a bound; more than this is a failure
	counterTimeout = 10 * time.Second
	startTries     = 3 // a port that was free a moment ago may be taken when the server opens it
)

// Options say how a server is started.
type Options struct {
	// Config is written to the server's configuration file, one "key = value" a
	// line. Ports and the log format are filled in where they are missing, and
	// debug_listen is off.
	Config map[string]string
	// Args are put behind "-c FILE".
	Args []string
	// Wrap is a command that the server is started with, such as
	// {"ip", "netns", "exec", "a"}; it must exec the server, so that the process
	// id stays the same. With it the ports are not probed.
	Wrap []string
}

// Server is one running server process.
type Server struct {
	t       testing.TB
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process is gone and its log read to the end
	waitErr error         // valid after exited
	log     *logBook

	signalingPort int
	udpPort       int

	stopOnce sync.Once
}

// Start runs a server until the test ends (or Stop). It fails the test if the
// server does not become ready.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	var s *Server
	var err error
	for range startTries {
		s, err = start(t, o)
		if err == nil {
			t.Cleanup(s.Stop)
			return s
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	t.Fatalf("harness: %v", err)
	return nil
}

var errPortTaken = errors.New("a port was taken meanwhile")

func start(t testing.TB, o Options) (*Server, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	s := &Server{t: t, exited: make(chan struct{}), log: newLogBook()}
	file, err := s.writeConfig(o)
	if err != nil {
		return nil, err
	}
	args := append(slices.Clone(o.Wrap), binary, "-c", file)
	args = append(args, o.Args...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Dir = filepath.Dir(file) // whatever the server writes lands there
	if err := s.launch(); err != nil {
		return nil, err
	}
	if err := s.waitReady(); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// writeConfig fills in ports and log format and writes the file.
func (s *Server) writeConfig(o Options) (string, error) {
	config := maps.Clone(o.Config)
	if config == nil {
		config = make(map[string]string)
	}
	var err error
	if s.signalingPort, err = portFor(config, "signaling_port", freeTCPPort); err != nil {
		return "", err
	}
	if s.udpPort, err = portFor(config, "udp_port", freeUDPPort); err != nil {
		return "", err
	}
	if _, ok := config["log_format"]; !ok {
		config["log_format"] = "json"
	}
	if _, ok := config["debug_listen"]; !ok {
		config["debug_listen"] = "off" // the default port is for one server only
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&text, "%s = %s\n", key, config[key])
	}
	file := filepath.Join(s.t.TempDir(), "tsubame.conf")
	return file, os.WriteFile(file, []byte(text.String()), 0o644)
}

// portFor returns the port under key, and puts a free one there if none is set.
func portFor(config map[string]string, key string, free func() (int, error)) (int, error) {
	if text, ok := config[key]; ok {
		return strconv.Atoi(text)
	}
	port, err := free()
	config[key] = strconv.Itoa(port)
	return port, err
}

func freeTCPPort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func freeUDPPort() (int, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// launch starts the process and the goroutines that read its output and wait
// for its end.
func (s *Server) launch() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = in, in
	started := make(chan error)
	go func() {
		// One thread starts the process and waits for it: the kernel ends the
		// server when that thread ends (dieWithParent), and so never before.
		release := dieWithParent(s.cmd)
		defer release()
		err := s.cmd.Start()
		in.Close()
		started <- err
		if err != nil {
			out.Close()
			return
		}
		s.log.read(out)
		out.Close()
		s.waitErr = s.cmd.Wait()
		close(s.exited)
	}()
	return <-started
}

func (s *Server) waitReady() error {
	found := s.log.waitFor(0, readyTimeout, s.exited, func(l Line) bool { return l.Msg == "ready" })
	if found != nil {
		if port, ok := portOf(found.Attrs["signaling"]); ok {
			s.signalingPort = port
		}
		if port, ok := portOf(found.Attrs["udp_port"]); ok {
			s.udpPort = port
		}
		return nil
	}
	text := s.log.text()
	if strings.Contains(text, "address already in use") {
		return fmt.Errorf("%w:\n%s", errPortTaken, text)
	}
	return fmt.Errorf("the server did not become ready; its output:\n%s", text)
}

// portOf reads a port from "5000", "127.0.0.1:5000" or "http://127.0.0.1:5000/".
func portOf(v any) (int, bool) {
	text := strings.TrimRight(fmt.Sprint(v), "/")
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		text = text[i+1:]
	}
	text, _, _ = strings.Cut(text, "/")
	port, err := strconv.Atoi(text)
	return port, err == nil && port > 0 && port < 1<<16
}

// URL is the address of the page, http://127.0.0.1:PORT/.
func (s *Server) URL() string { return fmt.Sprintf("http://127.0.0.1:%d/", s.signalingPort) }

// SignalingURL is what clients connect to, ws://127.0.0.1:PORT/signaling.
func (s *Server) SignalingURL() string {
	return fmt.Sprintf("ws://127.0.0.1:%d/signaling", s.signalingPort)
}

// UDPPort is the port of all media.
func (s *Server) UDPPort() int { return s.udpPort }

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Running reports whether the process is still there.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the server.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Logs returns what the server has written so far.
func (s *Server) Logs() []Line { return s.log.lines(0) }

// Counters asks the server for its counters (SIGUSR1) and returns them. After
// Stop it returns the last ones, which the server writes when it ends.
func (s *Server) Counters() map[string]uint64 {
	s.t.Helper()
	select {
	case <-s.exited:
		for _, line := range slices.Backward(s.log.lines(0)) {
			if line.Msg == "counters" {
				return line.counters()
			}
		}
		s.t.Fatalf("harness: the server ended without writing its counters:\n%s", s.log.text())
	default:
	}
	from := s.log.len()
	if err := s.Signal(syscall.SIGUSR1); err != nil {
		s.t.Fatalf("harness: SIGUSR1: %v", err)
	}
	line := s.log.waitFor(from, counterTimeout, s.exited, func(l Line) bool { return l.Msg == "counters" })
	if line == nil {
		s.t.Fatalf("harness: no counters within %v of SIGUSR1:\n%s", counterTimeout, s.log.text())
	}
	return line.counters()
}

// Stop ends the server with SIGTERM and checks that it ends in time and with
// status 0, and that it never panicked. It runs by itself when the test ends;
// calling it again does nothing.
func (s *Server) Stop() {
	s.t.Helper()
	s.stopOnce.Do(func() {
		s.t.Helper()
		select {
		case <-s.exited:
			s.t.Errorf("harness: the server ended before it was told to (%v):\n%s", s.waitErr, s.log.text())
			return
		default:
		}
		if err := s.Signal(syscall.SIGTERM); err != nil {
			s.t.Errorf("harness: SIGTERM: %v", err)
		}
		select {
		case <-s.exited:
		case <-time.After(stopTimeout):
			s.kill()
			s.t.Errorf("harness: the server did not end within %v of SIGTERM:\n%s", stopTimeout, s.log.text())
			return
		}
		if s.waitErr != nil {
			s.t.Errorf("harness: the server ended badly (%v):\n%s", s.waitErr, s.log.text())
		}
		s.checkLog()
	})
}

// checkLog fails the test for what no run may leave in the log. A panic that was
// recovered counts too.
func (s *Server) checkLog() {
	s.t.Helper()
	for _, line := range s.log.lines(0) {
		if line.isCrash() {
			s.t.Errorf("harness: the server's log says %q:\n%s", line.Text, s.log.text())
			return
		}
	}
	if s.t.Failed() {
		s.t.Logf("harness: the end of the server's log:\n%s", s.log.text())
	}
}

// Kill ends the server at once, without a chance to say good-bye, for tests of
// what clients and successors make of that. Stop then has nothing left to do.
func (s *Server) Kill() { s.stopOnce.Do(s.kill) }

func (s *Server) kill() {
	_ = s.cmd.Process.Kill() // the only error is that it has ended already
	<-s.exited
}

// read fills the book until the process has closed its output.
func (b *logBook) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 64<<10), 4<<20)
	for scanner.Scan() {
		b.add(scanner.Text())
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond the limit must not block the server
}
