package channel

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tsubame/signal/session"
	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// last is an application that keeps the last event about a session.
type last struct {
	Hooks
	event *webhook.SessionEvent
}

func (*last) Connection(*webhook.ConnectionEvent) {}
func (*last) Ended(*webhook.ConnectionLog)        {}
func (*last) SessionEnded(*webhook.SessionLog)    {}
func (l *last) Session(e *webhook.SessionEvent)   { l.event = e }
func (*last) SessionCreated(e *webhook.SessionEvent, done func(*webhook.SessionAnswer, error)) {
	done(&webhook.SessionAnswer{}, nil)
}

// Row SIG-10.
func TestTheConnectionsThatASessionRemembersAreBounded(t *testing.T) {
	c, app := newCrew(t), &last{}
	c.enter("stays") // and the session has begun
	c.a.registry.config().Hooks = app
	for i := range maxEnded + 5 {
		c.a.leave(c.enter(fmt.Sprint(i)), &session.Close{Reason: session.ReasonDisconnect})
	}
	c.a.endSession(time.Now())
	if e := app.event; len(e.Connections) != maxEnded || e.TotalConnections != maxEnded+6 || e.MaxConnections != 2 {
		t.Errorf("%d connections of %d, %d at a time", len(e.Connections), e.TotalConnections, e.MaxConnections)
	}
	if first := app.event.Connections[0]; first.BundleID != "0" {
		t.Errorf("the first is %+v", first)
	}
}

// What one session gives up another may take.
//
// Row SIG-10.
func TestWhatAllSessionsRememberIsBounded(t *testing.T) {
	c, app := newCrew(t), &last{}
	c.enter("stays")
	r := c.a.registry
	r.config().Hooks, r.maxEndedBytes = app, 50_000
	pass := func(n int) {
		for range n {
			m := c.enter("X")
			m.EventMetadata = make([]byte, 1000)
			c.a.leave(m, &session.Close{})
		}
	}
	pass(200)
	listed := len(c.a.session.ended.list)
	if n := r.endedBytes.Load(); n < 50_000 || n > 52_000 || listed < 20 || listed > 50 {
		t.Errorf("%d bytes of %d connections", n, listed)
	}
	c.a.endSession(time.Now())
	if e := app.event; len(e.Connections) != listed || e.TotalConnections != 201 || r.endedBytes.Load() != 0 {
		t.Errorf("%d of %d listed, %d bytes left", len(e.Connections), e.TotalConnections, r.endedBytes.Load())
	}
}

func TestEventMetadataInAListIsBounded(t *testing.T) {
	const each = 64 << 10
	c, app := newCrew(t), &last{}
	c.enter("stays")
	c.a.registry.config().Hooks, c.a.registry.config().SessionUpdated = app, time.Minute
	for i := range 100 {
		m := c.enter(fmt.Sprint(i))
		m.EventMetadata = make([]byte, each)
	}
	with := func(e *webhook.SessionEvent) (n int) {
		for _, c := range e.Connections {
			if c.EventMetadata != nil {
				n++
			}
		}
		return n
	}
	c.a.session.updateAt = time.Now()
	c.a.updateSession(time.Now())
	if n := with(app.event); n != maxListMetadata/each || len(app.event.Connections) != 101 {
		t.Errorf("updated: %d of %d with metadata", n, len(app.event.Connections))
	}
	for len(c.a.members) > 0 {
		c.a.leave(c.a.members[0], &session.Close{})
	}
	c.a.endSession(time.Now())
	if n := with(app.event); n != maxListMetadata/each || len(app.event.Connections) != 101 {
		t.Errorf("destroyed: %d of %d with metadata", n, len(app.event.Connections))
	}
}

// thousand is a channel of a thousand, and one who is among them.
func thousand(t testing.TB) (*actor, *member) {
	c := newCrew(t)
	var m *member
	for range 1000 {
		m = c.enter(sora.NewID())
	}
	return c.a, m
}

// What the newcomer to a channel of a thousand is sent.
func BenchmarkCreatedForTheThousandth(b *testing.B) {
	a, m := thousand(b)
	e := a.event(sora.EventCreated, m)
	b.ReportAllocs()
	for b.Loop() {
		e.Data = a.present(m)
		e.Append(nil)
	}
}

// counting is a plane that counts what is opened.
type counting struct {
	nullPlane
	opened int
}

func (c *counting) Open(func(MediaEvent)) (Conn, error) {
	c.opened++
	return nullConn{}, nil
}

// verdicts is an application that leaves its answers to the test.
type verdicts struct{ last }

func (*verdicts) Authenticate(context.Context, *webhook.AuthRequest, string, func(Verdict)) {}

func TestNoMediaIsOpenedForWhoVanishesWithTheVerdict(t *testing.T) {
	plane := &counting{}
	r := NewRegistry(Config{Plane: plane, Candidates: func() []string { return nil }, Hooks: &verdicts{}, HookTimeout: time.Minute})
	m, _ := sora.Decode([]byte(`{"type":"connect","role":"recvonly","channel_id":"room"}`))
	s := r.NewSession(time.Now())
	actions := s.Handle(nil, time.Now(), session.Message{Message: m})
	p := newPeer(r, s, quiet{reason: make(chan string, 1)}, "")
	p.actions = actions
	p.carryOut()
	p.handle(session.Authenticated{Answer: &webhook.AuthAnswer{Allowed: true}}, session.Vanished{})
	if plane.opened != 0 || s.State() != session.Closed {
		t.Errorf("%d opened, state %v", plane.opened, s.State())
	}
}
