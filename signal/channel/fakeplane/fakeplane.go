// Package fakeplane is a media plane without media, for tests of signaling: connections
// are established as soon as their remote is known, and what they were asked to do is kept.
// No server imports it. Every goroutine may use it.
package fakeplane

import (
	"errors"
	"fmt"
	"sync"

	"tsubame/media/param"
	"tsubame/signal/channel"
	"tsubame/signal/session"
	"tsubame/signal/webhook"
)

// Plane implements channel.Plane. Its fields are set before use.
type Plane struct {
	// Manual leaves establishing to the test.
	Manual bool
	// Mute keeps it from telling that a connection has ended that was closed.
	Mute bool
	// MaxConns and MaxTracks bound what can be opened; 0: no bound.
	MaxConns  int
	MaxTracks int

	mu     sync.Mutex
	conns  []*Conn
	open   int
	tracks uint32
}

// ErrFull is what a full plane answers.
var ErrFull = errors.New("fakeplane: full")

// Fingerprint implements channel.Plane.
func (p *Plane) Fingerprint() param.Fingerprint {
	return param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)}
}

// Open implements channel.Plane.
func (p *Plane) Open(notify func(channel.MediaEvent)) (channel.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.MaxConns > 0 && p.open >= p.MaxConns {
		return nil, ErrFull
	}
	p.open++
	c := &Conn{plane: p, index: len(p.conns), notify: notify, Published: map[param.TrackID]param.Publish{}, Subscribed: map[uint32]param.Subscribe{}}
	p.conns = append(p.conns, c)
	return c, nil
}

// OpenConns returns how many connections are open.
func (p *Plane) OpenConns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Conn returns the i-th connection that was opened; nil if there was none.
func (p *Plane) Conn(i int) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i >= len(p.conns) {
		return nil
	}
	return p.conns[i]
}

// Conn implements channel.Conn.
type Conn struct {
	plane  *Plane
	index  int
	notify func(channel.MediaEvent)

	// Guarded by the plane's lock: use Snapshot.
	Remote     param.Remote
	Published  map[param.TrackID]param.Publish
	Subscribed map[uint32]param.Subscribe
	Closed     bool
	Restarts   int // of ICE; each has credentials of its own

	stats webhook.LocalStats
	last  *webhook.LocalStats // once it is closed; nil: the same
}

// CountLast sets what the connection says once it is closed.
func (c *Conn) CountLast(s webhook.LocalStats) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	c.last = &s
}

// Count sets what the connection says that it has counted.
func (c *Conn) Count(s webhook.LocalStats) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	c.stats = s
}

// Stats implements channel.Counted.
func (c *Conn) Stats() webhook.LocalStats {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if c.Closed && c.last != nil {
		return *c.last
	}
	return c.stats
}

// Notify plays an event of media.
func (c *Conn) Notify(e channel.MediaEvent) { c.notify(e) }

// Snapshot returns what the connection publishes and is subscribed to.
func (c *Conn) Snapshot() (published []param.Publish, subscribed []param.Subscribe, closed bool) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	for _, p := range c.Published {
		published = append(published, p)
	}
	for _, s := range c.Subscribed {
		subscribed = append(subscribed, s)
	}
	return published, subscribed, c.Closed
}

// Credentials implements channel.Conn.
func (c *Conn) Credentials() (ufrag, password string) {
	return fmt.Sprintf("ufrag%04d", c.index), "serverpasswordserverpass"
}

// RestartICE implements channel.Conn. As with real media there is a limit, which is two here.
func (c *Conn) RestartICE() (ufrag, password string, err error) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if c.Restarts == 2 {
		return "", "", ErrFull
	}
	c.Restarts++
	return fmt.Sprintf("ufrag%04d/%d", c.index, c.Restarts), "serverpasswordserverpass", nil
}

// TURNCredentials implements channel.Conn.
func (c *Conn) TURNCredentials() (username, password string) {
	return fmt.Sprintf("user%04d", c.index), "turnpassword"
}

// SetRemote implements channel.Conn.
func (c *Conn) SetRemote(r param.Remote) {
	c.plane.mu.Lock()
	first := c.Remote.Ufrag == ""
	c.Remote = r
	c.plane.mu.Unlock()
	if first && !c.plane.Manual {
		c.notify(channel.MediaEvent{Kind: channel.MediaEstablished})
	}
}

// Publish implements channel.Conn.
func (c *Conn) Publish(p param.Publish) (param.TrackID, error) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if c.plane.MaxTracks > 0 && int(c.plane.tracks) >= c.plane.MaxTracks {
		return param.TrackID{}, ErrFull
	}
	c.plane.tracks++
	id := param.TrackID{Index: c.plane.tracks, Gen: 1}
	c.Published[id] = p
	return id, nil
}

// Unpublish implements channel.Conn.
func (c *Conn) Unpublish(id param.TrackID) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if _, ok := c.Published[id]; !ok {
		panic("fakeplane: unpublished what is not published")
	}
	delete(c.Published, id)
}

// Subscribe implements channel.Conn.
func (c *Conn) Subscribe(s param.Subscribe) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if _, dup := c.Subscribed[s.SSRC]; dup || s.SSRC == 0 {
		panic("fakeplane: SSRC used twice, or 0")
	}
	c.Subscribed[s.SSRC] = s
}

// Unsubscribe implements channel.Conn.
func (c *Conn) Unsubscribe(ssrc uint32) {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if _, ok := c.Subscribed[ssrc]; !ok {
		panic("fakeplane: unsubscribed what is not subscribed")
	}
	delete(c.Subscribed, ssrc)
}

// Close implements channel.Conn.
func (c *Conn) Close() {
	c.plane.mu.Lock()
	defer c.plane.mu.Unlock()
	if c.Closed {
		return
	}
	c.Closed = true
	c.plane.open--
	if !c.plane.Mute {
		go c.notify(channel.MediaEvent{Kind: channel.MediaClosed, Reason: session.MediaRequested})
	}
}
