package edge

import (
	"crypto/subtle"
	"errors"
	"sync/atomic"
	"time"

	"tsubame/media/conn"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/netio"
	"tsubame/netio/mono"
)

// ErrTooOften says that a connection restarts ICE more often than it may.
var ErrTooOften = errors.New("edge: too many ICE restarts")

// EventKind tells one event of a connection from another.
type EventKind uint8

// The events. Established and Closed come at most once, the others only between the two, and
// nothing comes after Closed. Of several changes that signaling was not told of yet it is told the
// last, or nothing if that is none.
const (
	Established EventKind = iota + 1 // a path, the keys, and the right certificate
	Closed
	TransportChanged // the selected path is carried by something else than it was said to be
	Silent           // nothing has come from the peer for Config.SilentAfter
	Lapsed           // nor any check for param.ConsentTimeout: nothing is sent until one comes
	Heard            // the peer is heard again, after one of these two
	NetworkChanged   // Unstable is not what it was said to be; 0 in the beginning
)

// What carries the selected path: UDP, or a TCP connection or TLS, whether directly or
// through TURN.
const (
	TransportUDP = "udp"
	TransportTCP = "tcp"
)

// Why a connection was closed.
const (
	ReasonRequested      = "requested"       // Conn.Close
	ReasonConsentLost    = "consent-lost"    // RFC 7675
	ReasonDTLSClosed     = "dtls-closed"     // close_notify or a fatal alert
	ReasonDTLSFailed     = "dtls-failed"     // the handshake came to nothing
	ReasonBadFingerprint = "bad-fingerprint" // another certificate than signaled
)

// reasons are stored as an index, so that a shard can note one in an atomic word.
var reasons = [...]string{
	"", ReasonRequested, ReasonConsentLost, ReasonDTLSClosed, ReasonDTLSFailed, ReasonBadFingerprint,
}

// Event is what signaling is told of a connection.
type Event struct {
	Kind      EventKind
	Reason    string // of Closed
	Transport string // of Established and TransportChanged: TransportUDP or TransportTCP
	Unstable  uint8  // of NetworkChanged: conn.Conn.Unstable
}

// credentials of a connection: those that the latest offer names, and those before them,
// which stay good until the peer nominates a path under the new ones (RFC 8445 section 9).
type credentials struct {
	ice.Credentials
	generation uint32
	previous   *credentials
	restarts   ice.RestartLimit // what is left of it at this generation
}

// Conn is signaling's handle of a connection and the seed that shards know it by: enough
// to answer a connectivity check anywhere, before any shard has made the live connection.
type Conn struct {
	plane  *Plane
	index  uint32
	serial uint32
	notify func(Event)

	creds   atomic.Pointer[credentials]
	account account
	inbox   inbox
	network conn.Network // written by the shard that owns it
	counted counted
	name    atomic.Pointer[name]

	shut   atomic.Bool   // Close was called: only Closed is told from now on
	mute   atomic.Bool   // and not even that
	dead   atomic.Bool   // closed, for whatever reason
	stream atomic.Bool   // the selected path is carried by a stream, as far as is known
	silent atomic.Uint32 // one of the silences
	level  atomic.Uint32 // conn.Conn.Unstable
	deaf   atomic.Uint32 // 1: conn.Conn.IgnoresRequests
	happen atomic.Uint32 // events not yet delivered: bit Established, and a reason above
	said   said          // what was told last; dispatcher only
	quiet  mono.Time     // until then logDeaf says nothing; dispatcher only
	told   bool          // Established was delivered; dispatcher only
	over   bool          // Closed was delivered; dispatcher only
	freed  bool          // released; dispatcher only
}

// said is what signaling knows of a connection.
type said struct {
	transport string
	silent    uint32
	level     uint32
	deaf      uint32
}

const (
	happenEstablished = 1 << 0
	happenReleased    = 1 << 1 // no shard holds anything of the connection any more
	happenChange      = 1 << 2 // of what said knows
	happenReason      = 8      // shift
)

