package edge

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// The differential tests play one script to two planes, which forward packet by packet and frame
// by frame, or directly and through TURN, and compare what each viewer has in the end.

const (
	scriptTick   = 250 * time.Microsecond
	scriptShards = 3
	publishers   = 3
	scriptEnd    = 12000 // ticks
	joinTick     = 4800  // when the last viewer joins: the publishers pause
	pauseTicks   = 80
)

// scripted is one packet that a publisher sends.
type scripted struct {
	pub     int
	seq     uint16
	ts      uint32
	marker  bool
	payload []byte // its first packet's number in the script stands behind the descriptor
	rtx     bool   // sent again, unasked
}

// script is what comes, by tick.
type script struct {
	at    map[int][]int // tick -> packets, in order; one may come twice
	all   []scripted
	loses [6]uint64 // what each viewer's own network loses
}

// write makes up frames of publishers whose networks lose, delay, reorder and repeat.
func write(rnd *rand.Rand) *script {
	s := &script{at: map[int][]int{}}
	for i := range s.loses {
		s.loses[i] = rnd.Uint64()
	}
	serial := uint64(0)
	for pub := range publishers {
		seq := uint16(rnd.IntN(1 << 15))
		key := 38 // two frames before the first key frame
		for tick := 10 + rnd.IntN(100); tick < scriptEnd; tick += []int{1, 3, 60, 100, 100, 150}[rnd.IntN(6)] {
			if tick > joinTick-100-pauseTicks && tick < joinTick+pauseTicks {
				tick, key = joinTick+pauseTicks, 38
			}
			pace, base := rnd.IntN(3), 40+rnd.IntN(1000)
			n := 1 + rnd.IntN(9)
			if rnd.IntN(20) == 0 {
				n = 80 // longer than any two runs
			}
			for i := range n {
				seq++
				serial++
				size := base + []int{0, -1, 0, 0, rnd.IntN(16), -rnd.IntN(30)}[rnd.IntN(6)]
				payload := make([]byte, max(size, 20))
				copy(payload, vp8(key%40 == 0, byte(i)))
				if i > 0 {
					payload[0] = 0
				}
				binary.BigEndian.PutUint64(payload[4:], serial)
				p := scripted{
					pub: pub, seq: seq, ts: uint32(tick) * 22, marker: i == n-1, payload: payload,
				}
				s.send(rnd, tick+i*pace, p)
			}
			key++
		}
	}
	return s
}

func (s *script) send(rnd *rand.Rand, tick int, p scripted) {
	tick += []int{0, 0, 0, 0, 0, 0, 1, 1, 3, 8}[rnd.IntN(10)]
	s.all = append(s.all, p)
	n := len(s.all) - 1
	switch rnd.IntN(50) {
	case 0, 1: // lost, and repeated later
		s.all[n].rtx = true
		s.at[tick+80] = append(s.at[tick+80], n)
	case 2: // lost for good
	case 3:
		s.at[tick+7] = append(s.at[tick+7], n)
		fallthrough
	default:
		s.at[tick] = append(s.at[tick], n)
	}
}

// had is what a viewer got of one packet.
type had struct {
	payload string
	marker  bool
	ts      uint32
	ext     uint64
}

// audience is a viewer of all publishers.
type audience struct {
	*peer
	loses   uint64
	streams [publishers]viewed
}

type viewed struct {
	highest    uint64
	lowest     uint64
	got        map[uint64]had // by the packet's number in the script
	have       map[uint64]bool
	asked      map[uint64]mono.Time
	inversions int
	newest     uint64
}

// performance is the script on one plane.
type performance struct {
	*rig
	s       *script
	pubs    [publishers]*peer
	tracks  [publishers]param.TrackID
	sealed  map[int][]byte
	rtxSeq  uint16
	viewers []*audience
	relayed bool // everybody comes through TURN
}

func perform(t *testing.T, s *script, relayed bool, change func(*Config)) *performance {
	p := &performance{rig: newRig(t, scriptShards, change), s: s, sealed: map[int][]byte{}, relayed: relayed}
	for i := range p.pubs {
		k := key("127.0.0.1", "127.0.0.1:50000")
		k.Port += uint16(i)
		p.pubs[i] = p.open(i%2, k)
		p.relay(p.pubs[i], i)
		p.tracks[i] = p.pubs[i].publish(videoIn)
		p.pubs[i].establish()
	}
	for i := range len(s.loses) - 1 {
		p.join(i)
	}
	for tick := range scriptEnd + 2000 {
		if tick == joinTick {
			p.join(len(s.loses) - 1)
		}
		p.step(tick)
	}
	return p
}

func (p *performance) join(i int) {
	k := key("127.0.0.1", "127.0.0.1:51000")
	k.Port += uint16(i)
	v := &audience{peer: p.open(i%scriptShards, k), loses: p.s.loses[i]}
	p.relay(v.peer, i)
	for j, track := range p.tracks {
		st := &v.streams[j]
		st.got, st.have, st.asked = map[uint64]had{}, map[uint64]bool{}, map[uint64]mono.Time{}
		v.c.Subscribe(videoOut(track, uint32(5000+2*j)))
	}
	v.establish()
	p.viewers = append(p.viewers, v)
}

