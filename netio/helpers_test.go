package netio

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// funcs is a Handler made of functions; nil ones do nothing.
type funcs struct {
	batch    func(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue)
	messages func(now mono.Time, out *mmsg.TxQueue) bool
	timers   func(now mono.Time, out *mmsg.TxQueue) mono.Time
	pending  func() bool
}

func (f *funcs) HandleBatch(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
	if f.batch != nil {
		f.batch(now, in, out)
	}
}

func (f *funcs) HandleMessages(now mono.Time, out *mmsg.TxQueue) bool {
	return f.messages != nil && f.messages(now, out)
}

func (f *funcs) HandleTimers(now mono.Time, out *mmsg.TxQueue) mono.Time {
	if f.timers == nil {
		return mono.Never
	}
	return f.timers(now, out)
}

func (f *funcs) Pending() bool { return f.pending != nil && f.pending() }

// echo answers every datagram over the flow that it came by.
func echo(_ mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue) {
	for i := range in.Len() {
		put(out, in.Packet(i), in.Key(i), mmsg.Control)
	}
}

func put(out *mmsg.TxQueue, p []byte, to flow.Key, c mmsg.Class) bool {
	slot := out.Slot()
	if slot == nil {
		return false
	}
	out.Commit(copy(slot, p), to, c)
	return true
}

// open opens a group for the time of the test.
func open(t testing.TB, c Config) *Group {
	t.Helper()
	if !c.IPv4 && !c.IPv6 {
		c.IPv4, c.IPv6 = true, true
	}
	g, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	return g
}

// carried puts a group's first shard onto its first thread, which nobody runs.
func carried(g *Group, h Handler) (*shard, *thread) {
	s, t := g.shards[0], g.threads[0]
	s.handler = h
	t.take(s)
	return s, t
}

// eachPath runs a test over the fast and the portable path.
func eachPath(t *testing.T, f func(t *testing.T, plain bool)) {
	t.Run("batched", func(t *testing.T) { f(t, false) })
	t.Run("plain", func(t *testing.T) { f(t, true) })
}

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
)

func listen(t testing.TB, at netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func send(t testing.TB, c *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

func receive(t testing.TB, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(patience))
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), from
}

// await waits until c yields.
func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
