package edge

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
)

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

// fill has the publisher send a key frame and n other packets.
func (c *cached) fill(n int) {
	c.frame(true, false)
	for range n {
		c.frame(false, false)
	}
	c.settle()
	c.take()
}

// long has the publisher send so much that a replay takes some time, and has a viewer begin.
func (c *cached) long(shard int) *viewing {
	c.t.Helper()
	c.fill(400)
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
	t.Run("at once", func(t *testing.T) { goesOn(t, false) })
	t.Run("paced", func(t *testing.T) { goesOn(t, true) })
}

func goesOn(t *testing.T, paced bool) {
	c := newCached(t, 2, cacheOf(1<<20))
	c.paced, c.large = paced, paced
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

// What a viewer's stream refuses ends the replay as it ends live video: it goes on with a key
// frame, which is asked for later.
func TestStreamThatRefusesAReplayWaitsForAKeyFrame(t *testing.T) {
	c := newCached(t, 1, cacheOf(1<<20))
	c.fill(400)
	pipe, k := c.stream(flow.FramedStream, "192.0.2.1", c.remoteOn(0, 0), false)
	v := c.joinBy(0, k)
	c.settle()
	if c.hand(v); len(v.packets) == 0 {
		t.Fatal("nothing came before the stream was full")
	}
	pipe.refuse[mmsg.Video] = true
	c.advance(100 * time.Millisecond)
	replayed := c.count("replayed_packets")
	if n := c.hand(v); n != 0 || c.count("interrupted") == 0 || replayed > 150 {
		t.Fatalf("%d key frames asked for, interrupted %d, %d packets replayed", n, c.count("interrupted"), replayed)
	}
	pipe.refuse[mmsg.Video] = false
	c.play(false, 20)
	if n := c.hand(v); n != 1 || c.count("replayed_packets") != replayed {
		t.Errorf("%d key frames asked for, %d packets replayed, %d before", n, c.count("replayed_packets"), replayed)
	}
	had := len(v.packets)
	c.play(true, 5)
	c.hand(v)
	if n := len(v.packets) - had; n != 6 {
		t.Errorf("%d packets after the key frame, want 6", n)
	}
	c.finish()
}

// A crowd that comes at once does not keep a shard from all else: those for whom there is no room
// wait for a key frame, one for all.
func TestCrowdWaitsForOneKeyFrame(t *testing.T) {
	c := newCached(t, 1, cacheOf(1<<20))
	c.fill(400)
	var all []*viewing
	for range 20 {
		all = append(all, c.join(0))
	}
	c.settle()
	c.hand(all...)
	begun := 0
	for _, v := range all {
		if len(v.packets) > 0 {
			begun++
		}
	}
	if n := c.count("replayed_packets"); begun != 8 || n != 256 {
		t.Errorf("%d viewers have begun, %d packets were replayed at once", begun, n)
	}
	c.advance(10 * time.Millisecond)
	if n := c.hand(all...); n != 1 {
		t.Errorf("%d key frames asked for", n)
	}
	c.play(true, 5)
	c.hand(all...)
	for i, v := range all {
		if n := len(v.packets); n < 6 || v.packets[v.highest] != uint64(c.seq) {
			t.Errorf("viewer %d has %d packets up to %d of %d", i, n, v.packets[v.highest], c.seq)
		}
	}
	c.finish()
}

// A viewer who tells nothing of what it gets has no pacer. What it begins with is not sent at the
// rate of the server's link either: freshRate, 20 Mbps, and some packets at once.
func TestReplayWithoutAPacerKeepsToARate(t *testing.T) {
	c := newCached(t, 1, cacheOf(1<<20))
	c.large = true
	c.play(true, 0)
	for range 400 {
		c.frame(false, false)
		c.advance(time.Millisecond)
	}
	c.take()
	begun := c.now
	v := c.join(0)
	total, most := 0, 0
	for range 400 {
		sent := 0
		for step := 0; step < 10; step++ {
			for _, d := range c.take() {
				if d.key == v.key && d.bytes[0]>>6 == 2 && d.bytes[1]&0x7f == 96 {
					sent += len(d.bytes)
				}
			}
			c.advance(time.Millisecond)
		}
		total, most = total+sent, max(most, sent)
		if sent == 0 {
			break
		}
	}
	if most > 25_000+2*8*1100 {
		t.Errorf("%d bytes within 10 ms, which is %d Mbps", most, most*8/10_000)
	}
	if took := c.now.Sub(begun); total < 400*1000 || took > 300*time.Millisecond {
		t.Errorf("%d bytes within %v", total, took)
	}
	c.finish()
}
