package channel

import (
	"bytes"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/signal/session"
	"tsubame/signal/sora"
)

// quiet is a transport that only remembers how it was closed.
type quiet struct {
	reason chan string
	sent   *atomic.Int32 // messages; nil: they are not counted
}

func (q quiet) Send([]byte) bool {
	if q.sent != nil {
		q.sent.Add(1)
	}
	return true
}
func (q quiet) Close(_ int, r string) { q.reason <- r }

type nullPlane struct{}

func (nullPlane) Fingerprint() param.Fingerprint      { return param.Fingerprint{Algorithm: "sha-256"} }
func (nullPlane) Open(func(MediaEvent)) (Conn, error) { return nullConn{}, nil }

type nullConn struct{}

func (nullConn) Credentials() (string, string)                { return "ufrag", "passwordpasswordpassword" }
func (nullConn) TURNCredentials() (string, string)            { return "user", "password" }
func (nullConn) RestartICE() (string, string, error)          { return "ufrag", "password", nil }
func (nullConn) SetRemote(param.Remote)                       {}
func (nullConn) Publish(param.Publish) (param.TrackID, error) { return param.TrackID{}, nil }
func (nullConn) Unpublish(param.TrackID)                      {}
func (nullConn) Subscribe(param.Subscribe)                    {}
func (nullConn) Unsubscribe(uint32)                           {}
func (nullConn) Close()                                       {}

func startQuiet(r *Registry) (*Peer, quiet) {
	q := quiet{reason: make(chan string, 1), sent: new(atomic.Int32)}
	s := r.NewSession(time.Now())
	m, _ := sora.Decode([]byte(`{"type":"connect","role":"recvonly","channel_id":"room"}`))
	return r.Start(s, s.Handle(nil, time.Now(), session.Message{Message: m}), q, ""), q
}

func quietRegistry() *Registry {
	return NewRegistry(Config{Plane: nullPlane{}, Candidates: func() []string { return nil },
		Session: session.Config{ConnectTimeout: time.Minute, AnswerTimeout: time.Minute}})
}

// A channel that does not get on refuses joins after a while, and knows nothing of them.
func TestAJoinIsRefusedWhenTheChannelIsTooBusy(t *testing.T) {
	r := quietRegistry()
	r.joinWait = 20 * time.Millisecond
	stuck := newActor(r, "room") // nobody runs it
	stuck.refs = 1
	r.channels["room"] = stuck
	for range mailboxSize {
		stuck.mail <- command{}
	}
	p, out := startQuiet(r)
	if reason := <-out.reason; reason != session.ReasonServerBusy {
		t.Errorf("closed with %s", reason)
	}
	<-p.Done()
	if n := r.Counters()["signal_join_waited"]; n != 1 {
		t.Errorf("%d counted", n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if stuck.refs != 1 || r.channels["room"] != stuck {
		t.Errorf("%d references", stuck.refs)
	}
}

// A session that is too far behind its channel is ended, since its view has holes.
func TestTheQueueOfASessionIsBounded(t *testing.T) {
	r := quietRegistry()
	p := newPeer(r, r.NewSession(time.Now()), quiet{}, "")
	for range maxQueue {
		p.post(session.Notify{})
	}
	if n := len(p.queue); n != maxQueue || p.overrun {
		t.Fatalf("%d events, overrun %v", n, p.overrun)
	}
	p.post(session.Notify{})
	p.post(session.Notify{})
	p.mustPost(session.MediaClosed{Reason: session.MediaConsentLost})
	q := p.take()
	if len(q) != 2 || q[0] != (session.Kicked{Code: session.CodeError, Reason: session.ReasonServerBusy}) {
		t.Errorf("%d events, first %+v", len(q), q[0])
	}
	if n := r.Counters()["signal_behind_its_channel"]; n != 1 {
		t.Errorf("%d counted", n)
	}
}

// idle reports whether a session waits, and has no goroutine.
func (p *Peer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.running
}

func TestASessionThatWaitsHasNoGoroutine(t *testing.T) {
	r := quietRegistry()
	p, out := startQuiet(r)
	for out.sent.Load() == 0 || !p.idle() { // behind the offer nothing comes by itself
		runtime.Gosched()
	}
	// Whoever brings an event handles it.
	if !p.DeliverHere(session.Malformed{Reason: "FAULT"}) {
		t.Fatal("it has ended")
	}
	select {
	case <-p.Done():
	default:
		t.Fatal("the event was not handled at once")
	}
	if reason := <-out.reason; reason != "FAULT" || p.DeliverHere(session.Vanished{}) {
		t.Errorf("closed with %s", reason)
	}
	// What comes too late is not kept.
	p.post(session.Notify{})
	p.mustPost(session.MediaClosed{})
	p.tick()
	if len(p.queue) != 0 {
		t.Errorf("%d events", len(p.queue))
	}
}

// The timer comes again, and ends a session that hears nothing.
func TestASessionThatHearsNothingEnds(t *testing.T) {
	r := quietRegistry()
	r.config().Session.AnswerTimeout = 10 * time.Millisecond
	p, out := startQuiet(r)
	if reason := <-out.reason; reason != session.ReasonAnswerTimeout {
		t.Errorf("closed with %s", reason)
	}
	<-p.Done()
}

// A process that did not run for a while does not make up for what it missed.
func TestMissedUpdatesAreLeftOut(t *testing.T) {
	r := quietRegistry()
	r.config().UpdatedInterval = time.Minute
	a := newActor(r, "room")
	p := newPeer(r, r.NewSession(time.Now()), quiet{}, "")
	a.join(command{kind: join, peer: p, member: &session.Member{Notify: true}})
	a.announce(p.member, nil)
	p.take()
	now := p.member.since.Add(10*time.Minute + time.Second)
	a.update(now)
	if n := len(p.take()); n != 1 || !p.member.turns[notifyRound].at.Equal(now.Add(time.Minute)) {
		t.Errorf("%d updates, the next in %v", n, p.member.turns[notifyRound].at.Sub(now))
	}
	a.leave(p.member, &session.Close{})
	a.update(now.Add(time.Hour))
	if n := len(p.take()); n != 0 {
		t.Errorf("%d updates of who left", n)
	}
}

func TestFaultsAreLoggedButSampled(t *testing.T) {
	var out bytes.Buffer
	f := NewFaultLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Unix(1000, 0)
	f.now = func() time.Time { return now }
	for range 1000 {
		f.Log("fault", "reason", "X")
	}
	if n := strings.Count(out.String(), "msg=fault"); n != faultsPerSecond {
		t.Errorf("%d lines in one second", n)
	}
	now = now.Add(time.Second)
	out.Reset()
	f.Log("fault", "reason", "Y")
	if got := out.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "left_out=990") || !strings.Contains(got, "reason=Y") {
		t.Errorf("got %s", got)
	}
}
