package edge

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/steer"
)

// remoteOn returns the n-th address whose datagrams and streams land on that shard.
func (r *rig) remoteOn(shard, n int) string {
	for port := uint16(7000); ; port++ {
		ap := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.8"), port)
		if steer.ShardOf(ap, len(r.p.shards)) != shard {
			continue
		}
		if n--; n < 0 {
			return ap.String()
		}
	}
}

// nominate checks with USE-CANDIDATE from where the peer is, and holds that the answer comes
// back by that path.
func (p *peer) nominate() {
	p.r.t.Helper()
	p.r.advance(300 * time.Millisecond) // longer than any hold
	p.r.take()
	p.r.deliver(p.shard, p.key, p.check(true))
	p.r.settle()
	m, by := answer(p.r.t, p.r.take())
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil || by != p.key {
		p.r.t.Fatalf("answer %v by %v, want %v", m, by, p.key)
	}
	want := p.key.RemoteAddrPort()
	if v := p.r.relays[p.key]; v != nil {
		want = v.mapped
	}
	if mapped.String() != want.String() {
		p.r.t.Errorf("the peer is told that it is %v, want %v", mapped, want)
	}
}

// wander is every kind of way to both of two shards.
func wander(p *peer) (stops []func()) {
	r := p.r
	n, allocation := 0, -1
	for shard := range 2 {
		remote := func() string { n++; return r.remoteOn(shard, n) }
		stops = append(stops,
			func() { p.to(key("192.0.2.1", remote()), shard) },
			func() {
				allocation++
				v := p.over(key("192.0.2.1", remote()), shard, allocation, 0)
				v.bind(0x4000 + uint16(n))
				p.via(v)
			},
			func() {
				_, k := r.stream(flow.FramedStream, "192.0.2.1", remote(), false)
				p.to(k, shard)
			},
			func() {
				_, k := r.stream(flow.TURNStream, "192.0.2.1", remote(), false)
				allocation++
				v := p.over(k, shard, allocation, 0)
				if shard == 0 {
					v.bind(0x4fff)
				}
				p.via(v)
			})
	}
	return stops
}

// The owner is shard 0 throughout; the ways lead to both shards.
func TestMediaFollowsThePeerFromWayToWay(t *testing.T) {
	r := newRig(t, 2, nil)
	pub := r.open(1, pathB)
	track := pub.publish(videoIn)
	pub.establish()
	c := &call{rig: r, pub: pub, track: track}
	p := r.open(0, pathA)
	p.c.Subscribe(videoOut(track, 5000))
	p.publish(videoIn)
	p.establish()
	said := TransportUDP
	var want []string
	for i, next := range wander(p) {
		next()
		p.nominate()
		seq := uint16(100 + 2*i)
		c.seq++
		r.deliver(1, pub.key, pub.rtp(1000, c.seq, 3000*uint32(c.seq), vp8(i == 0, byte(i))))
		r.deliver(p.shard, p.key, p.rtp(1000, seq, 3000*uint32(i), vp8(i == 0, 0)))
		r.settle()
		sent := r.take()
		if got := p.received(sent); len(got) != 1 {
			t.Fatalf("stop %d: %d packets came by %v, want 1 of %v", i, len(got), p.key, sent)
		}
		if now := map[bool]string{true: TransportTCP, false: TransportUDP}[p.key.Via.IsStream()]; now != said {
			said = now
			want = append(want, now)
		}
	}
	var told []string
	for _, e := range p.events[1:] {
		if e.Kind != TransportChanged {
			t.Fatalf("event %v", e)
		}
		told = append(told, e.Transport)
	}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	if n := r.sum(func(c *Counters) uint64 { return c.Conn.RTPIn.Load() }); n != 16 {
		t.Errorf("%d packets came in, want 8 of each", n)
	}
	for name, n := range map[string]uint64{
		"turn_udp in":  r.sum(func(c *Counters) uint64 { return c.TurnUDP.In.Load() }),
		"turn_tcp in":  r.sum(func(c *Counters) uint64 { return c.TurnTCP.In.Load() }),
		"ice_tcp in":   r.sum(func(c *Counters) uint64 { return c.IceTCP.In.Load() }),
		"turn_udp out": r.sum(func(c *Counters) uint64 { return c.Conn.TurnUDPOut.Load() }),
		"turn_tcp out": r.sum(func(c *Counters) uint64 { return c.TurnTCP.Out.Load() }),
		"ice_tcp out":  r.sum(func(c *Counters) uint64 { return c.IceTCP.Out.Load() }),
	} {
		if n == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	if n := r.p.Counters()["turn_allocations"]; n != 4 {
		t.Errorf("turn_allocations %d", n)
	}
	r.finish()
}

// Row TURN-08: what a connection has of allocations and credentials ends with it, on all shards
// and also when nobody ever owned it.
func TestEndOfAConnectionEndsItsAllocationsAndCredentials(t *testing.T) {
	for name, establish := range map[string]bool{"established": true, "never owned": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2, nil)
			p := r.open(0, pathA)
			if establish {
				p.establish()
			}
			relays := []*relay{p.over(key("192.0.2.1", "10.0.0.8:1"), 0, 0, 0), p.over(key("192.0.2.1", "10.0.0.8:2"), 1, 1, 1)}
			if n := r.p.Counters()["turn_allocations"]; n != 2 {
				t.Fatalf("%d allocations", n)
			}
			p.c.Close()
			r.settle()
			refresh := stun.NewType(stun.MethodRefresh, stun.ClassRequest)
			for _, v := range relays {
				if code := codeOf(v.ask(refresh)); code == 0 {
					t.Error("an allocation lives on though its connection is closed")
				}
			}
			r.advance(2 * lingerTime)
			if n := r.p.Counters()["turn_allocations"]; n != 0 {
				t.Errorf("%d allocations are left", n)
			}
			again := *relays[0]
			again.base.Port = 3
			m := again.ask(stun.NewType(stun.MethodAllocate, stun.ClassRequest),
				stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}})
			if code := codeOf(m); code != 401 && code != 438 {
				t.Errorf("Allocate with the old credentials: %v", m)
			}
			r.finish()
		})
	}
}

