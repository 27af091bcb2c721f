package ice

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/media/param"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// agentModel is the slow obvious version of what an Agent must keep to.
type agentModel struct {
	agent      *Agent
	now        mono.Time
	last       map[flow.Key]mono.Time // valid checks of paths that were not evicted
	nominated  flow.Key               // the latest nomination; zero: none, or overtaken
	selected   flow.Key
	switched   mono.Time
	ever       bool // anything was nominated
	generation uint32
	forgotten  mono.Time // the last valid check of the paths that were
}

// Whatever the peer does, the paths are bounded, media goes only where a fresh valid check came
// from, the selected path changes at most once per hold, and the latest nomination wins until its
// path is silent.
func TestAgentKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &agentModel{agent: new(Agent), now: start, last: map[flow.Key]mono.Time{}}
		m.agent.Init(start)
		t.Repeat(map[string]func(*rapid.T){
			"check":  m.check,
			"forget": m.forget,
			"wait": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(2*MinHold)).Draw(t, "short")))
				m.tick(t)
			},
			"wait long": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "long")))
				m.tick(t)
			},
			"": m.invariants,
		})
	})
}

func (m *agentModel) check(t *rapid.T) {
	k := keyAt(rapid.IntRange(1, 2*MaxPaths).Draw(t, "port"))
	r := Request{
		UseCandidate: rapid.Bool().Draw(t, "nominate"),
		Controlled:   rapid.IntRange(0, 9).Draw(t, "role") == 0,
		Generation:   uint32(rapid.IntRange(int(m.generation), int(m.generation)+1).Draw(t, "generation")),
	}
	if m.generation > 0 && rapid.IntRange(0, 4).Draw(t, "stale") == 0 {
		r.Generation = m.generation - 1
	}
	_, known := m.last[k]
	before := m.agent.Paths(nil)
	out := m.agent.HandleCheck(m.now, k, &r)
	if out.ErrorCode != 0 {
		if r.Generation >= m.generation && !r.Controlled {
			t.Fatalf("refused: %+v", out)
		}
		if !slices.Equal(before, m.agent.Paths(nil)) {
			t.Fatal("a refused check changed the paths")
		}
		return
	}
	if r.Controlled || r.Generation < m.generation {
		t.Fatal("accepted what had to be refused")
	}
	if out.NewPath == known {
		t.Fatalf("known %v, but %+v", known, out)
	}
	if out.HasEvicted {
		if out.Evicted == m.selected {
			t.Fatal("evicted the selected path")
		}
		delete(m.last, out.Evicted)
	}
	m.last[k] = m.now
	if r.UseCandidate {
		m.nominated, m.generation, m.ever = k, r.Generation, true
	} else {
		m.follow(t, k)
	}
	m.observe(t, out.Selected)
}

// follow takes it for a nomination if the agent follows a check that was none.
func (m *agentModel) follow(t *rapid.T, k flow.Key) {
	now, _ := m.agent.Selected()
	held := m.agent.held != none && m.agent.paths[m.agent.held].key == k
	if k == m.nominated || k == m.selected || now != k && !held {
		return
	}
	if !m.ever || m.selected != (flow.Key{}) && m.now.Sub(m.last[m.selected]) < SilentAfter {
		t.Fatalf("followed a check on port %d though port %d is not silent", k.Port, m.selected.Port)
	}
	m.nominated = k
}

// forget removes a path, or one that is not there.
func (m *agentModel) forget(t *rapid.T) {
	k := keyAt(rapid.IntRange(1, 2*MaxPaths).Draw(t, "port"))
	m.agent.Forget(m.now, k)
	at, known := m.last[k]
	delete(m.last, k)
	if known {
		m.forgotten = max(m.forgotten, at)
	}
	now, ok := m.agent.Selected()
	switch {
	case k != m.selected || m.selected == (flow.Key{}):
		if now != m.selected {
			t.Fatalf("forgetting port %d moved media from %d to %d", k.Port, m.selected.Port, now.Port)
		}
	case !ok:
		for other, at := range m.last {
			if m.now.Before(at.Add(param.ConsentTimeout)) {
				t.Fatalf("no path is selected though port %d has consent", other.Port)
			}
		}
		m.nominated = flow.Key{}
	case !m.now.Before(m.last[now].Add(param.ConsentTimeout)):
		t.Fatalf("port %d follows, which has no consent", now.Port)
	case ok && now != m.nominated:
		for other, at := range m.last {
			if at > m.last[now] {
				t.Fatalf("port %d follows, but port %d is fresher", now.Port, other.Port)
			}
		}
		m.nominated = flow.Key{} // nobody asked for it
	}
	if m.nominated == k {
		m.nominated = flow.Key{}
	}
	m.selected = now
}

// tick runs the timer if it is due.
func (m *agentModel) tick(t *rapid.T) {
	if !m.agent.Deadline().Due(m.now) {
		return
	}
	consent := func(k flow.Key) bool {
		at, ok := m.last[k]
		return ok && m.now.Before(at.Add(param.ConsentTimeout))
	}
	lost := m.agent.Lost(m.now)
	for k := range m.last {
		if lost && consent(k) {
			t.Fatalf("lost with consent on port %d", k.Port)
		}
	}
	if lost && m.now.Before(m.forgotten.Add(param.ConsentTimeout)) {
		t.Fatal("lost though a path that was forgotten has consent")
	}
	k, ok := m.agent.Selected()
	if lost && ok || !lost && !ok && m.selected != (flow.Key{}) && !m.now.Before(m.forgotten.Add(param.ConsentTimeout)) {
		t.Fatalf("lost %v, selected %v", lost, ok)
	}
	if ok && !consent(k) {
		t.Fatalf("port %d is selected without consent", k.Port)
	}
	if ok && k != m.selected && k != m.nominated && consent(m.selected) {
		t.Fatalf("port %d was selected, which nobody asked for", k.Port)
	}
	if k != m.nominated {
		m.nominated = flow.Key{} // time decided: only a new nomination counts again
	}
	m.selected, m.switched = k, max(m.switched, m.agent.switched)
}

// observe checks one change of the selected path.
func (m *agentModel) observe(t *rapid.T, changed bool) {
	k, _ := m.agent.Selected()
	if changed != (k != m.selected) {
		t.Fatalf("says changed %v, but port %d became %d", changed, m.selected.Port, k.Port)
	}
	if changed {
		if m.selected != (flow.Key{}) && m.now.Sub(m.switched) < MinHold {
			t.Fatalf("two switches within %v", m.now.Sub(m.switched))
		}
		m.selected, m.switched = k, m.now
	}
}

func (m *agentModel) invariants(t *rapid.T) {
	paths := m.agent.Paths(nil)
	if len(paths) > MaxPaths || len(paths) != len(m.last) {
		t.Fatalf("%d paths, %d in the model", len(paths), len(m.last))
	}
	for _, k := range paths {
		if _, ok := m.last[k]; !ok || !m.agent.Validated(k) {
			t.Fatalf("port %d has no valid check", k.Port)
		}
	}
	k, ok := m.agent.Selected()
	if ok && !m.agent.Validated(k) {
		t.Fatal("selected path is not validated")
	}
	settled := m.now.Sub(m.switched) >= MinHold && !m.agent.Deadline().Due(m.now)
	if m.nominated != (flow.Key{}) && settled && ok && k != m.nominated {
		t.Fatalf("port %d is selected, port %d was nominated last", k.Port, m.nominated.Port)
	}
	if m.agent.Generation() != m.generation {
		t.Fatalf("generation %d, want %d", m.agent.Generation(), m.generation)
	}
}
