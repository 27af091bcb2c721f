package load

import (
	"context"
	"sync/atomic"
	"time"

	"tsubame/bench/proc"
	"tsubame/bench/report"
)

// pssEvery is how many samples one reading of memory stands for. While the run measures there
// is none, because it holds up the server.
const pssEvery = 5

// meter reads what the run costs, and makes a sample of each second.
type meter struct {
	engine *engine
	phase  atomic.Value // report.Phase
	began  time.Time
}

// reading is the state of all counters at one time.
type reading struct {
	at                                     time.Time
	server, machine, client                time.Duration
	sent, forwarded, bytes, overflow, gaps uint64
}

func (e *engine) newMeter() *meter {
	m := &meter{engine: e, began: time.Now()}
	m.phase.Store(report.Joining)
	return m
}

// read reads all counters; those that the system does not tell are 0.
func (m *meter) read() reading {
	r := reading{at: time.Now()}
	if pid := m.engine.scenario.PID; pid > 0 {
		if u, err := proc.Of(pid); err == nil {
			r.server = u.CPU
		}
	}
	if t, err := proc.Machine(); err == nil {
		r.machine = t.Busy
	}
	if cpu, err := proc.Self(); err == nil {
		r.client = cpu
	}
	for _, s := range m.engine.shards {
		r.sent += s.live.sent.Load()
		r.forwarded += s.live.forwarded.Load()
		r.bytes += s.live.bytes.Load()
		r.gaps += s.live.gaps.Load()
		r.overflow += s.live.overflow.Load()
	}
	return r
}

// pss returns the server's memory in bytes; 0: not known.
func (m *meter) pss() uint64 {
	if m.engine.scenario.PID == 0 {
		return 0
	}
	n, err := proc.PSS(m.engine.scenario.PID)
	if err != nil {
		return 0
	}
	return n
}

// start samples every second until what it returns is called, which yields the samples.
func (m *meter) start(ctx context.Context) (stop func() []report.Sample) {
	end, done := make(chan struct{}), make(chan []report.Sample, 1)
	go func() {
		tick := time.NewTicker(sampleTime)
		defer tick.Stop()
		var all []report.Sample
		last := m.read()
		for {
			select {
			case <-end:
				done <- all
				return
			case <-tick.C:
				next := m.read()
				one := m.sample(last, next)
				if one.Phase != report.Measuring && len(all)%pssEvery == 0 {
					one.ServerPSS = m.pss()
				}
				all, last = append(all, one), next
				if m.engine.progress != nil && ctx.Err() == nil {
					m.engine.progress(one)
				}
			}
		}
	}()
	return func() []report.Sample {
		close(end)
		return <-done
	}
}

// sample is what happened between two readings.
func (m *meter) sample(a, b reading) report.Sample {
	return report.Sample{
		At: b.at.Sub(m.began), Span: b.at.Sub(a.at), Phase: m.phase.Load().(report.Phase),
		Connected: int(m.engine.up.Load()), Failed: int(m.engine.failures.Load()), Failures: m.engine.failed(),
		Sent: b.sent - a.sent, Forwarded: b.forwarded - a.forwarded, Bytes: b.bytes - a.bytes, Lost: b.gaps - a.gaps,
		ServerCPU: b.server - a.server, MachineCPU: b.machine - a.machine, ClientCPU: b.client - a.client,
	}
}
