package load

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"tsubame/netio/mono"
)

// answerTo answers a check as a server with a password does.
func answerTo(t *testing.T, check []byte, password string) []byte {
	t.Helper()
	m := &stun.Message{Raw: check}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	out, err := stun.Build(m, stun.BindingSuccess, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return out.Raw
}

func newCheck(t *testing.T, a *agent, now mono.Time) []byte {
	t.Helper()
	b, err := a.check(now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChecksNominateTheirPath(t *testing.T) {
	a := newAgent("server", "secret", "client")
	m := &stun.Message{Raw: newCheck(t, &a, 1)}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	var name stun.Username
	if err := name.GetFrom(m); err != nil || name.String() != "server:client" {
		t.Errorf("username %q", name)
	}
	if !m.Contains(stun.AttrUseCandidate) || !m.Contains(stun.AttrICEControlling) || !m.Contains(stun.AttrPriority) {
		t.Errorf("a check without a nomination: %v", m)
	}
	if stun.NewShortTermIntegrity("secret").Check(m) != nil || stun.Fingerprint.Check(m) != nil {
		t.Error("integrity or fingerprint is wrong")
	}
}

func TestOnlyAGoodAnswerSelectsThePath(t *testing.T) {
	a := newAgent("server", "secret", "client")
	old := answerTo(t, newCheck(t, &a, 1), "secret")
	b := newCheck(t, &a, 2)
	for name, answer := range map[string][]byte{
		"an older check's": old, "one with another password": answerTo(t, b, "wrong"), "no STUN": {1, 1, 0, 0}, "the check": b,
	} {
		if a.answer(3, answer) || a.selected {
			t.Errorf("the answer is %s, and the path is selected", name)
		}
	}
	good := answerTo(t, b, "secret")
	if !a.answer(3, good) || !a.selected {
		t.Error("a good answer selects nothing")
	}
	if a.answer(4, good) {
		t.Error("the path is selected twice")
	}
}

func TestChecksAreRepeatedLessAndLess(t *testing.T) {
	a := newAgent("server", "secret", "client")
	now := mono.Time(1)
	for _, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 1600} {
		newCheck(t, &a, now)
		if got := a.next.Sub(now); got != want*time.Millisecond {
			t.Errorf("the next check after %v, want %v ms", got, int(want))
		}
		now = a.next
	}
}

func TestConsentRunsOut(t *testing.T) {
	a := newAgent("server", "secret", "client")
	if a.lost(mono.Time(1).Add(time.Hour)) {
		t.Error("consent is lost that was never given")
	}
	a.answer(1, answerTo(t, newCheck(t, &a, 1), "secret"))
	if a.lost(mono.Time(1).Add(consentTimeout - 1)) {
		t.Error("consent is lost early")
	}
	if !a.lost(mono.Time(1).Add(consentTimeout)) {
		t.Error("consent is not lost")
	}
}
