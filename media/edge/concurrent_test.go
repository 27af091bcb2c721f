package edge

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// running is a plane whose shards are run by goroutines, on real time but without sockets.
type running struct {
	*rig
	in    []chan datagram // by shard
	sent  sync.Map        // flow.Key -> chan []byte: what is sent there, as far as there is room
	stop  atomic.Bool
	loops sync.WaitGroup
}

func newRunning(t *testing.T, shards int) *running { return newRunningWith(t, shards, frameByFrame) }

func newRunningWith(t *testing.T, shards int, change func(*Config)) *running {
	r := &running{rig: newRig(t, shards, change)}
	for range shards {
		r.in = append(r.in, make(chan datagram, 256))
	}
	for i, out := range r.outs {
		out.SetFlusher(func() { r.flush(out) })
		r.loops.Go(func() { r.run(i) })
	}
	return r
}

// clock is real time, later than the instant that a rig begins at.
func clock() mono.Time { return netio.Now().Add(2 * time.Second) }

// run is what netio's loop does.
func (r *running) run(i int) {
	s, out, in := r.p.shards[i], r.outs[i], mmsg.NewRxBatch(64)
	for !r.stop.Load() || s.Pending() {
		now := clock()
		in.Reset()
		for more := true; more && in.Room() > 0; {
			select {
			case d := <-r.in[i]:
				in.Append(d.key, d.bytes)
			default:
				more = false
			}
		}
		if in.Len() > 0 {
			s.HandleBatch(now, in, out)
		}
		s.HandleMessages(now, out)
		s.HandleTimers(now, out)
		r.flush(out)
		if in.Len() == 0 {
			runtime.Gosched()
		}
	}
}

// flush passes on what is queued.
func (r *running) flush(out *mmsg.TxQueue) {
	for n := range out.Len() {
		r.pass(out.Packet(n))
	}
	out.Reset()
}

func (r *running) pass(k flow.Key, b []byte) {
	if to, ok := r.sent.Load(k); ok {
		select {
		case to.(chan []byte) <- append([]byte(nil), b...):
		default:
		}
	}
}

// events does what the plane's dispatcher does.
func (r *running) events() {
	for i, ok := r.p.events.Next(); ok; i, ok = r.p.events.Next() {
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.deliver()
		}
	}
}

// await polls cond, and delivers events meanwhile.
func (r *running) await(what string, cond func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); runtime.Gosched() {
		r.events()
		if time.Now().After(end) {
			r.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// join brings a peer up through the running shards.
func (r *running) join(shard int, k flow.Key) *peer {
	p := r.open(shard, k)
	r.in[shard] <- datagram{key: k, bytes: p.check(true)}
	p.secure()
	r.await("established", func() bool { return len(p.events) > 0 })
	return p
}

// end closes everything, stops the shards and holds the plane to having nothing left.
func (r *running) end() {
	r.t.Helper()
	for i := range r.p.slots {
		if c := r.p.slots[i].conn.Load(); c != nil {
			c.Close()
		}
	}
	r.await("all connections gone", func() bool { return r.p.free.Free() == len(r.p.slots) })
	r.await("all tracks gone", func() bool { return r.p.tracks.Free() == r.p.tracks.Len() })
	r.stop.Store(true)
	r.loops.Wait()
	r.now = clock()
	r.finish()
}

// Publishing ends ten thousand times under viewers on other shards, who subscribe, ask for
// packets of a ring that is about to be another track's, and leave.
func TestTracksComeAndGoUnderViewersOnOtherShards(t *testing.T) {
	const cycles, viewers = 10000, 3
	r := newRunning(t, 1+viewers)
	pub := r.join(0, key("127.0.0.1", "127.0.0.1:50000"))
	var track atomic.Pointer[param.TrackID]
	var done, last atomic.Bool
	var others sync.WaitGroup
	for i := range viewers {
		k := paths(viewers)[i]
		got := make(chan []byte, 64)
		r.sent.Store(k, got)
		v := r.join(1+i, k)
		others.Go(func() {
			for n := uint32(0); !done.Load(); n++ {
				id := track.Load()
				if id == nil {
					runtime.Gosched()
					continue
				}
				ssrc := 10000 + 2*n
				v.c.Subscribe(videoOut(*id, ssrc))
				// To the last track the viewers stay: elsewhere each NACK may come after its
				// viewer, or the track, has gone.
				for looks := 0; looks < 8 || last.Load() && track.Load() == id && !done.Load(); looks++ {
					select {
					case b := <-got:
						if binary.BigEndian.Uint32(b[8:]) != ssrc || b[1] >= 192 {
							continue
						}
						seq := binary.BigEndian.Uint16(b[2:])
						nack := v.rtcp(rtcp.AppendNACK(nil, 1, ssrc, []uint16{seq - 1, seq, seq + 1}))
						r.in[v.shard] <- datagram{key: k, bytes: nack}
					default:
						runtime.Gosched()
					}
				}
				v.c.Unsubscribe(ssrc)
			}
		})
	}
	seq := uint16(0)
	publish := func() param.TrackID {
		id, err := pub.c.Publish(videoIn)
		for err != nil { // the viewers' shards have yet to let go
			runtime.Gosched()
			id, err = pub.c.Publish(videoIn)
		}
		track.Store(&id)
		return id
	}
	send := func() {
		seq++
		b := pub.rtp(1000, seq, 3000*uint32(seq), vp8(true, byte(seq)))
		r.in[0] <- datagram{key: pub.key, bytes: b}
	}
	for range cycles {
		id := publish()
		for range 4 {
			send()
		}
		pub.c.Unpublish(id)
	}
	// The last one stays until a NACK has been served.
	last.Store(true)
	id := publish()
	r.await("a retransmission was served", func() bool {
		send()
		return r.sum(func(c *Counters) uint64 { return c.Conn.RTXOut.Load() }) > 0
	})
	pub.c.Unpublish(id)
	done.Store(true)
	others.Wait()
	if n := r.sum(func(c *Counters) uint64 { return c.TracksReaped.Load() }); n < cycles*9/10 {
		t.Errorf("%d tracks were reaped of %d", n, cycles)
	}
	r.end()
}
