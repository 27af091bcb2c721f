package edge

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// sim is a whole plane with model peers on a network that loses, delays, reorders and
// repeats.
type sim struct {
	r     *rig
	rnd   *rand.Rand
	peers []*simPeer
	at    map[flow.Key]*simPeer // who has had an address last
	wire  map[mono.Time][]simDatagram

	ssrc, port, serial uint64
	sealed             map[[3]uint64]uint64 // what was sealed: session, stream, number -> bytes
	highest            map[[2]uint64]uint64
	received, missed   int
}

type simDatagram struct {
	to    *simPeer // nil: the server
	key   flow.Key
	bytes []byte
}

// send puts a datagram on the network.
func (s *sim) send(d simDatagram) {
	for range 1 + s.rnd.IntN(100)/98 { // one in fifty comes twice
		if s.rnd.IntN(100) < 3 {
			continue
		}
		at := s.r.now.Add(time.Duration(5+s.rnd.IntN(20)) * time.Millisecond)
		s.wire[at] = append(s.wire[at], d)
	}
}

func (s *sim) toServer(p *simPeer, b []byte) { s.send(simDatagram{key: p.key, bytes: b}) }

// steer says which shard a flow belongs to.
func (s *sim) steer(k flow.Key) int { return int(k.Port) % len(s.r.p.shards) }

// inspect holds what the shards have sent to the one rule: nothing is sealed twice.
func (s *sim) inspect() {
	for _, d := range s.r.take() {
		p := s.at[d.key]
		if p == nil || d.bytes[0]>>6 != 2 {
			if p != nil {
				s.send(simDatagram{to: p, key: d.key, bytes: d.bytes})
			}
			continue
		}
		session, stream, number := uint64(p.c.index)<<32|uint64(p.c.serial), uint64(0), uint64(0)
		if b := d.bytes; b[1] >= 192 && b[1] <= 223 {
			stream = 1<<32 | uint64(binary.BigEndian.Uint32(b[4:]))
			number = uint64(binary.BigEndian.Uint32(b[len(b)-4:]))
		} else {
			stream = uint64(binary.BigEndian.Uint32(b[8:]))
			seq := binary.BigEndian.Uint16(b[2:])
			at := [2]uint64{session, stream}
			high, known := s.highest[at]
			if !known {
				high = 1<<16 + uint64(seq)
			}
			number = high + uint64(int64(int16(seq-uint16(high))))
			s.highest[at] = max(high, number)
		}
		id := [3]uint64{session, stream, number}
		if _, twice := s.sealed[id]; twice {
			s.r.t.Fatalf("stream %d of connection %d: number %d was sealed twice", stream, p.c.index, number)
		}
		s.sealed[id] = 1
		s.send(simDatagram{to: p, key: d.key, bytes: d.bytes})
	}
}

// join brings up a peer at an address that nobody had before.
func (s *sim) join() *simPeer {
	p := &simPeer{s: s, kept: map[uint16]simPacket{}, watched: map[uint32]*simStream{}, needKey: true}
	p.peer = s.r.open(0, flow.Key{})
	s.move(p)
	s.r.deliver(s.steer(p.key), p.key, p.check(true))
	p.secure()
	s.r.settle()
	s.inspect()
	s.peers = append(s.peers, p)
	return p
}

// move gives a peer another address, and another way to reach the server from there.
func (s *sim) move(p *simPeer) {
	p.quit()
	s.port++
	p.key = pathOf(int(s.port))
	p.key.Port = uint16(1024 + s.port%60000)
	local, remote := p.key.Local.Netip().String(), p.key.RemoteAddrPort().String()
	switch s.port % 6 {
	case 0:
		p.relay = p.over(p.key, s.steer(p.key), 0, s.rnd.IntN(len(ourAddresses)))
	case 1:
		_, k := s.r.stream(flow.TURNStream, local, remote, s.port%12 == 1)
		p.relay = p.over(k, 0, 0, s.rnd.IntN(len(ourAddresses)))
	case 2:
		_, p.key = s.r.stream(flow.FramedStream, local, remote, false)
	}
	if p.relay != nil {
		p.via(p.relay)
		if s.rnd.IntN(4) > 0 {
			p.relay.bind(uint16(0x4000 + s.rnd.IntN(0x1000)))
		}
	}
	s.at[p.key] = p
	p.checkAt = s.r.now
}

// quit leaves the stream or the relay that a peer has come by.
func (p *simPeer) quit() {
	base := p.key
	if p.relay != nil {
		base = p.relay.base
		if p.relay.pipe == nil {
			p.relay.release()
		}
		p.relay.released, p.relay = true, nil
	}
	if base.Via.IsStream() {
		p.s.r.hangUp(base)
	}
}

