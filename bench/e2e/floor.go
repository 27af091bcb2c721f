package e2e

import (
	"fmt"
	"time"

	"tsubame/bench/bare"
	"tsubame/bench/report"
)

// loop is one of the bare loops.
type loop = func(bare.Config) (bare.Cost, error)

// rounds is how many rounds of a bare loop are measured at a time.
func (l *lab) rounds() int { return pick(l, 15, 5) }

const speedName = "the bare loop (64 x 1,100 B, GSO runs of 20), which tells how fast the machine is"

// speed measures the loop that shows whether the machine has become slower or faster, in words.
func (l *lab) speed() string {
	c, err := l.gso(bare.Config{Destinations: 64, Payload: 1100, Runs: []int{20}, Rounds: l.rounds()})
	if err != nil {
		return "not measured, " + err.Error()
	}
	return report.Time(c.PerPacket) + " a packet"
}

// floor is what a row is compared with: a bare loop before and after the server's run.
type floor struct {
	loop   loop
	config bare.Config
	pace   time.Duration

	backToBack, paced [2]time.Duration // before and after
}

// under measures a bare loop, then what run does, then the loop again. The loop goes back to
// back, which is what verdicts are about: everything is in the caches, and the kernel never has
// to wake anybody. That is the least that sending can cost, and no server can reach it that
// gets its packets one by one. So the loop is also measured at the pace at which the row's
// packets come, for comparison; that one sleeps, as the server does.
func (l *lab) under(f floor, run func() error) (floor, error) {
	f.config.Rounds = l.rounds()
	for i := range 2 {
		for _, one := range []struct {
			pace time.Duration
			to   *time.Duration
		}{{0, &f.backToBack[i]}, {f.pace, &f.paced[i]}} {
			config := f.config
			config.Interval = one.pace
			c, err := f.loop(config)
			if err != nil {
				return f, err
			}
			*one.to = c.PerPacket
		}
		if i == 0 {
			if err := run(); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// mean is what counts of two.
func mean(two [2]time.Duration) time.Duration { return (two[0] + two[1]) / 2 }

// ratio is a cost in units of the loop back to back, in words too.
func (f *floor) ratio(cost time.Duration) (float64, string) {
	x := ratio(cost, mean(f.backToBack))
	return x, fmt.Sprintf("%.2f x %s", x, report.Time(mean(f.backToBack)))
}

// note says what the loop took before and after, and at the row's pace.
func (f *floor) note(cost time.Duration) string {
	return fmt.Sprintf("the bare loop: %s before and %s after; at the pace of the packets %s and %s, of which the cost is %.2f x",
		report.Time(f.backToBack[0]), report.Time(f.backToBack[1]), report.Time(f.paced[0]), report.Time(f.paced[1]), ratio(cost, mean(f.paced)))
}
