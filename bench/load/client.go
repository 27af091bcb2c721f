package load

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"

	benchpeer "tsubame/bench/peer"
	"tsubame/media/param"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// leaveTimeout is how long the server has to end the signaling of who leaves.
const leaveTimeout = 3 * time.Second

// busyTimeout is how long a client comes back to a server that takes nobody.
const busyTimeout = 60 * time.Second

// client is one of a room, which may join several times. Its goroutine reads its signaling.
type client struct {
	engine *engine
	room   *room
	number int // in the run
	place  int // in its room
	shard  *shard

	stay     atomic.Int64 // mono.Time until which it stays; 0: for good
	inflight atomic.Bool  // it holds a place among those that join
	up       atomic.Bool
	leaving  atomic.Bool // it said good-bye
	counted  bool        // its first join has been counted

	mu        sync.Mutex
	peer      *peer
	signaling Signaling
	cancel    context.CancelFunc
}

// sends reports whether the client publishes.
func (c *client) sends() bool {
	switch c.engine.scenario.Role {
	case RecvOnly:
		return false
	case Broadcast:
		return c.place == 0
	}
	return true
}

// receives reports whether it subscribes.
func (c *client) receives() bool {
	switch c.engine.scenario.Role {
	case SendOnly:
		return false
	case Broadcast:
		return c.place != 0
	}
	return true
}

// run joins, again and again with churn, until ctx ends.
func (c *client) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		one, cancel := context.WithCancel(ctx)
		err := c.join(one, cancel, attempt)
		left := c.left()
		cancel()
		if ctx.Err() != nil {
			return
		}
		if !left {
			c.fail(err)
			return
		}
		if err := c.engine.admit(ctx, c); err != nil {
			return
		}
	}
}

// left reports whether the last join ended by the client's own will.
func (c *client) left() bool {
	return c.leaving.Swap(false) && c.up.Swap(false)
}

// join joins once and returns when the signaling has ended.
func (c *client) join(ctx context.Context, cancel context.CancelFunc, attempt int) error {
	e := c.engine
	id := (uint32(attempt)*uint32(e.capacity) + uint32(c.number)) % uint32(maxID/e.capacity*e.capacity)
	signaling, err := c.dial(ctx, e.request(c, id))
	if err != nil {
		return err
	}
	defer signaling.Close()
	p := &peer{
		client: c, room: c.room, id: id, slot: c.number, joinedAt: netio.Now(), us: mathrand.Uint32()>>1 | 1,
		cname: fmt.Sprintf("load%08x", mathrand.Uint32()), settled: e.phase() == joining,
	}
	c.mu.Lock()
	c.peer, c.signaling, c.cancel = p, signaling, cancel
	c.mu.Unlock()
	if err := signaling.Connect(ctx); err != nil {
		return err
	}
	l, err := c.local(p)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		text, err := signaling.Next(ctx)
		if err == nil {
			err = c.offer(p, l, text, signaling.Stream(), first)
		}
		if err == nil {
			err = signaling.Answer(ctx, l.answer(l.offer))
		}
		if err != nil {
			c.shard.post(func() { c.shard.leave(p) })
			return err
		}
	}
}

