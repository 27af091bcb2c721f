package bwe

import (
	"time"

	"tsubame/netio/mono"
)

// tcp is a greedy flow with TCP's window (RFC 5681: slow start, then one packet a round trip,
// and half after a loss), which fills whatever queue there is.
type tcp struct {
	link     *link
	window   float64 // packets
	start    bool    // slow start
	flying   int
	acks     []mono.Time // by time; negative: the loss becomes known
	losses   []mono.Time
	recover  mono.Time // no second halving before
	from, to time.Duration
	bits     float64
}

func newTCP(l *link, from, to time.Duration) *tcp {
	return &tcp{link: l, window: 4, start: true, from: from, to: to}
}

func (c *tcp) drive(now mono.Time) {
	for len(c.acks) > 0 && c.acks[0] <= now {
		c.acks = c.acks[1:]
		c.flying--
		c.bits += 1250 * 8
		if c.start {
			c.window++
		} else {
			c.window += 1 / c.window
		}
	}
	for len(c.losses) > 0 && c.losses[0] <= now {
		c.losses = c.losses[1:]
		c.flying--
		if now >= c.recover {
			c.window, c.start = max(c.window/2, 2), false
			c.recover = now.Add(2*c.link.delay + c.link.waiting(now))
		}
	}
	t := now.Sub(simStart)
	if t < c.from || t >= c.to {
		return
	}
	for sent := 0; float64(c.flying) < c.window && sent < 10; sent++ {
		c.flying++
		at, ok := c.link.send(now, 1250)
		if ok {
			c.acks = append(c.acks, at.Add(c.link.back))
			continue
		}
		c.losses = append(c.losses, now.Add(2*c.link.delay+c.link.waiting(now)))
	}
}
