package ice

import (
	"testing"
	"time"
)

// checkOf is a valid check of a generation.
func checkOf(a *Agent, after time.Duration, port int, generation uint32, nominate bool) Outcome {
	return a.HandleCheck(start.Add(after), keyAt(port), &Request{Controlling: true, UseCandidate: nominate, Generation: generation})
}

// Row ICE-12.
func TestOldPairCarriesMediaUntilTheNewOneIsNominated(t *testing.T) {
	a := newAgent()
	checkOf(a, 0, 1, 0, true)
	if out := checkOf(a, time.Second, 2, 1, false); !out.NewPath || out.Selected {
		t.Errorf("%+v", out)
	}
	if selected(a) != 1 || a.Generation() != 0 {
		t.Errorf("selected %d, generation %d", selected(a), a.Generation())
	}
	if out := checkOf(a, 2*time.Second, 1, 0, true); out.ErrorCode != 0 {
		t.Errorf("the old generation is refused before the new one is in use: %+v", out)
	}
	if out := checkOf(a, 3*time.Second, 2, 1, true); !out.Selected {
		t.Errorf("%+v", out)
	}
	if selected(a) != 2 || a.Generation() != 1 {
		t.Errorf("selected %d, generation %d", selected(a), a.Generation())
	}
}

// Row ICE-12.
func TestOldGenerationIsRefusedAfterTheNewOneIsNominated(t *testing.T) {
	a := newAgent()
	checkOf(a, 0, 1, 0, true)
	checkOf(a, time.Second, 2, 1, true)
	deadline := a.Deadline()
	for _, port := range []int{1, 2, 3} {
		if out := checkOf(a, 2*time.Second, port, 0, true); out != (Outcome{ErrorCode: CodeUnauthenticated}) {
			t.Errorf("port %d: %+v", port, out)
		}
	}
	if selected(a) != 2 || a.Deadline() != deadline || a.Validated(keyAt(3)) {
		t.Error("a refused check had an effect")
	}
}

func TestRestartOnTheSamePath(t *testing.T) {
	a := newAgent()
	checkOf(a, 0, 1, 0, true)
	if out := checkOf(a, time.Second, 1, 1, true); out != (Outcome{}) {
		t.Errorf("%+v", out)
	}
	if a.Generation() != 1 || selected(a) != 1 {
		t.Errorf("generation %d, selected %d", a.Generation(), selected(a))
	}
}

// A second restart before the first was nominated: its credentials count, in either order.
//
// Row ICE-12.
func TestCrossedRestarts(t *testing.T) {
	a := newAgent()
	checkOf(a, 0, 1, 0, true)
	checkOf(a, time.Second, 2, 1, false)
	checkOf(a, 2*time.Second, 3, 2, true)
	if out := checkOf(a, 3*time.Second, 2, 1, true); out.ErrorCode != CodeUnauthenticated {
		t.Errorf("%+v", out)
	}
	if selected(a) != 3 || a.Generation() != 2 {
		t.Errorf("selected %d, generation %d", selected(a), a.Generation())
	}
}

func TestGenerationsWrap(t *testing.T) {
	a := newAgent()
	a.generation = 1<<32 - 1
	if out := checkOf(a, 0, 1, 0, true); out.ErrorCode != 0 || a.Generation() != 0 {
		t.Errorf("%+v, generation %d", out, a.Generation())
	}
	if out := checkOf(a, 0, 1, 1<<32-1, true); out.ErrorCode != CodeUnauthenticated {
		t.Errorf("%+v", out)
	}
}

// An agent is built when somebody nominates, which may be after restarts.
func TestAgentMayBeginInALaterGeneration(t *testing.T) {
	a := newAgent()
	if out := checkOf(a, 0, 1, 5, true); !out.Selected || a.Generation() != 5 {
		t.Errorf("%+v, generation %d", out, a.Generation())
	}
}
