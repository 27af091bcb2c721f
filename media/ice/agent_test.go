package ice

import (
	"testing"
	"time"

	"tsubame/media/param"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// start is when the agents of tests begin.
const start = mono.Time(time.Second)

// keyAt returns the path from one of the peer's ports.
func keyAt(port int) flow.Key {
	k := key4
	k.Port = uint16(port)
	return k
}

// newAgent returns an agent without paths.
func newAgent() *Agent {
	a := new(Agent)
	a.Init(start)
	return a
}

// check and nominate are valid checks of generation 0.
func check(a *Agent, now mono.Time, port int) Outcome {
	return a.HandleCheck(now, keyAt(port), &Request{Controlling: true})
}

func nominate(a *Agent, now mono.Time, port int) Outcome {
	return a.HandleCheck(now, keyAt(port), &Request{Controlling: true, UseCandidate: true})
}

// selected returns the selected path's port, 0 if there is none.
func selected(a *Agent) int {
	k, ok := a.Selected()
	if !ok {
		return 0
	}
	return int(k.Port)
}

func TestNothingIsSelectedBeforeANomination(t *testing.T) {
	a := newAgent()
	out := check(a, start, 1)
	if out != (Outcome{NewPath: true}) || selected(a) != 0 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
	if !a.Validated(keyAt(1)) || a.Validated(keyAt(2)) {
		t.Error("wrong paths are validated")
	}
	if out = nominate(a, start, 1); out != (Outcome{Selected: true}) || selected(a) != 1 {
		t.Errorf("%+v, selected %d", out, selected(a))
	}
	if out = nominate(a, start, 1); out != (Outcome{}) {
		t.Errorf("nominated again: %+v", out)
	}
}

func TestAPathIsAlsoItsLocalAddress(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	k := keyAt(1)
	k.Local[15]++
	if a.Validated(k) {
		t.Error("a path to another of our addresses counts as validated")
	}
}

func TestPathsOfTheSeedAreValidated(t *testing.T) {
	a := newAgent()
	a.Validate(start, keyAt(1))
	if out := nominate(a, start.Add(1), 1); out != (Outcome{Selected: true}) {
		t.Errorf("%+v", out)
	}
	a.Validate(start-5, keyAt(1)) // a late message must not turn consent back
	if want := start.Add(1 + param.ConsentTimeout); a.Deadline() != want {
		t.Errorf("consent until %v, want %v", a.Deadline(), want)
	}
}

func TestControlledPeerIsARoleConflictAndValidatesNothing(t *testing.T) {
	a := newAgent()
	out := a.HandleCheck(start, keyAt(1), &Request{Controlled: true, UseCandidate: true})
	if out != (Outcome{ErrorCode: CodeRoleConflict}) || a.Validated(keyAt(1)) {
		t.Errorf("%+v", out)
	}
}

// Row ICE-08.
func TestPathsOfOneUfragAreBounded(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	now, evicted := start, map[flow.Key]bool{}
	for port := 2; port <= 10000; port++ {
		now = now.Add(time.Millisecond)
		if port%2500 == 0 {
			nominate(a, now, 1) // the peer itself, as every 2.5 s
		}
		out := check(a, now, port)
		if out.HasEvicted {
			evicted[out.Evicted] = true
		}
		if !out.NewPath || out.Selected || out.HasEvicted != (port > MaxPaths) {
			t.Fatalf("port %d: %+v", port, out)
		}
		if selected(a) != 1 || !a.Validated(keyAt(1)) {
			t.Fatalf("port %d displaced the selected path", port)
		}
	}
	paths := a.Paths(nil)
	if len(paths) != MaxPaths || len(evicted) != 10000-MaxPaths {
		t.Errorf("%d paths, %d evicted", len(paths), len(evicted))
	}
	for _, k := range paths {
		if evicted[k] {
			t.Errorf("path of port %d was evicted and is there", k.Port)
		}
	}
}

// Row ICE-08.
func TestThePathSilentForLongestIsEvicted(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	for port := 2; port <= MaxPaths; port++ {
		check(a, start.Add(time.Duration(port)), port)
	}
	check(a, start.Add(100), 2) // now port 3 has been silent for longest
	if out := check(a, start.Add(200), 99); !out.HasEvicted || out.Evicted != keyAt(3) {
		t.Errorf("evicted %+v", out.Evicted)
	}
	// The same for a path from the seed.
	if k, ok := a.Validate(start.Add(201), keyAt(98)); !ok || k != keyAt(4) {
		t.Errorf("evicted %+v, %v", k, ok)
	}
}

func TestPathAboutToBeSelectedIsNotEvicted(t *testing.T) {
	a := newAgent()
	nominate(a, start, 1)
	nominate(a, start.Add(1), 2) // held
	for port := 3; port < 30; port++ {
		check(a, start.Add(2), port)
	}
	if a.Lost(start.Add(MinHold)) || selected(a) != 2 {
		t.Errorf("selected %d", selected(a))
	}
}
