package attack

import (
	"context"
	"fmt"
	"time"
)

// MaxRate is the most that anything here does in a second.
const MaxRate = 100_000

const (
	paceTick = 2 * time.Millisecond
	// paceBehind is how far a sender may be late before it forgets what it has missed.
	paceBehind = 10 * time.Millisecond
)

// Pace calls do with 0, 1, 2 and so on, rate times a second, until do returns false or ctx
// ends, and returns how often it did. It never calls faster to make up for a pause that was
// longer than 10 ms.
func Pace(ctx context.Context, rate int, do func(i int) bool) (n int, err error) {
	if rate < 1 || rate > MaxRate {
		return 0, fmt.Errorf("attack: rate of %d a second is not within 1 and %d", rate, MaxRate)
	}
	tick := time.NewTicker(paceTick)
	defer tick.Stop()
	p := pacer{rate: rate, start: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return n, nil
		case <-tick.C:
		}
		for range p.due(time.Now()) {
			if !do(n) {
				return n, nil
			}
			n++
		}
	}
}

// pacer tells how many are due.
type pacer struct {
	rate  int
	start time.Time // the time at which none were due
	done  int       // since then
}

// due returns how many are due at now, and takes them as done.
func (p *pacer) due(now time.Time) int {
	want := p.count(now.Sub(p.start))
	if late := p.count(paceBehind) + 1; want-p.done > late {
		p.start, p.done = now, 0
		return late
	}
	n := max(0, want-p.done)
	p.done += n
	return n
}

func (p *pacer) count(d time.Duration) int {
	return int(int64(d) * int64(p.rate) / int64(time.Second))
}
