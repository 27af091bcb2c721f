package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// CrowdConfig is for Gather.
type CrowdConfig struct {
	To      netip.AddrPort // a loopback address
	Path    string         // of the WebSocket
	Count   int
	Rate    int // sockets opened in a second
	Sources []netip.Addr
}

// Crowd is a crowd of sockets that have asked for a WebSocket, got it, and say nothing. Each
// has a goroutine that waits for its end, and closes it when the server has sent a close frame.
type Crowd struct {
	conns   []net.Conn
	waiting sync.WaitGroup

	mu      sync.Mutex
	closing bool
	open    int // upgraded, and not at an end
	most    int // of open
	ends    map[string]int
}

// How sockets of a crowd end, beside "4490 REASON" for a close frame.
const (
	EndNoUpgrade = "refused before the upgrade"
	EndNoFrame   = "closed without a frame"
	EndOurs      = "still open at the end"
)

// Gather opens the sockets, one after the other, from the sources in turn. The crowd is to be
// closed, unless there is an error.
func Gather(ctx context.Context, cfg CrowdConfig) (*Crowd, error) {
	if err := checkTarget(cfg.To.Addr()); err != nil {
		return nil, err
	}
	c := &Crowd{ends: make(map[string]int)}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", cfg.Path, cfg.To)
	var failed error
	_, err := Pace(ctx, cfg.Rate, func(i int) bool {
		if i >= cfg.Count {
			return false
		}
		dialer := net.Dialer{}
		if len(cfg.Sources) > 0 {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(cfg.Sources[i%len(cfg.Sources)], 0))
		}
		conn, err := dialer.DialContext(ctx, "tcp4", cfg.To.String())
		if err == nil {
			c.conns = append(c.conns, conn)
			_, err = conn.Write(request)
		}
		if err != nil {
			failed = fmt.Errorf("attack: socket %d: %w", i, err)
			return false
		}
		c.waiting.Go(func() { c.wait(conn) })
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// wait reads until the server has said why it closes, or has closed.
func (c *Crowd) wait(conn net.Conn) {
	var got []byte
	var b [256]byte
	upgraded := false
	for {
		n, err := conn.Read(b[:])
		got = append(got, b[:n]...)
		if !upgraded && bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) && bytes.Contains(got, []byte("\r\n\r\n")) {
			upgraded = true
			c.joined()
		}
		end, ended := endOf(got)
		switch {
		case ended:
			_ = conn.Close()
		case err != nil && upgraded:
			end = EndNoFrame
		case err != nil:
			end = EndNoUpgrade
		default:
			continue
		}
		c.left(end, upgraded)
		return
	}
}

func (c *Crowd) joined() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.most = max(c.most, c.open)
}

func (c *Crowd) left(end string, upgraded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if upgraded {
		c.open--
	}
	if c.closing && end != EndNoUpgrade {
		end = EndOurs
	}
	c.ends[end]++
}

// endOf reads the close frame behind the answer to the upgrade (RFC 6455 section 5.5.1).
func endOf(got []byte) (end string, ok bool) {
	_, frame, upgraded := bytes.Cut(got, []byte("\r\n\r\n"))
	if !upgraded || len(frame) < 4 || frame[0] != 0x88 || len(frame) < 2+int(frame[1]) || frame[1] < 2 {
		return "", false
	}
	body := frame[2 : 2+int(frame[1])]
	return fmt.Sprintf("%d %s", binary.BigEndian.Uint16(body), body[2:]), true
}

// Open returns how many sockets are open and upgraded now, and how many were at most at one
// time.
func (c *Crowd) Open() (now, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.most
}

// Ends returns how many sockets have ended in which way.
func (c *Crowd) Ends() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.ends)
}

// Close closes what is still open.
func (c *Crowd) Close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // it may be closed already
	}
	c.waiting.Wait()
}

// RaiseFiles makes sure that this process, and those that it starts from now on, may have n
// files open. It may raise the hard limit too where this process has the right to.
func RaiseFiles(n uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("attack: %w", err)
	}
	hard := limit.Max
	limit.Cur, limit.Max = max(limit.Cur, n), max(limit.Max, n)
	// Also where nothing changes: the limit that this process was given, and not the one that
	// Go's runtime has raised it to, would else be its children's.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("attack: %d open files are needed and %d allowed (ulimit -Hn): %w", n, hard, err)
	}
	return nil
}
