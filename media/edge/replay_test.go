package edge

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/flow"
)

// cached is a call with the key frame cache. Each packet carries a number of its own, by which a
// viewer's are told apart.
type cached struct {
	*call
	shards int
	sent   map[uint64][]byte // what the publisher has sent of each number, to be sent again
	rtx    uint16
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

// timestamp is that of the clock now.
func (c *cached) timestamp() uint32 { return uint32(c.now / 1e6 * 90) }

// frame has the publisher send one packet that is a frame; lost says that it does not arrive.
func (c *cached) frame(keyFrame, lost bool) {
	c.seq++
	seq := uint64(c.seq)
	c.sent[seq] = numbered(keyFrame, seq)
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
	v := &viewing{peer: c.open(shard, k), ssrc: 5000, packets: map[uint64]uint64{}}
	v.c.Subscribe(videoOut(c.track, v.ssrc))
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

// The first picture of whoever joins needs nothing of the publisher, on its shard or another, and
// what follows joins on without a gap and without a packet twice.
func TestViewerBeginsWithTheCachedKeyFrame(t *testing.T) {
	for shards := 1; shards <= 3; shards++ {
		for name, change := range map[string]func(*Config){"packets": nil, "frames": frameByFrame} {
			t.Run(fmt.Sprintf("%d/%s", shards, name), func(t *testing.T) {
				c := newCached(t, shards, func(cfg *Config) {
					cacheOf(1 << 20)(cfg)
					if change != nil {
						change(cfg)
					}
				})
				c.play(true, 60)
				c.take()
				var all []*viewing
				for shard := range shards {
					v := c.join(shard)
					c.settle()
					if n := c.hand(append(all, v)...); n != 0 {
						t.Errorf("the publisher was asked for %d key frames", n)
					}
					if v.first != 1 || len(v.packets) == 0 {
						t.Fatalf("right after the keys the viewer has %d packets from %d on", len(v.packets), v.first)
					}
					all = append(all, v)
					c.play(false, 20)
				}
				c.settle()
				if n := c.hand(all...); n != 0 {
					t.Errorf("the publisher was asked for %d key frames", n)
				}
				for _, v := range all {
					v.requireWhole(uint64(c.seq))
				}
				if n := c.count("replays"); n != uint64(shards) {
					t.Errorf("replays %d", n)
				}
				c.finish()
			})
		}
	}
}

func TestWithoutACacheThePublisherIsAsked(t *testing.T) {
	c := newCached(t, 2, nil)
	c.play(true, 60)
	c.take()
	v := c.join(1)
	c.settle()
	c.advance(10 * time.Millisecond)
	if n := c.hand(v); n != 1 || len(v.packets) != 0 {
		t.Errorf("%d key frames asked for, %d packets", n, len(v.packets))
	}
	c.finish()
}

// What was lost on the way in leaves a gap in the replay, that closes when it comes.
func TestHoleThatMayStillCloseIsNoHindrance(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.play(true, 10)
	c.frame(false, true)
	lost := uint64(c.seq)
	c.play(false, 5)
	c.take()
	v := c.join(1)
	c.settle()
	c.play(false, 2)
	if n := c.hand(v); n != 0 || len(v.packets) != int(c.seq)-1 {
		t.Fatalf("%d key frames asked for, %d packets of %d", n, len(v.packets), c.seq)
	}
	c.repeat(lost)
	c.play(false, 2)
	c.hand(v)
	v.requireWhole(uint64(c.seq))
	c.finish()
}

func TestHoleThatWillNotCloseAsksForAKeyFrame(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.play(true, 10)
	c.frame(false, true)
	c.play(false, 20)
	c.take()
	v := c.join(1)
	c.settle()
	c.advance(10 * time.Millisecond)
	if n := c.hand(v); n != 1 || len(v.packets) != 0 {
		t.Fatalf("%d key frames asked for, %d packets", n, len(v.packets))
	}
	c.play(true, 5)
	c.hand(v)
	v.requireWhole(uint64(c.seq))
	c.finish()
}

// Beyond a bound there is nothing to begin with, until the next key frame. That is asked for,
// but not at once.
func TestCacheOverItsBoundsIsEmptyUntilTheNextKeyFrame(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"bytes": cacheOf(20 * 256),
		"age":   func(c *Config) { c.KeyFrameCache, c.CacheAge = 1<<20, 500*time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCached(t, 2, change)
			c.play(true, 30)
			if n := c.pub.plis(c.take())[1000]; n != 0 {
				t.Fatalf("%d key frames asked for within a second", n)
			}
			v := c.join(1)
			c.settle()
			c.advance(10 * time.Millisecond)
			if n := c.hand(v); n != 1 || len(v.packets) != 0 {
				t.Fatalf("%d key frames asked for, %d packets", n, len(v.packets))
			}
			c.play(true, 5)
			late := c.join(0)
			c.settle()
			c.advance(10 * time.Millisecond)
			if n := c.hand(v, late); n != 0 {
				t.Errorf("%d key frames asked for with one in the cache", n)
			}
			v.requireWhole(uint64(c.seq))
			late.requireWhole(uint64(c.seq))
			if v.first != 32 || late.first != 32 {
				t.Errorf("they began with %d and %d", v.first, late.first)
			}
			c.finish()
		})
	}
}

