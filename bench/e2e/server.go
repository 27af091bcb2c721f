package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	"tsubame/bench/harness/process"
)

// serverLines is how much of a server's log is kept for errors; thousands of clients make it
// long.
const serverLines = 1000

// server is a process that ends with its folder.
type server struct {
	*process.Process
	dir   string
	debug string // address of the profiler; "": there is none
}

// startServer starts binary on free ports, over the settings of config, and waits until it is
// ready.
func startServer(ctx context.Context, binary string, config map[string]string) (*server, error) {
	dir, err := os.MkdirTemp("", "tsubame-bench-")
	if err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	all := map[string]string{"signaling_connect_rate_per_address": "0"} // all clients come from one machine
	maps.Copy(all, config)
	p, err := process.Start(ctx, process.Options{Binary: binary, Dir: dir, Config: all, Lines: serverLines})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &server{Process: p, dir: dir, debug: all["debug_listen"]}, nil
}

// URL is where clients connect.
func (s *server) URL() string { return s.SignalingURL() }

// Heap reads what the runtime has counted from the profiler.
func (s *server) Heap() (heap, error) {
	return readHeap("http://" + s.debug + "/debug/pprof/heap?debug=1")
}

// Stop ends the server and removes its files. An error says that it had ended before, would
// not end, or that its log tells of a crash.
func (s *server) Stop() error {
	return errors.Join(s.Process.Stop(), os.RemoveAll(s.dir))
}
