package edge

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// FuzzDatagrams feeds whatever it likes to two shards with a live publisher and viewer, and
// lets time pass: nothing may panic, and in the end nothing may be left. The input is a list
// of steps: what to do, how much, and the bytes to do it with. Bytes may also be sealed with
// the keys of the publisher or the viewer, so that what is behind the tags is reached too.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0, 12, 0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 3, 232, 2, 200})
	f.Add([]byte{3, 14, 0x80, 96, 0, 9, 0, 0, 0, 1, 0, 0, 3, 232, 0x10, 0, 2, 50, 1, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42})
	f.Add(append([]byte{4, 16}, rtcp.AppendNACK(nil, 1, 5000, []uint16{1, 2, 3})...))
	f.Add(append([]byte{5, 12}, rtcp.AppendPLI(nil, 1, 5000)...))
	f.Add([]byte{3, 20, 0xb1, 97, 0, 1, 0, 0, 0, 1, 0, 0, 3, 233, 0, 0, 0, 0, 0, 1, 0, 9, 6, 3, 2, 255, 2, 255})
	f.Add([]byte{7, 8, 0x40, 0, 0, 4, 0x80, 96, 0, 1, 8, 4, 0x40, 0, 0, 0, 9, 4, 0x16, 0xfe, 0xfd, 0, 10, 4, 0x80, 96, 1, 1, 11, 1, 0})
	f.Add([]byte{9, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 10, 8, 0x40, 0, 0, 4, 1, 2, 3, 4, 11, 2, 1, 1})
	// Redundant audio, a packet lost between two.
	f.Add([]byte{3, 14, 0x80, 63, 0, 1, 0, 0, 0, 1, 0, 0, 7, 208, 111, 1, 3, 22, 0x80, 63, 0, 3, 0, 0, 7, 129, 0, 0, 7, 208,
		0xef, 0x0f, 0, 2, 111, 8, 8, 9, 9, 9})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newCall(t, 2, []int{1}, func(c *Config) {
			c.MaxConnections, c.MaxTracks, c.MediaLane = 4, 4, 64
			c.Buffers.Classes = []packet.ClassConfig{{Size: packet.LargeSize, Count: 256}}
		})
		c.frame(true)
		c.settle()
		v := c.viewers[0]
		spec := audioIn
		spec.REDType = redType
		v.c.Subscribe(audioOut(c.pub.publish(spec), 5002, redType))
		ways := c.fuzzedWays(v)
		for steps := 0; len(in) >= 2 && steps < 64; steps++ {
			what, n := in[0]%12, min(int(in[1]), len(in)-2)
			b := in[2 : 2+n]
			in = in[2+n:]
			if what < 7 {
				c.step(what, n, b, v)
			} else {
				c.stepBy(what-7, b, ways)
			}
			c.settle()
			c.take()
		}
		c.advance(20 * time.Millisecond)
		c.finish()
	})
}

// step does one thing of a fuzzer's list.
func (c *call) step(what byte, n int, b []byte, v *peer) {
	from := []flow.Key{c.pub.key, v.key, pathB}
	switch {
	case what == 6 || n == 0:
		c.advance(time.Duration(n) * time.Millisecond)
	case what < 3:
		c.deliver(int(what)%2, from[what], b)
	case what == 3 && n >= 12:
		c.sealed(c.pub, b)
	case what == 4 || what == 5:
		p := []*peer{v, c.pub}[what-4]
		if n >= 8 && b[0]>>6 == 2 {
			c.deliver(p.shard, p.key, p.rtcp(b))
		}
	}
}

// fuzzedWays are a relay over UDP, one over a stream, and a stream without one, by all of which
// the viewer has checked.
func (c *call) fuzzedWays(v *peer) []flow.Key {
	_, framed := c.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:3", false)
	_, turn := c.stream(flow.TURNStream, "192.0.2.1", "10.0.0.8:2", false)
	udp, tcp := v.over(key("192.0.2.1", "10.0.0.8:1"), 0, 0, 0), v.over(turn, 0, 1, 1)
	udp.bind(0x4000)
	ways := []flow.Key{udp.path, tcp.path, framed}
	for _, k := range ways {
		c.deliver(0, k, v.check(false))
	}
	c.settle()
	c.take()
	return ways
}

// stepBy delivers bytes by another way than plain UDP: to the TURN server, through it, over a
// stream; or moves the viewer there.
func (c *call) stepBy(what byte, b []byte, ways []flow.Key) {
	if len(b) == 0 {
		return
	}
	v := c.viewers[0]
	udp, tcp := c.relays[ways[0]], c.relays[ways[1]]
	switch what {
	case 0:
		c.deliver(0, udp.base, b)
	case 1:
		c.deliver(0, ways[int(b[0])%2], b)
	case 2:
		c.deliver(0, ways[2], b)
	case 3: // what comes over a stream of TURN is a frame of TURN
		if tcp.pipe.in = append(tcp.pipe.in, b); !tcp.pipe.closed {
			c.p.streamReady(tcp.pipe.place)
		}
	case 4:
		k := ways[int(b[0])%3]
		if c.pipes[k] == nil && k.Via.IsStream() && !k.Via.IsRelayed() || c.relays[k] != nil && c.relays[k].pipe != nil && tcp.pipe.closed {
			return
		}
		c.deliver(0, k, v.check(b[0]&8 == 0))
		if b[0]&0x70 == 0x70 && k.Via.IsStream() {
			c.settle()
			base := k
			if k.Via.IsRelayed() {
				base = tcp.base
			}
			c.hangUp(base)
		}
	}
}

// sealed delivers a packet with valid authentication, whatever its header says.
func (c *call) sealed(p *peer, b []byte) {
	header := 12 + 4*int(b[0]&15)
	if b[0]>>6 != 2 {
		return
	}
	if b[0]&0x10 != 0 {
		if len(b) < header+4 {
			return
		}
		header += 4 + 4*(int(b[header+2])<<8|int(b[header+3]))
	}
	if len(b) < header {
		return
	}
	var slot [mmsg.SlotSize]byte
	copy(slot[:], b[:header])
	slot[1] &= 0x7f
	ssrc := uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11])
	seq := uint16(b[2])<<8 | uint16(b[3])
	st := p.streams[ssrc]
	if st == nil {
		if len(p.streams) > 8 {
			return
		}
		st = p.session.AddStream(ssrc)
		p.streams[ssrc] = st
	}
	n, err := p.session.SealRTP(slot[:], header, b[header:], st, uint64(seq))
	if err == nil { // or the number was used before
		c.deliver(p.shard, p.key, slot[:n])
	}
}