// There is a key frame to begin with for whoever comes next, though nobody asks for one.
func TestKeyFrameThatIsTooOldIsReplaced(t *testing.T) {
	c := newCached(t, 1, cacheOf(1<<20))
	c.play(true, 290) // 9.6 s
	if n := c.pub.plis(c.take())[1000]; n != 0 {
		t.Fatalf("%d key frames asked for in 9.6 s", n)
	}
	c.play(false, 20)
	if n := c.pub.plis(c.take())[1000]; n != 1 || c.count("cache_refreshes") != 1 {
		t.Fatalf("%d key frames asked for in 10.2 s, cache_refreshes %d", n, c.count("cache_refreshes"))
	}
	c.play(true, 60)
	v := c.join(0)
	c.settle()
	c.advance(10 * time.Millisecond)
	if n := c.hand(v); n != 0 || v.first != 312 {
		t.Errorf("%d key frames asked for, begun with %d", n, v.first)
	}
	c.finish()
}

// A cache that is too small for its publisher costs a key frame each four seconds, not more.
func TestCacheThatIsTooSmallAsksSeldom(t *testing.T) {
	c := newCached(t, 1, cacheOf(10*256))
	asked := 0
	for range 600 { // 20 s
		plis := c.pub.plis(c.take())[1000]
		asked += plis
		c.play(plis > 0 || c.seq == 0, 1)
	}
	if asked < 4 || asked > 5 {
		t.Errorf("%d key frames asked for in 20 s", asked)
	}
	c.finish()
}

// What a viewer loses of a replay is sent again, though the ring has kept all else for a second only.
func TestLossInAReplayIsRepaired(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.play(true, 150) // 5 s
	c.take()
	v := c.join(1)
	c.settle()
	c.advance(10 * time.Millisecond)
	c.hand(v)
	v.requireWhole(uint64(c.seq))
	lost := uint16(v.highest - uint64(c.seq) + 10) // the tenth: 4.6 s old
	c.deliver(1, v.key, v.rtcp(rtcp.AppendNACK(nil, 1, v.ssrc, []uint16{lost})))
	v.twice = 0
	if n := c.hand(v); n != 0 || v.twice != 1 {
		t.Errorf("%d key frames asked for, %d packets again", n, v.twice)
	}
	c.finish()
}

// For one who has begun there is no way back: its PLI is for the publisher.
func TestPLIOfAViewerThatHasBegunGoesToThePublisher(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.play(true, 30)
	v := c.join(1)
	c.settle()
	c.take()
	c.advance(time.Second)
	c.deliver(1, v.key, v.rtcp(rtcp.AppendPLI(nil, 1, v.ssrc)))
	c.settle()
	c.advance(10 * time.Millisecond)
	if n := c.hand(v); n != 1 || c.count("replays") != 1 {
		t.Errorf("%d key frames asked for, replays %d", n, c.count("replays"))
	}
	c.finish()
}

