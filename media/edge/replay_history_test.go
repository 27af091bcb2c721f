package edge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tsubame/netio/packet"
)

// Any history: the publisher loses packets and repeats some of them, key frames come when they
// like, viewers join on any shard, and the shards take turns as they like. Every viewer ends up
// with all that the server has had since the key frame that it began with, or went on with.
func TestAnyHistoryOfReplays(t *testing.T) {
	start, histories := uint64(time.Now().UnixNano()), uint64(60)
	if raceEnabled {
		histories = 15
	}
	for seed := start; seed < start+histories && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { anyHistory(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func anyHistory(t *testing.T, rnd *rand.Rand) {
	c := newCached(t, 1+rnd.IntN(3), func(cfg *Config) {
		cfg.KeyFrameCache = packet.LargeSize * (50 + rnd.IntN(400))
		if rnd.IntN(2) == 0 {
			cfg.FrameWindow = time.Millisecond
		}
	})
	c.large = rnd.IntN(2) == 0
	var viewers []*viewing
	missing, had := map[uint64]bool{}, map[uint64]bool{}
	keys, newest := map[uint64]bool{}, uint64(0)
	send := func(key bool) {
		lost := !key && rnd.IntN(20) == 0
		c.frame(key, lost)
		seq := uint64(c.seq)
		missing[seq], had[seq], keys[seq] = lost, !lost, key
		if !lost {
			newest = seq
		}
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
			for seq := uint64(max(int(c.seq)-30, 1)); seq < newest; seq++ { // of others nothing is known to be missing
				if missing[seq] && rnd.IntN(2) == 0 {
					c.repeat(seq)
					missing[seq], had[seq] = false, true
					break
				}
			}
		case n < 74 && len(viewers) < 6:
			viewers = append(viewers, c.join(rnd.IntN(c.shards)))
			c.paced = rnd.IntN(2) == 0
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
// what is before a key frame that it went on with: skipped, or repaired too late to be of use.
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
	since := 1 // the last key frame that it went on with
	for i := 1; i < len(order); i++ {
		from, to := v.packets[order[i-1]], v.packets[order[i]]
		if keys[to] && order[i] == order[i-1]+1 && to != from+1 {
			since = i
		}
	}
	for i := 1; i < len(order); i++ {
		from, to := v.packets[order[i-1]], v.packets[order[i]]
		switch {
		case to <= from:
			t.Fatalf("packet %d comes after %d", to, from)
		case order[i]-order[i-1] == to-from: // as at the publisher's: what is between has not come
			for seq := from + 1; seq < to; seq++ {
				if had[seq] && i >= since {
					t.Fatalf("packet %d is missing between %d and %d", seq, from, to)
				}
			}
		case order[i] != order[i-1]+1 || !keys[to]:
			t.Fatalf("packet %d comes %d numbers after %d, and is no key frame", to, order[i]-order[i-1], from)
		}
	}
}
