//go:build browser

package netem

import (
	"time"

	"tsubame/bench/impair"
)

// delay is one way of each client's own link, where a cell is not about another: 100 ms of RTT a
// link.
const delay = 50 * time.Millisecond

// usualRate is what video is sent with at most.
const usualRate = 1_500_000

// steady is a cell that is the same all the time, in all directions.
func steady(name string, cfg impair.Config) cell {
	c := cell{name: name, base: impair.Config{Delay: cfg.Delay}, bitrate: usualRate, noisy: cfg.Loss > 0}
	for i := range c.plans {
		c.plans[i] = [2][]impair.Step{always(cfg), always(cfg)}
	}
	return c
}

// one is a cell in which one direction of one client's link changes.
func one(name string, end int, d Direction, steps ...impair.Step) cell {
	c := cell{name: name, base: impair.Config{Delay: delay}, bitrate: usualRate}
	c.plans[end][d] = steps
	return c
}

// limited is a link of a rate with a queue of so long.
func limited(rate int, queue time.Duration) impair.Config {
	return impair.Config{Delay: delay, Rate: rate, Queue: max(4*mtu, int(float64(rate)/8*queue.Seconds()))}
}

const usualQueue = 200 * time.Millisecond

// When a blackout begins, and how long those of the matrix last.
const (
	blackFrom = 3 * time.Second
	blackout  = 5 * time.Second
	longBlack = 30 * time.Second
)

// dark is a blackout in one direction of a client's link, or in both.
func dark(name string, end int, lasts time.Duration, directions ...Direction) cell {
	c := cell{
		name: name, base: impair.Config{Delay: delay}, bitrate: usualRate,
		black: [2]time.Duration{blackFrom, blackFrom + lasts}, seconds: int((blackFrom + lasts).Seconds()) + 12,
	}
	for _, d := range directions {
		c.plans[end][d] = []impair.Step{
			{After: blackFrom, Config: impair.Config{Delay: delay, Loss: 1}},
			{After: blackFrom + lasts, Config: impair.Config{Delay: delay}},
		}
	}
	return c
}

func stepped(name string, end int, d Direction) cell {
	c := one(name, end, d,
		impair.Step{Config: limited(highRate, usualQueue)},
		impair.Step{After: stepDown, Config: limited(lowRate, usualQueue)},
		impair.Step{After: stepBack, Config: limited(highRate, usualQueue)})
	c.seconds, c.stepOf = stepEnd, end+1
	return c
}

// rebound is a cell in which the NAT of a client forgets its flows every so often.
func rebound(name string, end int) cell {
	// No multiple of the 2.5 s between two checks of Chromium: each comes at another time
	// between them.
	const every, times = 4700 * time.Millisecond, 10
	c := cell{name: name, base: impair.Config{Delay: delay}, bitrate: usualRate, every: every, times: times, seconds: int((every * (times + 1)).Seconds())}
	c.rebind[end] = true
	return c
}

// cells are those of the matrix, the ones first that the issue sets a reach for.
func cells() []cell {
	out := []cell{
		steady("loss-10", impair.Config{Delay: delay, Loss: 0.1}),
		dark("blackout-down-viewer", viewer, blackout, Down),
		dark("blackout-up-publisher", publisher, blackout, Up),
		dark("blackout-both-viewer", viewer, blackout, Up, Down),
		rebound("rebind-viewer", viewer),
		rebound("rebind-publisher", publisher),
		stepped("step-publisher", publisher, Up),
		stepped("step-viewer", viewer, Down),
		{name: "late-join", base: impair.Config{Delay: delay}, bitrate: usualRate, joins: 10},
		steady("clean", impair.Config{Delay: delay}),
		steady("loss-1", impair.Config{Delay: delay, Loss: 0.01}),
		steady("loss-5", impair.Config{Delay: delay, Loss: 0.05}),
		steady("loss-20", impair.Config{Delay: delay, Loss: 0.2}),
		steady("burst-5x5", impair.Config{Delay: delay, Loss: 0.05, Burst: 5}),
		steady("burst-10x5", impair.Config{Delay: delay, Loss: 0.1, Burst: 5}),
		steady("burst-10x20", impair.Config{Delay: delay, Loss: 0.1, Burst: 20}),
		steady("delay-20", impair.Config{Delay: 20 * time.Millisecond, Loss: 0.02}),
		steady("delay-100", impair.Config{Delay: 100 * time.Millisecond, Loss: 0.02}),
		steady("delay-200", impair.Config{Delay: 200 * time.Millisecond, Loss: 0.02}),
		steady("delay-400", impair.Config{Delay: 400 * time.Millisecond, Loss: 0.02}),
		steady("jitter-30", impair.Config{Delay: delay, Jitter: 30 * time.Millisecond}),
		steady("jitter-100", impair.Config{Delay: delay, Jitter: 100 * time.Millisecond}),
		steady("reorder-5", impair.Config{Delay: delay, Overtake: 0.05}),
		steady("duplicate-1", impair.Config{Delay: delay, Duplicate: 0.01}),
		steady("corrupt-1", impair.Config{Delay: delay, Corrupt: 0.01, Intact: ipv4Header + udpHeader}),
		dark("blackout-30", viewer, longBlack, Up, Down),
	}
	for _, rate := range []struct {
		name string
		rate int
	}{{"300k", 300_000}, {"600k", 600_000}, {"1200k", 1_200_000}} {
		out = append(out, one("rate-publisher-"+rate.name, publisher, Up, always(limited(rate.rate, usualQueue))...),
			one("rate-viewer-"+rate.name, viewer, Down, always(limited(rate.rate, usualQueue))...))
	}
	return out
}
