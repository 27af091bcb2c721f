package channel

import (
	"errors"
	"slices"
	"time"
	"unsafe"

	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// A channel's session begins with the first who joins it, once the application, if there is
// one, has said what holds for it; until then joins wait. It ends when the channel has had
// nobody for Config.SessionGrace.

const (
	// maxEnded is how many connections that have ended a session remembers, for the list in
	// session.destroyed; more are counted and not listed. They take some 3 MB.
	maxEnded = 10_000
	// maxEndedBytes bounds what all sessions remember of connections that have ended, roughly:
	// a server of rooms that never close would otherwise remember everybody. Beyond it they
	// are counted and not listed.
	maxEndedBytes = 256 << 20
	// maxListMetadata bounds the event_metadata in one list of connections, in bytes: those that
	// go beyond it are listed without theirs. An application that hands out as much as it may
	// would otherwise make events of hundreds of megabytes.
	maxListMetadata = 4 << 20
	// maxIdling is how many channels without anybody wait for their end; beyond it they end
	// at once. Each takes some 6 KiB, and what it remembers.
	maxIdling = 10_000
)

// channelSession is a channel's session. It is for the actor's goroutine only.
type channelSession struct {
	id      string // empty: there is none
	created time.Time
	asking  bool               // the application has not answered yet
	answers chan sessionAnswer // its answer; holds one, and there is one question at a time
	waiting []command          // joins that wait for it

	// What the application answered.
	maxConnections int // 0: no bound
	handed         *session.Layer
	metadata       []byte
	groupID        string

	total, peak int            // connections, and most of them at one time
	ended       connectionList // at most maxEnded
	updateAt    time.Time      // of the next session.updated; zero: there is none
	endAt       time.Time      // zero: there is somebody
}

type sessionAnswer struct {
	answer *webhook.SessionAnswer
	err    error
}

// connected counts a connection that has been established.
func (s *channelSession) connected(now int) {
	s.total++
	s.peak = max(s.peak, now)
}

// join brings a session into the channel, and the channel its session.
func (a *actor) join(c command) {
	s := &a.session
	s.endAt = time.Time{}
	if s.id == "" {
		s.id, s.created = sora.NewID(), time.Now()
		if hooks := a.registry.config().Hooks; hooks != nil {
			s.asking = true
			answers := s.answers
			hooks.SessionCreated(a.sessionEvent(webhook.SessionCreated), func(answer *webhook.SessionAnswer, err error) {
				answers <- sessionAnswer{answer, err}
			})
		}
	}
	if s.asking {
		s.waiting = append(s.waiting, c)
		return
	}
	a.admit(c)
}

// refusalOf is the close reason for those who waited for an answer that did not come.
func refusalOf(err error) string {
	var e interface{ CloseReason() string }
	if errors.As(err, &e) && e.CloseReason() != "" {
		return e.CloseReason()
	}
	return session.ReasonSessionError
}

// answered goes on with those who waited for the application's word.
func (a *actor) answered(r sessionAnswer) {
	s := &a.session
	waiting := s.waiting
	s.waiting, s.asking = nil, false
	if r.err != nil || r.answer == nil {
		a.registry.faults.Log("session refused", "channel_id", a.id, "session_id", s.id, "error", r.err)
		*s = channelSession{answers: s.answers}
		for _, c := range waiting {
			c.peer.post(session.JoinRefused{Reason: refusalOf(r.err)})
		}
	} else {
		s.maxConnections, s.handed = r.answer.MaxConnections, session.SessionLayer(r.answer)
		s.metadata, s.groupID = r.answer.SessionMetadata, r.answer.GroupID
		if every := a.registry.config().SessionUpdated; every > 0 {
			s.updateAt = time.Now().Add(every)
		}
		for _, c := range waiting {
			a.admit(c)
		}
	}
	if len(waiting) == 0 {
		a.signalIdle() // all who waited have left meanwhile
	}
}

// withdraw is for a session that leaves without having been a member: it was refused, or it
// still waits.
func (a *actor) withdraw(p *Peer) {
	a.session.waiting = slices.DeleteFunc(a.session.waiting, func(c command) bool { return c.peer == p })
}

// signalIdle tells the actor that refs may be 0.
func (a *actor) signalIdle() {
	select {
	case a.idle <- struct{}{}:
	default: // it knows
	}
}

// graceIsOver reports whether the session has waited long enough for somebody to come back.
func (a *actor) graceIsOver(now time.Time) bool {
	return !a.session.endAt.IsZero() && !now.Before(a.session.endAt)
}

// mayEnd ends the session and the actor, unless there is somebody or somebody may come back.
// True: the goroutine has nothing more to do.
func (a *actor) mayEnd(now time.Time) bool {
	r := a.registry
	r.mu.Lock()
	s := &a.session
	switch {
	case a.refs > 0, s.asking && !r.closing:
		r.mu.Unlock()
		s.endAt = time.Time{} // who has come is on the way; with the last one this is asked again
		return false
	case s.id != "" && r.config().SessionGrace > 0 && !r.closing && !a.graceIsOver(now) && (a.idling || r.idling < r.maxIdling):
		if !a.idling {
			a.idling = true
			r.idling++
			s.endAt = now.Add(r.config().SessionGrace)
		}
		r.mu.Unlock()
		return false
	}
	a.over = true
	if a.idling {
		a.idling = false
		r.idling--
	}
	r.mu.Unlock()
	a.endSession(now)
	r.mu.Lock()
	if r.channels[a.id] == a {
		delete(r.channels, a.id)
	}
	r.mu.Unlock()
	return true
}

// endSession tells that the session is over. One that the server's end has cut short while the
// application was asked about it is over too: the application may have said yes.
func (a *actor) endSession(now time.Time) {
	hooks, s := a.registry.config().Hooks, &a.session
	if hooks == nil || s.id == "" {
		return
	}
	e := a.sessionEvent(webhook.SessionDestroyed)
	e.Destroyed, e.Connections = now, s.ended.list
	a.registry.endedBytes.Add(-s.ended.bytes)
	hooks.SessionEnded(&webhook.SessionLog{
		Timestamp: now, Created: s.created, Destroyed: now, ChannelID: a.id, SessionID: s.id, GroupID: s.groupID,
		MaxConnections: s.peak, TotalConnections: s.total, SessionMetadata: s.metadata,
	})
	hooks.Session(e)
}

// updateSession tells that the session goes on, if that is due.
func (a *actor) updateSession(now time.Time) {
	s := &a.session
	if s.updateAt.IsZero() || now.Before(s.updateAt) {
		return
	}
	every := a.registry.config().SessionUpdated
	if every <= 0 {
		s.updateAt = time.Time{} // from now on there are none
		return
	}
	if s.updateAt = s.updateAt.Add(every); !s.updateAt.After(now) {
		s.updateAt = now.Add(every)
	}
	e := a.sessionEvent(webhook.SessionUpdated)
	list := connectionList{list: make([]webhook.SessionConnection, 0, a.counts[0].Load())}
	for _, m := range a.members {
		if m.established {
			list.add(m, time.Time{})
		}
	}
	e.Connections = list.list
	a.registry.config().Hooks.Session(e)
}

// sessionEvent returns what all events of the session say.
func (a *actor) sessionEvent(kind string) *webhook.SessionEvent {
	s := &a.session
	return &webhook.SessionEvent{
		Common: webhook.Common{Type: kind}, ChannelID: a.id, SessionID: s.id, GroupID: s.groupID, Created: s.created,
		MaxConnections: s.peak, TotalConnections: s.total, SessionMetadata: s.metadata,
	}
}

// remember notes a connection that has ended, if there is room for it.
func (a *actor) remember(m *member, now time.Time) {
	l, all := &a.session.ended, &a.registry.endedBytes
	if len(l.list) >= maxEnded || all.Load() >= a.registry.maxEndedBytes {
		return
	}
	before := l.bytes
	l.add(m, now)
	all.Add(l.bytes - before)
}

// connectionList is a list of connections for an event.
type connectionList struct {
	list     []webhook.SessionConnection
	metadata int   // bytes of it
	bytes    int64 // of all of it, roughly
}

// add appends a connection; destroyed is zero if it is still there.
func (l *connectionList) add(m *member, destroyed time.Time) {
	c := webhook.SessionConnection{
		Role: m.Role, ClientID: m.ClientID, BundleID: m.BundleID, ConnectionID: m.ConnectionID, Media: m.Media,
		Created: m.since, Destroyed: destroyed,
	}
	if l.metadata+len(m.EventMetadata) <= maxListMetadata {
		l.metadata += len(m.EventMetadata)
		c.EventMetadata = m.EventMetadata
	}
	l.list = append(l.list, c)
	// What others may refer to beside the entry is not counted: parameters of codecs.
	l.bytes += int64(unsafe.Sizeof(c)) + int64(len(c.ClientID)+len(c.BundleID)+len(c.ConnectionID)+len(c.EventMetadata))
}
