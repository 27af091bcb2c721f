package conn

import (
	"tsubame/media/bwe"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// outgoing is what a connection has besides when it is sent something with transport-wide
// sequence numbers that it reports on: how much the way to it takes. One that only publishes has
// none. It lasts as long as the connection.
type outgoing struct {
	est bwe.Estimator
}

// estimate makes c one that estimates.
func (c *Conn) estimate(env *Env, now mono.Time) {
	if c.out != nil {
		return
	}
	c.out = new(outgoing)
	c.out.est.Init(now, bwe.Config{}, &env.History)
}

// close gives back what was lent.
func (o *outgoing) close() {
	if o != nil {
		o.est.Close()
	}
}

// numbered notes that a packet of size bytes has been sealed under the next transport-wide
// sequence number.
func (c *Conn) numbered(now mono.Time, size int) {
	if c.out != nil {
		c.out.est.Sent(now, c.twccOut, size)
	}
	c.twccOut++
}

// feedback takes transport-wide feedback. It returns when Tick is due because of it.
func (c *Conn) feedback(env *Env, now mono.Time, t *rtcp.TWCC) mono.Time {
	c.quality.heard = now
	c.out.est.Feedback(now, t)
	return c.out.est.Deadline()
}
