package edge

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// ways are how a client may reach a connection that shard owns; each makes one path.
var ways = map[string]func(*peer) (flow.Key, int){
	"direct": func(p *peer) (flow.Key, int) { return key("192.0.2.1", "10.0.0.9:6000"), 0 },
	"TURN-UDP": func(p *peer) (flow.Key, int) {
		v := p.over(key("192.0.2.1", "10.0.0.9:6001"), 0, 0, 0)
		return v.path, v.shard
	},
	"TURN-TCP": func(p *peer) (flow.Key, int) {
		_, k := p.r.stream(flow.TURNStream, "192.0.2.1", "10.0.0.9:6002", false)
		v := p.over(k, 0, 0, 0)
		return v.path, v.shard
	},
	"TURN-TLS over IPv6": func(p *peer) (flow.Key, int) {
		_, k := p.r.stream(flow.TURNStream, "2001:db8::1", "[2001:db8::9]:6003", true)
		v := p.over(k, 0, 0, 1)
		return v.path, v.shard
	},
	"ICE-TCP": func(p *peer) (flow.Key, int) {
		_, k := p.r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.9:6004", false)
		return k, 0
	},
}

// answer returns the one answer to a check among what was sent, and by which path it went.
func answer(t testing.TB, sent []datagram) (*stun.Message, flow.Key) {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("%d datagrams were sent, want one answer", len(sent))
	}
	m := &stun.Message{Raw: sent[0].bytes}
	if err := m.Decode(); err != nil {
		t.Fatalf("%x: %v", sent[0].bytes, err)
	}
	return m, sent[0].key
}

// The whole life of a call by each way: checks, DTLS, media in both directions, feedback, the
// end.
func TestCallByEveryWay(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, frameByFrame)
			p := r.open(0, flow.Key{})
			p.to(way(p))
			r.take()
			r.deliver(p.shard, p.key, p.check(false))
			m, by := answer(t, r.take())
			if m.Type != stun.BindingSuccess || by != p.key {
				t.Fatalf("%v by %v", m, by)
			}
			v := r.relays[p.key]
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			if want := p.key.RemoteAddrPort(); v != nil && mapped.String() != v.mapped.String() || v == nil && mapped.String() != want.String() {
				t.Errorf("the peer is told that it is %v", mapped)
			}
			track := p.publish(videoIn)
			if v != nil {
				v.bind(0x4001)
			}
			p.establish()
			if want := map[bool]string{false: TransportUDP, true: TransportTCP}[p.key.Via.IsStream()]; p.events[0].Transport != want {
				t.Errorf("established by %q, want %q", p.events[0].Transport, want)
			}

			// A record of the peer's finds its endpoint, and one of ours its way.
			s := r.p.shards[0]
			r.deliver(p.shard, p.key, append([]byte{22, 0xfe, 0xfd}, make([]byte, 40)...))
			if n := s.count.Handshakes.Load(); n != 1 {
				t.Errorf("%d endpoints", n)
			}
			record := append([]byte{22, 0xfe, 0xfd}, make([]byte, 1301)...)
			p.c.Records(0, record)
			r.settle()
			if sent := r.take(); len(sent) != 1 || sent[0].key != p.key || !bytes.Equal(sent[0].bytes, record) {
				t.Errorf("the record went out as %d datagrams", len(sent))
			}

			p.c.Subscribe(videoOut(track, 5000)) // its own picture
			r.settle()
			c := &call{rig: r, pub: p, track: track}
			r.deliver(p.shard, p.key, c.frameOf(true, 3000, 900, 899, 900, 431)...)
			r.settle()
			sent := r.take()
			if got := p.received(sent); len(got) != 4 {
				t.Fatalf("%d packets came back", len(got))
			}
			p.nackIsServed(t, sent)
			r.advance(1100 * time.Millisecond) // reports
			reports := 0
			for _, d := range r.take() {
				if d.key == p.key && rtp.IsRTCP(d.bytes) {
					reports++
				}
			}
			if reports == 0 {
				t.Error("no reports")
			}
			if v != nil && v.pipe != nil && v.pipe.unread != 0 {
				t.Errorf("%d frames were not flushed", v.pipe.unread)
			}
			r.finish()
		})
	}
}

// nackIsServed asks for the second packet of what a viewer of itself has been sent.
func (p *peer) nackIsServed(t *testing.T, sent []datagram) {
	t.Helper()
	r := p.r
	seq := uint16(sent[1].bytes[2])<<8 | uint16(sent[1].bytes[3])
	r.advance(20 * time.Millisecond)
	r.take()
	r.deliver(p.shard, p.key, p.rtcp(rtcp.AppendNACK(nil, 1, 5000, []uint16{seq})))
	r.settle()
	repeats := 0
	for _, b := range p.received(r.take()) {
		if ssrc := b[11]; ssrc == 5001&0xff {
			repeats++
		}
	}
	if repeats != 1 {
		t.Errorf("%d retransmissions", repeats)
	}
}

// What leaves for one client in one go stays one run for the kernel: one key, one length, the
// last shorter.
func TestFrameThroughARelayIsStillOneRun(t *testing.T) {
	r := newRig(t, 1, frameByFrame)
	pub := r.open(0, pathA)
	track := pub.publish(videoIn)
	pub.establish()
	p := r.open(0, flow.Key{})
	v := p.over(pathB, 0, 0, 0)
	v.bind(0x4abc)
	p.via(v)
	p.c.Subscribe(videoOut(track, 5000))
	p.establish()
	r.take()
	c := &call{rig: r, pub: pub, track: track}
	in := mmsg.NewRxBatch(8)
	for _, b := range c.frameOf(true, 3000, 700, 699, 700, 698, 700, 300) {
		in.Append(pathA, b)
	}
	q := r.outs[0]
	r.p.shards[0].HandleBatch(r.now, in, q)
	if q.Len() != 6 {
		t.Fatalf("%d datagrams", q.Len())
	}
	k0, b0 := q.Packet(0)
	for i := range q.Len() {
		k, b := q.Packet(i)
		if k != k0 || k != v.path {
			t.Errorf("datagram %d goes to %v", i, k)
		}
		if len(b) != len(b0) && i != q.Len()-1 || len(b) > len(b0) {
			t.Errorf("datagram %d has %d bytes, the first %d", i, len(b), len(b0))
		}
	}
	r.collect(0)
	if got := p.received(r.take()); len(got) != 6 {
		t.Errorf("%d packets", len(got))
	}
	r.finish()
}
