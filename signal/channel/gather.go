package channel

import (
	"runtime"
	"time"

	"tsubame/signal/session"
)

// In a channel of n members each join and leave means n notifications. When many come and go
// at once, what is told is gathered for a moment: each member then takes one post, one turn
// of its session and one write to its socket for all of it, in place of one each. As with
// re-offers, the first is told at once, and the next ones the further apart the more there
// are, up to session.Config.Gather, and up to five times that in a channel of thousands, where
// one telling costs thousands of writes.
//
// A telling goes round the members a few at a time. Then it is the turn of those who were told to
// run, while the channel waits for that and for its mailbox. All at once they would stand in
// front of everybody in the queue of the processors, of the channel itself too: with 4,000
// members for longer than joins wait.
const (
	gatherFirst = 25 * time.Millisecond
	gatherQuiet = 800 * time.Millisecond // beyond the longest gap
	// maxGathered bounds what is gathered; at the bound the mailbox has to wait for the telling.
	maxGathered = 1024
	// tellStep is how many members are told before others have their turn. A channel of so many
	// is told without interruption.
	tellStep = 64
)

// gathering is what a channel has not told everybody yet. It is for the actor's goroutine only.
type gathering struct {
	pending []pendingNotify
	all     int           // ever added, the pending ones included
	told    time.Time     // when the last telling ended
	gap     time.Duration // from told to the next one
	due     time.Time     // zero: nothing is pending, or it is being told
	telling bool          // members from next on have not been told yet of the first until
	next    int           // in members
	until   int           // all at the beginning of the telling
	turn    chan struct{} // it is the telling's turn; holds one
	scratch []session.Event
}

// pendingNotify is for all established members but by and its bundle; those who came later
// are left out by member.told.
type pendingNotify struct {
	event session.Event
	by    *member
}

// tell notifies the others, now or soon.
func (a *actor) tell(now time.Time, by *member, n session.Notify) {
	g := &a.gathering
	g.pending = append(g.pending, pendingNotify{n, by}) // one event for all
	g.all++
	if g.telling {
		return // due is set when that has ended
	}
	if g.due.IsZero() {
		g.due = g.told.Add(g.gap)
	}
	if !now.Before(g.due) || g.full() {
		a.beginTelling(now)
	}
}

// full reports whether nothing can be told before what is pending.
func (g *gathering) full() bool { return len(g.pending) >= maxGathered }

// beginTelling tells the first few members what is pending, and with them everybody of a small
// channel. The others are told by tellOn.
func (a *actor) beginTelling(now time.Time) {
	g := &a.gathering
	if len(g.pending) == 0 || g.telling {
		return
	}
	a.begin(now)
	a.tellOn(now)
}

// begin begins a telling of all that is pending.
func (a *actor) begin(now time.Time) {
	g := &a.gathering
	if !g.telling {
		most := a.registry.config().Session.Gather * time.Duration(min(max(len(a.members)/1000, 1), 5))
		g.gap = min(max(2*g.gap, gatherFirst), most)
		if now.Sub(g.told) >= gatherQuiet+most {
			g.gap = min(gatherFirst, most)
		}
	}
	g.telling, g.next, g.until, g.due = true, 0, g.all, time.Time{}
}

// tellOn tells the next few members. If there are more, turn says when to go on.
func (a *actor) tellOn(now time.Time) {
	a.tellUpTo(now, a.next+tellStep)
	if a.telling {
		go a.pass()
	}
}

// pass gives the telling its next turn once those had theirs who are waiting for a processor.
func (g *gathering) pass() {
	runtime.Gosched()
	select {
	case g.turn <- struct{}{}:
	default: // a telling ended otherwise, and what it left in there does for the next one
	}
}

// tellAll tells everybody all that is pending, without interruption.
func (a *actor) tellAll(now time.Time) {
	g := &a.gathering
	if len(g.pending) == 0 {
		return
	}
	a.begin(now)
	a.tellUpTo(now, len(a.members))
}

// tellUpTo tells the members before the one at end, and ends the telling with the last member.
func (a *actor) tellUpTo(now time.Time, end int) {
	g := &a.gathering
	for ; g.next < min(end, len(a.members)); g.next++ {
		if o := a.members[g.next]; o.established {
			a.catchUp(o)
		}
	}
	if g.next < len(a.members) {
		return
	}
	n := len(g.pending) - (g.all - g.until) // these everybody has been told
	rest := copy(g.pending, g.pending[n:])
	clear(g.pending[rest:])
	clear(g.scratch[:cap(g.scratch)])
	g.pending, g.telling = g.pending[:rest], false
	if g.told = now; rest > 0 {
		g.due = now.Add(g.gap)
	}
}

// catchUp tells a member what it has not been told of what is pending.
func (a *actor) catchUp(o *member) {
	g := &a.gathering
	if !o.Notify {
		o.told = g.all
		return
	}
	first := g.all - len(g.pending)
	g.scratch = g.scratch[:0]
	for _, p := range g.pending[max(0, o.told-first):] {
		if related(p.by, o) {
			g.scratch = append(g.scratch, p.event)
		}
	}
	o.told = g.all
	if len(g.scratch) > 0 {
		o.peer.post(g.scratch...)
	}
}

// gone tells a telling that is under way that the member at i has been removed.
func (g *gathering) gone(i int) {
	if i < g.next {
		g.next--
	}
}
