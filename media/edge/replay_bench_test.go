package edge

import (
	"fmt"
	"testing"
	"time"

	"tsubame/netio/mmsg"
	"tsubame/netio/packet"
)

// holding is a server whose key frame cache holds all that a stock has, or none of it.
func holding(held bool) func(*Config) {
	return func(c *Config) {
		frameByFrame(c)
		c.Buffers.Classes = []packet.ClassConfig{{Size: packet.LargeSize, Count: 2 * stockPackets}}
		if held {
			c.KeyFrameCache, c.CacheAge = 16<<20, time.Minute
		}
	}
}

// BenchmarkReceiveHeld is what receiving costs with the key frame cache, and without.
func BenchmarkReceiveHeld(b *testing.B) {
	for _, frame := range []int{1, 6} {
		for name, held := range map[string]bool{"off": false, "on": true} {
			b.Run(fmt.Sprintf("%d/%s", frame, name), func(b *testing.B) {
				s := prepareStock(frame, payloadSize, holding(held))
				s.next = len(s.batches)
				b.ReportAllocs()
				for b.Loop() {
					in := s.touchedBatch(b)
					s.p.shards[0].HandleBatch(s.now, in, s.outs[0])
				}
				s.report(b)
			})
		}
	}
}

// touchedBatch is batch from a stock whose buffers have all been in use before, as after the first
// minute of a server: else it is the kernel's zeroing of pages that is measured.
func (s *stock) touchedBatch(b *testing.B) *mmsg.RxBatch {
	if s.next == len(s.batches) {
		b.StopTimer()
		if s.call != nil {
			s.cpu += time.Duration(threadTime() - s.began)
		}
		s.refill(b)
		var all []packet.Ref
		mag := s.p.shards[0].env.Mag
		for r, ok := mag.Get(packet.LargeSize, packet.Video); ok; r, ok = mag.Get(packet.LargeSize, packet.Video) {
			clear(s.p.arena.Bytes(r))
			all = append(all, r)
		}
		for _, r := range all {
			mag.Release(r)
		}
		s.began = threadTime()
		b.StartTimer()
	}
	return s.batch(b)
}

// BenchmarkReplay is what a viewer costs who is sent a group of so many packets.
func BenchmarkReplay(b *testing.B) {
	for _, packets := range []int{100, 1000} {
		b.Run(fmt.Sprint(packets), func(b *testing.B) {
			c := newCached(b, 2, holding(true))
			c.large = true
			c.fill(packets)
			v := c.join(1)
			c.settle()
			c.advance(100 * time.Millisecond)
			c.take()
			s, l := c.p.shards[1], c.p.shards[1].live[v.c.index]
			spec := videoOut(c.track, 7000)
			began := c.now
			c.outs[1].SetFlusher(c.outs[1].Reset)
			b.ReportAllocs()
			for b.Loop() {
				spec.SSRC, spec.RTXSSRC = spec.SSRC+2, spec.SSRC+3
				s.begin(c.now, c.outs[1])
				l.Subscribe(&s.env, c.now, &spec)
				for range packets/32 + 2 {
					c.now = c.now.Add(2 * time.Millisecond)
					l.Tick(&s.env, c.now)
				}
				c.now = began // the group is not to grow old
				l.Unsubscribe(&s.env, spec.SSRC)
				c.outs[1].Reset()
			}
		})
	}
}

// The receive path with the cache, and a replay once it is under way, allocate nothing.
func TestHoldingAndReplayingAllocateNothing(t *testing.T) {
	c := newCached(t, 2, cacheOf(4<<20))
	c.play(true, 3)
	const n = 400
	batches := make([]*mmsg.RxBatch, n+2)
	for i := range batches {
		batches[i] = mmsg.NewRxBatch(4)
		for range 4 {
			c.seq++
			h := header{PayloadType: 96, Marker: true, Seq: c.seq, Timestamp: 3000 * uint32(c.seq), SSRC: 1000}
			batches[i].Append(c.pub.key, c.pub.packet(h, "", numbered(i%100 == 0, uint64(c.seq))))
		}
	}
	i := 0
	receive := func() {
		c.p.shards[0].HandleBatch(c.now, batches[i], c.outs[0])
		c.now = c.now.Add(time.Millisecond)
		i++
	}
	receive()
	if allocs := testing.AllocsPerRun(n, receive); allocs != 0 && !raceEnabled {
		t.Errorf("%v allocations for each batch of 4 packets", allocs)
	}
	c.fill(2000)
	v := c.join(1)
	c.settle()
	for _, q := range c.outs {
		q.SetFlusher(q.Reset)
	}
	s, before := c.p.shards[1], c.count("replayed_packets")
	allocs := testing.AllocsPerRun(20, func() {
		c.now = c.now.Add(2 * time.Millisecond)
		s.HandleTimers(c.now, c.outs[1])
		c.outs[1].Reset()
	})
	if allocs != 0 && !raceEnabled {
		t.Errorf("%v allocations for each turn of a replay", allocs)
	}
	if n := c.count("replayed_packets") - before; n < 20*32 {
		t.Errorf("%d packets were replayed meanwhile", n)
	}
	v.c.Close()
	c.finish()
}
