package edge

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/turnsrv"
)

// Who has shown nothing keeps no stream: the stream is told of the first credentials, once.
//
// Rows ICE-13 and TURN-09.
func TestStreamIsToldOfTheFirstCredentials(t *testing.T) {
	r := newRig(t, 2, nil)
	p := r.open(0, pathA)
	pipe, k := r.stream(flow.TURNStream, "192.0.2.1", "10.0.0.8:7001", false)
	for _, typ := range []stun.MessageType{stun.BindingRequest, stun.NewType(stun.MethodAllocate, stun.ClassRequest)} {
		m, err := stun.Build(stun.TransactionID, typ, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}})
		if err != nil {
			t.Fatal(err)
		}
		pipe.in = append(pipe.in, m.Raw)
		r.p.streamReady(pipe.place)
		r.settle()
	}
	if len(pipe.out) != 2 || pipe.proven != 0 {
		t.Fatalf("%d answers to a stranger, proven %d times", len(pipe.out), pipe.proven)
	}
	v := p.over(k, 0, 0, 0)
	v.bind(0x4000)
	if pipe.proven != 1 {
		t.Errorf("an allocation: proven %d times", pipe.proven)
	}
	r.finish()
}

func TestStreamOfICEIsToldOfTheFirstGoodCheck(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	pipe, k := r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:7002", false)
	p.to(k, 0)
	forged := p.check(false)
	forged[len(forged)-10] ^= 1 // under the integrity; the fingerprint is wrong too
	r.deliver(0, k, forged)
	r.settle()
	if pipe.proven != 0 {
		t.Fatal("a forged check is a proof")
	}
	for range 3 {
		r.deliver(0, k, p.check(false))
		r.settle()
	}
	if pipe.proven != 1 {
		t.Errorf("proven %d times", pipe.proven)
	}
	r.finish()
}

// The reader says that its stream is over, and the home, woken for an earlier frame, has let go
// of it before the reader flags it.
func TestFlagForAStreamThatIsLetGoOfHarmsNobody(t *testing.T) {
	r := newRig(t, 2, nil)
	pipe, k := r.stream(flow.FramedStream, "192.0.2.1", "10.0.0.8:7003", false)
	delete(r.pipes, k)
	pipe.closed = true
	l := r.p.streams.links[pipe.place].Load()
	r.p.flag(pipe.place, l)
	l.over.Store(true)
	r.settle()
	if r.p.streams.links[pipe.place].Load() != nil {
		t.Fatal("the home has not let go of it")
	}
	r.p.flag(pipe.place, l)
	r.settle()
	r.finish()
}

// Who gives the allocation back has proven nothing any more: places are for those who use them.
//
// Row ICE-13.
func TestStreamWhoseAllocationHasEndedIsAStrangersAgain(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	pipe, k := r.stream(flow.TURNStream, "192.0.2.1", "10.0.0.8:7004", false)
	v := p.over(k, 0, 0, 0)
	if pipe.proven != 1 || pipe.unproven != 0 {
		t.Fatalf("with an allocation: proven %d times, unproven %d", pipe.proven, pipe.unproven)
	}
	v.release()
	if pipe.unproven != 1 {
		t.Errorf("without one: unproven %d times", pipe.unproven)
	}
	p.over(k, 0, 0, 0)
	if pipe.proven != 2 || pipe.unproven != 1 {
		t.Errorf("with another: proven %d times, unproven %d", pipe.proven, pipe.unproven)
	}
	r.finish()
}

// Nor does an allocation that ended without a word from its client prove anything: otherwise those
// of one connection could give way to one another, and leave a stream behind each time.
//
// Row ICE-13.
func TestStreamWhoseAllocationEndedWithoutARequestIsAStrangersAgain(t *testing.T) {
	for name, end := range map[string]func(r *rig, p *peer){
		"given way, the same shard": func(r *rig, p *peer) { fillRelays(p, 0) },
		"given way, another shard":  func(r *rig, p *peer) { fillRelays(p, 1) },
		"expired":                   func(r *rig, _ *peer) { r.pass(11 * time.Minute) },
		"the connection's end":      func(_ *rig, p *peer) { p.c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2, nil)
			p := r.open(0, pathA)
			pipe, k := r.stream(flow.TURNStream, "192.0.2.1", r.remoteOn(0, 0), false)
			p.over(k, 0, 0, 0)
			if pipe.proven != 1 || pipe.unproven != 0 {
				t.Fatalf("with an allocation: proven %d times, unproven %d", pipe.proven, pipe.unproven)
			}
			end(r, p)
			r.settle()
			if pipe.proven != 1 || pipe.unproven != 1 {
				t.Errorf("without one: proven %d times, unproven %d", pipe.proven, pipe.unproven)
			}
			r.finish()
		})
	}
}

// fillRelays has a peer make as many allocations on a shard as it takes for the stalest that it has
// to give way.
func fillRelays(p *peer, shard int) {
	r := p.r
	for n := 1; n < flow.MaxAllocations; n++ {
		p.over(key("192.0.2.1", r.remoteOn(shard, n)), shard, n, 0)
	}
	r.pass(turnsrv.StaleAfter)
	p.over(key("192.0.2.1", r.remoteOn(shard, flow.MaxAllocations)), shard, 0, 0)
}

// What has no answer takes no place among what waits to be sent.
func TestIndicationCostsNoQueuedPacketItsPlace(t *testing.T) {
	r := newRig(t, 1, nil)
	p := r.open(0, pathA)
	v := p.over(key("192.0.2.1", "10.0.0.8:7005"), 0, 0, 0)
	s, q := r.p.shards[0], mmsg.NewTxQueue(2)
	for range 2 {
		q.Slot()
		q.Commit(1, pathB, mmsg.Video)
	}
	s.begin(r.now, q)
	s.handleTURN(r.now, v.base, v.wrap([]byte{20, 0, 0})) // no connection has such a path yet
	if q.Len() != 2 || q.Dropped(mmsg.Video) != 0 {
		t.Errorf("%d queued, %d dropped", q.Len(), q.Dropped(mmsg.Video))
	}
	r.finish()
}