// act does one thing that a client or signaling may do.
func (s *sim) act() {
	var pubs, viewers []*simPeer
	for _, p := range s.peers {
		if p.track.Gen != 0 {
			pubs = append(pubs, p)
		} else {
			viewers = append(viewers, p)
		}
	}
	switch n := s.rnd.IntN(10); {
	case n < 2 && len(pubs) < 3 || len(pubs) == 0:
		p := s.join()
		p.track = p.publish(videoIn)
		s.inspect()
	case n < 5 && len(viewers) < 8 || len(viewers) == 0:
		s.join()
	case n < 7: // watch one more
		v, pub := viewers[s.rnd.IntN(len(viewers))], pubs[s.rnd.IntN(len(pubs))]
		if len(v.watched) < 4 {
			s.ssrc += 2
			v.watched[uint32(s.ssrc)] = &simStream{packets: map[uint64]simPacket{}, missing: map[uint64]mono.Time{}}
			v.c.Subscribe(videoOut(pub.track, uint32(s.ssrc)))
		}
	case n == 7: // or one less
		v := viewers[s.rnd.IntN(len(viewers))]
		for ssrc, w := range v.watched {
			v.c.Unsubscribe(ssrc)
			w.verify(s, ssrc)
			delete(v.watched, ssrc)
			break
		}
	case n == 8:
		s.move(s.peers[s.rnd.IntN(len(s.peers))])
	default:
		s.leave(s.rnd.IntN(len(s.peers)))
	}
}

func (s *sim) leave(i int) {
	p := s.peers[i]
	s.peers = slices.Delete(s.peers, i, i+1)
	p.c.Close()
	if p.key.Via.IsStream() {
		s.r.settle()
		p.quit()
	}
	for ssrc, w := range p.watched {
		w.verify(s, ssrc)
	}
	clear(p.watched)
}

// step is one millisecond.
func (s *sim) step() {
	s.r.advance(time.Millisecond)
	s.inspect()
	now := s.r.now
	for _, d := range s.wire[now] {
		if d.to != nil {
			if d.to.key == d.key { // or it has moved on
				d.to.receive(d.bytes)
			}
			continue
		}
		s.r.deliver(s.steer(d.key), d.key, d.bytes)
	}
	delete(s.wire, now)
	s.r.settle()
	s.inspect()
	for _, p := range s.peers {
		if p.checkAt <= now {
			p.checkAt = now.Add(500 * time.Millisecond)
			s.toServer(p, p.check(true))
		}
		if p.track.Gen != 0 && p.frameAt <= now {
			p.publishFrame(now)
		}
		if now/mono.Time(time.Millisecond)%10 == 0 {
			p.ask(now)
		}
	}
}

func TestPlaneOverABadNetwork(t *testing.T) {
	t.Run("packet by packet", func(t *testing.T) { overABadNetwork(t, nil) })
	t.Run("frame by frame", func(t *testing.T) { overABadNetwork(t, frameByFrame) })
}

func overABadNetwork(t *testing.T, change func(*Config)) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &sim{
		r: newRig(t, 3, change), rnd: rand.New(rand.NewPCG(seed, 0)), at: map[flow.Key]*simPeer{}, ssrc: 100000,
		wire: map[mono.Time][]simDatagram{}, sealed: map[[3]uint64]uint64{}, highest: map[[2]uint64]uint64{},
	}
	end := time.Now().Add(3 * time.Second)
	for ms := 0; ms < 30000 && time.Now().Before(end); ms++ {
		if ms%40 == 0 {
			s.act()
			s.r.settle()
		}
		s.step()
	}
	for len(s.peers) > 0 {
		s.leave(0)
	}
	s.r.settle()
	s.r.take()
	t.Logf("%d packets were received, %d never came", s.received, s.missed)
	if s.received < 1000 || s.missed > s.received/20 {
		t.Errorf("%d packets were received and %d never came", s.received, s.missed)
	}
	for name, n := range map[string]uint64{
		"roamed":   s.r.sum(func(c *Counters) uint64 { return c.Roamed.Load() }),
		"rtx_out":  s.r.sum(func(c *Counters) uint64 { return c.Conn.RTXOut.Load() }),
		"repairs":  s.r.sum(func(c *Counters) uint64 { return c.Conn.Recovered.Load() }),
		"plis":     s.r.sum(func(c *Counters) uint64 { return c.Conn.PLIOut.Load() }),
		"turn_udp": s.r.sum(func(c *Counters) uint64 { return c.Conn.TurnUDPOut.Load() }),
		"turn_tcp": s.r.sum(func(c *Counters) uint64 { return c.TurnTCP.Out.Load() + c.TurnTLS.Out.Load() }),
		"ice_tcp":  s.r.sum(func(c *Counters) uint64 { return c.IceTCP.Out.Load() }),
	} {
		if n == 0 {
			t.Errorf("the network was not bad enough: %s is 0", name)
		}
	}
	if n := s.r.sum(func(c *Counters) uint64 { return c.Conn.DropSeal.Load() }); n != 0 {
		t.Errorf("drop_seal %d", n)
	}
	s.r.finish()
}