// Row TURN-03.
func TestCheckThroughAnotherConnectionsRelayIsDropped(t *testing.T) {
	r := newRig(t, 1, nil)
	a, b := r.open(0, pathA), r.open(0, pathB)
	a.via(a.over(key("192.0.2.1", "10.0.0.8:1"), 0, 0, 0))
	r.take()
	r.deliver(0, a.key, b.check(true))
	if n := len(r.take()); n != 0 {
		t.Errorf("%d datagrams in answer", n)
	}
	if n := r.p.shards[0].count.DropForeignRelay.Load(); n != 1 {
		t.Errorf("drop_foreign_relay %d", n)
	}
	if _, owned := b.c.owner(); owned {
		t.Error("the check has made a connection")
	}
	r.deliver(0, a.key, a.check(true))
	if m, by := answer(t, r.take()); m.Type != stun.BindingSuccess || by != a.key {
		t.Errorf("its own: %v", m)
	}
	r.finish()
}

// What is inside ChannelData is no ChannelData and no TURN, so that nothing is relayed twice.
func TestRelayedTURNIsNotTURN(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	v := p.over(key("192.0.2.1", "10.0.0.8:1"), 0, 0, 0)
	v.bind(0x4000)
	inner := v.wrap(p.check(true))
	allocate := (&relay{r: r}).build(stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	r.take()
	r.deliver(0, v.path, inner, allocate)
	if n := len(r.take()); n != 0 {
		t.Errorf("%d datagrams in answer", n)
	}
	s := &r.p.shards[0].count
	if s.DropUnknown.Load() != 1 || s.DropSTUNType.Load()+s.DropSTUN.Load() != 1 {
		t.Errorf("drop_unknown %d, drop_stun %d + %d", s.DropUnknown.Load(), s.DropSTUN.Load(), s.DropSTUNType.Load())
	}
	r.finish()
}

func TestWithoutTURNNothingOfItIsAnswered(t *testing.T) {
	r := newRig(t, 1, func(c *Config) { c.NoTURN = true })
	r.p.SetAddresses(ourAddresses)
	r.settle()
	allocate := (&relay{r: r}).build(stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	r.deliver(0, pathA, allocate, []byte{0x40, 0, 0, 4, 1, 2, 3, 4})
	if n := len(r.take()); n != 0 {
		t.Errorf("%d answers", n)
	}
	p := r.open(0, pathA)
	p.establish()
	r.finish()
}

func TestRelayedPathAllocatesNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	track := p.publish(videoIn)
	v := p.over(pathB, 0, 0, 0)
	v.bind(0x4001)
	p.via(v).establish()
	p.c.Subscribe(videoOut(track, 5000))
	r.settle()
	r.take()
	const runs = 300
	batches := make([]*mmsg.RxBatch, runs+2)
	for i := range batches {
		batches[i] = mmsg.NewRxBatch(3)
		h := header{PayloadType: 96, Seq: uint16(i), Timestamp: 3000 * uint32(i), SSRC: 1000}
		batches[i].Append(v.base, v.wrap(p.packet(h, "", vp8(i == 0, 1))))
		batches[i].Append(v.base, v.wrap(p.check(true)))
		batches[i].Append(v.base, []byte{0x47, 0xff, 0, 4, 1, 2, 3, 4}) // a channel that is not bound
	}
	i := 0
	if n := testing.AllocsPerRun(runs, func() {
		r.now = r.now.Add(time.Millisecond)
		r.p.shards[0].HandleBatch(r.now, batches[i], r.outs[0])
		r.outs[0].Reset()
		i++
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if n := r.p.shards[0].count.Conn.RTPOut.Load(); n < runs {
		t.Errorf("%d packets went out", n)
	}
	r.finish()
}
