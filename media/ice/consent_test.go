package ice

import (
	"testing"
	"time"

	"tsubame/media/param"
)

const consent = param.ConsentTimeout

// Row ICE-11.
func TestConsentIsLostThirtySecondsAfterTheLastValidCheck(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	last := start.Add(7 * time.Second)
	check(a, last, 1)
	if a.Deadline() != last.Add(30*time.Second) {
		t.Errorf("deadline %v", a.Deadline())
	}
	if a.Lost(last.Add(consent - 1)) {
		t.Error("lost too soon")
	}
	if selected(a) != 1 {
		t.Errorf("selected %d", selected(a))
	}
	if !a.Lost(last.Add(consent)) {
		t.Error("not lost")
	}
	if _, ok := a.Selected(); ok {
		t.Error("would go on sending without consent")
	}
}

// Row ICE-11.
func TestTenThousandPeersThatVanishAtOnceAreAllFound(t *testing.T) {
	agents := make([]Agent, 10000)
	for i := range agents {
		agents[i].Init(start)
		nominate(&agents[i], start, 1+i%60000)
	}
	for i := range agents {
		if agents[i].Deadline().Sub(start) > 30*time.Second || !agents[i].Lost(agents[i].Deadline()) {
			t.Fatalf("agent %d outlives its peer", i)
		}
	}
}

func TestAgentThatNeverHeardACheckIsLost(t *testing.T) {
	a := newAgent()
	if a.Deadline() != start.Add(consent) || a.Lost(start.Add(consent-1)) || !a.Lost(start.Add(consent)) {
		t.Error("not lost after the timeout")
	}
}

func TestAgentWithoutANominationLivesByItsChecks(t *testing.T) {
	a := newAgent()
	check(a, start.Add(time.Second), 1)
	check(a, start.Add(2*time.Second), 2)
	check(a, start.Add(3*time.Second), 1)
	if a.Deadline() != start.Add(3*time.Second+consent) {
		t.Errorf("deadline %v", a.Deadline())
	}
	if !a.Lost(a.Deadline()) {
		t.Error("not lost")
	}
}

func TestRoleConflictGivesNoConsent(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	a.HandleCheck(start.Add(time.Second), keyAt(1), &Request{Controlled: true})
	if a.Deadline() != start.Add(consent) {
		t.Error("a refused check refreshed consent")
	}
}

// Row ICE-11.
func TestFallsBackToTheFreshestPath(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	check(a, start.Add(5*time.Second), 2)
	check(a, start.Add(9*time.Second), 3)
	check(a, start.Add(7*time.Second), 4)
	end := start.Add(consent)
	if a.Lost(end) || selected(a) != 3 {
		t.Errorf("selected %d", selected(a))
	}
	if want := start.Add(9*time.Second + consent); a.Deadline() != want {
		t.Errorf("deadline %v, want %v", a.Deadline(), want)
	}
	// The others' consent ended before that of the path fallen back to.
	if !a.Lost(start.Add(9*time.Second + consent)) {
		t.Error("not lost")
	}
}

func TestCheckAfterLossIsTakenAsAnyOther(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	late := start.Add(consent)
	if !a.Lost(late) {
		t.Fatal("not lost")
	}
	if out := nominate(a, late, 1); !out.Selected || a.Lost(late) {
		t.Errorf("%+v", out)
	}
}
