package bwe

import (
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// MaxStatuses is how many statuses a feedback message may have. More packets are not remembered,
// so that what has more could tell little.
const MaxStatuses = maxHistory

// How many feedback messages are taken. Browsers send some 20 a second at most, others one for
// each frame of each track; what was held up on its way comes all at once.
const (
	intakeRate  = 200 // a second
	intakeBurst = 100
)

// intake is what is left of that. The zero value is full.
type intake struct {
	used int
	last mono.Time // up to when it has been given back
}

// Allow reports whether a feedback message is to be read at now, and counts it if it is. What a
// peer sends beyond what anybody has a use for shall cost nothing (row RTP-10).
func (e *Estimator) Allow(now mono.Time) bool {
	const each = time.Second / intakeRate
	a := &e.intake
	n := int64(now.Sub(a.last) / each)
	if n >= int64(a.used) {
		a.used, a.last = 0, now
	} else if n > 0 {
		a.used -= int(n)
		a.last = a.last.Add(time.Duration(n) * each)
	}
	if a.used == intakeBurst {
		return false
	}
	a.used++
	return true
}

// known makes the next status of t the first one of a packet that is remembered, and returns how
// many from there on are; 0: none, and nothing was read. What else is said costs no look at it,
// as far as its deltas allow.
func (h *history) known(t *rtcp.TWCC) int {
	count := int(t.StatusCount)
	if h.n == 0 || count > MaxStatuses {
		return 0
	}
	first := h.next - h.n
	if into := t.Base - first; into < h.n {
		return min(count, int(h.n-into))
	}
	before := int(first - t.Base)
	if before >= count {
		return 0
	}
	t.Pass(before)
	return min(count-before, int(h.n))
}
