package load

import (
	"context"
	"time"
)

const (
	calmTick   = time.Second           // between two readings of the server's CPU time
	calmSpread = 10                    // a tenth between the least and the most of three seconds is calm
	calmSlack  = 30 * time.Millisecond // and so is this, whatever the tenth is: the kernel counts in 10 ms
	calmCount  = 3                     // seconds that are compared
)

// calm waits until the server's CPU time of a second stays the same, Scenario.Calm at most.
// Joining leaves work behind, garbage above all, that is no part of what is measured.
func (e *engine) calm(ctx context.Context, cpu func() time.Duration) error {
	if e.scenario.PID == 0 || e.scenario.Calm <= 0 {
		return nil
	}
	var seconds []time.Duration
	last := cpu()
	for end := time.Now().Add(e.scenario.Calm); time.Now().Before(end) && !steady(seconds); {
		if err := e.wait(ctx, min(calmTick, time.Until(end))); err != nil {
			return err
		}
		now := cpu()
		seconds, last = append(seconds, now-last), now
	}
	return nil
}

// steady reports whether the last few of all are nearly the same.
func steady(all []time.Duration) bool {
	if len(all) < calmCount {
		return false
	}
	low, high := all[len(all)-1], all[len(all)-1]
	for _, d := range all[len(all)-calmCount:] {
		low, high = min(low, d), max(high, d)
	}
	return high-low <= max(high/calmSpread, calmSlack)
}
