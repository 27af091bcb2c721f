package channel

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"time"

	"tsubame/signal/session"
)

const (
	// maxQueue is how many events of its channel a session may be behind. A session that
	// is further behind is ended with SERVER-BUSY: its view of the channel would have holes.
	maxQueue = 4096
	// inboxSize is how many messages a transport may be ahead of its session; then the
	// reader waits, and TCP makes the client wait.
	inboxSize = 4
	// joinWait is how long a session waits for room in its channel's mailbox before the
	// client is refused with SERVER-BUSY.
	joinWait = 5 * time.Second
)

// Peer runs one session: it feeds the state machine and carries out its actions, one after
// the other. Sessions wait most of the time, by the thousand, so none has a goroutine while
// it does: who brings an event to an idle session runs it, or begins a goroutine that does,
// until nothing is left to be done. "The goroutine" is that one.
type Peer struct {
	registry  *Registry
	machine   *session.Session
	transport Transport
	remote    string // address of the client
	// What connect has decided for good.
	channelID, connectionID string
	began                   time.Time     // when its connect was accepted
	joining                 *list.Element // in registry.joining, guarded by its mu; nil: not there
	overTCP                 overTCP
	inbox                   chan session.Event
	done                    chan struct{}
	gone                    chan struct{} // media has ended; holds one

	mu      sync.Mutex
	queue   []session.Event
	spare   []session.Event // the queue of the next time
	overrun bool
	running bool // there is a goroutine, which looks at both queues once more before it ends
	over    bool // the session has ended; running stays set

	// Of the goroutine only.
	timer   *time.Timer
	cancel  context.CancelFunc // of the authentication under way; nil: none is
	told    bool               // it has been announced, or the application has heard that it failed
	due     time.Time          // what it is set to
	conn    Conn
	actor   *actor
	actions []session.Action // what is being carried out; empty in between
	// Of the actor's goroutine only, from join to leave.
	member *member
}

// newPeer returns a session that is idle only after run.
func newPeer(r *Registry, s *session.Session, t Transport, remote string) *Peer {
	m := s.Member()
	return &Peer{registry: r, machine: s, transport: t, remote: remote, channelID: m.ChannelID, connectionID: m.ConnectionID, began: time.Now(),
		inbox: make(chan session.Event, inboxSize), done: make(chan struct{}), gone: make(chan struct{}, 1), running: true}
}

// Deliver hands over an event of the transport: Message, Malformed or Vanished. It waits
// while the session is inboxSize of them behind. False: the session has ended.
func (p *Peer) Deliver(e session.Event) bool {
	if !p.offer(e) {
		return false
	}
	if p.begin() {
		go p.drain()
	}
	return true
}

// DeliverHere is Deliver, but that the caller's goroutine does what is to be done if the
// session is idle.
func (p *Peer) DeliverHere(e session.Event) bool {
	if !p.offer(e) {
		return false
	}
	if p.begin() {
		p.once()
	}
	return true
}

func (p *Peer) offer(e session.Event) bool {
	select {
	case <-p.done:
		return false
	default:
	}
	select {
	case p.inbox <- e:
		return true
	case <-p.done:
		return false
	}
}

// begin reports whether the caller has to see to it that the session runs.
func (p *Peer) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		return false
	}
	p.running = true
	return true
}

// Done is closed when the session has ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

// post queues events of the channel, which it copies. It never waits.
func (p *Peer) post(events ...session.Event) {
	p.mu.Lock()
	switch {
	case p.overrun, p.over:
	case len(p.queue)+len(events) > maxQueue:
		p.overrun = true
		p.registry.Closes.CountEvent(eventOverrun)
		p.queue = []session.Event{session.Kicked{Code: session.CodeError, Reason: session.ReasonServerBusy}}
	default:
		p.queue = append(p.queue, events...)
	}
	idle := !p.running
	p.running = true
	p.mu.Unlock()
	if idle {
		go p.drain()
	}
}

// mustPost queues an event that ends the session or comes at most twice in its life,
// whatever the queue holds. It never waits.
func (p *Peer) mustPost(e session.Event) {
	if p.enqueue(e) {
		go p.drain()
	}
}

// tick is called by the timer, on a goroutine of its own.
func (p *Peer) tick() {
	if p.enqueue(session.Tick{}) {
		p.drain()
	}
}

// enqueue queues an event whatever the queue holds, and reports whether the caller has to see
// to it that the session runs.
func (p *Peer) enqueue(e session.Event) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.queue = append(p.queue, e)
	idle := !p.running
	p.running = true
	return idle
}

