package e2e

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tsubame/bench/load"
	"tsubame/bench/report"
)

// settled is how long after the last join the server's memory is what it stays: 5 s later it
// gives what the joins have left back to the system.
func settled(l *lab) time.Duration { return pick(l, 15*time.Second, 7*time.Second) }

func memoryParked(ctx context.Context, l *lab, r *report.Row) error {
	return memoryOfViewers(ctx, l, r, quiet, 64<<10)
}

func memoryUnparked(ctx context.Context, l *lab, r *report.Row) error {
	return memoryOfViewers(ctx, l, r, map[string]string{"signaling_notify": "false", "dtls_parking": "false"}, 100<<10)
}

func memoryOfViewers(ctx context.Context, l *lab, r *report.Row, config map[string]string, most uint64) error {
	sc := audience(l, r.Key, pick(l, 2000, 300), pick(l, 20*time.Second, 2*time.Second))
	sc.Warmup = settled(l)
	out, err := l.once(ctx, job{config: config, scenario: sc})
	if err != nil {
		return err
	}
	return memory(r, out, most, "idle")
}

// memoryPublisher measures what a publisher takes of a server that has 2,000 connections. All
// of them as publishers would be 3 Gbit/s, for which no machine has the time that runs the
// clients too. So most are viewers of one publisher of a packet a second, parked and as good
// as silent, and the others are publishers; the server's memory with the viewers alone, in the
// same process and read right before the first publisher comes, takes the place of that of an
// idle server. Everything that a publisher brings is in the difference: its rings, the packets
// in them, its session, and the arena's growth. What joins leave in the heap would be counted
// once too much or too little, so both readings are taken later than the server gives that back
// to the system, some seconds after the last join. What is not in the difference is free space
// among what is alive, which publishers fill first and which makes them look smaller. A server
// with the publishers alone errs the other way: each would bear a share of what the first
// connection of any kind costs.
func memoryPublisher(ctx context.Context, l *lab, r *report.Row) error {
	all, n := pick(l, 2000, 200), pick(l, 100, 30)
	watching := base(l, r.Key+"-viewers")
	watching.Clients, watching.Video, watching.PayloadSize, watching.PacketRate = all-n, false, 100, 1
	watching.Warmup = settled(l)
	watching.Duration = 10 * time.Minute // it is ended when the publishers have been measured

	sending := base(l, r.Key)
	sending.Rooms, sending.Clients, sending.Role, sending.Bitrate, sending.FrameRate = n, 1, load.SendOnly, 1_500_000, 25
	sending.Warmup, sending.Duration = settled(l), pick(l, 20*time.Second, 2*time.Second)

	s, err := l.start(ctx, quiet)
	if err != nil {
		return err
	}
	viewers, publishers, err := l.beside(ctx, s, watching, sending)
	if err = errors.Join(err, s.Stop()); err != nil {
		return err
	}
	good := healthy(r, viewers)
	r.Notes = append(r.Notes, fmt.Sprintf("%d publishers above a server with %d parked viewers, in one run; 2,000 publishers would be 3 Gbit/s to make on the same machine", n, viewers.Connected))
	if err := memory(r, publishers, 280<<10, "with the viewers alone"); err != nil {
		return err
	}
	if !good {
		r.Verdict = report.NotReached
	}
	return nil
}

// beside runs one load, and another one within its measured part; then it ends the first, whose
// result is a partial one.
func (l *lab) beside(ctx context.Context, s target, outer, inner load.Scenario) (*report.Result, outcome, error) {
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	outer.URL, outer.PID = s.URL(), s.PID()
	started := l.now()
	var samples []report.Sample
	var outerErr error
	calm, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		measured := false
		_, outerErr = l.load(background, outer, func(one report.Sample) {
			samples = append(samples, one)
			switch {
			case measured: // the other load tells of itself
			case one.Phase == report.Measuring:
				measured = true
				close(calm)
			default:
				l.say("   %s", one.Line())
			}
		})
	}()
	over := func() string {
		select {
		case <-ended:
			return outer.Name + " ended too early"
		default:
			return ""
		}
	}
	select {
	case <-calm:
	case <-ended:
		return nil, outcome{}, errors.Join(outerErr, errors.New(over()))
	}
	out, err := l.against(ctx, s, job{scenario: inner, giveUp: func(one report.Sample) string {
		if one.Phase != report.Measuring {
			return ""
		}
		return over()
	}})
	cancel()
	<-ended
	switch {
	case err != nil:
		return nil, outcome{}, err
	case out.gaveUp != "":
		return nil, outcome{}, errors.Join(outerErr, errors.New(out.gaveUp))
	}
	r := report.Partial(outer.Name, started, outer.Rooms*outer.Clients, samples)
	r.Machine = out.Machine
	l.results = append(l.results, r)
	return r, out, nil
}

// memory compares what each connection takes of the server's memory with the most that it may.
func memory(r *report.Row, out outcome, most uint64, idle string) error {
	if out.ServerPSS == 0 || out.IdlePSS == 0 {
		return fmt.Errorf("the server's memory could not be read: %d bytes, %d %s", out.ServerPSS, out.IdlePSS, idle)
	}
	each := out.PerPeer()
	r.Got, r.Busy = report.Size(each), busy(out.Result)
	r.Notes = append(r.Notes, fmt.Sprintf("%d connections, PSS %s, %s %s", out.Connected, report.Size(out.ServerPSS), report.Size(out.IdlePSS), idle))
	r.Verdict = verdict(healthy(r, out.Result) && each > 0 && each <= most)
	return nil
}
