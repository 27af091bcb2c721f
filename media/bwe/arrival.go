package bwe

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

const (
	// burstTime is how long what is sent may take to be one group: a frame, as a pacer or a
	// network sends it.
	burstTime = 5 * time.Millisecond

	// Packets that were held up on the path, and then come together within burstGap of each
	// other and sooner after one another than they were sent, belong to one group, for
	// burstMax. Otherwise each wait of a radio link would look like a queue that drains.
	burstGap = 5 * time.Millisecond
	burstMax = 100 * time.Millisecond

	// clockJump is how far the peer's clock may be from ours between two groups. Beyond it
	// it was set, or lies.
	clockJump = 3 * time.Second
)

// instant is a time on the peer's clock in nanoseconds.
type instant int64

func (t instant) sub(u instant) time.Duration { return time.Duration(t - u) }

// peerClock continues the peer's reference time, which wraps after 12 days.
type peerClock struct {
	epoch int64 // what the reference time stands for, in its units
	last  int32 // the reference time
	begun bool
}

// offset returns what is to be added to the arrivals of a message with that reference time.
func (c *peerClock) offset(reference int32) time.Duration {
	if !c.begun {
		c.begun, c.epoch, c.last = true, 0, reference
	}
	step := (reference - c.last) << 8 >> 8 // 24 bits with a sign
	c.last = reference
	c.epoch += int64(step)
	const bound = 1 << 32 // eight years; who is beyond it has lied, and begins again
	if c.epoch > bound || c.epoch < -bound {
		c.epoch = 0
	}
	return time.Duration(c.epoch-int64(reference)) * rtcp.TWCCReference
}

// group is a burst of packets that counts as one for the delay.
type group struct {
	first   mono.Time // sending of its first packet,
	last    mono.Time // and of its last
	begun   instant   // arrival of the first packet,
	arrived instant   // and of the last to arrive
	heard   mono.Time // when the feedback came
	valid   bool
}

// takes reports whether a packet belongs to the group.
func (g *group) takes(sent mono.Time, arrived instant) bool {
	if sent.Sub(g.first) <= burstTime || sent == g.last {
		return true
	}
	gap := arrived.sub(g.arrived)
	return gap < sent.Sub(g.last) && gap <= burstGap && arrived.sub(g.begun) < burstMax
}

// grouping puts packets into groups.
type grouping struct {
	current, before group
}

// own is how much longer the group took to arrive than to be sent: what its packets waited for each
// other.
func (g *group) own() time.Duration {
	return max(g.arrived.sub(g.begun)-g.last.Sub(g.first), 0)
}

// add takes a packet that arrived. When a group is complete it returns how much later it was
// sent than the one before and how much later it arrived, and its arrival. jumped says that the
// clocks do not fit together and everything begins afresh.
func (g *grouping) add(now, sent mono.Time, arrived instant) (apart, arrivedApart time.Duration, at instant, complete, jumped bool) {
	c := &g.current
	switch {
	case !c.valid:
		*c = group{first: sent, last: sent, begun: arrived, arrived: arrived, heard: now, valid: true}
		return 0, 0, 0, false, false
	case sent < c.first:
		return 0, 0, 0, false, false // of a group that is over
	case c.takes(sent, arrived):
		c.last = max(c.last, sent)
		c.arrived = max(c.arrived, arrived)
		c.heard = now
		return 0, 0, 0, false, false
	}
	if g.before.valid {
		apart, arrivedApart = c.last.Sub(g.before.last), c.arrived.sub(g.before.arrived)
		at, complete = c.arrived, true
		if off := arrivedApart - c.heard.Sub(g.before.heard); off > clockJump || off < -clockJump {
			*g = grouping{}
			return 0, 0, 0, false, true
		}
	}
	g.before = *c
	*c = group{first: sent, last: sent, begun: arrived, arrived: arrived, heard: now, valid: true}
	return apart, arrivedApart, at, complete, false
}
