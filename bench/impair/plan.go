package impair

import (
	"errors"
	"slices"
	"time"
)

// Step is what a link is like from a time of its plan on. The seed of its Config has no meaning:
// draws go on as they began.
type Step struct {
	After  time.Duration // since the plan's start
	Config Config
}

// maxSteps bounds a plan.
const maxSteps = 1024

// timed is a step whose time is known.
type timed struct {
	from time.Time
	cfg  Config
}

// Plan sets what the link is like from times on, in place of an earlier plan; what it is like
// already stays till the first of them. Steps are in the order of time. A datagram belongs to the
// step at whose time it is pushed; what waits for the rate when the rate changes leaves at the new
// one.
func (l *Link) Plan(start time.Time, steps ...Step) error {
	if len(steps) > maxSteps {
		return errors.New("impair: a plan has too many steps")
	}
	plan := make([]timed, len(steps))
	for i, s := range steps {
		if err := s.Config.check(); err != nil {
			return err
		}
		if s.After < 0 || i > 0 && s.After < steps[i-1].After {
			return errors.New("impair: steps are not in the order of time")
		}
		plan[i] = timed{start.Add(s.After), s.Config}
	}
	l.plan = plan
	return nil
}

// Advance has the steps begin whose time has come; Push does so too. Where nothing is pushed for
// longer than the queue of the rate lasts, somebody has to call it when the rate changes.
func (l *Link) Advance(now time.Time) { l.advance(now) }

// Change is when the next step begins; zero if none is left.
func (l *Link) Change() time.Time {
	if len(l.plan) == 0 {
		return time.Time{}
	}
	return l.plan[0].from
}

func (l *Link) advance(now time.Time) {
	for len(l.plan) > 0 && !l.plan[0].from.After(now) {
		step := l.plan[0]
		l.plan = l.plan[1:]
		if step.cfg.Rate != l.cfg.Rate && l.cfg.Rate != 0 {
			l.rerate(step.from, step.cfg.Rate)
		}
		l.cfg = step.cfg
	}
}

// rerate moves what still waits for the old rate at a time to when it leaves at the new one; 0 is
// without limit, and all leaves at once.
func (l *Link) rerate(at time.Time, rate int) {
	factor := 0.0
	if rate != 0 {
		factor = float64(l.cfg.Rate) / float64(rate)
	}
	sooner := func(t time.Time) time.Duration {
		wait := t.Sub(at)
		return wait - time.Duration(float64(wait)*factor)
	}
	if l.free.After(at) {
		l.free = l.free.Add(-sooner(l.free))
	}
	l.last = time.Time{}
	for i := range l.heap {
		h := &l.heap[i]
		if h.leaves.After(at) {
			by := sooner(h.leaves)
			h.leaves, h.exit = h.leaves.Add(-by), h.exit.Add(-by)
		}
		if h.exit.After(l.last) {
			l.last = h.exit
		}
	}
	slices.SortFunc(l.heap, func(a, b held) int { // which makes it a heap too
		if a.before(&b) {
			return -1
		}
		return 1
	})
}