// Open makes a connection that waits for its peer. notify is called on the plane's event
// goroutine: it must not block and must not call back into the plane.
func (p *Plane) Open(notify func(Event)) (*Conn, error) {
	if p.ended.Load() {
		return nil, ErrFull
	}
	i, ok := p.free.Get()
	if !ok {
		return nil, ErrFull
	}
	s := &p.slots[i]
	c := &Conn{plane: p, index: i, serial: s.serial.Add(1), notify: notify}
	c.creds.Store(&credentials{Credentials: ice.NewCredentials(i)})
	c.account.draw()
	c.counted.opened = netio.Now()
	s.conn.Store(c)
	if p.ended.Load() {
		// Plane.Close may have passed this slot by already. The caller gets an error and
		// so no event.
		c.mute.Store(true)
		c.Close()
		return nil, ErrFull
	}
	return c, nil
}

// Credentials returns the ICE user fragment and password for the SDP.
func (c *Conn) Credentials() (ufrag, password string) {
	cr := c.creds.Load()
	return cr.Ufrag, cr.Password
}

// RestartICE makes new credentials; the old pair carries media until the peer has
// nominated a path under the new ones. ErrTooOften: the connection has restarted too often
// of late (row ICE-12), and the credentials are what they were.
func (c *Conn) RestartICE() (ufrag, password string, err error) {
	fresh := ice.NewCredentials(c.index)
	for {
		old := c.creds.Load()
		next := &credentials{Credentials: fresh, generation: old.generation + 1, restarts: old.restarts}
		if !next.restarts.Allow(netio.Now()) {
			return "", "", ErrTooOften
		}
		// At most two pairs are good at any time, and one of them is the one that carries
		// media: a pair that nobody has nominated under yet gives way, not that.
		prev := old
		if old.previous != nil {
			prev = old.previous
		}
		kept := *prev
		kept.previous = nil
		next.previous = &kept
		if c.creds.CompareAndSwap(old, next) {
			return fresh.Ufrag, fresh.Password, nil
		}
	}
}

// match returns the credentials that a check names, or nil.
func (c *Conn) match(ufrag []byte) *credentials {
	for cr := c.creds.Load(); cr != nil; cr = cr.previous {
		if subtle.ConstantTimeCompare([]byte(cr.Ufrag), ufrag) == 1 {
			return cr
		}
	}
	return nil
}

// retire forgets the credentials from before generation, which the peer has moved to. It
// is called after every check and costs a load unless there is something to forget.
func (c *Conn) retire(generation uint32) {
	cr := c.creds.Load()
	if cr.previous == nil || cr.generation != generation {
		return
	}
	only := *cr
	only.previous = nil
	c.creds.CompareAndSwap(cr, &only) // a restart at this instant wins, and retires it later
}

// SetRemote takes the peer's part of an answer.
func (c *Conn) SetRemote(r param.Remote) { c.post(command{op: opRemote, remote: &r}) }

// Publish names a track that the peer is about to send. ErrFull: there is no room.
func (c *Conn) Publish(spec param.Publish) (param.TrackID, error) {
	id, ok := c.plane.tracks.Reserve()
	if !ok {
		return param.TrackID{}, ErrFull
	}
	c.post(command{op: opPublish, track: id, publish: &spec})
	return id, nil
}

// Unpublish ends a track; those who receive it receive no more.
func (c *Conn) Unpublish(id param.TrackID) { c.post(command{op: opUnpublish, track: id}) }

// Subscribe makes the peer a receiver of a track, from the moment it is established.
func (c *Conn) Subscribe(spec param.Subscribe) { c.post(command{op: opSubscribe, subscribe: &spec}) }

// Unsubscribe ends the subscription sent under that SSRC.
func (c *Conn) Unsubscribe(ssrc uint32) { c.post(command{op: opUnsubscribe, ssrc: ssrc}) }

// RequestKeyFrame asks the publisher of a track of this connection for a key frame.
func (c *Conn) RequestKeyFrame(id param.TrackID) { c.post(command{op: opKeyFrame, track: id}) }

// Close ends the connection; the peer is told by a DTLS close_notify. No event begins to be
// delivered after it but Closed. It may be called more than once.
func (c *Conn) Close() {
	c.shut.Store(true)
	c.post(command{op: opClose})
}

