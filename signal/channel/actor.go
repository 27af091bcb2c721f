package channel

import (
	"time"

	"tsubame/signal/offer"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// mailboxSize is how many commands wait for a channel. Sessions wait for room: the actor
// never waits for anybody, so it always comes. Only a join is refused when it takes too
// long.
const mailboxSize = 64

type commandKind uint8

const (
	join     commandKind = iota + 1 // a session enters; member is set
	announce                        // its media is established; tracks is set
	update                          // it publishes something else; tracks is set
	leave                           // it is gone
)

type command struct {
	kind   commandKind
	peer   *Peer
	member session.Member
	tracks []offer.Track
}

// actor owns the membership of one channel. It lives from the first member to the last,
// and so does the session id.
type actor struct {
	registry  *Registry
	id        string
	sessionID string
	mail      chan command
	stop      chan struct{} // closed with the last release
	refs      int           // guarded by registry.mu

	// Of the goroutine only.
	members []*member // in order of arrival
	counts  [4]int    // established members by role; 0: all
	updates updates
	gathering
	begun   int          // members that were ever established
	armed   time.Time    // what the timer is set to; zero: nothing
	scratch []sora.Entry // what present returned; empty values in between
}

// member is one session in a channel.
type member struct {
	session.Member
	peer        *Peer
	established bool
	told        int       // how many of the channel's notifications, those before establishment included
	since       time.Time // of establishment
	tracks      []offer.Track
	entry       sora.Entry // of the list that newcomers are sent, from establishment on
	updateAt    time.Time  // of the next connection.updated
	updateIndex int        // in actor.updates; -1: not there
}

func newActor(r *Registry, id string) *actor {
	return &actor{registry: r, id: id, sessionID: sora.NewID(), mail: make(chan command, mailboxSize), stop: make(chan struct{}),
		gathering: gathering{turn: make(chan struct{}, 1)}}
}

func (a *actor) run() {
	defer a.registry.running.Done()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		a.arm(timer)
		select {
		case c := <-a.inbox():
			a.handle(c)
		case <-a.turn:
			if a.telling {
				a.tellOn(time.Now())
			}
		case <-timer.C:
			a.armed = time.Time{}
			now := time.Now() // the timer's own time is when it was due, however long ago
			if !a.due.IsZero() && !now.Before(a.due) {
				a.beginTelling(now)
			}
			a.update(now)
		case <-a.stop:
			return
		}
	}
}

// inbox is the mailbox, unless too much is to be told before more happens.
func (a *actor) inbox() <-chan command {
	if a.full() {
		return nil
	}
	return a.mail
}

func (a *actor) handle(c command) {
	if c.kind == join {
		a.join(c)
		return
	}
	m := c.peer.member
	if m == nil {
		panic("channel: command of a session that is not a member")
	}
	switch c.kind {
	case announce:
		a.announce(m, c.tracks)
	case update:
		m.tracks = c.tracks
		a.tellTracks(m, c.tracks)
	case leave:
		a.leave(m)
		a.registry.release(a)
	}
}

// related reports whether two members know of each other: those of one bundle do not.
func related(m, o *member) bool { return m != o && m.BundleID != o.BundleID }

func (a *actor) join(c command) {
	m := &member{Member: c.member, peer: c.peer, updateIndex: -1}
	c.peer.member = m
	a.members = append(a.members, m)
	joined := session.Joined{SessionID: a.sessionID}
	for _, o := range a.members {
		if o.established && len(o.tracks) > 0 && related(m, o) && m.Role.Receives() {
			joined.Remotes = append(joined.Remotes, session.RemoteChanged{ConnectionID: o.ConnectionID, Tracks: o.tracks})
		}
	}
	m.peer.post(joined)
}

// tellTracks tells everybody who receives m what it publishes now.
func (a *actor) tellTracks(m *member, tracks []offer.Track) {
	var e session.Event = session.RemoteChanged{ConnectionID: m.ConnectionID, Tracks: tracks} // one for all
	for _, o := range a.members {
		if related(m, o) && o.Role.Receives() {
			o.peer.post(e)
		}
	}
}

// announce makes m visible: its streams first, then the notification, since clients expect
// to be offered the streams before they hear of the connection.
func (a *actor) announce(m *member, tracks []offer.Track) {
	m.established, m.since, m.tracks, m.told = true, time.Now(), tracks, a.all
	m.entry = (&sora.Present{ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID, AuthnMetadata: m.NotifyMetadata}).Entry()
	a.count(m, 1)
	a.updatesBegin(m)
	e := a.event(sora.EventCreated, m)
	own := session.Announced{}
	if a.registry.cfg.Notify {
		e.Data = a.present(m)
		own.JSON = e.Append(nil)
		clear(a.scratch) // whoever leaves must not stay in memory
	}
	m.peer.post(own)
	if len(tracks) > 0 {
		a.tellTracks(m, tracks)
	}
	e.Data = nil
	a.notify(m, e, m.ConnectionID)
}

func (a *actor) leave(m *member) {
	for i, o := range a.members {
		if o == m {
			a.members = append(a.members[:i], a.members[i+1:]...)
			a.gone(i)
			break
		}
	}
	if !m.established {
		return
	}
	a.count(m, -1)
	a.updatesEnd(m)
	if len(m.tracks) > 0 {
		a.tellTracks(m, nil)
	}
	a.notify(m, a.event(sora.EventDestroyed, m), "")
}

func (a *actor) count(m *member, n int) {
	a.counts[0] += n
	a.counts[m.Role] += n
}

// notify tells the others, in one event and one encoding that all of them share.
func (a *actor) notify(m *member, e sora.ConnectionEvent, after string) {
	if !a.registry.cfg.Notify {
		return
	}
	a.tell(e.Timestamp, m, session.Notify{JSON: e.Append(nil), After: after})
}

func (a *actor) event(kind string, m *member) sora.ConnectionEvent {
	now := time.Now()
	return sora.ConnectionEvent{
		EventType: kind, Timestamp: now, Role: m.Role, SessionID: a.sessionID, ClientID: m.ClientID, BundleID: m.BundleID,
		ConnectionID: m.ConnectionID, Audio: m.Audio, Video: m.Video, Minutes: int(now.Sub(m.since) / time.Minute),
		AuthnMetadata: m.NotifyMetadata, Total: a.counts[0], SendRecv: a.counts[sora.SendRecv],
		SendOnly: a.counts[sora.SendOnly], RecvOnly: a.counts[sora.RecvOnly], TURNTransportType: m.peer.transportType(),
	}
}

// present lists whom m finds in the channel; never nil, since the member belongs into the
// client's own notification even when nobody is there. It is valid until the next call.
func (a *actor) present(m *member) []sora.Entry {
	if a.scratch == nil {
		a.scratch = make([]sora.Entry, 0, 8)
	}
	a.scratch = a.scratch[:0]
	for _, o := range a.members {
		if o.established && related(m, o) {
			a.scratch = append(a.scratch, o.entry)
		}
	}
	return a.scratch
}
