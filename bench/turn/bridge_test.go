package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/turn/v5"

	"tsubame/bench/bot"
)

// ICE over TCP (RFC 6544), of which the way is the same and the framing another.
var (
	iceOverTCP  = way{"ice", 4}
	iceOverTCP6 = way{"ice", 6}
)

// counters is the name that the way's counters begin with.
func (v way) counters() string {
	if v.carrier == "ice" {
		return "ice_tcp_"
	}
	return "turn_" + v.carrier + "_"
}

// far is the side of a bridge that the server is on.
type far interface {
	send(datagram []byte) error
	receive(b []byte) (int, error)
	Close() error
}

// bridge carries what a bot sends by UDP to the server in another way, and back. It looks to the
// bot like a candidate of the server's.
type bridge struct {
	near    *net.UDPConn
	far     atomic.Pointer[far]
	bot     atomic.Pointer[netip.AddrPort]
	running sync.WaitGroup
}

// through starts a bot whose media go by v.
func (w *world) through(v way, cfg bot.Config) *bot.Bot {
	w.t.Helper()
	b, _ := w.bridged(v, cfg, asItIs)
	return b
}

// asItIs is what most do with a TCP connection.
func asItIs(c net.Conn) net.Conn { return c }

// bridged is through, by a TCP connection that wrap returns; the bridge may be led elsewhere.
func (w *world) bridged(v way, cfg bot.Config, wrap func(net.Conn) net.Conn) (*bot.Bot, *bridge) {
	w.t.Helper()
	near, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server4, 0)))
	if err != nil {
		w.t.Fatal(err)
	}
	const readBuffer = 4 << 20 // a burst of the server's; the kernel may grant less
	_ = near.SetReadBuffer(readBuffer)
	cfg.Candidates = []netip.AddrPort{near.LocalAddr().(*net.UDPAddr).AddrPort()}
	b := w.dial(cfg)
	r := &bridge{near: near}
	r.lead(w.farSide(w.accountOf(b), v, wrap))
	r.running.Go(r.up)
	w.t.Cleanup(func() {
		near.Close()
		(*r.far.Load()).Close()
		r.running.Wait()
	})
	return b, r
}

// lead has the bridge go on by another far side, and closes the one that it had.
func (r *bridge) lead(f far) {
	if old := r.far.Swap(&f); old != nil {
		(*old).Close()
	}
	r.running.Go(func() { r.down(f) })
}

// up carries to the server; what cannot be sent is lost, as datagrams may be.
func (r *bridge) up() {
	b := make([]byte, 2048)
	for {
		n, from, err := r.near.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && n > 0 {
			r.bot.Store(&from)
			_ = (*r.far.Load()).send(b[:n])
		}
	}
}

// down carries to the bot, until the far side is closed by anybody.
func (r *bridge) down(f far) {
	b := make([]byte, 2048)
	for {
		n, err := f.receive(b)
		if err != nil {
			return
		}
		if to := r.bot.Load(); to != nil {
			_, _ = r.near.WriteToUDPAddrPort(b[:n], *to)
		}
	}
}

// farSide connects one with the credentials of the bot's own connection: a relay carries no other.
func (w *world) farSide(as account, v way, wrap func(net.Conn) net.Conn) far {
	w.t.Helper()
	switch v.carrier {
	case "ice":
		return &framed{Conn: wrap(w.openICE(as, v))}
	case "udp":
		return relaySide{w.pion(as, v)}
	}
	conn := wrap(w.open(as, v, netip.AddrPort{}))
	return relaySide{w.pionOn(as, v, w.address(as, v), turn.NewSTUNConn(conn))}
}

// relaySide is a bridge's far side through TURN.
type relaySide struct{ *relay }

func (s relaySide) send(b []byte) error {
	_, err := s.WriteTo(b, net.UDPAddrFromAddrPort(s.candidate))
	return err
}

func (s relaySide) receive(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

// framed is a bridge's far side by ICE over TCP: a length before each datagram (RFC 4571). The
// first of them is a check, as nobody sends media by a path that he has not checked.
type framed struct {
	net.Conn
	in    *bufio.Reader
	began bool
}

func (s *framed) send(b []byte) error {
	const firstOfOthers = 20 // RFC 7983
	if s.began = s.began || b[0] < firstOfOthers; !s.began {
		return nil
	}
	_, err := s.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

func (s *framed) receive(b []byte) (int, error) {
	if s.in == nil {
		s.in = bufio.NewReader(s.Conn)
	}
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n > len(b) {
		return 0, io.ErrShortBuffer
	}
	return io.ReadFull(s.in, b[:n])
}

// openICE connects to a passive candidate of the offer (RFC 6544 section 4.5).
func (w *world) openICE(as account, v way) net.Conn {
	w.t.Helper()
	for line := range strings.SplitSeq(as.sdp, "\r\n") {
		f := strings.Fields(line)
		if len(f) < 10 || !strings.HasPrefix(line, "a=candidate:") || f[2] != "tcp" || f[4] != v.server().String() || f[9] != "passive" {
			continue
		}
		conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", net.JoinHostPort(f[4], f[5]))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { conn.Close() })
		return conn
	}
	w.t.Fatalf("no passive candidate at %v:\n%s", v.server(), as.sdp)
	return nil
}