// refuse ends a session that was never run.
func (p *Peer) refuse(k session.Kicked) {
	for _, a := range p.machine.Handle(nil, time.Now(), k) {
		if c, ok := a.(session.Close); ok {
			p.ended(c)
		}
	}
	close(p.done)
}

// run does what connect has led to, and what has come by then.
func (p *Peer) run(actions []session.Action) {
	p.actions = actions
	p.carryOut()
	p.drain()
}

// drain handles events until there are none.
func (p *Peer) drain() {
	for !p.round() {
	}
}

// once handles what there is. What comes meanwhile is another goroutine's: the caller has a
// socket to read.
func (p *Peer) once() {
	if !p.round() {
		go p.drain()
	}
}

// round handles what the channel has queued and one message, in the order in which they came,
// and reports whether that was all, and then the goroutine has nothing more to do.
func (p *Peer) round() (idle bool) {
	if p.machine.State() != session.Closed {
		var message session.Event
		select {
		case message = <-p.inbox:
		default:
		}
		q := p.take() // what was queued before the message came is in it
		if message != nil {
			q = append(q, message)
		}
		if len(q) > 0 {
			p.handle(q...)
			p.giveBack(q)
		}
	}
	if p.machine.State() == session.Closed {
		p.end()
		return true
	}
	p.arm()
	p.mu.Lock()
	defer p.mu.Unlock()
	idle = len(p.queue) == 0 && len(p.inbox) == 0
	p.running = !idle
	return idle
}

// arm sets the timer to the session's next deadline, of which there always is one.
func (p *Peer) arm() {
	at, now := p.machine.Deadline(), time.Now()
	switch {
	case p.timer == nil:
		p.timer = time.AfterFunc(at.Sub(now), p.tick)
	case at.Equal(p.due) && now.Before(at):
		return // the usual case: the next ping
	default:
		p.timer.Reset(at.Sub(now))
	}
	p.due = at
}

// end is the last that the session does.
func (p *Peer) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.endAuthentication()
	p.mu.Lock()
	p.over, p.queue, p.spare = true, nil, nil
	p.mu.Unlock()
	close(p.done)
	p.registry.forget(p)
}

func (p *Peer) take() []session.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queue
	p.queue, p.spare = p.spare, nil
	return q
}

// keepQueue is how many events' room a session keeps for the next time.
const keepQueue = 16

// giveBack returns what take returned.
func (p *Peer) giveBack(q []session.Event) {
	if cap(q) > keepQueue {
		return
	}
	clear(q)
	p.mu.Lock()
	p.spare = q[:0]
	p.mu.Unlock()
}

func (p *Peer) handle(events ...session.Event) {
	for _, e := range events {
		switch e.(type) {
		case session.Authenticated, session.Denied:
			p.endAuthentication()
		}
	}
	p.actions = p.machine.Handle(p.actions, time.Now(), events...)
	p.carryOut()
}

// result tells the machine what came of an action. What follows from it comes after the
// actions that are there already.
func (p *Peer) result(e session.Event) {
	p.actions = p.machine.Handle(p.actions, time.Now(), e)
}

// keepActions is how many actions' room a session keeps for the next time.
const keepActions = 16

// carryOut does what the machine asks for, in order.
func (p *Peer) carryOut() {
	for i := 0; i < len(p.actions); i++ {
		p.do(p.actions[i])
	}
	clear(p.actions)
	p.actions = p.actions[:0]
	if cap(p.actions) > keepActions {
		p.actions = nil
	}
}

func (p *Peer) do(action session.Action) {
	switch a := action.(type) {
	case session.Send:
		p.logSent(a.JSON)
		if !p.transport.Send(a.JSON) {
			p.result(session.Kicked{Code: session.CodeError, Reason: session.ReasonSlowReader})
		}
	case session.Close:
		p.ended(a)
	case session.Log:
		p.note(a)
	case session.Authenticate:
		p.authenticate(a)
	case session.CancelAuthentication:
		p.endAuthentication()
	case session.Report:
		p.report(a.JSON)
	case session.OpenMedia:
		// What came together with the verdict may have ended the session: then nobody closes media.
		if p.machine.State() == session.Opening {
			p.result(p.open(a.Reach))
		}
	case session.SetRemote:
		p.conn.SetRemote(a.Remote)
	case session.RestartICE:
		p.result(p.restartICE(a.Reach))
	case session.Publish:
		id, err := p.conn.Publish(a.Publish)
		p.result(session.Published{MID: a.Publish.MID, Track: id, OK: err == nil})
	case session.Unpublish:
		p.conn.Unpublish(a.Track)
	case session.Subscribe:
		p.conn.Subscribe(a.Subscribe)
	case session.Unsubscribe:
		p.conn.Unsubscribe(a.SSRC)
	case session.CloseMedia:
		p.conn.Close()
	case session.Join:
		p.join(a.Member)
	case session.Announce:
		p.established()
		p.actor.mail <- command{kind: announce, peer: p, tracks: a.Tracks}
	case session.Update:
		p.actor.mail <- command{kind: update, peer: p, tracks: a.Tracks}
	case session.Leave:
		p.settle()
		p.tellFailed(a.End) // before the channel may tell that its session has ended
		if p.actor != nil { // it may have had no room for the join
			p.actor.mail <- command{kind: leave, peer: p, end: &a.End}
		}
	default:
		panic("channel: unknown action")
	}
}

