package bot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/rtcp"
)

// readBuffer is what a socket asks the kernel to keep for it, in bytes.
const readBuffer = 4 << 20

// socket is one local UDP socket. Its goroutine reads until it is closed.
type socket struct {
	index  int
	conn   *net.UDPConn
	local  netip.AddrPort
	closed bool
}

func (s *socket) close() {
	s.closed = true
	_ = s.conn.Close()
}

// openSocket opens a socket and starts to read it; the caller holds the lock.
func (b *Bot) openSocket(local netip.AddrPort) (*socket, error) {
	network := "udp"
	if a := local.Addr(); a.IsValid() {
		network = "udp6"
		if a.Is4() {
			network = "udp4"
		}
	}
	conn, err := b.cfg.Listen(network, net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("bot: %w", err)
	}
	// A machine that is busy with a thousand bots may not get round to this one for long. The
	// kernel may grant less.
	_ = conn.SetReadBuffer(readBuffer)
	s := &socket{index: len(b.sockets), conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	b.sockets = append(b.sockets, s)
	b.running.Go(func() { b.read(s) })
	return s, nil
}

// startICE opens the sockets and pairs them with the candidates; the caller holds the lock.
func (b *Bot) startICE(now time.Time, o *offer) error {
	if b.closing {
		return errors.New("bot: closed")
	}
	if len(b.cfg.Candidates) > 0 {
		o.candidates = b.cfg.Candidates
	}
	if len(o.candidates) == 0 {
		return errors.New("bot: the offer has no candidate")
	}
	a := b.agent
	a.remoteUfrag, a.remotePassword = o.ufrag, o.password
	if b.cfg.WrongUfrag {
		a.remoteUfrag, _ = newCredentials()
	}
	if b.cfg.WrongPassword {
		_, a.remotePassword = newCredentials()
	}
	locals := b.cfg.LocalAddrs
	if len(locals) == 0 {
		unspecified := netip.IPv6Unspecified()
		if o.candidates[0].Addr().Is4() {
			unspecified = netip.IPv4Unspecified()
		}
		locals = []netip.AddrPort{netip.AddrPortFrom(unspecified, 0)}
	}
	for _, local := range locals {
		if _, err := b.openSocket(local); err != nil {
			return err
		}
	}
	var paths []Path
	for _, remote := range o.candidates {
		for _, s := range b.sockets {
			if p, ok := pathOf(s, remote); ok {
				paths = append(paths, p)
			}
		}
	}
	if b.cfg.Arrange != nil {
		paths = b.cfg.Arrange(paths)
	}
	if len(paths) == 0 {
		return errors.New("bot: no local address is of a candidate's family")
	}
	a.add(now, paths...)
	return nil
}

// pathOf pairs a socket with a candidate of its family.
func pathOf(s *socket, remote netip.AddrPort) (Path, bool) {
	local := s.local.Addr()
	dual := local == netip.IPv6Unspecified() // and the kernel maps IPv4
	if !dual && local.Unmap().Is4() != remote.Addr().Is4() {
		return Path{}, false
	}
	return Path{Socket: s.index, Local: s.local, Remote: remote}, true
}

// read is the goroutine of a socket.
func (b *Bot) read(s *socket) {
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error about an earlier datagram
		}
		b.received(time.Now(), s, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), buf[:n])
	}
}

// received takes a datagram and gives it to whom it is for (RFC 7983).
func (b *Bot) received(now time.Time, s *socket, from netip.AddrPort, datagram []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing && b.local == nil || len(datagram) == 0 {
		return
	}
	b.counts.received++
	b.counts.receivedBytes += uint64(len(datagram))
	if b.cfg.Incoming != nil && !b.cfg.Incoming(datagram) {
		return
	}
	switch first := datagram[0]; {
	case first < 4:
		if reply := b.agent.handle(now, s.index, from, datagram); reply != nil {
			b.write(s, from, reply)
		}
		if b.agent.current() != nil {
			b.startDTLS(now)
		}
		b.nudge()
	case first >= 20 && first < 64:
		if !b.hello.muted {
			b.dtls.Feed(datagram)
		}
	case first >= 128 && first < 192:
		b.handleMedia(now, datagram)
	default:
		b.counts.undecryptable++
	}
}

// write sends a datagram; the caller holds the lock. An error is not one: the network may
// lose it as well.
func (b *Bot) write(s *socket, to netip.AddrPort, datagram []byte) {
	if b.cfg.Outgoing != nil && !b.cfg.Outgoing(datagram) {
		return
	}
	b.counts.sent++
	b.counts.sentBytes += uint64(len(datagram))
	_, _ = s.conn.WriteToUDPAddrPort(datagram, to)
}

// sendCheck sends a check on its path.
func (b *Bot) sendCheck(p *path, datagram []byte) { b.write(b.sockets[p.Socket], p.Remote, datagram) }