// established, closed and released note what happened; the shard that owns the connection
// calls them, and post does when none ever did.
func (c *Conn) established() { c.signal(happenEstablished) }
func (c *Conn) released()    { c.signal(happenReleased) }

// carriedBy notes whether the selected path is carried by a stream.
func (c *Conn) carriedBy(stream bool) {
	if c.stream.Swap(stream) != stream {
		c.signal(happenChange)
	}
}

// silentFor notes one of the silences; unstable, how stable the network is.
func (c *Conn) silentFor(now mono.Time, state uint32) {
	c.counted.hears(now, state == silenceNone)
	c.change(&c.silent, state)
}
func (c *Conn) unstable(level uint8) { c.change(&c.level, uint32(level)) }

// ignoring notes whether the peer ignores requests for a key frame.
func (c *Conn) ignoring(yes bool) {
	to := uint32(0)
	if yes {
		to = 1
	}
	c.change(&c.deaf, to)
}

// change is called with every tick, so it only looks, as a rule. The shard alone writes.
func (c *Conn) change(v *atomic.Uint32, to uint32) {
	if v.Load() != to {
		v.Store(to)
		c.signal(happenChange)
	}
}

func (c *Conn) transport() string {
	if c.stream.Load() {
		return TransportTCP
	}
	return TransportUDP
}

func (c *Conn) closed(now mono.Time, reason string) {
	c.counted.over(now)
	c.dead.Store(true)
	for i, r := range reasons {
		if r == reason {
			c.signal(uint32(i) << happenReason)
			return
		}
	}
	panic("edge: unknown reason " + reason)
}

func (c *Conn) signal(bits uint32) {
	c.happen.Or(bits)
	c.plane.events.Set(c.index)
	c.plane.wakeEvents.Wake()
}

// tellChanges tells signaling what is not as it was told last. Dispatcher only.
func (c *Conn) tellChanges() {
	now := said{transport: c.transport(), silent: c.silent.Load(), level: c.level.Load(), deaf: c.deaf.Load()}
	was := c.said
	c.said = now
	tell := func(e Event) {
		if !c.shut.Load() {
			c.notify(e)
		}
	}
	if now.transport != was.transport {
		tell(Event{Kind: TransportChanged, Transport: now.transport})
	}
	if now.silent != was.silent {
		tell(Event{Kind: silenceKinds[now.silent]})
	}
	if now.level != was.level {
		tell(Event{Kind: NetworkChanged, Unstable: uint8(now.level)})
	}
	if now.deaf > was.deaf {
		c.logDeaf(netio.Now())
	}
}

// deafEvery is how often at most a publisher is logged that sends a key frame now and then, but not
// when it is asked. What is counted is counted each time.
const deafEvery = time.Minute

// logDeaf says, once until a key frame comes, what the people who see no picture would ask. Signaling
// is not told: there is nothing it could do.
func (c *Conn) logDeaf(now mono.Time) {
	if now < c.quiet {
		return
	}
	c.quiet = now.Add(deafEvery)
	n := c.name.Load()
	if n == nil {
		n = new(name)
	}
	c.plane.log.Warn("a publisher ignores requests for a key frame: viewers that joined since its last one see nothing",
		"channel_id", n.channel, "connection_id", n.connection, "for", recv.KeyFrameIgnored)
}

// deliver tells signaling what happened since it was last told, and gives the connection's
// place back when all is over. Dispatcher only.
func (c *Conn) deliver() {
	h := c.happen.Swap(0)
	if h&happenEstablished != 0 && !c.told && !c.over && !c.shut.Load() {
		c.told, c.said.transport = true, c.transport()
		c.notify(Event{Kind: Established, Transport: c.said.transport})
	}
	if c.told && !c.over {
		c.tellChanges()
	}
	if r := h >> happenReason; r != 0 && !c.over {
		c.over = true
		if !c.mute.Load() {
			c.notify(Event{Kind: Closed, Reason: reasons[r]})
		}
	}
	if h&happenReleased != 0 {
		c.freed = true
	}
	if c.over && c.freed {
		c.plane.slots[c.index].conn.Store(nil)
		c.plane.free.Put(c.index)
	}
}
