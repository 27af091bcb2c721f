package bot

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// world runs an agent under a clock of the test.
type world struct {
	t     *testing.T
	a     *agent
	now   time.Time
	sent  []*stun.Message
	paths []*path // on which they were sent
}

func newWorld(t *testing.T, paths int) *world {
	w := &world{t: t, a: newAgent(), now: time.Unix(1000, 0)}
	w.a.remoteUfrag, w.a.remotePassword = "server", "serverpasswordserverpass"
	all := make([]Path, paths)
	for i := range all {
		all[i].Remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1000+i))
	}
	w.a.add(w.now, all...)
	return w
}

// run lets time pass, answering every check if respond is set.
func (w *world) run(d time.Duration, respond bool) {
	for end := w.now.Add(d); w.now.Before(end); {
		next := w.a.poll(w.now, func(p *path, b []byte) {
			m := &stun.Message{Raw: b}
			if err := m.Decode(); err != nil {
				w.t.Fatal(err)
			}
			w.sent, w.paths = append(w.sent, m), append(w.paths, p)
			if respond {
				w.respond(p, m, w.a.remotePassword)
			}
		})
		if !next.After(w.now) {
			next = w.now.Add(time.Millisecond)
		}
		w.now = earlier(next, end)
	}
}

func (w *world) respond(p *path, m *stun.Message, password string) {
	out, err := stun.Build(m, stun.BindingSuccess, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		w.t.Fatal(err)
	}
	w.a.handle(w.now, p.Socket, p.Remote, out.Raw)
}

func TestChecksGoInOrder(t *testing.T) {
	w := newWorld(t, 6)
	start := w.now
	w.run(5*checkPacing, false)
	if n := len(w.paths); n != 5 {
		t.Fatalf("%d checks in %v", n, w.now.Sub(start))
	}
	w.run(time.Millisecond, false)
	for i, p := range w.paths {
		if p != w.a.paths[i] {
			t.Errorf("check %d is of path %v", i, p.Remote)
		}
	}
}

func TestChecksWithoutAnswerBackOff(t *testing.T) {
	w := newWorld(t, 1)
	for i, d := range []time.Duration{0, 50, 100, 200, 400, 800, 1600, 1600, 1600} {
		w.run(d*time.Millisecond, false)
		if n := len(w.sent); n != i {
			t.Fatalf("%d checks before the pause of %d ms is over, want %d", n, d, i)
		}
		w.run(time.Nanosecond, false) // the instant itself
		w.now = w.now.Add(-time.Nanosecond)
	}
}

func TestConsentChecksGoOnOnTheSelectedPath(t *testing.T) {
	w := newWorld(t, 3)
	w.run(time.Minute, true)
	if w.a.selected == nil || w.a.selected != w.a.paths[0] {
		t.Fatal("the first path is not selected")
	}
	// 60 s at 2.5 s plus or minus a fifth, and at 10 s on the other two.
	if n := w.a.paths[0].Checks; n < 20 || n > 33 {
		t.Errorf("%d checks of the selected path", n)
	}
	for _, p := range w.a.paths[1:] {
		if p.Checks < 5 || p.Checks > 10 {
			t.Errorf("%d checks of another", p.Checks)
		}
	}
	if w.a.counts.ConsentLost || len(w.a.transactions) > 1 {
		t.Errorf("%+v, %d transactions", w.a.counts, len(w.a.transactions))
	}
}

func TestConsentIsLostAfterThirtySeconds(t *testing.T) {
	w := newWorld(t, 1)
	w.run(10*time.Second, true)
	w.run(26*time.Second, false)
	if w.a.counts.ConsentLost {
		t.Fatal("lost early")
	}
	w.run(8*time.Second, false)
	if !w.a.counts.ConsentLost {
		t.Fatal("not lost")
	}
	w.run(time.Hour, false)
	if n := len(w.a.transactions); n > maxTransactions {
		t.Errorf("%d transactions", n)
	}
}

func TestChecksSayWhatAControllingAgentSays(t *testing.T) {
	w := newWorld(t, 1)
	w.run(time.Millisecond, false)
	m := w.sent[0]
	var user stun.Username
	if err := user.GetFrom(m); err != nil || user.String() != "server:"+w.a.ufrag {
		t.Errorf("%v %v", user, err)
	}
	if err := stun.NewShortTermIntegrity(w.a.remotePassword).Check(m); err != nil {
		t.Error(err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Error(err)
	}
	if !m.Contains(stun.AttrICEControlling) || m.Contains(stun.AttrUseCandidate) {
		t.Error(m)
	}
}

func TestResponsesWithoutIntegrityAreNotTaken(t *testing.T) {
	w := newWorld(t, 1)
	w.run(time.Millisecond, false)
	w.respond(w.a.paths[0], w.sent[0], "another password")
	if w.a.paths[0].Validated || w.a.counts.Bad != 1 {
		t.Errorf("%+v", w.a.counts)
	}
	w.respond(w.a.paths[0], w.sent[0], w.a.remotePassword)
	w.respond(w.a.paths[0], w.sent[0], w.a.remotePassword) // twice: the second is to nothing
	if !w.a.paths[0].Validated || w.a.counts.Bad != 2 {
		t.Errorf("%+v", w.a.counts)
	}
	w.a.handle(w.now, 0, netip.AddrPort{}, []byte("\x00\x01garbage"))
	if w.a.counts.Bad != 3 {
		t.Errorf("%+v", w.a.counts)
	}
}

func TestRestartTakesNewCredentials(t *testing.T) {
	w := newWorld(t, 2)
	w.run(time.Second, true)
	before, ufrag := w.a.selected, w.a.ufrag
	w.a.restart(w.now, "again", "anotherpasswordanotherpass")
	if w.a.current() != before || w.a.ufrag == ufrag {
		t.Error("the old path does not carry on, or the credentials are the old ones")
	}
	w.sent = nil
	w.run(time.Second, true)
	nominated := false
	for _, m := range w.sent {
		var user stun.Username
		if err := user.GetFrom(m); err != nil || user.String() != "again:"+w.a.ufrag {
			t.Errorf("%v %v", user, err)
		}
		nominated = nominated || m.Contains(stun.AttrUseCandidate)
	}
	if !nominated {
		t.Error("nothing was nominated anew")
	}
}

func TestChecksOfAFullAgentAreAnswered(t *testing.T) {
	w := newWorld(t, 1)
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(w.a.ufrag+":server"),
		stun.NewShortTermIntegrity(w.a.password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	reply := w.a.handle(w.now, 0, netip.MustParseAddrPort("192.0.2.1:1000"), request.Raw)
	m := &stun.Message{Raw: reply}
	if err := m.Decode(); err != nil || m.Type != stun.BindingSuccess || m.TransactionID != request.TransactionID {
		t.Fatalf("%v %v", m, err)
	}
	forged, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewShortTermIntegrity("x"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if w.a.handle(w.now, 0, netip.AddrPort{}, forged.Raw) != nil {
		t.Error("a forgery was answered")
	}
}

func TestAggressiveAgentNominatesByEveryCheck(t *testing.T) {
	w := newWorld(t, 3)
	w.a.aggressive = true
	w.run(time.Second, true)
	for _, m := range w.sent {
		if !m.Contains(stun.AttrUseCandidate) {
			t.Error(m)
		}
	}
	if w.a.selected != w.a.paths[0] {
		t.Error("the first path is not selected")
	}
}
