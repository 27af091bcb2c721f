package bare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	piondtls "github.com/pion/dtls/v3"
)

// serverVariable in the environment of a process makes it the server of Handshake.
const serverVariable = "TSUBAME_BARE_DTLS_SERVER"

// ErrNoServer says that Handshake was called in a program that never calls ServeHandshakes.
var ErrNoServer = errors.New("bare: main must begin with ServeHandshakes")

// HandshakeConfig says what Handshake does. The zero value of each field takes its default.
type HandshakeConfig struct {
	Rounds   int // measured; default 5, after one to warm up
	PerRound int // handshakes of each; default 200
	Parallel int // handshakes in flight; default 8
}

// HandshakeCost is what the server of a handshake paid.
type HandshakeCost struct {
	PerHandshake time.Duration // median of the rounds
	Best, Worst  time.Duration // the rounds at the ends
	Handshakes   uint64        // of all measured rounds
	Datagrams    uint64        // that the server sent for them: two each unless some were repeated
}

// String is the cost in one line.
func (c HandshakeCost) String() string {
	return fmt.Sprintf("%v a handshake (%v to %v), %d handshakes, %d datagrams",
		c.PerHandshake, c.Best, c.Worst, c.Handshakes, c.Datagrams)
}

// Handshake measures the server side of a DTLS handshake by pion/dtls with the options of our
// server: ECDSA with P-256, a client certificate required and its signature verified, extended
// master secret, no cookie, use_srtp with GCM, the keys exported. The server is a process of
// its own, this program run again, whose user and system time between two rounds is the
// measure; so the client's share, which runs here, is not in it. What it has beside pion/dtls
// is one goroutine that reads one UDP socket and hands datagrams to handshakes by their source,
// about a tenth of the cost, and its garbage collections. The caller's main must begin with
// ServeHandshakes, or the error is ErrNoServer.
func Handshake(cfg HandshakeConfig) (HandshakeCost, error) {
	if !served.Load() {
		return HandshakeCost{}, ErrNoServer
	}
	if cfg.Rounds <= 0 {
		cfg.Rounds = 5
	}
	if cfg.PerRound <= 0 {
		cfg.PerRound = 200
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 8
	}
	p, err := startServer()
	if err != nil {
		return HandshakeCost{}, err
	}
	cost, err := cfg.measure(p)
	return cost, errors.Join(err, p.close())
}

// measure does the rounds.
func (cfg HandshakeConfig) measure(p *serverProcess) (c HandshakeCost, err error) {
	var all []time.Duration
	last := totals{}
	for i := range cfg.Rounds + 1 {
		if err := shakeHands(p.address, cfg.PerRound, cfg.Parallel); err != nil {
			return c, err
		}
		now, err := p.totals()
		if err != nil {
			return c, err
		}
		if n := now.handshakes - last.handshakes; n != uint64(cfg.PerRound) {
			return c, fmt.Errorf("bare: the server counts %d handshakes of %d", n, cfg.PerRound)
		}
		if i > 0 {
			all = append(all, (now.cpu-last.cpu)/time.Duration(cfg.PerRound))
			c.Handshakes += uint64(cfg.PerRound)
			c.Datagrams += now.datagrams - last.datagrams
		}
		last = now
	}
	slices.Sort(all)
	c.PerHandshake, c.Best, c.Worst = all[len(all)/2], all[0], all[len(all)-1]
	return c, nil
}

// totals are what the server process has done since its start. They go over its standard
// output as one line.
type totals struct {
	cpu        time.Duration
	handshakes uint64
	datagrams  uint64
}

// serverProcess is the process that is measured.
type serverProcess struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
}

// startServer runs this program again as the server; it ends with its standard input.
func startServer() (*serverProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	p := &serverProcess{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), serverVariable+"=1")
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bare: %w", err)
	}
	p.out = bufio.NewReader(out)
	if _, err := fmt.Fscanln(p.out, &p.address); err != nil {
		return nil, errors.Join(fmt.Errorf("bare: server: %w", err), p.close())
	}
	return p, nil
}

// totals asks the server, which answers when no handshake is in flight.
func (p *serverProcess) totals() (t totals, err error) {
	if _, err := fmt.Fprintln(p.in, "totals"); err != nil {
		return t, fmt.Errorf("bare: server: %w", err)
	}
	if _, err := fmt.Fscanln(p.out, &t.cpu, &t.handshakes, &t.datagrams); err != nil {
		return t, fmt.Errorf("bare: server: %w", err)
	}
	return t, nil
}

func (p *serverProcess) close() error {
	_ = p.in.Close()
	return p.cmd.Wait()
}

// shakeHands does n handshakes with the server at address.
func shakeHands(address string, n, parallel int) error {
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	todo := make(chan struct{}, n)
	for range n {
		todo <- struct{}{}
	}
	close(todo)
	for range parallel {
		wg.Go(func() {
			for range todo {
				if _, err := shakeHand(address, clientOptions(certificate)); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// negotiated is what a handshake came to.
type negotiated struct {
	suite        piondtls.CipherSuiteID
	profile      piondtls.SRTPProtectionProfile
	certificates int // that the server showed
}

// shakeHand is the client side of one handshake, from a port of its own.
func shakeHand(address string, options []piondtls.ClientOption) (got negotiated, err error) {
	to, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		return got, fmt.Errorf("bare: %w", err)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return got, fmt.Errorf("bare: %w", err)
	}
	conn, err := piondtls.ClientWithOptions(socket, to, options...)
	if err != nil {
		_ = socket.Close()
		return got, fmt.Errorf("bare: client: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	err = conn.HandshakeContext(ctx)
	if err == nil {
		if state, ok := conn.ConnectionState(); ok {
			got.suite, got.certificates = state.CipherSuiteID, len(state.PeerCertificates)
		}
		got.profile, _ = conn.SelectedSRTPProtectionProfile()
	}
	_ = socket.Close() // before conn, so that no close_notify is said, which is no part of it
	_ = conn.Close()
	if err != nil {
		return got, fmt.Errorf("bare: client: %w", err)
	}
	return got, nil
}
