package edge

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// pass moves the clock in large steps, in each of which timers are served.
func (r *rig) pass(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.now = min(end, r.now.Add(500*time.Millisecond))
		for i, s := range r.p.shards {
			s.HandleTimers(r.now, r.outs[i])
			r.collect(i)
		}
		r.settle()
	}
}

// refreshed asks again with a new nonce where the one before has expired.
func (v *relay) refreshed(stale *int, setters ...stun.Setter) {
	v.r.t.Helper()
	m := v.ask(setters...)
	if codeOf(m) == 438 {
		*stale++
		v.nonce = nonceOf(v.r.t, m)
		m = v.ask(setters...)
	}
	if codeOf(m) != 0 {
		v.r.t.Fatalf("at %v: %v", time.Duration(v.r.now), m)
	}
}

// Twenty minutes are longer than nonces, permissions, channels and allocations last. What a
// browser refreshes is refreshed as a browser does it, and media goes both ways all the time.
func TestCallThroughARelayOutlastsWhatExpires(t *testing.T) {
	for name, carrier := range map[string]flow.Carrier{"UDP": flow.UDP, "a stream": flow.TURNStream} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 2, nil)
			pub := r.open(1, pathB)
			track := pub.publish(videoIn)
			pub.establish()
			p := r.open(0, pathA)
			base := key("192.0.2.1", r.remoteOn(0, 1))
			if carrier == flow.TURNStream {
				_, base = r.stream(carrier, "192.0.2.1", r.remoteOn(0, 1), false)
			}
			v := p.over(base, 0, 0, 0)
			v.bind(0x4000)
			p.via(v)
			p.c.Subscribe(videoOut(track, 5000))
			p.publish(videoIn)
			p.establish()

			var stale, came int
			var permission, channel, allocation mono.Time = r.now, r.now, r.now
			const minutes, step = 20, 5 * time.Second
			steps := int(minutes * time.Minute / step)
			for i := range steps {
				r.pass(step)
				r.deliver(1, pub.key, pub.check(false))
				r.deliver(p.shard, p.key, p.check(false)) // consent
				if r.now.Sub(permission) >= 4*time.Minute {
					permission = r.now
					v.refreshed(&stale, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), peerAddress(v.peer))
				}
				if r.now.Sub(channel) >= 9*time.Minute {
					channel = r.now
					v.refreshed(&stale, stun.NewType(stun.MethodChannelBind, stun.ClassRequest), peerAddress(v.peer),
						stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 0, 0, 0}})
				}
				if r.now.Sub(allocation) >= 9*time.Minute {
					allocation = r.now
					v.refreshed(&stale, stun.NewType(stun.MethodRefresh, stun.ClassRequest))
				}
				r.take()
				seq := uint16(1 + i)
				r.deliver(1, pub.key, pub.rtp(1000, seq, 3000*uint32(seq), vp8(i == 0, byte(i))))
				r.deliver(p.shard, p.key, p.rtp(1000, seq, 3000*uint32(seq), vp8(i == 0, byte(i))))
				r.settle()
				r.advance(2 * time.Millisecond) // the frame window
				came += len(p.received(r.take()))
			}
			if came != steps {
				t.Errorf("%d packets came through the relay, want %d", came, steps)
			}
			if n := r.sum(func(c *Counters) uint64 { return c.Conn.RTPIn.Load() }); n != uint64(2*steps) {
				t.Errorf("%d packets went in, want %d", n, 2*steps)
			}
			if stale == 0 {
				t.Error("no nonce has expired")
			}
			// And without refreshing everything does end.
			r.pass(10*time.Minute + time.Second)
			if n := r.p.Counters()["turn_allocations"]; n != 0 {
				t.Errorf("%d allocations that nobody refreshes", n)
			}
			r.finish()
		})
	}
}