func (p *Peer) open(reach session.Reach) session.Event {
	conn, err := p.registry.config().Plane.Open(p.mediaEvent)
	if err != nil {
		p.registry.faults.Log("no room for a media connection", append(p.attributes(), "error", err)...)
		return session.OpenFailed{}
	}
	p.conn = conn
	if named, ok := conn.(Named); ok {
		m := p.machine.Member()
		named.SetName(m.ChannelID, m.ConnectionID)
	}
	ufrag, password := conn.Credentials()
	candidates, urls := p.registry.reach(reach)
	return session.Opened{Ufrag: ufrag, Password: password, Candidates: candidates, ICEServer: p.iceServer(urls)}
}

func (p *Peer) restartICE(reach session.Reach) session.Event {
	ufrag, password, err := p.conn.RestartICE()
	if err != nil {
		return session.RestartRefused{}
	}
	candidates, _ := p.registry.reach(reach)
	return session.Restarted{Ufrag: ufrag, Password: password, Candidates: candidates}
}

func (p *Peer) mediaEvent(e MediaEvent) {
	p.overTCP.note(e) // before the channel is told
	switch e.Kind {
	case MediaEstablished:
		p.mustPost(session.MediaEstablished{})
	case MediaClosed:
		select {
		case p.gone <- struct{}{}:
		default:
		}
		p.mustPost(session.MediaClosed{Reason: e.Reason})
	case MediaSilent:
		p.post(session.MediaSilent{})
	case MediaLapsed:
		p.post(session.MediaLapsed{})
	case MediaHeard:
		p.post(session.MediaHeard{})
	case MediaUnstable:
		if p.registry.config().Notify || p.registry.config().Hooks != nil { // who may switch it on for a client
			p.post(session.MediaUnstable{Level: e.Level})
		}
	}
}

func (p *Peer) join(m session.Member) {
	a := p.registry.acquire(m.ChannelID)
	wait := time.NewTimer(p.registry.joinWait)
	defer wait.Stop()
	select {
	case a.mail <- command{kind: join, peer: p, member: &m}:
		p.actor = a
	case <-wait.C:
		p.registry.release(a)
		p.registry.Closes.CountEvent(eventJoinWaited)
		p.result(session.JoinRefused{Reason: session.ReasonServerBusy})
	}
}

// attributes are what every line of log about a session says of it.
func (p *Peer) attributes() []any {
	m := p.machine.Member()
	return []any{"channel_id", m.ChannelID, "connection_id", m.ConnectionID, "client_id", m.ClientID,
		"role", m.Role.String(), "remote", p.remote}
}

func (p *Peer) established() {
	p.told = true
	p.registry.joined(p)
	m := p.machine.Member()
	p.registry.log.Info("session established", append(p.attributes(), "client", cmp.Or(m.Client.SoraClient, m.Client.Libwebrtc), "environment", m.Client.Environment, "transport", p.transportType())...)
}

// note writes what the machine finds worth a line. Clients cause it, so that it is sampled.
func (p *Peer) note(l session.Log) {
	p.registry.Closes.CountEvent(l.Event)
	p.registry.faults.Log(l.Event, append(p.attributes(), "detail", l.Detail)...)
}

// ended closes the transport and writes the session's last log line. What a client did
// wrong has a line of its own kind, sampled, so that a flood of bad clients cannot hide
// what else happens.
func (p *Peer) ended(c session.Close) {
	p.transport.Close(c.Code, c.Reason)
	counted := c.Reason
	if c.Foreign {
		counted = session.ReasonDenied
	}
	p.registry.Closes.CountClose(c.Code, counted)
	p.tellFailed(c)
	attributes := append(p.attributes(), "code", c.Code, "reason", c.Reason)
	if c.Code == session.CodeError {
		p.registry.faults.Log("session refused or aborted", append(attributes, "detail", c.Detail)...)
		return
	}
	p.registry.log.Info("session ended", attributes...)
}
