// Package harness runs the real server binary for integration tests: it builds
// the binary once a test process, starts it by package process with a
// configuration of its own, and fails the test for whatever no server may do.
// Makefile takes packages whose tests import this one for the integration
// suite. A Server's methods may be called from any goroutine; what they return
// is a copy and stays valid.
package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tsubame/bench/harness/process"
)

// Root returns the directory of go.mod, so that a test finds files of the
// repository whatever package it runs in.
var Root = sync.OnceValues(func() (string, error) { return process.Root(context.Background()) })

// Binary builds the server as `make build` does and returns its path. It builds
// once a process.
var Binary = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	return process.Build(context.Background(), root, filepath.Join("bin", "test", "tsubame"))
})

// Line is one line of the server's output.
type Line = process.Line

// Options say how a server is started; see those of package process.
type Options struct {
	Config map[string]string
	Args   []string
	Wrap   []string
}

// Server is one running server process.
type Server struct {
	t testing.TB
	p *process.Process

	stopOnce sync.Once
}

// Start runs a server until the test ends (or Stop). It fails the test if the
// server does not become ready.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	binary, err := Binary()
	if err != nil {
		t.Fatalf("harness: %v", err)
	}
	p, err := process.Start(t.Context(), process.Options{
		Binary: binary, Dir: t.TempDir(), Config: o.Config, Args: o.Args, Wrap: o.Wrap,
	})
	if err != nil {
		t.Fatalf("harness: %v", err)
	}
	s := &Server{t: t, p: p}
	t.Cleanup(s.Stop)
	return s
}

// URL is the address of the page, http://127.0.0.1:PORT/.
func (s *Server) URL() string { return fmt.Sprintf("http://127.0.0.1:%d/", s.p.SignalingPort()) }

// SignalingURL is what clients connect to, ws://127.0.0.1:PORT/signaling.
func (s *Server) SignalingURL() string { return s.p.SignalingURL() }

// UDPPort is the port of all media.
func (s *Server) UDPPort() int { return s.p.UDPPort() }

// TCPPort is the port of TURN and ICE over TCP; 0: it is off.
func (s *Server) TCPPort() int { return s.p.TCPPort() }

// TLSPort is the port of TLS and all that is inside; 0: it is off.
func (s *Server) TLSPort() int { return s.p.TLSPort() }

// PID is the server's process id.
func (s *Server) PID() int { return s.p.PID() }

// Running reports whether the process is still there.
func (s *Server) Running() bool { return s.p.Running() }

// Signal sends a signal to the server.
func (s *Server) Signal(sig os.Signal) error { return s.p.Signal(sig) }

// Logs returns what the server has written so far.
func (s *Server) Logs() []Line { return s.p.Logs() }

// WaitLog returns the first line, from the start of the server on, that matches.
// It fails the test when none comes in time.
func (s *Server) WaitLog(timeout time.Duration, what string, match func(Line) bool) Line {
	s.t.Helper()
	line := s.p.WaitLog(timeout, match)
	if line == nil {
		s.t.Fatalf("harness: no line about %s within %v:\n%s", what, timeout, s.p.Tail())
		return Line{}
	}
	return *line
}

// Counters asks the server for its counters (SIGUSR1) and returns them. After
// Stop it returns the last ones, which the server writes when it ends.
func (s *Server) Counters() map[string]uint64 {
	s.t.Helper()
	counters, err := s.p.Counters()
	if err != nil {
		s.t.Fatalf("harness: %v", err)
	}
	return counters
}

// Stop ends the server with SIGTERM and checks that it ends in time and with
// status 0, and that it never panicked. It runs by itself when the test ends;
// calling it again does nothing.
func (s *Server) Stop() {
	s.t.Helper()
	s.stopOnce.Do(func() {
		s.t.Helper()
		if err := s.p.Stop(); err != nil {
			s.t.Errorf("harness: %v", err)
			return
		}
		if s.t.Failed() {
			s.t.Logf("harness: the end of the server's log:\n%s", s.p.Tail())
		}
	})
}

// Kill ends the server at once, without a chance to say good-bye, for tests of
// what clients and successors make of that. Stop then has nothing left to do.
func (s *Server) Kill() { s.p.Kill() }
