package ice

import (
	"time"

	"tsubame/media/param"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// MaxPaths is how many validated paths one connection keeps. A browser with Wi-Fi, cellular
// and both IP families uses four directly, and as many through TURN over TCP and over TLS; the
// rest is room for ports that a NAT changed.
const MaxPaths = 16

// A nomination that comes sooner than one round trip after the last change of path is held
// until then: within that time the peer cannot even have learned of the change. We send no
// checks and so do not measure the round trip here; SetRTT takes what RTCP says, within bounds
// so that a lie about it neither removes the hold nor delays a real change noticeably.
const (
	MinHold = 20 * time.Millisecond
	MaxHold = 200 * time.Millisecond
)

// SilentAfter is how long the selected path may go without a valid check before checks on another
// path move media there, nominated or not. Browsers check the path that they use every 2.5 s
// (libwebrtc) or 4 to 6 s (RFC 7675 section 5.1), and nominate with each of these checks while they
// hold the path to be good (libwebrtc towards a lite agent). What they do not hold to be good any
// more, as after a blackout, they check without nominating, from whatever address they have now.
const SilentAfter = 6 * time.Second

// none is the index of no path.
const none = -1

// Agent is the ICE-lite state of one connection: which paths a valid check came from, which
// of them media takes, and until when the peer's consent holds. It only learns of requests
// that passed Verify. Call Init before anything else. An Agent holds no pointers and may be
// copied to another owner.
type Agent struct {
	paths      [MaxPaths]path
	count      int8
	selected   int8      // index into paths, or none
	held       int8      // the path whose nomination waits for the hold to end, or none
	nominated  bool      // the peer has nominated a path, at whatever time
	generation uint32    // of the credentials that the last nomination was made with
	began      mono.Time // Init, or the last check of a path that Forget has removed
	switched   mono.Time // when selected changed last
	rtt        time.Duration
}

// path is one validated way to the peer.
type path struct {
	key flow.Key
	at  mono.Time // of the last valid check
}

// Outcome is what a check came to. Every check has an answer: an error response if ErrorCode
// is not 0, else the success response.
type Outcome struct {
	ErrorCode  int      // CodeRoleConflict, CodeUnauthenticated (a retired generation) or 0
	Selected   bool     // Selected answers otherwise than before
	NewPath    bool     // the path was not known before
	Evicted    flow.Key // the path that made room for it, if HasEvicted
	HasEvicted bool
}

// Init makes a an agent without paths. Consent counts from now on.
func (a *Agent) Init(now mono.Time) {
	*a = Agent{selected: none, held: none, began: now}
}

// HandleCheck takes a request that came over path k and passed Verify with the credentials of
// r.Generation. It validates the path or refreshes its consent, and follows USE-CANDIDATE: the
// latest wins (RFC 8445 section 7.3.1.5, for lite agents 7.3.2). Once the peer has nominated it
// also follows a check without it, if the selected path has been silent for SilentAfter or there
// is none any more.
func (a *Agent) HandleCheck(now mono.Time, k flow.Key, r *Request) Outcome {
	// The old pair of credentials works until the peer nominates with the new one, so that
	// media never waits for a restart; from then on it is void (RFC 8445 section 9).
	if int32(r.Generation-a.generation) < 0 {
		return Outcome{ErrorCode: CodeUnauthenticated}
	}
	// A lite agent is always controlled, and cannot take the other role (RFC 8445 section 7.3.1.1).
	if r.Controlled {
		return Outcome{ErrorCode: CodeRoleConflict}
	}
	var out Outcome
	out.Selected = a.release(now)
	i := a.find(k)
	if i == none {
		out.NewPath = true
		i, out.Evicted, out.HasEvicted = a.add(k)
	}
	a.refresh(i, now)
	if r.UseCandidate {
		a.generation, a.nominated = r.Generation, true
	} else if !a.nominated || a.held != none || !a.silent(now) {
		return out
	}
	if a.nominate(now, i) {
		out.Selected = true
	}
	return out
}

// Validate adds a path that another shard validated at now, before this agent was built. It
// returns the path that made room for it, if there is one.
func (a *Agent) Validate(now mono.Time, k flow.Key) (evicted flow.Key, hasEvicted bool) {
	i := a.find(k)
	if i == none {
		i, evicted, hasEvicted = a.add(k)
	}
	a.refresh(i, now)
	return evicted, hasEvicted
}

// Forget removes path k, which can carry nothing any more: the stream that it goes over is
// closed. If it was the selected one, the one that was about to be follows, or else the one with
// the freshest consent, or none if there is no consent at now for any (RFC 7675 section 5.1): the
// address behind a path that was left long ago may be another's by now. Selected says which. The
// peer's consent counts on as if the path were there, so that it has time to find another.
func (a *Agent) Forget(now mono.Time, k flow.Key) {
	i := a.find(k)
	if i == none {
		return
	}
	a.began = max(a.began, a.paths[i].at)
	last := a.count - 1
	a.paths[i] = a.paths[last]
	a.count = last
	moved := func(j int8) int8 {
		switch j {
		case i:
			return none
		case last:
			return i
		}
		return j
	}
	a.held = moved(a.held)
	if a.selected == none {
		return
	}
	if a.selected = moved(a.selected); a.selected != none {
		return
	}
	if a.selected, a.held = a.held, none; a.selected == none {
		a.selected = a.freshest()
	}
	if a.selected != none && !a.consents(a.selected, now) {
		a.selected = none
	}
}

// Consented reports whether the peer's consent to be sent something on path k holds at now: a valid
// check has come over it within param.ConsentTimeout (RFC 7675 section 5.1).
func (a *Agent) Consented(now mono.Time, k flow.Key) bool {
	i := a.find(k)
	return i != none && a.consents(i, now)
}

// Nominated reports whether the peer has nominated a path, at whatever time. From then on nothing
// may be sent but on the path that Selected names.
func (a *Agent) Nominated() bool { return a.nominated }

// Validated reports whether a valid check has come over k and k has not been evicted since.
func (a *Agent) Validated(k flow.Key) bool { return a.find(k) != none }

// Selected returns the path that packets have to take, if there is one.
func (a *Agent) Selected() (flow.Key, bool) {
	if a.selected == none {
		return flow.Key{}, false
	}
	return a.paths[a.selected].key, true
}

// Paths appends all validated paths to dst.
func (a *Agent) Paths(dst []flow.Key) []flow.Key {
	for i := range a.count {
		dst = append(dst, a.paths[i].key)
	}
	return dst
}

// Checked returns when the last valid check came, by any path; Init's time if none ever did.
func (a *Agent) Checked() mono.Time {
	last := a.began
	for i := range a.count {
		last = max(last, a.paths[i].at)
	}
	return last
}

// Generation returns the generation of credentials under which the peer nominated last.
func (a *Agent) Generation() uint32 { return a.generation }

// SetRTT tells the agent the round trip time of the selected path, which sets how soon it may
// change again. It is clamped to MinHold and MaxHold; without it the hold is MinHold.
func (a *Agent) SetRTT(rtt time.Duration) { a.rtt = rtt }

// Lost does what time alone brings about; call it when Deadline has come. It lets a held
// nomination through, and when the selected path has had no valid check for
// param.ConsentTimeout it falls back to the path with the freshest consent: Selected may answer
// otherwise after it. It says true when no path has consent any more, nor one that was forgotten
// would have: nothing may be sent from then on (RFC 7675 section 5.1), and Selected says so.
func (a *Agent) Lost(now mono.Time) bool {
	a.release(now)
	if now.Before(a.consentEnd()) {
		return false
	}
	best := a.freshest()
	if best == none || !a.consents(best, now) {
		a.selected, a.held = none, none
		return !now.Before(a.began.Add(param.ConsentTimeout)) // or Forget has left it some time
	}
	a.choose(now, best)
	return false
}

// Deadline returns when Lost wants to be called. Checks only ever move it later, but for a
// held nomination: ask again after HandleCheck, or when the last answer has come.
func (a *Agent) Deadline() mono.Time {
	end := a.consentEnd()
	if a.held != none {
		return min(end, a.switched.Add(a.hold()))
	}
	return end
}

// consentEnd is when consent to send ends, unless another path takes over.
func (a *Agent) consentEnd() mono.Time {
	last := a.began
	if a.selected != none {
		last = a.paths[a.selected].at
	} else if i := a.freshest(); i != none {
		last = max(last, a.paths[i].at)
	}
	return last.Add(param.ConsentTimeout)
}

// nominate follows a USE-CANDIDATE on path i and reports whether the selected path changed.
func (a *Agent) nominate(now mono.Time, i int8) bool {
	if i == a.selected {
		a.held = none
		return false
	}
	if a.selected != none && now.Before(a.switched.Add(a.hold())) {
		a.held = i
		return false
	}
	a.choose(now, i)
	return true
}

// silent reports whether there is no selected path, or one that nobody has checked for SilentAfter.
func (a *Agent) silent(now mono.Time) bool {
	return a.selected == none || now.Sub(a.paths[a.selected].at) >= SilentAfter
}

// release lets a held nomination through if its time has come.
func (a *Agent) release(now mono.Time) bool {
	if a.held == none || now.Before(a.switched.Add(a.hold())) {
		return false
	}
	a.choose(now, a.held)
	return true
}

// choose makes i the selected path.
func (a *Agent) choose(now mono.Time, i int8) {
	a.selected, a.held, a.switched = i, none, now
}

func (a *Agent) hold() time.Duration { return min(max(a.rtt, MinHold), MaxHold) }

// refresh notes a valid check. Other shards' clock readings may come late; none sets it back.
func (a *Agent) refresh(i int8, now mono.Time) { a.paths[i].at = max(a.paths[i].at, now) }

// consents reports whether consent for path i holds.
func (a *Agent) consents(i int8, now mono.Time) bool {
	return now.Before(a.paths[i].at.Add(param.ConsentTimeout))
}

// find returns the index of path k, or none.
func (a *Agent) find(k flow.Key) int8 {
	for i := range a.count {
		if a.paths[i].key == k {
			return i
		}
	}
	return none
}

// freshest returns the path that a valid check came over last, or none.
func (a *Agent) freshest() int8 {
	best := int8(none)
	for i := range a.count {
		if best == none || a.paths[i].at > a.paths[best].at {
			best = i
		}
	}
	return best
}

// add makes room for path k. When all places are taken it evicts the path whose last check is
// the oldest, but never the selected one nor the one about to be: a peer that checks from
// thousands of ports (or somebody who does so in its name) cannot move media away.
func (a *Agent) add(k flow.Key) (i int8, evicted flow.Key, hasEvicted bool) {
	if a.count < MaxPaths {
		i = a.count
		a.count++
		a.paths[i] = path{key: k}
		return i, flow.Key{}, false
	}
	i = none
	for j := range a.count {
		if j == a.selected || j == a.held {
			continue
		}
		if i == none || a.paths[j].at < a.paths[i].at {
			i = j
		}
	}
	evicted = a.paths[i].key
	a.paths[i] = path{key: k}
	return i, evicted, true
}
