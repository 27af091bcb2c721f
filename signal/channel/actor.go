package channel

import (
	"sync/atomic"
	"time"

	"tsubame/signal/offer"
	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
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
	member *session.Member
	tracks []offer.Track
	end    *session.Close
}

// actor owns the membership of one channel, and the channel's session. It lives from the first
// member to the last, and for Config.SessionGrace after that.
type actor struct {
	registry *Registry
	id       string
	mail     chan command
	idle     chan struct{}   // refs has become 0; holds one
	before   <-chan struct{} // the actor that the channel had before is done; nil: there was none
	done     chan struct{}   // closed when the goroutine has nothing more to tell
	// Guarded by registry.mu.
	refs   int
	idling bool // counted in registry.idling
	over   bool // it takes nobody any more

	// established members by role; 0: all. Of the goroutine, but everybody may read them.
	counts [4]atomic.Int32

	// Of the goroutine only.
	members   []*member // in order of arrival
	listeners int       // established members that are told of others
	session   channelSession
	updates   [rounds]updates
	gathering
	begun   int          // members that were ever established
	armed   time.Time    // what the timer is set to; zero: nothing
	scratch []sora.Entry // what present returned; empty values in between
}

// member is one session in a channel.
type member struct {
	*session.Member
	peer        *Peer
	established bool
	told        int       // how many of the channel's notifications, those before establishment included
	since       time.Time // of establishment
	tracks      []offer.Track
	entry       sora.Entry // of the list that newcomers are sent, from establishment on
	turns       [rounds]turn
}

func newActor(r *Registry, id string) *actor {
	a := &actor{registry: r, id: id, mail: make(chan command, mailboxSize), idle: make(chan struct{}, 1), done: make(chan struct{}),
		session: channelSession{answers: make(chan sessionAnswer, 1)}, gathering: gathering{turn: make(chan struct{}, 1)}}
	for i := range a.updates {
		a.updates[i].round = i
	}
	return a
}

func (a *actor) run() {
	defer a.registry.running.Done()
	defer close(a.done)
	if a.before != nil {
		<-a.before // what was in the channel is told before what will be
		a.before = nil
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		a.arm(timer)
		select {
		case c := <-a.inbox():
			a.handle(c)
		case s := <-a.session.answers:
			a.answered(s)
		case <-a.turn:
			if a.telling {
				a.tellOn(time.Now())
			}
		case <-a.idle:
			if a.mayEnd(time.Now()) {
				return
			}
		case <-timer.C:
			a.armed = time.Time{}
			now := time.Now() // the timer's own time is when it was due, however long ago
			if !a.due.IsZero() && !now.Before(a.due) {
				a.beginTelling(now)
			}
			a.update(now)
			if a.graceIsOver(now) && a.mayEnd(now) {
				return
			}
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
	m := c.peer.member
	switch c.kind {
	case join:
		a.join(c)
		return
	case leave:
		if m == nil {
			a.withdraw(c.peer)
		} else {
			a.leave(m, c.end)
		}
		a.registry.release(a)
		return
	}
	if m == nil {
		panic("channel: command of a session that is not a member")
	}
	switch c.kind {
	case announce:
		a.announce(m, c.tracks)
	case update:
		m.tracks = c.tracks
		a.tellTracks(m, c.tracks)
	}
}

// related reports whether two members know of each other: those of one bundle do not.
func related(m, o *member) bool { return m != o && m.BundleID != o.BundleID }

// admit makes a session a member, unless there are as many as the channel's session may have.
func (a *actor) admit(c command) {
	if limit := a.session.maxConnections; limit > 0 && len(a.members) >= limit {
		c.peer.post(session.JoinRefused{Reason: session.ReasonConnectionLimit})
		return
	}
	m := &member{Member: c.member, peer: c.peer}
	for i := range m.turns {
		m.turns[i].index = -1
	}
	c.peer.member = m
	a.members = append(a.members, m)
	joined := session.Joined{SessionID: a.session.id, Handed: a.session.handed}
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

// announce makes m visible: to the application first, then its streams to the others, then the
// notification, since clients expect to be offered the streams before they hear of the
// connection.
func (a *actor) announce(m *member, tracks []offer.Track) {
	m.established, m.since, m.tracks, m.told = true, time.Now(), tracks, a.all
	m.entry = (&sora.Present{ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID,
		AuthnMetadata: m.AuthnMetadata, AuthzMetadata: m.AuthzMetadata, Metadata: m.MetadataExt}).Entry()
	a.count(m, 1)
	a.updatesBegin(m)
	a.session.connected(int(a.counts[0].Load()))
	if hooks := a.registry.config().Hooks; hooks != nil {
		hooks.Connection(a.connectionEvent(webhook.ConnectionCreated, m, m.since))
	}
	e := a.event(sora.EventCreated, m)
	own := session.Announced{}
	if m.Notify {
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

func (a *actor) leave(m *member, end *session.Close) {
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
	a.tellEnd(m, end)
	if len(m.tracks) > 0 {
		a.tellTracks(m, nil)
	}
	a.notify(m, a.event(sora.EventDestroyed, m), "")
}

func (a *actor) count(m *member, n int32) {
	a.counts[0].Add(n)
	a.counts[m.Role].Add(n)
	if m.Notify {
		a.listeners += int(n)
	}
}

// countsNow returns the established members; any goroutine may ask.
func (a *actor) countsNow() webhook.Counts {
	n := func(i sora.Role) int { return int(a.counts[i].Load()) }
	return webhook.Counts{Total: n(0), SendRecv: n(sora.SendRecv), SendOnly: n(sora.SendOnly), RecvOnly: n(sora.RecvOnly)}
}

// notify tells the others, in one event and one encoding that all of them share.
func (a *actor) notify(m *member, e sora.ConnectionEvent, after string) {
	if a.listeners == 0 {
		return
	}
	a.tell(e.Timestamp, m, session.Notify{JSON: e.Append(nil), After: after})
}

func (a *actor) event(kind string, m *member) sora.ConnectionEvent {
	now, n := time.Now(), a.countsNow()
	return sora.ConnectionEvent{
		EventType: kind, Timestamp: now, Role: m.Role, SessionID: a.session.id, ClientID: m.ClientID, BundleID: m.BundleID,
		ConnectionID: m.ConnectionID, Audio: m.Audio, Video: m.Video, Minutes: int(now.Sub(m.since) / time.Minute),
		AuthnMetadata: m.AuthnMetadata, AuthzMetadata: m.AuthzMetadata, Metadata: m.MetadataExt,
		Total: n.Total, SendRecv: n.SendRecv, SendOnly: n.SendOnly, RecvOnly: n.RecvOnly, TURNTransportType: m.peer.transportType(),
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
