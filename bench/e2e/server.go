package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout   = 20 * time.Second
	counterTimeout = 15 * time.Second
	stopTimeout    = 20 * time.Second
	keptLines      = 20 // of the server's output, for errors
)

// server is a running server process. Its methods may be called from any goroutine.
type server struct {
	cmd    *exec.Cmd
	dir    string
	url    string
	exited chan struct{} // closed when the process is gone
	ready  chan struct{}

	once sync.Once

	mu       sync.Mutex
	tail     []string
	counters chan map[string]uint64 // one waits for each line of counters
}

// build makes the server's binary from the work tree and returns its path.
func build(ctx context.Context, root string) (string, error) {
	binary := filepath.Join(root, "bin", "bench", "tsubame")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", fmt.Errorf("e2e: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/tsubame")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("e2e: go build ./cmd/tsubame: %w\n%s", err, out)
	}
	return binary, nil
}

// startServer starts binary on free ports, over the settings of config, and waits until it is
// ready.
func startServer(ctx context.Context, binary string, config map[string]string) (*server, error) {
	tcp, err := freePort("tcp")
	if err != nil {
		return nil, err
	}
	udp, err := freePort("udp")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tsubame-bench-")
	if err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	all := map[string]string{
		"signaling_port": strconv.Itoa(tcp), "udp_port": strconv.Itoa(udp), "log_format": "json", "debug_listen": "off",
		"signaling_connect_rate_per_address": "0", "max_connections": "100000", // all clients come from one machine
	}
	maps.Copy(all, config)
	file := filepath.Join(dir, "tsubame.conf")
	if err := os.WriteFile(file, []byte(configText(all)), 0o644); err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	s := &server{
		cmd: exec.Command(binary, "-c", file), dir: dir, url: fmt.Sprintf("ws://127.0.0.1:%d/signaling", tcp),
		exited: make(chan struct{}), ready: make(chan struct{}), counters: make(chan map[string]uint64, 1),
	}
	s.cmd.Dir = dir
	out, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("e2e: %w", err)
	}
	go func() {
		s.read(out)
		_ = s.cmd.Wait() // how it ended is in its output, which errors show
		close(s.exited)
	}()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-s.ready:
		return s, nil
	case <-s.exited:
		err = errors.New("the server ended at its start")
	case <-timeout.C:
		err = errors.New("the server did not become ready")
	case <-ctx.Done():
		err = ctx.Err()
	}
	text := s.lastLines()
	s.kill()
	return nil, fmt.Errorf("e2e: %w; its output:\n%s", err, text)
}

// configText writes settings in the order of their names.
func configText(all map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = %s\n", key, all[key])
	}
	return b.String()
}

// freePort returns a port that is free at every local address. It lies below those that the
// kernel gives to clients by default: thousands of connections of the run before may still
// hold some of these.
func freePort(network string) (int, error) {
	const low, high, tries = 20_000, 32_000, 100
	var err error
	for range tries {
		port := low + rand.IntN(high-low)
		var c io.Closer
		if network == "tcp" {
			c, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		} else {
			c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		}
		if err == nil {
			return port, c.Close()
		}
	}
	return 0, fmt.Errorf("e2e: no free port: %w", err)
}

// read follows the server's log to its end.
func (s *server) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 64<<10), 4<<20)
	isReady := false
	for lines.Scan() {
		message, counters := parseLog(lines.Text())
		switch {
		case message == "ready" && !isReady:
			isReady = true
			close(s.ready)
		case counters != nil:
			select {
			case s.counters <- counters:
			default: // nobody waits
			}
		}
		if counters == nil {
			s.mu.Lock()
			s.tail = append(s.tail, lines.Text())
			s.tail = s.tail[max(0, len(s.tail)-keptLines):]
			s.mu.Unlock()
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line beyond the limit must not block the server
}

// parseLog returns the message of a line of log, and its numbers if it is one of counters.
func parseLog(text string) (message string, counters map[string]uint64) {
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&members) != nil {
		return "", nil
	}
	message, _ = members["msg"].(string)
	if message != "counters" {
		return message, nil
	}
	counters = make(map[string]uint64)
	for name, v := range members {
		if n, ok := v.(json.Number); ok {
			if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
				counters[name] = u
			}
		}
	}
	return message, counters
}

func (s *server) lastLines() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.tail, "\n")
}

// URL is where clients connect.
func (s *server) URL() string { return s.url }

// PID is the process id.
func (s *server) PID() int { return s.cmd.Process.Pid }

// Counters asks for the counters (SIGUSR1) and waits for them.
func (s *server) Counters() (map[string]uint64, error) {
	select {
	case <-s.counters: // of an earlier question whose time was up
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return nil, fmt.Errorf("e2e: SIGUSR1: %w", err)
	}
	timeout := time.NewTimer(counterTimeout)
	defer timeout.Stop()
	select {
	case c := <-s.counters:
		return c, nil
	case <-s.exited:
		return nil, fmt.Errorf("e2e: the server has ended; its output:\n%s", s.lastLines())
	case <-timeout.C:
		return nil, fmt.Errorf("e2e: no counters within %v", counterTimeout)
	}
}

// Stop ends the server and removes its files. An error says that it had ended before, or would
// not end.
func (s *server) Stop() (err error) {
	s.once.Do(func() {
		select {
		case <-s.exited:
			err = fmt.Errorf("e2e: the server ended by itself; its output:\n%s", s.lastLines())
		default:
			_ = s.cmd.Process.Signal(syscall.SIGTERM) // the only error is that it has ended
			timeout := time.NewTimer(stopTimeout)
			defer timeout.Stop()
			select {
			case <-s.exited:
			case <-timeout.C:
				err = fmt.Errorf("e2e: the server did not end within %v of SIGTERM", stopTimeout)
			}
		}
		s.kill()
	})
	return err
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // the only error is that it has ended
	<-s.exited
	_ = os.RemoveAll(s.dir)
}