func TestSourceSwitchEmptiesTheCache(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	track := c.pub.publish(byMID())
	c.track = track
	send := func(ssrc uint32, seq uint16, key bool) {
		c.deliver(0, c.pub.key, c.pub.named(ssrc, seq, c.timestamp(), numbered(key, uint64(seq))))
		c.advance(33 * time.Millisecond)
	}
	for i := range uint16(20) {
		send(4000, i+1, i == 0)
	}
	for i := range uint16(5) {
		send(4002, 100+i, false)
	}
	c.take()
	v := c.join(1)
	c.settle()
	c.advance(time.Second)
	if n := len(v.received(c.take())); n != 0 || c.count("replays") != 0 {
		t.Fatalf("%d packets of a source that is no more, replays %d", n, c.count("replays"))
	}
	for i := range uint16(5) {
		send(4002, 110+i, i == 0)
	}
	late := c.join(0)
	c.settle()
	c.advance(10 * time.Millisecond)
	c.hand(v, late)
	if v.first != 110 || late.first != 110 || c.count("replays") != 1 {
		t.Errorf("begun with %d and %d, replays %d", v.first, late.first, c.count("replays"))
	}
	c.finish()
}

// long has the publisher send so much that a replay takes some time, and has a viewer begin.
func (c *cached) long(shard int) *viewing {
	c.t.Helper()
	c.frame(true, false)
	for range 400 {
		c.frame(false, false)
	}
	c.settle()
	c.take()
	v := c.join(shard)
	c.settle()
	c.hand(v)
	if n := len(v.packets); n == 0 || n > 100 {
		c.t.Fatalf("%d packets of a long replay came at once", n)
	}
	return v
}

// Live packets that come during a replay are left to it, but for the late ones.
func TestLivePacketsDuringAReplay(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.frame(true, false)
	c.frame(false, true)
	for range 400 {
		c.frame(false, false)
	}
	c.settle()
	c.take()
	v := c.join(1)
	c.settle()
	for range 40 {
		c.frame(false, false)
		c.advance(time.Millisecond)
	}
	c.repeat(2)
	c.settle()
	c.frame(false, false)
	c.advance(100 * time.Millisecond)
	if n := c.hand(v); n != 0 {
		t.Errorf("%d key frames asked for", n)
	}
	v.requireWhole(uint64(c.seq))
	c.finish()
}

// A key frame that comes during a replay is where it goes on: the viewer is with it sooner.
func TestReplayGoesOnAtTheNextKeyFrame(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	v := c.long(1)
	before := len(v.packets)
	c.now = c.now.Add(time.Millisecond) // another frame than the one before
	c.frame(true, false)
	next := uint64(c.seq)
	c.play(false, 10)
	if n := c.hand(v); n != 0 {
		t.Errorf("%d key frames asked for", n)
	}
	var order []uint64
	for ext := range v.packets {
		order = append(order, ext)
	}
	slices.Sort(order)
	at := slices.IndexFunc(order, func(ext uint64) bool { return v.packets[ext] == next })
	if at < before || at > 150 || v.packets[order[at-1]] == next-1 {
		t.Errorf("the new key frame came as number %d, after %d", at, v.packets[order[max(at, 1)-1]])
	}
	if order[len(order)-1] != order[0]+uint64(len(order)-1) || v.packets[order[len(order)-1]] != uint64(c.seq) {
		t.Errorf("%d packets under %d numbers, the last one %d", len(order), order[len(order)-1]-order[0]+1, v.packets[order[len(order)-1]])
	}
	c.finish()
}

func TestReplayThatTakesTooLongIsGivenUp(t *testing.T) {
	c := newCached(t, 2, cacheOf(1<<20))
	v := c.long(1)
	c.now = c.now.Add(2100 * time.Millisecond) // without a turn of its timer
	c.advance(10 * time.Millisecond)
	c.play(false, 5)
	if n := c.hand(v); n != 1 || c.count("replays_given_up") != 1 {
		t.Fatalf("%d key frames asked for, replays_given_up %d", n, c.count("replays_given_up"))
	}
	begun := len(v.packets)
	c.play(true, 5)
	c.hand(v)
	if len(v.packets) != begun+6 {
		t.Errorf("%d packets after the next key frame", len(v.packets)-begun)
	}
	c.finish()
}

