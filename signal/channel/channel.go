// Package channel brings sessions together: a registry of channels, one goroutine per
// channel that owns its membership, and one per session, there only while something happens
// to it, that carries out what the session's state machine asks for. It keeps the sessions of
// channels, which are what applications know, and has the application asked and told (Hooks). It
// never touches a socket, a datagram, an SDP or the wire form of a webhook. Every exported method
// may be called from any goroutine; none of them may be called from a shard, since they may
// wait.
//
// Who waits for whom: a session waits for its channel, a channel for nobody, so there is no
// circle. For the application nobody waits: its answers come as events, and only what depends
// on one is held up by it. What a channel tells a session goes into a bounded queue; a session
// whose queue is full is ended, not waited for.
package channel

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tsubame/media/param"
	"tsubame/signal/session"
	"tsubame/signal/webhook"
)

// Plane is what signaling needs of the media plane.
type Plane interface {
	// Fingerprint is of the certificate that the plane shows in every handshake.
	Fingerprint() param.Fingerprint
	// Open opens a connection. notify is called from any goroutine, never by two of them at
	// once, and does not block. An error means that there is no room.
	Open(notify func(MediaEvent)) (Conn, error)
}

// Conn is one media connection. Its methods are called from one goroutine at a time and
// may wait for room.
type Conn interface {
	Credentials() (ufrag, password string)
	// TURNCredentials are for our TURN server, and good for as long as the connection lives.
	TURNCredentials() (username, password string)
	// RestartICE makes new credentials, beside which the old ones are good until the peer uses
	// the new ones. An error means that it is too soon after the last time.
	RestartICE() (ufrag, password string, err error)
	SetRemote(param.Remote)
	Publish(param.Publish) (param.TrackID, error)
	Unpublish(param.TrackID)
	Subscribe(param.Subscribe)
	Unsubscribe(ssrc uint32)
	Close()
}

// Named is a Conn that wants to know what signaling calls it, for statistics.
type Named interface {
	SetName(channelID, connectionID string)
}

// MediaEvent is what media tells about a connection.
type MediaEvent struct {
	Kind   MediaKind
	Reason string // of MediaClosed: one of session's Media constants
	TCP    bool   // of MediaEstablished and MediaMoved: it is TCP or TLS that carries media
	Level  int    // of MediaUnstable: 0 to 3
}

// MediaKind is the kind of a MediaEvent.
type MediaKind uint8

// The kinds. Established and Closed come at most once, the others only between the two.
const (
	MediaEstablished MediaKind = iota + 1 // ICE, DTLS and the fingerprint are fine
	MediaClosed                           // the connection has ended
	MediaMoved                            // something else carries it from now on
	MediaSilent                           // nothing comes from the client any more
	MediaLapsed                           // and nothing may be sent to it until something does
	MediaHeard                            // something has come, after one of these two
	MediaUnstable                         // the client's network is as unstable as Level says; 0 before
)

// Transport carries the messages of one session. Its methods never block.
type Transport interface {
	// Send queues a message, which nobody changes from then on; false: the queue is
	// full.
	Send(json []byte) bool
	// Close sends what is queued, then closes with the code and reason; code 0: the peer is
	// gone. Nothing follows.
	Close(code int, reason string)
}

