package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/bench/proc"
	"tsubame/bench/report"
	"tsubame/media/param"
	"tsubame/netio"
)

// Bounds of a run.
const (
	maxClients   = 1 << 17 // of all rooms
	maxShards    = 64
	maxInflight  = 256                    // joins at one time
	hopeless     = 16                     // joins that fail, while none succeeds, end the run
	drainTime    = 3 * time.Second        // at most, for what was measured last and its retransmissions
	drainTick    = 250 * time.Millisecond // between two looks whether all has come
	catchUpTime  = 10 * time.Second       // at most, beyond drainTime, to read what is left in the sockets
	settleTime   = 15 * time.Second       // at most, for the first packets of every stream
	settleTick   = 100 * time.Millisecond
	sampleTime   = 1 * time.Second
	churnTick    = 100 * time.Millisecond
	maxProblems  = 8
	spareSlots   = 2                      // processor slots of the runtime beside the shards', who keep theirs asleep
	settleMargin = 200 * time.Millisecond // after the last join, before the next phase
	fadeTime     = 2 * time.Second        // from the last packet to silence: what feedback and requests take
)

// engine is one run.
type engine struct {
	scenario Scenario
	protocol Protocol
	profiles []piondtls.SRTPProtectionProfile
	ctx      context.Context
	capacity int // clients
	shards   []*shard
	clients  []*client
	rooms    []*room
	progress report.Progress

	at       atomic.Int32 // phase
	closing  atomic.Bool
	places   chan struct{} // joins in flight
	ended    chan struct{} // a join has ended, one way or the other
	fatal    chan error
	up       atomic.Int64
	failures atomic.Int64
	refused  atomic.Int64 // times that the server was busy

	mu       sync.Mutex
	problems []string
	first    error // of a client
	hurt     map[*client]bool
	why      causes // of the failures
}

func (e *engine) phase() phase { return phase(e.at.Load()) }

// Run runs a scenario to its end, or until ctx ends, and returns what it measured. progress
// may be nil. The error says why nothing could be measured; peers that failed while others
// went on are in the Result alone.
func Run(ctx context.Context, sc Scenario, progress report.Progress) (*report.Result, error) {
	return RunProtocol(ctx, sc, Sora{}, progress)
}

// RunProtocol is Run against a server that speaks another signaling protocol.
func RunProtocol(ctx context.Context, sc Scenario, protocol Protocol, progress report.Progress) (*report.Result, error) {
	sc, err := sc.withDefaults()
	if err != nil {
		return nil, err
	}
	profiles, err := profilesOf(sc.Profile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e := &engine{
		scenario: sc, protocol: protocol, profiles: profiles, ctx: ctx, capacity: sc.Rooms * sc.Clients,
		progress: progress, places: make(chan struct{}, maxInflight), fatal: make(chan error, 1),
		hurt: make(map[*client]bool), why: causes{},
	}
	e.ended = make(chan struct{}, 2*e.capacity)
	if err := e.build(); err != nil {
		return nil, err
	}
	return e.run(ctx, cancel)
}

// withDefaults fills in what is not given.
func (sc Scenario) withDefaults() (Scenario, error) {
	u, err := url.Parse(sc.URL)
	if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
		return sc, fmt.Errorf("load: %q is no WebSocket URL", sc.URL)
	}
	if sc.Rooms < 1 || sc.Clients < 1 || sc.Rooms > maxClients || sc.Clients > maxClients || sc.Rooms*sc.Clients > maxClients {
		return sc, fmt.Errorf("load: %d rooms of %d clients: 1 to %d clients in all", sc.Rooms, sc.Clients, maxClients)
	}
	if !sc.Audio && !sc.Video {
		return sc, errors.New("load: neither audio nor video")
	}
	switch sc.Role {
	case SendRecv, SendOnly, RecvOnly, Broadcast:
	default:
		return sc, fmt.Errorf("load: role %q", sc.Role)
	}
	if sc.Codec == 0 {
		sc.Codec = param.VP8
	}
	if sc.Bitrate <= 0 {
		sc.Bitrate = 500_000
	}
	if sc.FrameRate <= 0 && sc.PayloadSize == 0 {
		sc.FrameRate = 25
	}
	if sc.PayloadSize > 0 && sc.PacketRate <= 0 {
		return sc, errors.New("load: a payload size needs a packet rate")
	}
	if err := sc.TURN.check(); err != nil {
		return sc, err
	}
	if sc.TURN.stream() && sc.Impair != nil {
		return sc, errors.New("load: a stream loses and delays nothing by itself: no impairment over TCP and TLS")
	}
	if sc.Poll <= 0 {
		sc.Poll = 5 * time.Millisecond
	}
	sc.Shards = max(1, sc.Shards)
	if sc.Shards > maxShards {
		return sc, fmt.Errorf("load: %d shards, %d at most", sc.Shards, maxShards)
	}
	if sc.Duration <= 0 && !sc.Storm {
		return sc, errors.New("load: no duration")
	}
	for _, kind := range []param.Kind{param.Audio, param.Video} {
		if kind == param.Audio && sc.Audio || kind == param.Video && sc.Video {
			if _, err := open(&sc, kind, 0); err != nil {
				return sc, err
			}
		}
	}
	return sc, nil
}

