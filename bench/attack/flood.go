package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Tally is what one flood came to. Received is what the target sent back to its sources.
type Tally struct {
	Sent, SentBytes         uint64
	Received, ReceivedBytes uint64
	Took                    time.Duration
}

// Amplified reports whether the target has sent back more bytes than it was sent.
func (t Tally) Amplified() bool { return t.ReceivedBytes > t.SentBytes }

// Rate returns the datagrams sent in a second.
func (t Tally) Rate() float64 { return float64(t.Sent) / max(t.Took.Seconds(), 1e-9) }

// String is for logs.
func (t Tally) String() string {
	return fmt.Sprintf("%d datagrams (%d bytes) in %.1f s, %.0f a second; %d (%d bytes) came back",
		t.Sent, t.SentBytes, t.Took.Seconds(), t.Rate(), t.Received, t.ReceivedBytes)
}

// Flood sends UDP datagrams from one port.
type Flood struct {
	To      netip.AddrPort // a loopback address
	Sources []netip.Addr   // loopback addresses to send from, in turn; none: the kernel's choice
	Rate    int            // a second
	// Next returns the i-th datagram; nil ends the flood.
	Next func(i int) []byte
}

// Run sends until Next returns nil or ctx ends, and then waits a moment for what still comes
// back. Its error is the first that the socket gave; a flood of which a part could not be sent
// is none that shows anything.
func (f Flood) Run(ctx context.Context) (Tally, error) {
	if err := checkTarget(f.To.Addr()); err != nil {
		return Tally{}, err
	}
	controls, err := sourceControls(f.Sources)
	if err != nil {
		return Tally{}, err
	}
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return Tally{}, fmt.Errorf("attack: %w", err)
	}
	var echo echoes
	var listening sync.WaitGroup
	listening.Go(func() { echo.listen(conn) })

	var t Tally
	var failed error
	start := time.Now()
	_, err = Pace(ctx, f.Rate, func(i int) bool {
		b := f.Next(i)
		if b == nil {
			return false
		}
		var control []byte
		if len(controls) > 0 {
			control = controls[i%len(controls)]
		}
		if _, _, failed = conn.WriteMsgUDPAddrPort(b, control, f.To); failed != nil {
			return false
		}
		t.Sent++
		t.SentBytes += uint64(len(b))
		return true
	})
	t.Took = time.Since(start)
	// The deadline ends the listener, so that it has read what came until then.
	lastEcho := conn.SetReadDeadline(time.Now().Add(echoTime))
	listening.Wait()
	t.Received, t.ReceivedBytes = echo.n, echo.bytes
	return t, errors.Join(err, failed, lastEcho, conn.Close())
}

// echoTime is how long answers to the last datagrams are waited for.
const echoTime = 100 * time.Millisecond

// echoes counts what comes back.
type echoes struct{ n, bytes uint64 }

// listen reads until the read deadline.
func (e *echoes) listen(conn *net.UDPConn) {
	b := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		e.n++
		e.bytes += uint64(n)
	}
}

// checkTarget refuses everything that is not this machine.
func checkTarget(a netip.Addr) error {
	if !a.Unmap().IsLoopback() || !a.Unmap().Is4() {
		return fmt.Errorf("attack: %v is not an IPv4 loopback address, and nothing else is attacked", a)
	}
	return nil
}

// Sources returns n different addresses of 127.0.0.0/8, spread over all of it. 127.0.0.1,
// where the server and the browser are, is none of them.
func Sources(n int) []netip.Addr {
	const hosts = 1<<24 - 2 // without the first and the last
	if n < 0 || n > hosts/2 {
		panic("attack: so many loopback addresses there are not")
	}
	out := make([]netip.Addr, n)
	for i := range out {
		host := 2 + uint32(i)*uint32(max(1, hosts/max(1, n)))
		out[i] = netip.AddrFrom4([4]byte{127, byte(host >> 16), byte(host >> 8), byte(host)})
	}
	return out
}