// Config is for NewRegistry.
type Config struct {
	Plane      Plane
	Candidates func() []string // values of the a=candidate lines that hold now
	TURNURLs   func() []string // of our TURN server, as they are now; nil or none: clients are told of none
	// Session holds for all sessions; Fingerprint is taken from the plane, JoinTimeout is
	// 10 s unless given, Gather 200 ms.
	Session        session.Config
	Notify         bool // tell clients of each other
	MaxConnections int  // beyond them sessions are refused; 0: no bound of ours
	// MaxJoining bounds the sessions between connect and established; beyond it they are
	// refused with SERVER-BUSY. 0: no bound.
	MaxJoining int
	// JoiningFor is how long a session counts as joining at most; 0: 5 s. One that takes
	// longer waits for its client and costs nothing meanwhile. Counted until its timeouts, a
	// few thousand that never answer would keep everybody out.
	JoiningFor time.Duration
	// UpdatedInterval is between two connection.updated of one connection; 0: there are
	// none.
	UpdatedInterval time.Duration

	// Hooks is the application; nil: nobody is asked or told anything. HookTimeout is the
	// longest that its answer may take, and a bit more.
	Hooks       Hooks
	HookTimeout time.Duration
	// SessionGrace is how long a channel's session outlives its last connection, so that who
	// comes back finds it; 0: not at all.
	SessionGrace time.Duration
	// Between two connection.updated of one connection, and two session.updated, for the
	// application; 0: there are none.
	ConnectionUpdated time.Duration
	SessionUpdated    time.Duration
	// LegacySignalingError has connection.failed tell of clients too whose connect could not
	// be read.
	LegacySignalingError bool
	// StatsWanted hands every client's statistics to Hooks; otherwise only of those for whom
	// the application has asked for it.
	StatsWanted  bool
	LogSignaling bool // Hooks.Signaling is called
	// Reach is Candidates and TURNURLs for a client that the application has told apart; nil:
	// all clients are told the same.
	Reach func(session.Reach) (candidates, turnURLs []string)

	Log *slog.Logger
}

// Registry knows every channel and every session.
type Registry struct {
	// Closes counts how sessions ended. Transports add those that end before Start.
	Closes Tally

	cfg    atomic.Pointer[Config] // what it points to does not change
	log    *slog.Logger
	faults *FaultLog
	// joinWait is the constant; a test has no time for it.
	joinWait time.Duration
	// These are the constants; a test has no room for them.
	maxIdling     int
	maxEndedBytes int64

	endedBytes atomic.Int64 // of connections that have ended, remembered by sessions

	running sync.WaitGroup // sessions and channel goroutines

	mu       sync.Mutex
	channels map[string]*actor
	peers    map[*Peer]struct{}
	joining  list.List // of *Peer, oldest first
	asking   int       // authentications that have not been answered, whoever has gone meanwhile
	idling   int       // channels whose session waits for its end
	closing  bool
}

// NewRegistry returns an empty registry.
func NewRegistry(cfg Config) *Registry {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Session.Fingerprint = cfg.Plane.Fingerprint()
	r := &Registry{log: cfg.Log, faults: NewFaultLog(cfg.Log), joinWait: joinWait, maxIdling: maxIdling, maxEndedBytes: maxEndedBytes, channels: map[string]*actor{}, peers: map[*Peer]struct{}{}}
	r.configure(cfg)
	return r
}

func (r *Registry) configure(cfg Config) {
	s := &cfg.Session
	s.Defaults.NotifyOff = !cfg.Notify
	s.Ask, s.AskTimeout = cfg.Hooks != nil, cfg.HookTimeout
	s.JoinTimeout = cmp.Or(s.JoinTimeout, 10*time.Second)
	s.Gather = cmp.Or(s.Gather, 200*time.Millisecond)
	cfg.JoiningFor = cmp.Or(cfg.JoiningFor, 5*time.Second)
	r.cfg.Store(&cfg)
}

func (r *Registry) config() *Config { return r.cfg.Load() }

// Reconfigure has what is new follow another configuration: sessions whose connect comes from
// now on, joins, and intervals from their next turn on. Plane, Hooks, Log and the functions
// stay as they were.
func (r *Registry) Reconfigure(cfg Config) {
	old := r.config()
	cfg.Plane, cfg.Hooks, cfg.Log, cfg.Session.Fingerprint = old.Plane, old.Hooks, old.Log, old.Session.Fingerprint
	cfg.Candidates, cfg.TURNURLs, cfg.Reach = old.Candidates, old.TURNURLs, old.Reach
	r.configure(cfg)
}

// NewSession returns the state machine for a transport that has just been accepted. Until
// its connect the transport drives it; then Start takes it over.
func (r *Registry) NewSession(now time.Time) *session.Session {
	return session.New(&r.config().Session, now)
}

