package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tsubame/media/rtp"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/turnsrv"
)

// throughTURN makes the peer's relay, for a stream with its connection.
func (c *client) throughTURN(p *peer, d *Description) error {
	way := c.engine.scenario.TURN
	told, ok := c.signaling.(Relaying)
	if !ok {
		return errors.New("load: this signaling protocol tells of no TURN servers")
	}
	server, err := turnServerOf(told.ICEServers(), way)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.engine.ctx, dialTimeout)
	defer cancel()
	at, err := server.resolve(ctx, way)
	if err != nil {
		return fmt.Errorf("load: TURN: %w", err)
	}
	if way == TURNUDP {
		p.key = flow.KeyOf(addressOf(p.id), at)
		p.relay = newRelay(server, d.candidate, nil)
		return nil
	}
	one, err := dialCarrier(ctx, carrierOptions{
		from: addressOf(p.id), to: at, name: server.host, tls: way == TURNTLS, insecure: c.engine.scenario.Insecure,
	})
	if err != nil {
		return fmt.Errorf("load: TURN: %w", err)
	}
	p.relay = newRelay(server, d.candidate, one)
	return nil
}

// resolve returns the server's address, IPv4 where there is a choice.
func (t *turnServer) resolve(ctx context.Context, way TURN) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(t.host); err == nil {
		return netip.AddrPortFrom(ip, t.port), nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var six netip.Addr
	for _, ip := range all {
		if ip = ip.Unmap(); ip.Is4() {
			return netip.AddrPortFrom(ip, t.port), nil
		}
		six = ip
	}
	if !six.IsValid() || way == TURNUDP {
		return netip.AddrPort{}, fmt.Errorf("%s has no IPv4 address", t.host)
	}
	return netip.AddrPortFrom(six, t.port), nil
}

// drive has a relay ask for what is due.
func (s *shard) drive(p *peer) {
	b, err := p.relay.next(s.now)
	if err != nil {
		p.client.fail(err)
		return
	}
	if b == nil {
		return
	}
	if slot := s.queue.Slot(); slot != nil && len(b) <= len(slot) {
		s.transmit(p, slot, copy(slot, b), mmsg.Control)
	}
}

// relayed takes what the TURN server says, and goes on with the check when the channel is bound.
func (s *shard) relayed(p *peer, b []byte) {
	r := p.relay
	before := r.ready
	if err := r.answer(s.now, b); err != nil {
		p.client.fail(err)
		return
	}
	if r.ready && !before {
		s.check(p)
	} else {
		s.drive(p)
	}
}

// unwrap returns what a datagram or frame of a relay carries; nil: nothing that is for others
// than the relay.
func (s *shard) unwrap(p *peer, b []byte) []byte {
	if p.relay == nil {
		return b
	}
	switch rtp.Classify(b) {
	case rtp.ClassSTUN:
		s.relayed(p, b)
		return nil
	case rtp.ClassChannelData:
		if inner := inChannel(b); inner != nil {
			return inner
		}
	}
	s.total.malformed++
	return nil
}

// inChannel returns the data of ChannelData of the relay's channel; nil: it is none.
func inChannel(b []byte) []byte {
	if len(b) < turnsrv.ChannelHeader || binary.BigEndian.Uint16(b) != relayChannel {
		return nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n == 0 || turnsrv.ChannelHeader+n > len(b) {
		return nil
	}
	return b[turnsrv.ChannelHeader : turnsrv.ChannelHeader+n : turnsrv.ChannelHeader+n]
}

// within is where in a datagram the packet stands, for those who only look.
func (s *shard) within(b []byte) []byte {
	if s.scenario.TURN == Direct || len(b) < turnsrv.ChannelHeader {
		return b
	}
	return b[turnsrv.ChannelHeader:]
}

// wrap makes ChannelData of the first n bytes of a slot and returns its length; 0: there is no
// room. Over a stream it is padded (RFC 8656 section 12.5).
func (r *relay) wrap(slot []byte, n int) int {
	size := turnsrv.ChannelHeader + n
	if r.carrier != nil {
		size = turnsrv.Padded(size)
	}
	if size > len(slot) {
		return 0
	}
	copy(slot[turnsrv.ChannelHeader:], slot[:n])
	clear(slot[turnsrv.ChannelHeader+n : size])
	turnsrv.PutChannelHeader(slot, relayChannel, n)
	return size
}

// transmit sends the first n bytes of a slot as they are, by the peer's stream, link or socket.
func (s *shard) transmit(p *peer, slot []byte, n int, class mmsg.Class) {
	switch {
	case p.relay != nil && p.relay.carrier != nil:
		s.write(p, slot[:n])
	case p.up != nil:
		p.up.Push(netio.Wall(netio.Now()), slot[:n]) // the turn may have begun long ago
	default:
		s.queue.Commit(n, p.key, class)
	}
}