// dial opens the signaling; while the server is busy, it comes back for a while.
func (c *client) dial(ctx context.Context, r Request) (Signaling, error) {
	until := time.Now().Add(busyTimeout)
	for {
		signaling, err := c.engine.protocol.Dial(ctx, r)
		var busy *Busy
		if !errors.As(err, &busy) || time.Now().After(until) {
			return signaling, err
		}
		c.engine.refused.Add(1)
		select {
		case <-time.After(busy.After/2 + time.Duration(mathrand.Int64N(int64(busy.After)+1))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// local makes what the client says of itself.
func (c *client) local(p *peer) (*local, error) {
	fp, err := benchpeer.Fingerprint()
	if err != nil {
		return nil, err
	}
	l := &local{
		session: uint64(mathrand.Int64()), fingerprint: fingerprintText(fp), cname: p.cname, receives: c.receives(),
	}
	l.ufrag, l.password = newCredentials()
	return l, nil
}

// offer takes an offer.
func (c *client) offer(p *peer, l *local, text, stream string, first bool) error {
	d, err := parseOffer(text)
	if err != nil {
		return err
	}
	l.offer = d
	s := c.shard
	if !first {
		s.post(func() { p.describe(s, d, c.receives()) })
		return nil
	}
	if c.sends() {
		if err := c.publish(p, l, d); err != nil {
			return err
		}
		for _, one := range p.sends {
			if one != nil {
				one.origin.name = stream
			}
		}
	}
	p.ice = newAgent(d.ufrag, d.password, l.ufrag)
	p.key = flow.KeyOf(addressOf(p.id), d.candidate)
	if c.engine.scenario.TURN != Direct {
		if err := c.throughTURN(p, d); err != nil {
			return err
		}
	}
	if sc := &c.engine.scenario; sc.Impair != nil {
		room := c.number % sc.Rooms
		p.down, p.up = sc.Impair(room, c.place), sc.Impair(room, c.place)
		if p.up != nil {
			p.up.Reverse()
		}
	}
	p.dtls = &benchpeer.Handshaker{Profiles: c.engine.profiles, Fingerprints: d.fingerprints}
	// The server knows the client's password only by its answer, and its address only by a
	// check; it may take the check first.
	s.post(func() { s.enter(p, d) })
	return nil
}

// publish makes what the client sends: on the first section of each kind that the server
// receives on.
func (c *client) publish(p *peer, l *local, d *Description) error {
	sc := &c.engine.scenario
	for i := range d.sections {
		s := &d.sections[i]
		slot, at := &l.audio, 0
		codec, wanted := param.Opus, sc.Audio
		if s.kind == param.Video {
			slot, at, codec, wanted = &l.video, 1, sc.Codec, sc.Video
		}
		if s.rejected || !s.takes || !wanted || *slot != nil || s.kind == 0 {
			continue
		}
		f := s.byCodec(codec)
		if f == nil {
			return fmt.Errorf("load: the server does not offer to receive %v", codec)
		}
		from, err := open(sc, s.kind, uint64(c.number))
		if err != nil {
			return err
		}
		one, err := newPublication(s, f, from)
		if err != nil {
			return err
		}
		one.peer = p
		*slot, p.sends[at] = one, one
		if p.us = one.ssrc; l.video != nil {
			p.us = l.video.ssrc
		}
	}
	return nil
}

// handshake does DTLS beside the shard and gives the outcome to done.
func (c *client) handshake(h *benchpeer.Handshaker, done func(*secured, error)) {
	go func() {
		ctx, cancel := context.WithTimeout(c.engine.ctx, joinTimeout)
		defer cancel()
		k, err := h.Run(ctx)
		if err != nil {
			done(nil, err)
			return
		}
		done(newSecured(k))
	}()
}

// connected is called by the shard when the join has succeeded.
func (c *client) connected() {
	if churn := c.engine.scenario.Churn; churn > 0 {
		c.stay.Store(int64(netio.Now().Add(churn/2 + time.Duration(mathrand.Int64N(int64(churn))))))
	}
	c.up.Store(true)
	c.engine.joined(c, nil)
}

// fail records what went wrong and ends the client. It never blocks.
func (c *client) fail(err error) {
	if err == nil {
		err = errors.New("load: the signaling ended")
	}
	c.engine.joined(c, err)
	c.mu.Lock()
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// churn makes the client leave if its time has come.
func (c *client) churn(now mono.Time) {
	if stay := mono.Time(c.stay.Load()); !stay.Due(now) || !c.up.Load() {
		return
	}
	c.leaving.Store(true)
	c.stay.Store(0)
	c.mu.Lock()
	signaling, cancel := c.signaling, c.cancel
	c.mu.Unlock()
	go func() {
		ctx, done := context.WithTimeout(c.engine.ctx, leaveTimeout)
		defer done()
		_ = signaling.Leave(ctx)
		<-ctx.Done() // the server closes the signaling long before
		cancel()
	}()
}

// profilesOf translates Scenario.Profile.
func profilesOf(name string) ([]piondtls.SRTPProtectionProfile, error) {
	const gcm, cm = piondtls.SRTP_AEAD_AES_128_GCM, piondtls.SRTP_AES128_CM_HMAC_SHA1_80
	switch name {
	case "":
		return []piondtls.SRTPProtectionProfile{gcm, cm}, nil
	case "gcm":
		return []piondtls.SRTPProtectionProfile{gcm}, nil
	case "cm":
		return []piondtls.SRTPProtectionProfile{cm}, nil
	}
	return nil, fmt.Errorf("load: profile %q is none of gcm and cm", name)
}
