package channel

import (
	"container/heap"
	"math"
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// maxUpdatedToAll is how many established members a channel may have for all of them to be
// told that one lives on. In a larger one only the connection itself is: n members would
// make n^2 messages an interval, and nobody shows a clock beside each of a thousand names.
// At the bound, with the usual minute, that is 170 messages a second, of some 500 bytes.
const maxUpdatedToAll = 100

// updates are the established members, the one whose connection.updated is due next first.
// It implements heap.Interface.
type updates []*member

func (u updates) Len() int           { return len(u) }
func (u updates) Less(i, j int) bool { return u[i].updateAt.Before(u[j].updateAt) }

func (u updates) Swap(i, j int) {
	u[i], u[j] = u[j], u[i]
	u[i].updateIndex, u[j].updateIndex = i, j
}

// Push implements heap.Interface.
func (u *updates) Push(x any) {
	m := x.(*member)
	m.updateIndex = len(*u)
	*u = append(*u, m)
}

// Pop implements heap.Interface.
func (u *updates) Pop() any {
	last := len(*u) - 1
	m := (*u)[last]
	(*u)[last] = nil
	*u = (*u)[:last]
	m.updateIndex = -1
	return m
}

// updatesBegin notes a member that was established. Its first connection.updated comes
// within one interval, the others an interval apart. Members that come together are spread
// over the interval by multiples of the golden ratio, whose fractions lie as far from each
// other as can be; that of the first member is 0, so that alone it hears full minutes.
func (a *actor) updatesBegin(m *member) {
	interval := a.registry.cfg.UpdatedInterval
	if interval <= 0 || !a.registry.cfg.Notify {
		return
	}
	_, phase := math.Modf(float64(a.begun) * math.Phi)
	a.begun++
	m.updateAt = m.since.Add(interval - time.Duration(phase*float64(interval)))
	heap.Push(&a.updates, m)
}

func (a *actor) updatesEnd(m *member) {
	if m.updateIndex >= 0 {
		heap.Remove(&a.updates, m.updateIndex)
	}
}

// arm sets the timer to when the next member or what is gathered is due. A timer that is not needed is far off.
func (a *actor) arm(timer *time.Timer) {
	next := time.Time{}
	if len(a.updates) > 0 {
		next = a.updates[0].updateAt
	}
	if !a.due.IsZero() && (next.IsZero() || a.due.Before(next)) {
		next = a.due
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

// update tells of every member that is due. What was missed, because the process did not
// run, is not made up for.
func (a *actor) update(now time.Time) {
	for len(a.updates) > 0 && !a.updates[0].updateAt.After(now) {
		m := a.updates[0]
		m.updateAt = m.updateAt.Add(a.registry.cfg.UpdatedInterval)
		if !m.updateAt.After(now) {
			m.updateAt = now.Add(a.registry.cfg.UpdatedInterval)
		}
		heap.Fix(&a.updates, 0)
		a.tellUpdated(m)
	}
}

func (a *actor) tellUpdated(m *member) {
	e := a.event(sora.EventUpdated, m)
	var n session.Event = session.Notify{JSON: e.Append(nil)}
	if a.counts[0] > maxUpdatedToAll {
		a.catchUp(m) // what was before
		m.peer.post(n)
		return
	}
	a.tellAll(e.Timestamp)
	m.peer.post(n)
	for _, o := range a.members {
		if o.established && related(m, o) {
			o.peer.post(n)
		}
	}
}