// relay has a peer come through TURN, if all do: every third without ever binding a channel.
func (p *performance) relay(v *peer, i int) {
	if !p.relayed {
		return
	}
	relay := v.over(v.key, v.shard, 0, i%len(ourAddresses))
	if i%3 != 2 {
		relay.bind(uint16(0x4000 + i))
	}
	v.via(relay)
}

// step is one iteration of all shards.
func (p *performance) step(tick int) {
	p.now = p.now.Add(scriptTick)
	in := [scriptShards]*mmsg.RxBatch{}
	put := func(shard int, k flow.Key, b []byte) {
		if in[shard] == nil {
			in[shard] = mmsg.NewRxBatch(256)
		}
		if relay := p.relays[k]; relay != nil {
			k, b = relay.base, relay.wrap(b)
		}
		in[shard].Append(k, b)
	}
	for _, n := range p.s.at[tick] {
		pub := p.pubs[p.s.all[n].pub]
		put(pub.shard, pub.key, p.datagram(n))
	}
	if tick%2000 == 0 {
		for _, pub := range p.pubs {
			put(pub.shard, pub.key, pub.check(true))
		}
		for _, v := range p.viewers {
			put(v.shard, v.key, v.check(true))
		}
	}
	if tick%40 == 0 {
		for _, v := range p.viewers {
			for _, b := range v.ask(p.now) {
				put(v.shard, v.key, b)
			}
		}
	}
	for i, s := range p.p.shards {
		if in[i] != nil {
			s.HandleBatch(p.now, in[i], p.outs[i])
		}
		s.HandleMessages(p.now, p.outs[i])
		s.HandleTimers(p.now, p.outs[i])
		if d := s.window.Deadline(); d.Due(p.now) {
			p.t.Fatalf("a packet is held past %d, it is %d", d, p.now)
		}
		p.collect(i)
	}
	p.settle()
	sent := p.take()
	for _, v := range p.viewers {
		v.watch(sent)
	}
}

// datagram seals a packet of the script; what comes twice is the same twice.
func (p *performance) datagram(n int) []byte {
	if b := p.sealed[n]; b != nil {
		return b
	}
	m := &p.s.all[n]
	h := header{PayloadType: 96, Marker: m.marker, Seq: m.seq, Timestamp: m.ts, SSRC: 1000}
	payload := m.payload
	if m.rtx {
		p.rtxSeq++
		h.PayloadType, h.Seq, h.SSRC = 97, p.rtxSeq, 1001
		payload = append(binary.BigEndian.AppendUint16(nil, m.seq), payload...)
	}
	p.sealed[n] = p.pubs[m.pub].packet(h, "", payload)
	return p.sealed[n]
}

// watch takes what a viewer was sent.
func (v *audience) watch(sent []datagram) {
	for _, b := range v.received(sent) {
		b = unpad(v.r.t, b)
		ssrc, seq, payload := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]), b[12:]
		isRTX := ssrc%2 == 1
		if isRTX {
			if b[0]&0x20 != 0 {
				v.r.t.Fatal("a retransmission is padded")
			}
			seq, payload = binary.BigEndian.Uint16(payload), payload[2:]
		}
		serial := binary.BigEndian.Uint64(payload[4:])
		st := &v.streams[(ssrc-5000)/2]
		if st.highest == 0 {
			st.highest = 1<<16 + uint64(seq)
			st.lowest = st.highest
		}
		ext := st.highest + uint64(int64(int16(seq-uint16(st.highest))))
		if !isRTX {
			if serial < st.newest {
				st.inversions++
			}
			st.newest = max(st.newest, serial)
			if (serial*0x9e3779b97f4a7c15^v.loses)>>20%33 == 0 {
				continue
			}
		}
		if st.have[ext] {
			continue
		}
		st.highest = max(st.highest, ext)
		st.have[ext] = true
		st.got[serial] = had{string(payload), b[1]&0x80 != 0, binary.BigEndian.Uint32(b[4:]), ext}
	}
}

// ask asks for what a viewer misses: what has been missing for 10 ms, every 60 ms, as long as
// there is a chance to get it.
func (v *audience) ask(now mono.Time) (compounds [][]byte) {
	for i := range v.streams {
		st := &v.streams[i]
		if len(st.have) == 0 {
			continue
		}
		var seqs []uint16
		for ext := st.highest; ext > st.highest-300 && ext >= st.lowest; ext-- {
			if st.have[ext] {
				continue
			}
			if last, again := st.asked[ext]; !again {
				st.asked[ext] = now.Add(-50 * time.Millisecond)
			} else if now.Sub(last) >= 60*time.Millisecond {
				st.asked[ext] = now
				seqs = append(seqs, uint16(ext))
			}
		}
		if slices.Reverse(seqs); len(seqs) > 0 {
			compounds = append(compounds, v.rtcp(rtcp.AppendNACK(nil, 1, uint32(5000+2*i), seqs)))
		}
	}
	return compounds
}

