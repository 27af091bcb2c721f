package channel

import (
	"time"

	"tsubame/signal/session"
)

// In a channel of n members each join and leave means n notifications. When many come and go
// at once, what is told is gathered for a moment: each member then takes one post, one turn
// of its session and one write to its socket for all of it, in place of one each. As with
// re-offers, the first is told at once, and the next ones the further apart the more there
// are, up to session.Config.Gather, and up to five times that in a channel of thousands, where
// one telling costs thousands of writes.
const (
	gatherFirst = 25 * time.Millisecond
	gatherQuiet = 800 * time.Millisecond // beyond the longest gap
	// maxGathered bounds what is gathered; at the bound it is told at once.
	maxGathered = 1024
)

// gathering is what a channel has not told yet. It is for the actor's goroutine only.
type gathering struct {
	pending []pendingNotify
	all     int // ever added, the pending ones included
	told    time.Time
	gap     time.Duration // from told to the next time
	due     time.Time     // zero: nothing is pending
	scratch []session.Event
}

// pendingNotify is for all established members but by and its bundle; those who came later
// are left out by member.from.
type pendingNotify struct {
	event session.Event
	by    *member
}

// tell notifies the others, now or soon.
func (a *actor) tell(now time.Time, by *member, n session.Notify) {
	g := &a.gathering
	g.pending = append(g.pending, pendingNotify{n, by}) // one event for all
	g.all++
	if g.due.IsZero() {
		g.due = g.told.Add(g.gap)
	}
	if len(g.pending) >= maxGathered || !now.Before(g.due) {
		a.tellAll(now)
	}
}

// tellAll tells what is pending.
func (a *actor) tellAll(now time.Time) {
	g := &a.gathering
	if len(g.pending) == 0 {
		return
	}
	before := g.all - len(g.pending)
	for _, o := range a.members {
		if !o.established {
			continue
		}
		g.scratch = g.scratch[:0]
		for _, p := range g.pending[max(0, o.from-before):] {
			if related(p.by, o) {
				g.scratch = append(g.scratch, p.event)
			}
		}
		if len(g.scratch) > 0 {
			o.peer.post(g.scratch...)
		}
	}
	clear(g.pending)
	clear(g.scratch[:cap(g.scratch)])
	g.pending, g.due = g.pending[:0], time.Time{}
	most := a.registry.session.Gather * time.Duration(min(max(len(a.members)/1000, 1), 5))
	g.gap = min(max(2*g.gap, gatherFirst), most)
	if now.Sub(g.told) >= gatherQuiet+most {
		g.gap = min(gatherFirst, most)
	}
	g.told = now
}
