package ice

import (
	"testing"
	"time"
)

func TestForgettingTheSelectedPathFallsBackToTheFreshest(t *testing.T) {
	a := newAgent()
	check(a, start.Add(time.Second), 2)
	check(a, start.Add(3*time.Second), 3)
	nominate(a, start.Add(4*time.Second), 1)
	a.Forget(start.Add(4*time.Second), keyAt(1))
	if selected(a) != 3 {
		t.Errorf("selected %d", selected(a))
	}
	if a.Validated(keyAt(1)) || !a.Validated(keyAt(2)) || !a.Validated(keyAt(3)) {
		t.Error("wrong path forgotten")
	}
}

func TestForgettingAnotherPathChangesNothing(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	check(a, start, 2)
	check(a, start, 3)
	nominate(a, start.Add(time.Second), 3) // it stands last, and will move
	a.Forget(start.Add(time.Second), keyAt(1))
	a.Forget(start.Add(time.Second), keyAt(9))
	if selected(a) != 3 || len(a.Paths(nil)) != 2 {
		t.Errorf("selected %d of %d", selected(a), len(a.Paths(nil)))
	}
}

func TestForgettingTheSelectedPathLetsAHeldNominationThrough(t *testing.T) {
	a := newAgent()
	check(a, start, 2)
	check(a, start, 3)
	nominate(a, start, 1)
	nominate(a, start.Add(time.Millisecond), 2) // held
	check(a, start.Add(2*time.Millisecond), 3)
	a.Forget(start.Add(2*time.Millisecond), keyAt(1))
	if selected(a) != 2 {
		t.Errorf("selected %d", selected(a))
	}
}

// A client whose TCP connection breaks opens another one and checks over that, which may take
// it a while: its consent has not run out.
func TestPeerWhoseOnlyPathIsForgottenHasTheRestOfItsConsent(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	last := start.Add(time.Minute)
	check(a, last, 1)
	a.Forget(last, keyAt(1))
	if _, ok := a.Selected(); ok {
		t.Error("a path is selected that is not there")
	}
	if a.Deadline() != last.Add(consent) || a.Lost(last.Add(consent-1)) {
		t.Error("lost too soon")
	}
	nominate(a, last.Add(20*time.Second), 2)
	if selected(a) != 2 || a.Lost(last.Add(consent)) {
		t.Error("lost though it has come back")
	}
}

func TestConsentOfAForgottenPathRunsOutToo(t *testing.T) {
	a := newAgent()
	check(a, start, 2)
	nominate(a, start.Add(10*time.Second), 1)
	a.Forget(start.Add(10*time.Second), keyAt(1))
	if a.Lost(start.Add(consent)) { // path 2 has none left
		t.Error("lost too soon")
	}
	if _, ok := a.Selected(); ok {
		t.Error("would go on sending without consent")
	}
	if !a.Lost(start.Add(10*time.Second + consent)) {
		t.Error("not lost")
	}
}

// Media does not go to an address that the peer has left long ago.
//
// Row ICE-11.
func TestForgettingThePathThatIsUsedBringsNoneBackWithoutConsent(t *testing.T) {
	for after, want := range map[time.Duration]int{consent - 1: 1, consent: 0, 200 * time.Second: 0} {
		a := newAgent()
		nominate(a, start, 1)
		nominate(a, start.Add(time.Second), 2)
		check(a, start.Add(time.Second), 1)
		now := start.Add(time.Second + after)
		check(a, now, 2)
		a.Forget(now, keyAt(2))
		if selected(a) != want {
			t.Errorf("%v after its last check: port %d selected, want %d", after, selected(a), want)
		}
		if a.Lost(now.Add(consent-1)) || selected(a) != 0 {
			t.Errorf("%v after its last check: the peer has no time to find another path, or port %d has consent for ever", after, selected(a))
		}
		if out := check(a, now.Add(consent-1), 1); !out.Selected || selected(a) != 1 {
			t.Errorf("%v after its last check: a new check does not bring it back: %+v", after, out)
		}
	}
}

func TestConsentForAPathHoldsForThirtySecondsAfterItsLastCheck(t *testing.T) {
	a := newAgent()
	check(a, start, 1)
	check(a, start.Add(consent-1), 2)
	if !a.Consented(start.Add(consent-1), keyAt(1)) || a.Consented(start.Add(consent), keyAt(1)) {
		t.Error("path 1")
	}
	if !a.Consented(start.Add(consent), keyAt(2)) || a.Consented(start, keyAt(3)) {
		t.Error("path 2, or one that is not there")
	}
}
