package conn

import (
	"time"

	"tsubame/media/bwe"
	"tsubame/media/pace"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// outgoing is what a connection has besides when it is sent something with transport-wide
// sequence numbers that it reports on: how much the way to it takes, and what waits so that it
// does not get that too fast. One that only publishes has none. It lasts as long as the
// connection. What a peer says in feedback changes nothing but its own (row RTP-10).
type outgoing struct {
	pace pace.Pacer    // ends with what every packet touches,
	est  bwe.Estimator // begins with it
	probing

	allowance int           // bytes that probes may still be
	moved     bool          // packets take another path than the estimator knows of
	fed       bool          // feedback has come
	tuned     tuning        // what the pacer was told
	longest   time.Duration // that something had to wait in the pacer, since the last report
	most      int           // packets that waited there, since then
}

// estimate makes c one that estimates.
func (c *Conn) estimate(env *Env, now mono.Time) {
	if c.out != nil {
		return
	}
	c.out = new(outgoing)
	c.out.pace.Init(&env.Waiting)
	c.out.est.Init(now, bwe.Config{}, &env.History)
	c.out.est.SetWanted(firstWanted)
	c.out.allowance = probeAllowance
	c.retune()
}

// close gives back what was lent.
func (o *outgoing) close() {
	if o != nil {
		o.est.Close()
	}
}

// deadline is when tick is due.
func (o *outgoing) deadline() mono.Time {
	if o == nil {
		return mono.Never
	}
	return mono.Earliest(mono.Earliest(o.pace.Deadline(), o.est.Deadline()), o.probing.next)
}

// tick does what is due of estimating and pacing.
func (c *Conn) tick(env *Env, now mono.Time) {
	o := c.out
	o.follow(now)
	if o.est.Deadline().Due(now) {
		o.est.Tick(now)
		c.retune()
		c.probe(env, now)
	}
	if o.probing.next.Due(now) {
		c.goOnProbing(env, now)
	}
	if o.pace.Deadline().Due(now) {
		c.release(env, now)
	}
}

// follow tells the estimator of another path, before anything that is heard by it.
func (o *outgoing) follow(now mono.Time) {
	if o.moved {
		o.moved = false
		o.est.Moved(now)
	}
}

// numbered notes that a packet of size bytes has been sealed under the next transport-wide
// sequence number.
func (c *Conn) numbered(now mono.Time, size int) {
	if o := c.out; o != nil {
		o.pace.Spend(now, size)
		o.est.Sent(now, c.twccOut, size)
	}
	c.twccOut++
}

// feedback takes transport-wide feedback. It returns when Tick is due because of it.
func (c *Conn) feedback(env *Env, now mono.Time, t *rtcp.TWCC) mono.Time {
	c.quality.heard, c.out.fed = now, true
	c.out.follow(now)
	c.out.est.Feedback(now, t)
	c.retune()
	c.probe(env, now)
	return c.out.deadline()
}