// Start takes over a session whose connect has been accepted, carries out the actions of
// that event, and runs it until it is closed. remote is the
// client's address, for the log.
func (r *Registry) Start(s *session.Session, actions []session.Action, t Transport, remote string) *Peer {
	p := newPeer(r, s, t, remote)
	r.mu.Lock()
	refuse := session.Kicked{}
	switch {
	case r.closing:
		refuse = session.Kicked{Code: session.CodeNormal, Reason: session.ReasonShutdown}
	case r.config().MaxConnections > 0 && len(r.peers) >= r.config().MaxConnections:
		refuse = session.Kicked{Code: session.CodeError, Reason: session.ReasonServerFull}
	case r.config().MaxJoining > 0 && max(r.countJoining(p.began), r.asking) >= r.config().MaxJoining:
		refuse = session.Kicked{Code: session.CodeError, Reason: session.ReasonServerBusy}
	}
	if refuse.Code != 0 {
		r.mu.Unlock()
		p.refuse(refuse)
		return p
	}
	r.peers[p] = struct{}{}
	p.joining = r.joining.PushBack(p)
	r.running.Add(1)
	r.mu.Unlock()
	go p.run(actions)
	return p
}

// countJoining returns how many sessions count as joining. The caller holds mu.
func (r *Registry) countJoining(now time.Time) int {
	for e := r.joining.Front(); e != nil; e = r.joining.Front() {
		p := e.Value.(*Peer)
		if now.Sub(p.began) < r.config().JoiningFor {
			break
		}
		r.endJoining(p)
	}
	return r.joining.Len()
}

// endJoining is for a session that is established, has ended, or takes too long. The caller
// holds mu.
func (r *Registry) endJoining(p *Peer) {
	if p.joining != nil {
		r.joining.Remove(p.joining)
		p.joining = nil
	}
}

// joined is called by a session when its media is established.
func (r *Registry) joined(p *Peer) {
	r.mu.Lock()
	r.endJoining(p)
	r.mu.Unlock()
}

// forget is called by a session when it ends.
func (r *Registry) forget(p *Peer) {
	r.mu.Lock()
	delete(r.peers, p)
	r.endJoining(p)
	r.mu.Unlock()
	r.running.Done()
}

// Counts returns the number of channels and of sessions at this moment.
func (r *Registry) Counts() (channels, sessions int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.channels), len(r.peers)
}

// Joining returns how many sessions are between connect and established at this moment,
// those left out that have been for longer than JoiningFor; or how many authentications are
// under way, if these are more.
func (r *Registry) Joining() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.countJoining(time.Now()), r.asking)
}

// acquire returns the actor of a channel for one session, and starts it if the channel has
// none. Counting under the registry's lock is what keeps a join from meeting an actor that has
// ended.
func (r *Registry) acquire(id string) *actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.channels[id]
	if a == nil || a.over {
		old := a
		a = newActor(r, id)
		if old != nil {
			a.before = old.done
		}
		r.channels[id] = a
		r.running.Add(1)
		go a.run()
	}
	if a.idling {
		a.idling = false
		r.idling--
	}
	a.refs++
	return a
}

// release gives back what acquire returned. With the last one the actor is told that it may
// end.
func (r *Registry) release(a *actor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.refs--; a.refs < 0 {
		panic("channel: released more often than acquired")
	}
	if a.refs == 0 {
		a.signalIdle()
	}
}

// countsOf returns the established connections of a channel.
func (r *Registry) countsOf(id string) webhook.Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.channels[id]; a != nil {
		return a.countsNow()
	}
	return webhook.Counts{}
}

// ErrNotInTime says that sessions were still ending when Close had to return.
var ErrNotInTime = errors.New("channel: sessions did not end in time")

// Close refuses new sessions, ends every session with 1000 SHUTDOWN and waits for their
// goroutines until ctx is done.
func (r *Registry) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closing = true
	for p := range r.peers {
		p.mustPost(session.Kicked{Code: session.CodeNormal, Reason: session.ReasonShutdown})
	}
	for _, a := range r.channels {
		if a.refs == 0 {
			a.signalIdle()
		}
	}
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		r.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ErrNotInTime
	}
}