// hostOf returns the address in a URL, if it is one.
func hostOf(text string) netip.Addr {
	u, err := url.Parse(text)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(u.Hostname())
	return a
}

// build makes shards and clients. Where only some publish, these have a shard of their own.
func (e *engine) build() error {
	n := e.scenario.Shards
	if e.scenario.Role == Broadcast {
		n++
	}
	for range n {
		s, err := newShard(e, e.capacity)
		if err != nil {
			for _, s := range e.shards {
				_ = s.sock.Close()
			}
			return fmt.Errorf("load: %w", err)
		}
		e.shards = append(e.shards, s)
	}
	run := time.Now().UnixNano()
	for i := range e.scenario.Rooms {
		e.rooms = append(e.rooms, newRoom(fmt.Sprintf("load-%x-%d", run, i)))
	}
	// The rooms' first clients come first, so that who broadcasts is there before who watches.
	for place := range e.scenario.Clients {
		for _, r := range e.rooms {
			c := &client{engine: e, room: r, number: len(e.clients), place: place}
			c.shard = e.shards[c.number%e.scenario.Shards]
			if e.scenario.Role == Broadcast && c.sends() {
				c.shard = e.shards[n-1]
			}
			e.clients = append(e.clients, c)
		}
	}
	return nil
}

// request is what a client asks for.
func (e *engine) request(c *client, id uint32) Request {
	sc := &e.scenario
	r := Request{
		URL: sc.URL, Channel: c.room.name, Sends: c.sends(), Receives: c.receives(),
		Audio: sc.Audio, Video: sc.Video, Codec: sc.Codec, Notify: sc.Notify, From: addressOf(id),
	}
	r.Bitrate = sc.Bitrate
	if sc.PayloadSize > 0 {
		r.Bitrate = sc.PayloadSize * sc.PacketRate * 8
	}
	r.Bitrate = min(max(r.Bitrate, 500_000), 15_000_000)
	return r
}