// finish holds all of these to having nothing left.
func TestReplayEndsWithItsTrackOrItsViewer(t *testing.T) {
	for name, end := range map[string]func(c *cached, v *viewing){
		"unpublished":   func(c *cached, v *viewing) { c.pub.c.Unpublish(c.track) },
		"publisher":     func(c *cached, v *viewing) { c.pub.c.Close() },
		"unsubscribed":  func(c *cached, v *viewing) { v.c.Unsubscribe(v.ssrc) },
		"viewer":        func(c *cached, v *viewing) { v.c.Close() },
		"before it has": func(c *cached, v *viewing) { c.pub.c.Close(); v.c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for shard := range 2 {
				c := newCached(t, 2, cacheOf(1<<20))
				v := c.long(shard)
				end(c, v)
				c.settle()
				c.advance(100 * time.Millisecond)
				c.hand(v)
				if n := len(v.packets); n > 200 {
					t.Errorf("%d packets of what has ended", n)
				}
				c.finish()
			}
		})
	}
}

// Any history: the publisher loses packets and repeats some of them, key frames come when they
// like, viewers join on any shard, and the shards take turns as they like. Every viewer ends up
// with all that the server has had since the key frame that it began with, or went on with.
func TestAnyHistoryOfReplays(t *testing.T) {
	start := uint64(time.Now().UnixNano())
	for seed := start; seed < start+60 && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { anyHistory(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func anyHistory(t *testing.T, rnd *rand.Rand) {
	c := newCached(t, 1+rnd.IntN(3), func(cfg *Config) {
		cfg.KeyFrameCache = 256 * (50 + rnd.IntN(400))
		if rnd.IntN(2) == 0 {
			cfg.FrameWindow = time.Millisecond
		}
	})
	var viewers []*viewing
	missing, had := map[uint64]bool{}, map[uint64]bool{}
	keys := map[uint64]bool{}
	send := func(key bool) {
		lost := !key && rnd.IntN(20) == 0
		c.frame(key, lost)
		seq := uint64(c.seq)
		missing[seq], had[seq], keys[seq] = lost, !lost, key
	}
	send(true)
	for range 300 {
		switch n := rnd.IntN(100); {
		case n < 2:
			send(true)
		case n < 60:
			for range 1 + rnd.IntN(6) {
				send(false)
			}
		case n < 70:
			for seq := uint64(max(int(c.seq)-30, 1)); seq <= uint64(c.seq); seq++ {
				if missing[seq] && rnd.IntN(2) == 0 {
					c.repeat(seq)
					missing[seq], had[seq] = false, true
					break
				}
			}
		case n < 74 && len(viewers) < 6:
			viewers = append(viewers, c.join(rnd.IntN(c.shards)))
		default: // one shard has a turn
			i := rnd.IntN(c.shards)
			if s := c.p.shards[i]; s.Pending() {
				s.HandleMessages(c.now, c.outs[i])
				c.collect(i)
			}
			c.now = c.now.Add(time.Duration(rnd.IntN(3)) * time.Millisecond)
			c.p.shards[i].HandleTimers(c.now, c.outs[i])
			c.collect(i)
		}
		c.hand(viewers...)
	}
	c.settle()
	c.advance(200 * time.Millisecond)
	send(true) // who could begin with nothing else begins here
	c.settle()
	c.advance(200 * time.Millisecond)
	c.hand(viewers...)
	for _, v := range viewers {
		v.verify(had, keys, uint64(c.seq))
	}
	c.finish()
}

// verify holds what came to being in order, nothing twice, and everything that was to be had but
// what is before a key frame that it went on with.
func (v *viewing) verify(had, keys map[uint64]bool, last uint64) {
	t := v.r.t
	t.Helper()
	var order []uint64
	for ext := range v.packets {
		order = append(order, ext)
	}
	slices.Sort(order)
	if v.twice != 0 || len(order) == 0 || v.packets[order[len(order)-1]] != last {
		t.Fatalf("%d packets came twice; of %d the last is not %d", v.twice, len(order), last)
	}
	for i := 1; i < len(order); i++ {
		from, to := v.packets[order[i-1]], v.packets[order[i]]
		switch {
		case to <= from:
			t.Fatalf("packet %d comes after %d", to, from)
		case order[i]-order[i-1] == to-from: // as at the publisher's: what is between has not come
			for seq := from + 1; seq < to; seq++ {
				if had[seq] {
					t.Fatalf("packet %d is missing between %d and %d", seq, from, to)
				}
			}
		case order[i] != order[i-1]+1 || !keys[to]:
			t.Fatalf("packet %d comes %d numbers after %d, and is no key frame", to, order[i]-order[i-1], from)
		}
	}
}
