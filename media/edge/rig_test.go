package edge

import (
	"slices"
	"testing"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
	"tsubame/netio/ring"
)

// rig is a plane whose shards nobody runs but the test: datagrams go in by hand, what is
// sent stays in memory, and the clock stands until the test moves it.
type rig struct {
	t    testing.TB
	p    *Plane
	now  mono.Time
	outs []*mmsg.TxQueue
	sent []datagram

	// What paths other than plain UDP are: see relay_test.go.
	relays    map[flow.Key]*relay
	pipes     map[flow.Key]*testPipe
	addressed bool
}

type datagram struct {
	shard int
	key   flow.Key
	bytes []byte
}

func newRig(t testing.TB, shards int, change func(*Config)) *rig {
	t.Helper()
	cfg := Config{
		MaxConnections: 256, MaxTracks: 256,
		Buffers: packet.Config{Reserve: packet.DefaultReserve, Classes: []packet.ClassConfig{
			{Size: packet.SmallSize, Count: 8192}, {Size: packet.MediumSize, Count: 4096}, {Size: packet.LargeSize, Count: 8192},
		}},
	}
	if change != nil {
		change(&cfg)
	}
	cfg.defaults()
	r := &rig{t: t, now: mono.Time(time.Second), relays: map[flow.Key]*relay{}, pipes: map[flow.Key]*testPipe{}}
	p, err := assemble(cfg, shards, r.now, func(int) *ring.Waker {
		w, err := ring.NewWaker()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Close)
		return w
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.wakeEvents.Close)
	r.p = p
	for range shards {
		r.outs = append(r.outs, mmsg.NewTxQueue(512))
	}
	return r
}

// deliver hands datagrams of one flow to a shard, as one batch.
func (r *rig) deliver(shard int, k flow.Key, datagrams ...[]byte) {
	if k.Via != 0 {
		r.through(shard, k, datagrams)
		return
	}
	in := mmsg.NewRxBatch(len(datagrams))
	for _, b := range datagrams {
		in.Append(k, b)
	}
	r.p.shards[shard].HandleBatch(r.now, in, r.outs[shard])
	r.collect(shard)
}

func (r *rig) collect(shard int) {
	q := r.outs[shard]
	for i := range q.Len() {
		k, b := q.Packet(i)
		r.sent = append(r.sent, r.opened(datagram{shard: shard, key: k, bytes: slices.Clone(b)}))
	}
	q.Reset()
}

// settle lets every shard empty its mailboxes, until all are, and delivers events.
func (r *rig) settle() {
	for again := true; again; {
		again = false
		for i, s := range r.p.shards {
			if s.Pending() {
				s.HandleMessages(r.now, r.outs[i])
				r.collect(i)
				again = true
			}
		}
	}
	for {
		i, ok := r.p.events.Next()
		if !ok {
			return
		}
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.deliver()
		}
	}
}

// advance moves the clock in steps of a millisecond, with timers and mailboxes served.
func (r *rig) advance(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = min(end, r.now.Add(time.Millisecond))
		for i, s := range r.p.shards {
			s.HandleTimers(r.now, r.outs[i])
			r.collect(i)
		}
		r.settle()
	}
}

// take returns what was sent since the last take.
func (r *rig) take() []datagram {
	s := r.sent
	r.sent = nil
	return s
}

// finish closes every connection and holds the plane to having nothing left.
func (r *rig) finish() {
	r.t.Helper()
	for i := range r.p.slots {
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.Close()
		}
	}
	r.settle()
	r.advance(2 * lingerTime)
	if n := r.p.free.Free(); n != len(r.p.slots) {
		r.t.Errorf("%d of %d connections free at the end", n, len(r.p.slots))
	}
	if n := r.p.tracks.Free(); n != r.p.tracks.Len() {
		r.t.Errorf("%d of %d tracks free at the end", n, r.p.tracks.Len())
	}
	if n := r.p.arena.Outstanding(); n != 0 {
		r.t.Errorf("%d buffers not given back", n)
	}
	for i, s := range r.p.shards {
		if s.flows.len() != 0 {
			r.t.Errorf("shard %d remembers %d flows of closed connections", i, s.flows.len())
		}
		if n := s.turn.Counters.Allocations.Load(); n != 0 {
			r.t.Errorf("shard %d has %d allocations of closed connections", i, n)
		}
		if len(s.dirty) != 0 {
			r.t.Errorf("shard %d has %d streams to flush", i, len(s.dirty))
		}
	}
}

// sum adds up a counter over the shards.
func (r *rig) sum(f func(*Counters) uint64) (n uint64) {
	for _, s := range r.p.shards {
		n += f(&s.count)
	}
	return n
}