// run does the phases.
func (e *engine) run(ctx context.Context, cancel context.CancelFunc) (*report.Result, error) {
	var threads, clients sync.WaitGroup
	if n := len(e.shards) + spareSlots; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	for _, s := range e.shards {
		threads.Go(s.run)
	}
	defer threads.Wait()
	defer func() {
		for _, s := range e.shards {
			s.stop()
		}
	}()
	m := e.newMeter()
	stopMeter := m.start(ctx)
	r := &report.Result{Name: e.scenario.Name, Started: time.Now(), Peers: e.capacity, Machine: proc.Describe(".")}
	r.IdlePSS = m.pss()
	err := e.phases(ctx, &clients, m, r)
	e.closing.Store(true)
	cancel()
	clients.Wait()
	r.Samples = stopMeter()
	e.results(r)
	if err == nil && r.Connected == 0 {
		err = fmt.Errorf("load: no peer connected: %w", e.firstError())
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// phases joins, warms up, measures and drains.
func (e *engine) phases(ctx context.Context, clients *sync.WaitGroup, m *meter, r *report.Result) error {
	before := m.read()
	if err := e.joinAll(ctx, clients); err != nil {
		return err
	}
	after := m.read()
	r.JoinCPU, r.JoinTime = after.server-before.server, after.at.Sub(before.at)
	if e.scenario.Storm {
		r.Duration = r.JoinTime
		r.ServerPSS = m.pss()
		r.ServerCPU, r.MachineCPU, r.ClientCPU = r.JoinCPU, after.machine-before.machine, after.client-before.client
		return nil
	}
	m.phase.Store(report.WarmingUp)
	if err := e.settle(ctx); err != nil {
		return err
	}
	if err := e.wait(ctx, max(e.scenario.Warmup, settleMargin)); err != nil {
		return err
	}
	if err := e.calm(ctx, func() time.Duration { return m.read().server }); err != nil {
		return err
	}
	m.phase.Store(report.Measuring)
	e.at.Store(int32(measuring))
	from := m.read()
	err := e.wait(ctx, e.scenario.Duration)
	to := m.read()
	e.at.Store(int32(draining))
	r.ServerPSS = m.pss()
	m.phase.Store(report.Leaving)
	r.Duration, r.ServerCPU = to.at.Sub(from.at), to.server-from.server
	r.MachineCPU, r.ClientCPU = to.machine-from.machine, to.client-from.client
	r.ClientLoss = to.overflow - from.overflow
	if err != nil {
		return err
	}
	if err := e.drain(ctx, drainTime, catchUpTime); err != nil {
		return err
	}
	for _, s := range e.shards {
		s.ask(func() {
			for _, p := range s.peers {
				s.total.finish(p)
			}
			s.total.frozen = true
			s.publish()
		})
	}
	r.ClientLoss = m.read().overflow - from.overflow
	for _, s := range e.shards {
		s.ask(func() { r.ClientLoss += s.total.abandoned() })
	}
	return e.silence(ctx, m)
}

// silence is the time without media, if the scenario has one. All has been accounted for.
func (e *engine) silence(ctx context.Context, m *meter) error {
	if e.scenario.Silence <= 0 {
		return nil
	}
	for _, s := range e.shards {
		s.ask(func() { s.sending = nil })
	}
	if err := e.wait(ctx, fadeTime); err != nil {
		return err
	}
	m.phase.Store(report.Silent)
	err := e.wait(ctx, e.scenario.Silence)
	m.phase.Store(report.Leaving)
	if err != nil {
		return err
	}
	return e.wait(ctx, sampleTime+settleMargin) // whoever looks at samples sees the end of it
}

// wait lets a time go by, with churn, and ends early if the run cannot go on.
func (e *engine) wait(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(churnTick)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return nil
		case <-tick.C:
			if e.scenario.Churn > 0 && e.phase() != draining {
				for _, c := range e.clients {
					c.churn(netio.Now())
				}
			}
			if n := int(e.failures.Load()); n >= e.capacity {
				return fmt.Errorf("load: all %d peers are gone: %w", n, e.firstError())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle waits until every viewer has heard every publisher of its room, or no longer can be
// expected to: who then has not is measured as it is.
func (e *engine) settle(ctx context.Context) error {
	for end := time.Now().Add(settleTime); ; {
		deaf := false
		for _, s := range e.shards {
			s.ask(func() { deaf = deaf || s.deaf() })
		}
		if !deaf || time.Now().After(end) {
			return nil
		}
		if err := e.wait(ctx, settleTick); err != nil {
			return err
		}
	}
}

// drain waits until all that was measured has come, or no more of it can be expected. On a
// machine with too much to do, the sockets hold what the clients had no time to read, and the
// kernel tells of drops only with what it queued behind them: so they are read to their ends
// first.
func (e *engine) drain(ctx context.Context, drainTime, catchUpTime time.Duration) error {
	before := make([]uint64, len(e.shards))
	end := time.Now().Add(drainTime)
	for {
		if err := e.wait(ctx, drainTick); err != nil {
			return err
		}
		late := time.Now().After(end)
		outstanding, behind := false, false
		for i, s := range e.shards {
			s.ask(func() {
				outstanding = outstanding || s.outstanding()
				if !late {
					before[i] = s.emptied
				}
				arriving := s.arriving()
				behind = behind || arriving || s.emptied == before[i]
			})
		}
		if !outstanding || late && !behind {
			return nil
		}
		if late && time.Now().After(end.Add(catchUpTime)) {
			for i, s := range e.shards {
				s.ask(func() { s.total.unread = s.emptied == before[i] })
			}
			return nil
		}
	}
}

// admit waits for a place among those that join.
func (e *engine) admit(ctx context.Context, c *client) error {
	select {
	case e.places <- struct{}{}:
		c.inflight.Store(true)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// joinAll starts all clients at the rate and returns when each has joined or failed.
func (e *engine) joinAll(ctx context.Context, clients *sync.WaitGroup) error {
	start := time.Now()
	for i, c := range e.clients {
		if rate := e.scenario.JoinRate; rate > 0 {
			at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			select {
			case <-time.After(time.Until(at)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		select {
		case err := <-e.fatal:
			return err
		default:
		}
		if err := e.admit(ctx, c); err != nil {
			return err
		}
		clients.Go(func() { c.run(ctx) })
	}
	for range e.clients {
		select {
		case <-e.ended:
		case err := <-e.fatal:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// joined notes how a join ended. It is called at any time after, too, when a client fails
// later; it never blocks.
func (e *engine) joined(c *client, err error) {
	if c.inflight.CompareAndSwap(true, false) {
		<-e.places
	}
	if e.closing.Load() || e.ctx.Err() != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	before := c.counted && !e.hurt[c]
	if !c.counted {
		c.counted = true
		e.ended <- struct{}{} // it has room for all
		if err == nil {
			e.up.Add(1)
		}
	}
	if err == nil || e.hurt[c] {
		return
	}
	e.hurt[c] = true
	e.why.add(causeOf(err, before))
	if e.first == nil {
		e.first = err
	}
	if len(e.problems) < maxProblems {
		e.problems = append(e.problems, fmt.Sprintf("client %d of %s: %v", c.place, c.room.name, err))
	}
	if n := e.failures.Add(1); n >= hopeless && e.up.Load() == 0 {
		select {
		case e.fatal <- fmt.Errorf("load: none of the first %d peers could join: %w", n, e.first):
		default:
		}
	}
}

// failed returns the causes of failures so far.
func (e *engine) failed() []report.Failure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why.list()
}

func (e *engine) firstError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil {
		return errors.New("load: no reason is known")
	}
	return e.first
}

// results puts together what the shards have seen.
func (e *engine) results(r *report.Result) {
	r.Connected, r.Failed = int(e.up.Load()), int(e.failures.Load())
	var unplaced, silent, undecryptable, malformed, unread uint64
	for _, s := range e.shards {
		s.ask(func() {
			s.total.into(r)
			unplaced += s.total.unplaced
			silent += s.total.silentStreams
			undecryptable += s.total.undecryptable
			malformed += s.total.malformed
			if s.total.unread {
				unread++
			}
			for _, o := range s.total.origins {
				from, to := o.measured()
				r.Sent += to - from
			}
		})
	}
	r.Lost = r.Expected - r.Forwarded
	pick := func(f func(*total) *histogram) report.Distribution { return merge(e.shards, f) }
	r.Join = pick(func(t *total) *histogram { return &t.joins })
	r.Media = pick(func(t *total) *histogram { return &t.media })
	r.KeyFrame = pick(func(t *total) *histogram { return &t.keyFrames })
	r.Audio = pick(func(t *total) *histogram { return &t.audio })
	r.FrameFirst = pick(func(t *total) *histogram { return &t.frameFirst })
	r.FrameLast = pick(func(t *total) *histogram { return &t.frameLast })
	r.Failures = e.failed()
	e.mu.Lock()
	r.Problems = append(r.Problems, e.problems...)
	e.mu.Unlock()
	if n := e.refused.Load(); n > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("the server was busy %d times when a client came to join", n))
	}
	for _, one := range []struct {
		n    uint64
		text string
	}{
		{silent, "streams that never came"},
		{unplaced, "streams of no known publisher"},
		{undecryptable, "packets that no key opened"},
		{malformed, "malformed packets"},
		{unread, "threads of clients that did not come to read all that they were sent"},
	} {
		if one.n > 0 {
			r.Problems = append(r.Problems, fmt.Sprintf("%d %s", one.n, one.text))
		}
	}
}
