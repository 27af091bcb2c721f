package ice

import (
	"testing"
	"time"
)

// A NAT has given the peer another port. libwebrtc does not notice, and nominates with the next
// check of the path that it uses.
func TestTheFirstNominatedCheckAfterARebindingMovesMedia(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	nominate(a, start.Add(2500*time.Millisecond), 1)
	out := nominate(a, start.Add(5*time.Second), 2)
	if !out.Selected || !out.NewPath || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}

// After a blackout libwebrtc holds its path for bad, and checks it without nominating until it is
// answered. If the NAT has forgotten the peer meanwhile, that is the first check from its new port.
func TestAnyCheckIsFollowedWhenTheSelectedPathIsSilent(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	if out := check(a, start.Add(SilentAfter-1), 2); out.Selected || selected(a) != 1 {
		t.Errorf("followed too soon: %+v", out)
	}
	if out := check(a, start.Add(SilentAfter), 2); !out.Selected || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
	// The one that it came from may come back, and is told from the others in the same way.
	if out := check(a, start.Add(SilentAfter+time.Second), 1); out.Selected || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}

// A path that is checked without nominating is not silent, whatever else is checked.
//
// Row ICE-09.
func TestChecksOfTheSelectedPathKeepMediaThere(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	for at := 5 * time.Second; at < time.Minute; at += 5 * time.Second {
		check(a, start.Add(at), 1)
		if out := check(a, start.Add(at+4*time.Second), 2); out.Selected {
			t.Fatalf("after %v: %+v", at, out)
		}
	}
}

func TestNoCheckIsFollowedBeforeTheFirstNomination(t *testing.T) {
	a := newAgent()
	check(a, start, 1)
	if out := check(a, start.Add(2*SilentAfter), 2); out.Selected || selected(a) != 0 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}

// A nomination that waits is the peer's last word.
func TestAHeldNominationGoesBeforeWhatIsMerelyChecked(t *testing.T) {
	a := newAgent()
	check(a, start, 1)
	nominate(a, start, 2)
	check(a, start.Add(time.Second), 3)
	end := start.Add(consent)
	if a.Lost(end) || selected(a) != 3 { // fallen back to what is 29 s old, and so silent
		t.Fatalf("selected %d", selected(a))
	}
	nominate(a, end.Add(1), 2)
	check(a, end.Add(2), 1)
	a.Lost(end.Add(MinHold))
	if selected(a) != 2 {
		t.Errorf("selected %d", selected(a))
	}
}

func TestAnyCheckIsFollowedOnceTheSelectedPathIsGone(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	a.Forget(start.Add(time.Second), keyAt(1)) // its TCP connection is closed
	if out := check(a, start.Add(time.Second), 2); !out.Selected || selected(a) != 2 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}

// Row ICE-11.
func TestAnyCheckBringsConsentBack(t *testing.T) {
	for port := 1; port <= 2; port++ {
		a := newAgent()
		nominate(a, start, 1)
		late := start.Add(consent + 5*time.Second)
		if !a.Lost(late) {
			t.Fatal("not lost")
		}
		if out := check(a, late, port); !out.Selected || selected(a) != port || a.Lost(late) {
			t.Errorf("%+v, selected %d", out, selected(a))
		}
		if a.Checked() != late {
			t.Errorf("checked at %v", a.Checked())
		}
	}
}

// Row ICE-12: the peer knows of the restart, and has not nominated under it yet.
func TestOldCredentialsAreGoodWhileASilentPathIsLeft(t *testing.T) {
	a := newAgent()
	checkOf(a, 0, 1, 0, true)
	if out := checkOf(a, 10*time.Second, 2, 1, false); !out.Selected || a.Generation() != 0 {
		t.Errorf("%+v, generation %d", out, a.Generation())
	}
	if out := checkOf(a, 11*time.Second, 1, 0, true); !out.Selected || selected(a) != 1 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
}
