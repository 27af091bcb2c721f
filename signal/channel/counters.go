package channel

import (
	"maps"
	"strconv"
	"strings"
	"sync"
)

// Why a session that ends with SERVER-BUSY ended so; CountEvent counts them.
const (
	eventOverrun    = "behind its channel" // maxQueue
	eventJoinWaited = "join waited"        // joinWait
)

// Tally counts by name. Names come from our own constants, so their number is bounded.
type Tally struct {
	mu sync.Mutex
	n  map[string]uint64
}

// CountClose counts the end of a session by what its close frame said.
func (t *Tally) CountClose(code int, reason string) {
	t.count("signal_closed_" + strconv.Itoa(code) + "_" + reason)
}

// CountEvent counts what a session had logged, under signal_ and the event's words.
func (t *Tally) CountEvent(event string) {
	t.count("signal_" + strings.ReplaceAll(event, " ", "_"))
}

func (t *Tally) count(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]uint64{}
	}
	t.n[name]++
}

// Counters returns a copy.
func (t *Tally) Counters() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.n)
}

// Counters returns how sessions ended, those refused before their connect was accepted
// included (signal_closed_CODE_REASON), what they had logged (signal_EVENT), how many
// channels and sessions there are, and how many of the sessions are joining.
func (r *Registry) Counters() map[string]uint64 {
	out := r.Closes.Counters()
	if out == nil {
		out = map[string]uint64{}
	}
	channels, sessions := r.Counts()
	out["signal_channels"], out["signal_sessions"] = uint64(channels), uint64(sessions)
	out["signal_joining"] = uint64(r.Joining())
	return out
}
