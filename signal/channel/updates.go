package channel

import (
	"container/heap"
	"math"
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// maxUpdatedToAll is how many established members a channel may have for all of them to be
// told that one lives on. In a larger one only the connection itself is: n members would
// make n^2 messages an interval, and nobody shows a clock beside each of a thousand names.
// At the bound, with the usual minute, that is 170 messages a second, of some 500 bytes.
const maxUpdatedToAll = 100

// The two rounds in which members have their turn.
const (
	notifyRound = iota // connection.updated for clients
	hookRound          // connection.updated for the application
	rounds
)

// turn is when a member is due in a round.
type turn struct {
	at    time.Time
	index int // in updates.members; -1: not there
}

// updates are the members of a round, the one that is due next first. It implements
// heap.Interface.
type updates struct {
	round   int
	members []*member
}

func (u *updates) Len() int           { return len(u.members) }
func (u *updates) Less(i, j int) bool { return u.at(i).at.Before(u.at(j).at) }

func (u *updates) at(i int) *turn { return &u.members[i].turns[u.round] }

func (u *updates) Swap(i, j int) {
	u.members[i], u.members[j] = u.members[j], u.members[i]
	u.at(i).index, u.at(j).index = i, j
}

// Push implements heap.Interface.
func (u *updates) Push(x any) {
	m := x.(*member)
	m.turns[u.round].index = len(u.members)
	u.members = append(u.members, m)
}

// Pop implements heap.Interface.
func (u *updates) Pop() any {
	last := len(u.members) - 1
	m := u.members[last]
	u.members[last] = nil
	u.members = u.members[:last]
	m.turns[u.round].index = -1
	return m
}

// next returns when a member is due; zero: never.
func (u *updates) next() time.Time {
	if len(u.members) == 0 {
		return time.Time{}
	}
	return u.at(0).at
}

// begin adds a member that is due first at a time.
func (u *updates) begin(m *member, at time.Time) {
	m.turns[u.round].at = at
	heap.Push(u, m)
}

func (u *updates) end(m *member) {
	if i := m.turns[u.round].index; i >= 0 {
		heap.Remove(u, i)
	}
}

// due returns a member whose turn has come, and sets its next one; nil: there is none. What was
// missed, because the process did not run, is not made up for.
func (u *updates) due(now time.Time, interval time.Duration) *member {
	for interval <= 0 && len(u.members) > 0 { // from now on there are none
		u.end(u.members[0])
	}
	if len(u.members) == 0 || u.at(0).at.After(now) {
		return nil
	}
	m := u.members[0]
	t := u.at(0)
	t.at = t.at.Add(interval)
	if !t.at.After(now) {
		t.at = now.Add(interval)
	}
	heap.Fix(u, 0)
	return m
}

// updatesBegin notes a member that was established. Its first connection.updated for clients
// comes within one interval, the others an interval apart. Members that come together are
// spread over the interval by multiples of the golden ratio, whose fractions lie as far from
// each other as can be; that of the first member is 0, so that alone it hears full minutes.
// The application is told at full intervals: it counts by them.
func (a *actor) updatesBegin(m *member) {
	c := a.registry.config()
	if c.UpdatedInterval > 0 {
		_, phase := math.Modf(float64(a.begun) * math.Phi)
		a.begun++
		a.updates[notifyRound].begin(m, m.since.Add(c.UpdatedInterval-time.Duration(phase*float64(c.UpdatedInterval))))
	}
	if c.Hooks != nil && c.ConnectionUpdated > 0 {
		a.updates[hookRound].begin(m, m.since.Add(c.ConnectionUpdated))
	}
}

func (a *actor) updatesEnd(m *member) {
	for i := range a.updates {
		a.updates[i].end(m)
	}
}

// arm sets the timer to when something is due. A timer that is not needed is far off.
func (a *actor) arm(timer *time.Timer) {
	next := time.Time{}
	for _, t := range [...]time.Time{a.updates[notifyRound].next(), a.updates[hookRound].next(), a.due, a.session.updateAt, a.session.endAt} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.Equal(a.armed) {
		return
	}
	a.armed = next
	if next.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(next))
}

// update tells of every member that is due, and of the session.
func (a *actor) update(now time.Time) {
	c := a.registry.config()
	for m := a.updates[notifyRound].due(now, c.UpdatedInterval); m != nil; m = a.updates[notifyRound].due(now, c.UpdatedInterval) {
		a.tellUpdated(m)
	}
	for m := a.updates[hookRound].due(now, c.ConnectionUpdated); m != nil; m = a.updates[hookRound].due(now, c.ConnectionUpdated) {
		c.Hooks.Connection(a.connectionEvent(webhook.ConnectionUpdated, m, now))
	}
	a.updateSession(now)
}

func (a *actor) tellUpdated(m *member) {
	if a.listeners == 0 {
		return
	}
	e := a.event(sora.EventUpdated, m)
	var n session.Event = session.Notify{JSON: e.Append(nil)}
	if a.counts[0].Load() > maxUpdatedToAll {
		a.catchUp(m) // what was before
		if m.Notify {
			m.peer.post(n)
		}
		return
	}
	a.tellAll(e.Timestamp)
	for _, o := range a.members {
		if o.Notify && o.established && (o == m || related(m, o)) {
			o.peer.post(n)
		}
	}
}
