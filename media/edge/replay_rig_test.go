package edge

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tsubame/netio/flow"
)

// cached is a call with the key frame cache. Each packet carries a number of its own, by which a
// viewer's are told apart.
type cached struct {
	*call
	shards int
	paced  bool              // viewers who join report on what they get, so that it is paced
	sent   map[uint64][]byte // what the publisher has sent of each number, to be sent again
	rtx    uint16
	large  bool // packets are as large as those of browsers
}

// cacheOf makes a configuration with so many bytes for each track.
func cacheOf(bytes int) func(*Config) {
	return func(c *Config) { c.KeyFrameCache = bytes }
}

func newCached(t testing.TB, shards int, change func(*Config)) *cached {
	t.Helper()
	c := &cached{call: newCall(t, shards, nil, change), shards: shards, sent: map[uint64][]byte{}}
	for i, q := range c.outs {
		q.SetFlusher(func() { c.collect(i) })
	}
	return c
}

// numbered is the payload of the packet with the number seq.
func numbered(keyFrame bool, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(vp8(keyFrame, 0)[:2], seq)
}

// filled is a payload as long as those of browsers, of which the last bytes are numbered.
func filled(keyFrame bool, seq uint64) []byte {
	head := numbered(keyFrame, seq)
	return append(append(head, make([]byte, 1000)...), head...)
}

// timestamp is that of the clock now.
func (c *cached) timestamp() uint32 { return uint32(c.now / 1e6 * 90) }

// frame has the publisher send one packet that is a frame; lost says that it does not arrive.
func (c *cached) frame(keyFrame, lost bool) {
	c.seq++
	seq := uint64(c.seq)
	c.sent[seq] = numbered(keyFrame, seq)
	if c.large {
		c.sent[seq] = filled(keyFrame, seq)
	}
	h := header{PayloadType: 96, Marker: true, Seq: c.seq, Timestamp: c.timestamp(), SSRC: 1000}
	if b := c.pub.packet(h, "", c.sent[seq]); !lost {
		c.deliver(0, c.pub.key, b)
	}
}

// repeat has the publisher send a lost packet again, with the timestamp of now.
func (c *cached) repeat(seq uint64) {
	c.rtx++
	c.deliver(0, c.pub.key, c.pub.rtxPacket(c.rtx, uint16(seq), c.timestamp(), c.sent[seq]))
}

// play has the publisher send a key frame, if first says so, and n more frames of 33 ms.
func (c *cached) play(first bool, n int) {
	if first {
		c.frame(true, false)
		c.advance(33 * time.Millisecond)
	}
	for range n {
		c.frame(false, false)
		c.advance(33 * time.Millisecond)
	}
}

// join brings up a viewer of the track on a shard. What that is sent is for hand to give out.
func (c *cached) join(shard int) *viewing {
	c.t.Helper()
	k := flow.KeyOf(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort("127.0.0.1:50001"))
	k.Port += uint16(len(c.viewers))
	return c.joinBy(shard, k)
}

// joinBy brings up a viewer that comes by that path.
func (c *cached) joinBy(shard int, k flow.Key) *viewing {
	c.t.Helper()
	v := &viewing{peer: c.open(shard, k), ssrc: 5000, packets: map[uint64]uint64{}}
	spec := videoOut(c.track, v.ssrc)
	if c.paced {
		spec.Feedback.TransportCC, spec.Extensions.TransportCC = true, 3
	}
	v.c.Subscribe(spec)
	v.r.deliver(v.shard, v.key, v.check(true))
	v.secure()
	c.viewers = append(c.viewers, v.peer)
	return v
}

// viewing is a viewer and what it has got: by the number under which it came, extended, the number
// of the packet that it is.
type viewing struct {
	*peer
	ssrc    uint32
	highest uint64
	first   uint64 // the packet that came first
	packets map[uint64]uint64
	twice   int
}

// hand gives the viewers what was sent, and returns how many key frames the publisher was asked for.
func (c *cached) hand(viewers ...*viewing) (plis int) {
	c.t.Helper()
	all := c.take()
	for _, v := range viewers {
		for _, b := range v.received(all) {
			v.got(b)
		}
	}
	return c.pub.plis(all)[1000]
}

func (v *viewing) got(b []byte) {
	v.r.t.Helper()
	ssrc, seq := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])
	payload := unpad(v.r.t, b)
	payload = payload[len(payload)-10:]
	if ssrc == v.ssrc+1 {
		seq = binary.BigEndian.Uint16(b[len(b)-12:])
	}
	if v.highest == 0 {
		v.highest, v.first = 1<<16+uint64(seq), binary.BigEndian.Uint64(payload[2:])
		if payload[1]&1 != 0 {
			v.r.t.Errorf("a viewer begins with packet %d, which is no key frame", v.first)
		}
	}
	ext := v.highest + uint64(int64(int16(seq-uint16(v.highest))))
	v.highest = max(v.highest, ext)
	if _, there := v.packets[ext]; there {
		v.twice++
	}
	v.packets[ext] = binary.BigEndian.Uint64(payload[2:])
}

// requireWhole wants the viewer to have everything from the packet that it began with up to last,
// each once, under numbers without a gap.
func (v *viewing) requireWhole(last uint64) {
	v.r.t.Helper()
	var order []uint64
	for ext := range v.packets {
		order = append(order, ext)
	}
	slices.Sort(order)
	if len(order) == 0 || v.twice > 0 || uint64(len(order)) != last-v.first+1 {
		v.r.t.Fatalf("%d packets, %d of them twice; want those from %d to %d", len(order), v.twice, v.first, last)
	}
	for i, ext := range order {
		if ext != order[0]+uint64(i) || v.packets[ext] != v.first+uint64(i) {
			v.r.t.Fatalf("the %d. packet is number %d, sent as %d after %d", i, v.packets[ext], ext, order[0])
		}
	}
}

func (c *cached) count(name string) uint64 { return c.p.Counters()[name] }