// sendMedia sends a datagram on the current path; the caller holds the lock.
func (b *Bot) sendMedia(datagram []byte) {
	if p := b.agent.current(); p != nil {
		b.write(b.sockets[p.Socket], p.Remote, datagram)
	}
}

// sendDTLS is where the DTLS library writes.
func (b *Bot) sendDTLS(datagram []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.SilentAfterClientHello && !b.hello.pass(datagram) {
		return
	}
	b.sendMedia(datagram)
}

// helloGate lets one whole ClientHello out and nothing after it.
type helloGate struct {
	muted bool
	sent  int // bytes of the message
}

// pass reports whether a datagram is a part of the first ClientHello.
func (g *helloGate) pass(datagram []byte) bool {
	if g.muted {
		return false
	}
	const recordHeader, messageHeader = 13, 12
	for b := datagram; len(b) >= recordHeader+messageHeader; {
		n := recordHeader + int(b[11])<<8 + int(b[12])
		length := int(b[14])<<16 | int(b[15])<<8 | int(b[16])
		g.sent += n - recordHeader - messageHeader
		g.muted = g.muted || g.sent >= length
		if n > len(b) {
			break
		}
		b = b[n:]
	}
	return true
}

// Paths returns the pairs as they are now, in the order of their checks.
func (b *Bot) Paths() []Path {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Path, len(b.agent.paths))
	for i, p := range b.agent.paths {
		out[i] = p.Path
	}
	return out
}

// Nominate makes the bot nominate the i-th of Paths; it is selected when the server has
// answered that.
func (b *Bot) Nominate(i int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i < 0 || i >= len(b.agent.paths) || b.agent.paths[i].Dead {
		return fmt.Errorf("bot: no path %d", i)
	}
	b.agent.nominatePath(time.Now(), b.agent.paths[i])
	b.nudge()
	return nil
}

// AddSocket opens one more socket, and begins to check the server's candidates from it; it
// returns the socket's index, by which its paths are found.
func (b *Bot) AddSocket(local netip.AddrPort) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.offer == nil || b.closing {
		return 0, errors.New("bot: no candidates to pair a socket with")
	}
	s, err := b.openSocket(local)
	if err != nil {
		return 0, err
	}
	var remotes []netip.AddrPort
	for _, p := range b.agent.paths {
		if !slices.Contains(remotes, p.Remote) {
			remotes = append(remotes, p.Remote)
		}
	}
	var paths []Path
	for _, remote := range remotes {
		if p, ok := pathOf(s, remote); ok {
			paths = append(paths, p)
		}
	}
	b.agent.add(time.Now(), paths...)
	b.nudge()
	return s.index, nil
}

// CloseSocket closes one, as when an interface goes away: its paths are dead.
func (b *Bot) CloseSocket(index int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if index < 0 || index >= len(b.sockets) || b.sockets[index].closed {
		return fmt.Errorf("bot: no socket %d", index)
	}
	b.sockets[index].close()
	for _, p := range b.agent.paths {
		p.Dead = p.Dead || p.Socket == index
	}
	b.nudge()
	return nil
}

// SendRaw sends a datagram as it is on the current path.
func (b *Bot) SendRaw(datagram []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.agent.current() == nil {
		return errNoPath
	}
	b.sendMedia(datagram)
	return nil
}

var errNoKeys = errors.New("bot: no keys yet")

// SendRTP encrypts a plain RTP packet with the bot's keys and sends it.
func (b *Bot) SendRTP(packet []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.local == nil {
		return errNoKeys
	}
	b.sealRTP(packet)
	return nil
}

// SendRTCP encrypts packets as one compound and sends it.
func (b *Bot) SendRTCP(packets ...rtcp.Packet) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.local == nil {
		return errNoKeys
	}
	return b.sealRTCP(packets)
}

// Stranger is a socket of its own beside a bot: what it sends to the server comes from a
// path that no check has validated.
type Stranger struct {
	conn *net.UDPConn
}

// Stranger opens one on the bot's local address, towards the address of its current path.
func (b *Bot) Stranger() (*Stranger, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.agent.current()
	if p == nil {
		return nil, errNoPath
	}
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Local.Addr(), 0))
	if p.Local.Addr().IsUnspecified() {
		local = nil
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(p.Remote))
	if err != nil {
		return nil, fmt.Errorf("bot: %w", err)
	}
	return &Stranger{conn}, nil
}

// Send sends a datagram.
func (s *Stranger) Send(datagram []byte) error {
	_, err := s.conn.Write(datagram)
	return err
}

// Receive waits for an answer until a deadline.
func (s *Stranger) Receive(deadline time.Time) ([]byte, error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	b := make([]byte, 2048)
	n, err := s.conn.Read(b)
	return b[:n], err
}

// Close closes the socket.
func (s *Stranger) Close() error { return s.conn.Close() }
