package channel

import (
	"fmt"
	"testing"
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// crew is a channel whose time is the test's: nobody runs it, nor its members' sessions.
type crew struct {
	t testing.TB
	a *actor
}

func newCrew(t testing.TB) *crew {
	r := quietRegistry()
	r.config().Session.Gather = 100 * time.Millisecond
	return &crew{t, newActor(r, "room")}
}

// enter adds a member of a bundle, established.
func (c *crew) enter(bundle string) *member {
	p := newPeer(c.a.registry, c.a.registry.NewSession(time.Now()), quiet{}, "")
	c.a.join(command{kind: join, peer: p, member: &session.Member{BundleID: bundle, Role: sora.RecvOnly, Notify: true}})
	c.a.announce(p.member, nil)
	p.take()
	return p.member
}

func (c *crew) say(now time.Time, by *member, text string) {
	c.a.tell(now, by, session.Notify{JSON: []byte(text)})
}

// hears checks what a member has been told since it was last asked.
func (c *crew) hears(who string, m *member, want ...string) {
	c.t.Helper()
	var got []string
	for _, e := range m.peer.take() {
		got = append(got, string(e.(session.Notify).JSON))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("%s hears %q, want %q", who, got, want)
	}
}

func TestManyWhoComeAtOnceAreToldTogether(t *testing.T) {
	c := newCrew(t)
	a, b, twin := c.enter("A"), c.enter("B"), c.enter("A")
	now := time.Now().Add(time.Hour)
	c.a.tellAll(now.Add(-time.Minute))
	a.peer.take()
	b.peer.take()
	twin.peer.take()

	// The first is told at once, and to nobody of its own bundle.
	c.say(now, a, "1")
	c.hears("B", b, "1")
	c.hears("A", a)
	c.hears("A's twin", twin)
	// The next ones within a moment, in their order.
	c.say(now.Add(time.Millisecond), b, "2")
	c.say(now.Add(2*time.Millisecond), a, "3")
	c.hears("A", a)
	if due := c.a.due.Sub(now); due != gatherFirst {
		t.Errorf("due after %v", due)
	}
	// Who comes meanwhile finds those who are there, and is not told that they came.
	late := c.enter("L")
	c.a.pending = c.a.pending[:2] // that it came itself is not looked at here
	c.a.all--
	c.a.tellAll(now.Add(gatherFirst))
	c.hears("A", a, "2")
	c.hears("B", b, "3")
	c.hears("A's twin", twin, "2")
	c.hears("the late one", late)

	// The more there are, the longer: but never longer than Gather.
	for i, gap := range []time.Duration{50, 100, 100, 100} {
		now = c.a.told
		c.say(now.Add(time.Millisecond), a, fmt.Sprint(i))
		if due := c.a.due.Sub(now); due != gap*time.Millisecond {
			t.Errorf("round %d: due after %v", i, due)
		}
		c.a.tellAll(c.a.due)
		c.hears("B", b, fmt.Sprint(i))
	}
	// After a quiet second all is as in the beginning.
	now = c.a.told.Add(gatherQuiet + c.a.registry.config().Session.Gather)
	c.say(now, a, "quiet")
	c.hears("B", b, "quiet")
	if c.a.gap != gatherFirst {
		t.Errorf("the next one waits %v", c.a.gap)
	}
}

// A large channel looks after its mailbox while it tells, and whatever happens meanwhile,
// everybody is told everything once, in its order.
func TestALargeChannelTellsAFewAtATime(t *testing.T) {
	c := newCrew(t)
	a, b := c.enter("A"), c.enter("B")
	for len(c.a.members) < 2*tellStep {
		c.enter(fmt.Sprint(len(c.a.members)))
	}
	last := c.enter("Z")
	now := time.Now().Add(time.Hour)
	c.a.tellAll(now.Add(-time.Minute))
	for _, m := range c.a.members {
		m.peer.take()
	}
	c.say(now, a, "1")
	c.hears("B", b, "1")
	c.hears("the last one", last)
	c.say(now, a, "2") // who has not been told of the first hears both
	left := c.a.members[2]
	c.a.leave(left, &session.Close{}) // one of those who have been told leaves: nobody is skipped
	gone := string(c.a.pending[2].event.(session.Notify).JSON)
	late := c.enter("L")
	created := string(c.a.pending[3].event.(session.Notify).JSON)
	if first := c.a.members[tellStep-1]; len(first.peer.queue) != 0 {
		t.Errorf("%d events for one who is not to be told yet", len(first.peer.queue))
	}
	for c.a.telling {
		c.a.tellOn(now)
	}
	c.hears("the last one", last, "1", "2", gone, created)
	c.hears("the late one", late)
	c.hears("B", b)
	if len(c.a.pending) != 3 || c.a.due.Sub(now) != c.a.gap {
		t.Fatalf("%d are pending, due after %v", len(c.a.pending), c.a.due.Sub(now))
	}
	c.a.beginTelling(c.a.due)
	for c.a.telling {
		c.a.tellOn(now)
	}
	c.hears("B", b, "2", gone, created)
	c.hears("A", a, gone, created)
	c.hears("the last one", last)
	for i, m := range c.a.members[3:] {
		if m == last || m == late {
			continue
		}
		c.hears(fmt.Sprint(i), m, "1", "2", gone, created)
	}
}

func TestTheMailboxWaitsWhileTooMuchIsToBeTold(t *testing.T) {
	c := newCrew(t)
	a := c.enter("A")
	for len(c.a.members) < 2*tellStep {
		c.enter("B")
	}
	now := c.a.told
	for !c.a.full() {
		c.say(now, a, "x")
	}
	if !c.a.telling || c.a.inbox() != nil {
		t.Fatal("a command goes before what is to be told")
	}
	<-c.a.turn
	c.a.tellOn(now)
	if c.a.telling || len(c.a.pending) != 0 || c.a.inbox() == nil {
		t.Errorf("%d are pending", len(c.a.pending))
	}
}

// In a channel of thousands one telling is thousands of writes.
func TestTheLargerTheChannelTheLongerIsGathered(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 100, 999: 100, 2000: 200, 5000: 500, 20000: 500} {
		c := newCrew(t)
		a := c.enter("A")
		for len(c.a.members) < n {
			c.a.members = append(c.a.members, &member{}) // not established
		}
		now := c.a.told
		for range 10 {
			c.say(now, a, "x")
			now = c.a.due
			c.a.tellAll(now)
		}
		if c.a.gap != want*time.Millisecond {
			t.Errorf("%d members: %v", n, c.a.gap)
		}
	}
}

func TestWhatIsGatheredIsBounded(t *testing.T) {
	c := newCrew(t)
	a, b := c.enter("A"), c.enter("B")
	now := c.a.told
	b.peer.take()
	for range maxGathered - 1 - len(c.a.pending) {
		c.say(now, a, "x")
	}
	if n := len(b.peer.take()); n != 0 {
		t.Fatalf("%d are told before the bound", n)
	}
	c.say(now, a, "x")
	if n := len(b.peer.take()); n < maxGathered-2 || len(c.a.pending) != 0 || !c.a.due.IsZero() {
		t.Errorf("%d are told at the bound, %d left", n, len(c.a.pending))
	}
}

// The actor's own timer tells what is gathered.
func TestWhatIsGatheredIsToldInTime(t *testing.T) {
	c := newCrew(t)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	a := c.enter("A")
	c.say(c.a.told, a, "soon")
	c.a.arm(timer)
	if !c.a.armed.Equal(c.a.due) || c.a.due.IsZero() {
		t.Errorf("armed for %v, due at %v", c.a.armed, c.a.due)
	}
	<-timer.C
}