func TestFrameByFrameDeliversWhatPacketByPacketDoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := write(rand.New(rand.NewPCG(seed, 0)))
	plain := perform(t, s, false, func(c *Config) { c.NoPadding = true })
	fast := perform(t, s, false, frameByFrame)
	plain.sameAs(fast)
	for name, n := range map[string]uint64{
		"padded_packets": fast.sum(func(c *Counters) uint64 { return c.Conn.PaddedPackets.Load() }),
		"window_marker":  fast.sum(func(c *Counters) uint64 { return c.Window.WindowMarker.Load() }),
		"window_next":    fast.sum(func(c *Counters) uint64 { return c.Window.WindowNext.Load() }),
		"window_late":    fast.sum(func(c *Counters) uint64 { return c.Window.WindowLate.Load() }),
		"window_cap":     fast.sum(func(c *Counters) uint64 { return c.Window.WindowCap.Load() }),
		"window_timer":   fast.sum(func(c *Counters) uint64 { return c.Window.WindowTimer.Load() }),
		"rtx_out":        fast.sum(func(c *Counters) uint64 { return c.Conn.RTXOut.Load() }),
		"drop_not_ready": fast.sum(func(c *Counters) uint64 { return c.Conn.DropNotReady.Load() }),
	} {
		if n == 0 {
			t.Errorf("the script was too tame: %s is 0", name)
		}
	}
	if n := plain.sum(func(c *Counters) uint64 { return c.Conn.PaddedPackets.Load() }); n != 0 {
		t.Errorf("%d packets are padded without", n)
	}
	for _, p := range []*performance{plain, fast} {
		if n := p.sum(func(c *Counters) uint64 { return c.Conn.DropSeal.Load() }); n != 0 {
			t.Errorf("drop_seal %d", n)
		}
		p.finish()
	}
}

// What is inside the frames of TURN is what would come without it, datagram for datagram.
func TestRelayedViewersGetWhatOthersDo(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := write(rand.New(rand.NewPCG(seed, 0)))
	direct := perform(t, s, false, frameByFrame)
	relayed := perform(t, s, true, frameByFrame)
	direct.sameAs(relayed)
	out := func(c *Counters) uint64 { return c.Conn.RTPOut.Load() }
	if a, b := direct.sum(out), relayed.sum(out); a != b {
		t.Errorf("%d packets went out directly, %d through relays", a, b)
	}
	if n := relayed.sum(func(c *Counters) uint64 { return c.Conn.TurnUDPOut.Load() }); n < relayed.sum(out) {
		t.Errorf("turn_udp_out %d", n)
	}
	if n := direct.sum(func(c *Counters) uint64 { return c.Conn.TurnUDPOut.Load() }); n != 0 {
		t.Errorf("turn_udp_out %d without a relay", n)
	}
	direct.finish()
	relayed.finish()
}

// sameAs holds that every viewer has got the same in both performances.
func (p *performance) sameAs(q *performance) {
	p.t.Helper()
	total := 0
	for i, v := range p.viewers {
		for j := range v.streams {
			total += compare(p.t, i, j, v, q.viewers[i])
		}
	}
	p.t.Logf("%d packets the same", total)
	if total < 10000 {
		p.t.Errorf("only %d packets came at all", total)
	}
}

// compare holds what a viewer got of a stream one way to what it got the other way, and
// returns how much that is.
func compare(t testing.TB, viewer, stream int, plain, fast *audience) int {
	t.Helper()
	a, b := &plain.streams[stream], &fast.streams[stream]
	if len(a.got) == 0 || len(a.got) != len(b.got) {
		t.Errorf("viewer %d, stream %d: %d packets one way, %d the other", viewer, stream, len(a.got), len(b.got))
	}
	first := ^uint64(0)
	for serial := range a.got {
		first = min(first, serial)
	}
	a0, b0 := a.got[first], b.got[first]
	for serial, x := range a.got {
		y, ok := b.got[serial]
		switch {
		case !ok:
			t.Fatalf("viewer %d, stream %d: packet %d does not come the other way", viewer, stream, serial)
		case x.payload != y.payload || x.marker != y.marker:
			t.Fatalf("viewer %d, stream %d: packet %d has another payload or marker", viewer, stream, serial)
		case x.ts-a0.ts != y.ts-b0.ts || x.ext-a0.ext != y.ext-b0.ext:
			t.Fatalf("viewer %d, stream %d: packet %d is another one by its numbers", viewer, stream, serial)
		}
	}
	if b.inversions > a.inversions {
		t.Errorf("viewer %d, stream %d: %d packets out of order, %d the first way", viewer, stream, b.inversions, a.inversions)
	}
	return len(a.got)
}
