package edge

import (
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

// Row ICE-01.
func TestRandomDatagramsAreDroppedWithoutMemory(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := newCall(t, 2, []int{1}, nil)
	in := mmsg.NewRxBatch(256)
	buf := make([]byte, mmsg.SlotSize)
	fill := func() {
		in.Reset()
		for first := range 256 {
			n := 1 + rnd.IntN(len(buf))
			for i := range buf[:n] {
				buf[i] = byte(rnd.Uint32())
			}
			buf[0] = byte(first)
			k := []flow.Key{c.pub.key, pathA, pathB}[rnd.IntN(3)]
			in.Append(k, buf[:n])
		}
	}
	s := c.p.shards[0]
	l := s.live[c.pub.c.index]
	for range 50 {
		fill()
		c.now = c.now.Add(50 * time.Millisecond)
		s.HandleBatch(c.now, in, c.outs[0])
	}
	if n := c.outs[0].Len(); n != 0 {
		t.Errorf("%d answers to garbage", n)
	}
	if l.DTLS != nil && c.p.shards[0].count.Handshakes.Load() > 1 {
		t.Error("garbage began handshakes")
	}
	if s.flows.len() != 1 || len(s.foreign.paths) != 0 {
		t.Errorf("%d flows and %d others' paths are remembered", s.flows.len(), len(s.foreign.paths))
	}
	in.Reset() // what never was on a path costs no memory at all
	for first := range 256 {
		buf[0] = byte(first)
		in.Append(pathA, buf[:1+rnd.IntN(len(buf))])
	}
	if n := testing.AllocsPerRun(100, func() { s.HandleBatch(c.now, in, c.outs[0]) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for 256 datagrams of garbage", n)
	}
	c.frame(true)
	c.settle()
	if n := len(c.viewers[0].received(c.take())); n != 1 {
		t.Errorf("%d packets beside the garbage, want 1", n)
	}
	c.finish()
}

// Row ICE-02.
func TestFloodOfChecksForNobodyLeavesNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA) // somebody is there, under another user fragment
	ufrag, password := p.c.Credentials()
	wrong := []byte(ufrag)
	wrong[len(wrong)-1] ^= 1
	s := r.p.shards[0]
	in := mmsg.NewRxBatch(64)
	for i, k := range paths(10000) {
		if i%64 == 0 {
			in.Reset()
		}
		name := []string{string(wrong), "AAAAzzzzzzzz", "x"}[i%3]
		in.Append(k, buildCheck(t, name, password, true))
		if i%64 == 63 {
			s.HandleBatch(r.now, in, r.outs[0])
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.HandleBatch(r.now, in, r.outs[0]) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for each batch", n)
	}
	if r.outs[0].Len() != 0 || len(s.foreign.paths) != 0 || s.flows.len() != 0 {
		t.Fatal("checks for nobody were answered or remembered")
	}
	if n := s.count.DropUfrag.Load(); n < 9984 {
		t.Fatalf("drop_ufrag %d", n)
	}
	r.finish()
}

// Row ICE-03.
func TestCheckWithAWrongPasswordDoesNothing(t *testing.T) {
	r := newRig(t, 2, nil)
	unowned, owned := r.open(0, pathA), r.open(0, pathB)
	owned.establish()
	for _, p := range []*peer{unowned, owned} {
		ufrag, password := p.c.Credentials()
		for _, at := range []int{0, len(password) - 1} {
			wrong := []byte(password)
			wrong[at] ^= 1
			for shard := range 2 {
				r.deliver(shard, paths(1)[0], buildCheck(t, ufrag, string(wrong), true))
			}
		}
	}
	r.settle()
	if len(r.take()) != 0 {
		t.Fatal("a check with a wrong password was answered")
	}
	if _, taken := unowned.c.owner(); taken {
		t.Fatal("it made an owner")
	}
	l := r.p.shards[0].live[owned.c.index]
	if k, _ := l.ICE.Selected(); k != pathB || l.ICE.Validated(paths(1)[0]) {
		t.Fatal("it changed a path")
	}
	if n := r.sum(func(c *Counters) uint64 { return c.DropIntegrity.Load() }); n != 8 {
		t.Fatalf("drop_integrity %d, want 8", n)
	}
	r.finish()
}

// Row RTP-04.
func TestMillionSSRCsLeaveNothing(t *testing.T) {
	c := newCall(t, 1, nil, nil)
	c.pub.publish(byMID())
	s := c.p.shards[0]
	l := s.live[c.pub.c.index]
	plain := c.pub.rtp(77, 1, 1, vp8(true, 1))
	named := c.pub.named(78, 1, 1, vp8(true, 1))
	in := mmsg.NewRxBatch(64)
	ssrc := uint32(1 << 20)
	flood := func() {
		in.Reset()
		for i := range 64 {
			b := plain
			if i%8 == 0 {
				b = named // which is tried, and does not authenticate
			}
			ssrc++
			b[8], b[9], b[10], b[11] = byte(ssrc>>24), byte(ssrc>>16), byte(ssrc>>8), byte(ssrc)
			in.Append(c.pub.key, b)
		}
		c.now = c.now.Add(10 * time.Millisecond)
		s.HandleBatch(c.now, in, c.outs[0])
	}
	for range 1_000_000 / 64 {
		flood()
	}
	n := &s.count.Conn
	if n.DropSSRC.Load() != 1_000_000/8*7 || n.DropAuth.Load() != 1_000_000/8 {
		t.Errorf("drop_ssrc %d, drop_auth %d", n.DropSSRC.Load(), n.DropAuth.Load())
	}
	if n := testing.AllocsPerRun(100, flood); n != 0 && !raceEnabled {
		t.Errorf("%v allocations for 64 SSRCs", n)
	}
	if c.p.arena.Outstanding() != 0 || !l.Established() {
		t.Error("the flood left something")
	}
	c.finish()
}

// Row RTP-11.
func TestFloodOfRTCPIsCutToItsRate(t *testing.T) {
	c := newCall(t, 1, []int{0}, nil)
	c.frame(true)
	c.take()
	v := c.viewers[0]
	var bomb []byte
	for range 9 { // report blocks of others, goodbyes for others, types that nobody knows
		blocks := make([]rtcp.ReportBlock, 4)
		bomb = rtcp.AppendRR(bomb, 1, blocks)
		bomb = append(bomb, 0x81, 203, 0, 1, 0, 0, 3, 232) // BYE of SSRC 1000
		bomb = append(bomb, 0x80, 207, 0, 1, 0, 0, 0, 1)   // XR without a block
		bomb = append(bomb, 0x80, 222, 0, 0)
	}
	before := c.sum(func(c *Counters) uint64 { return c.Conn.DropPolicer.Load() })
	for range 20000 {
		c.deliver(0, v.key, v.rtcp(bomb))
	}
	if n := c.sum(func(c *Counters) uint64 { return c.Conn.DropPolicer.Load() }) - before; n < 19000 {
		t.Fatalf("%d of 20,000 at once were refused", n)
	}
	c.frame(false)
	if n := len(v.received(c.take())); n != 1 {
		t.Fatalf("%d packets after it, want 1: a BYE for another's SSRC ended something", n)
	}
	c.finish()
}

// Row ICE-11.
func TestThousandsThatVanishAreSeenOff(t *testing.T) {
	const many = 4000
	r := newRig(t, 2, func(c *Config) { c.MaxConnections, c.MaxTracks = many, 16 })
	lost := 0
	for i, k := range paths(many) {
		c, err := r.p.Open(func(e Event) {
			if e == (Event{Kind: Closed, Reason: ReasonConsentLost}) {
				lost++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ufrag, password := c.Credentials()
		r.deliver(i%2, k, buildCheck(t, ufrag, password, true))
	}
	r.take()
	r.now = r.now.Add(29 * time.Second)
	r.advance(10 * time.Millisecond)
	if lost != 0 {
		t.Fatalf("%d were given up within 29 s", lost)
	}
	r.advance(time.Second + lingerTime + 10*time.Millisecond)
	if lost != many || r.p.free.Free() != many {
		t.Fatalf("%d of %d were noticed, %d places are free", lost, many, r.p.free.Free())
	}
	if len(r.take()) != 0 {
		t.Fatal("something was sent to peers without consent")
	}
	r.finish()
}
