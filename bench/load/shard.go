package load

import (
	"errors"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/bench/proc"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

const (
	batchSize     = 64                     // datagrams read at once, between which publishers send
	queueSize     = 1024                   // datagrams that wait for a sendmmsg
	recvBuffer    = 512 << 20              // bytes asked of the kernel: a second of 500,000 packets/s
	sendBuffer    = 64 << 20               // likewise
	joiningPoll   = 1 * time.Millisecond   // while peers join, or have delays of their own
	visitInterval = 100 * time.Millisecond // between two looks whether a peer is to be visited
	maxReads      = 256                    // batches in one poll: a flood must not stop the rest
	maxAsked      = 64                     // packets asked for by NACK in one poll; the rest waits for the next
	quietTime     = 1 * time.Second        // without NACKs, since the socket overflowed
)

var (
	errConsent = errors.New("load: the server answers no checks any more")
	errNoPath  = errors.New("load: no check was answered")
	errNoDTLS  = errors.New("load: the DTLS handshake did not end in time")
)

// shard is one thread and its socket, with all the peers that use it. Only what run calls
// touches its fields; others post functions to it.
type shard struct {
	scenario *Scenario
	engine   *engine
	sock     mmsg.Socket
	batch    *mmsg.RxBatch
	queue    *mmsg.TxQueue
	now      mono.Time
	latency  bool

	table   []*peer // by address
	peers   []*peer
	wake    []mono.Time // of each of peers, when to visit it
	visited int         // of peers, where the next look at wake begins
	owed    float64
	joining int              // peers of entering that are still
	feeding []*peer          // those that have feedback to send
	found   [batchSize]*peer // of a batch, by address
	scratch scratch

	entering []*peer // those that join, and some that have
	impaired int     // peers with a link of some quality
	lossy    []*peer // those that miss packets
	sending  schedule
	stamps   []*entry // of packets queued since the last flush

	blocks [maxBlocks]rtcp.ReportBlock
	seqs   []uint16

	total                  total
	sentPackets, sentBytes uint64
	received, sentControl  uint64
	emptied                uint64 // polls after which nothing was left in the socket
	carried                carried
	unread                 bool // something was left by the last poll
	overflow               overflow
	quietUntil             mono.Time
	budget                 int // packets that may still be asked for in this poll
	live                   live

	mu      sync.Mutex
	inbox   []func()
	taken   []func()
	stopped bool
}

// live is what the run's goroutine reads every second.
type live struct {
	sent, forwarded, bytes, gaps, overflow, sentBytes atomic.Uint64
	cpu                                               atomic.Int64
}

func newShard(e *engine, capacity int) (*shard, error) {
	sock, err := mmsg.Open(mmsg.Options{
		RecvBuffer: recvBuffer, SendBuffer: sendBuffer, NoGSO: true, Timestamps: e.scenario.Latency,
	})
	if err != nil {
		return nil, err
	}
	// Nothing is cut on loopback, and the kernel need not find an identification for each datagram.
	if err := unix.SetsockoptInt(sock.FD(), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO); err != nil {
		_ = sock.Close()
		return nil, err
	}
	s := &shard{
		scenario: &e.scenario, engine: e, sock: sock, latency: e.scenario.Latency,
		batch: mmsg.NewRxBatch(batchSize), queue: mmsg.NewTxQueue(queueSize),
		table: make([]*peer, capacity), seqs: make([]uint16, 0, maxMissing),
		stamps: make([]*entry, 0, queueSize),
	}
	s.queue.SetFlusher(s.flush)
	return s, nil
}

// post makes the shard call f; it may be called from any goroutine.
func (s *shard) post(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.inbox = append(s.inbox, f)
	}
}

// ask calls f on the shard and waits for its end.
func (s *shard) ask(f func()) {
	done := make(chan struct{})
	s.post(func() { f(); close(done) })
	<-done
}

func (s *shard) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// take runs what was posted; false: the shard is to end.
func (s *shard) take() bool {
	s.mu.Lock()
	s.inbox, s.taken = s.taken[:0], s.inbox
	stopped := s.stopped
	s.mu.Unlock()
	for i, f := range s.taken {
		f()
		s.taken[i] = nil
	}
	return !stopped
}

func (s *shard) phase() phase { return s.engine.phase() }

// spread returns a random share of d, so that peers do not act in step.
func (s *shard) spread(d time.Duration) time.Duration {
	return time.Duration(mathrand.Int64N(int64(d)))
}

// run is the shard's thread.
func (s *shard) run() {
	runtime.LockOSThread()
	precise()
	defer s.sock.Close()
	next := netio.Now()
	for {
		s.now = netio.Now()
		if !s.take() {
			return
		}
		s.sendDue()
		if s.now >= next {
			s.poll()
			if s.impaired > 0 {
				s.deliver()
			}
			s.tick(s.interval())
			s.publish()
			next = next.Add(s.interval())
			if next < s.now {
				next = s.now
			}
		}
		s.flush()
		s.sleep(next)
	}
}

// interval is how long the shard may sleep between two polls.
func (s *shard) interval() time.Duration {
	if s.joining > 0 || s.impaired > 0 {
		return min(s.scenario.Poll, joiningPoll)
	}
	return s.scenario.Poll
}

// sleep waits until the next poll or packet.
func (s *shard) sleep(until mono.Time) {
	if len(s.sending) > 0 {
		until = min(until, s.sending[0].due)
	}
	d := until.Sub(netio.Now())
	if d <= 0 {
		return
	}
	// The thread keeps its processor slot. To give it up some hundred times a second keeps the
	// runtime's monitor looking every 20 us, which took a fifth of all that this program did.
	t := unix.NsecToTimespec(int64(min(d, s.scenario.Poll)))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0) // woken early: the loop looks again
}

// sendDue sends what publishers have due, and hands it to the kernel.
func (s *shard) sendDue() {
	for n := 0; len(s.sending) > 0 && s.sending[0].due <= s.now && n < batchSize; n++ {
		s.sending[0].send(s, s.now)
		s.sending.sink(0)
	}
	if s.queue.Len() > 0 {
		s.flush()
	}
}

// flush hands the queue to the kernel. What carries media gets its time right before.
func (s *shard) flush() {
	if len(s.stamps) > 0 {
		if s.latency {
			at := time.Now().UnixNano()
			for _, e := range s.stamps {
				e.sent.Store(at)
			}
		}
		s.stamps = s.stamps[:0]
	}
	if s.queue.Len() > 0 {
		s.sock.Send(s.queue)
	}
	if len(s.carried.writing) > 0 {
		s.flushStreams()
	}
}

// poll reads the socket until it is empty. Publishers send in between.
func (s *shard) poll() {
	s.unread = true
	for range maxReads {
		s.batch.Reset()
		n, err := s.sock.Recv(s.batch)
		if err == nil {
			s.read(s.batch)
		}
		if n < batchSize || err != nil {
			if s.unread = !s.pollStreams(); !s.unread {
				s.emptied++
			}
			break
		}
		s.now = netio.Now()
		s.sendDue()
	}
	if s.overflow.look(s.sock.FD()) {
		s.quietUntil = s.now.Add(quietTime)
	}
}

// asks reports whether NACKs may go. What is missing while datagrams wait unread is among them
// as a rule, and what is missing since the socket overflowed is nobody's fault but our own:
// asking for all of that at once would make a client that cannot keep up a flood.
func (s *shard) asks() bool { return !s.unread && s.now >= s.quietUntil && s.budget > 0 }

// read gives the datagrams of a batch to their peers.
func (s *shard) read(b *mmsg.RxBatch) {
	s.received += uint64(b.Len())
	s.warmFirst(b)
	for i := range b.Len() {
		s.warmAhead(b, i)
		p := s.found[i]
		if p == nil || p.id != idOf(b.Key(i).Local) {
			continue
		}
		if p.down != nil {
			p.down.Push(netio.Wall(netio.Now()), b.Packet(i))
			continue
		}
		s.datagram(p, b.Packet(i), b.Time(i))
	}
	s.feedbacks()
}

// find returns the peer that has a local address, if any has: who reads its id first knows.
func (s *shard) find(local flow.Addr) *peer { return s.table[idOf(local)%uint32(len(s.table))] }

// datagram gives one to the protocol that it is of (RFC 7983).
func (s *shard) datagram(p *peer, b []byte, kernel int64) {
	if s.scenario.TURN != Direct {
		if b = s.unwrap(p, b); b == nil {
			return
		}
	}
	switch rtp.Classify(b) {
	case rtp.ClassRTP:
		s.media(p, b, kernel)
	case rtp.ClassSTUN:
		if p.ice.answer(s.now, b) {
			s.handshake(p)
		}
	case rtp.ClassDTLS:
		if p.dtls != nil {
			p.dtls.Feed(b)
		}
	}
}

// media takes an SRTP or SRTCP datagram, which it overwrites.
func (s *shard) media(p *peer, b []byte, kernel int64) {
	if p.secured == nil {
		if len(p.early) < maxEarly { // the server has the keys before the client has
			p.early = append(p.early, append([]byte(nil), b...))
		}
		return
	}
	if rtp.IsRTCP(b) {
		n, err := p.secured.session.OpenRTCP(b, b)
		if err != nil {
			s.total.refused(err, s.phase())
			return
		}
		p.control(s, b[:n])
		return
	}
	p.open(s, b, kernel)
}

// tick does what is due: requests of those who miss packets, and the visits of this turn.
func (s *shard) tick(interval time.Duration) {
	s.budget = maxAsked
	keep := s.lossy[:0]
	for _, p := range s.lossy {
		p.lossy = p.secured != nil && p.requests(s)
		if p.lossy {
			keep = append(keep, p)
		}
	}
	clear(s.lossy[len(keep):])
	s.lossy = keep
	s.owed += float64(len(s.peers)) * float64(interval) / float64(visitInterval)
	for s.owed = min(s.owed, float64(len(s.peers))); s.owed >= 1; s.owed-- {
		if s.visited >= len(s.peers) {
			s.visited = 0
		}
		if s.wake[s.visited] <= s.now {
			s.peers[s.visited].visit(s)
		}
		s.visited++
	}
	if len(s.entering) > 0 {
		s.join()
	}
}

// join does what is due for the peers that are joining.
func (s *shard) join() {
	keep := s.entering[:0]
	for _, p := range s.entering {
		switch {
		case p.done:
			continue
		case s.now.Sub(p.joinedAt) > joinTimeout && p.ice.selected:
			p.client.fail(errNoDTLS)
			s.settle(p)
		case s.now.Sub(p.joinedAt) > joinTimeout:
			p.client.fail(errNoPath)
			s.settle(p)
		case !p.ice.selected && s.now >= p.ice.next:
			s.check(p)
		}
		keep = append(keep, p)
	}
	clear(s.entering[len(keep):])
	s.entering = keep
}

// settle notes that a join has ended, one way or the other.
func (s *shard) settle(p *peer) {
	if !p.done {
		p.done = true
		s.joining--
	}
}

// check sends a check of a peer's path.
func (s *shard) check(p *peer) {
	if p.relay != nil && !p.relay.ready {
		s.drive(p)
		return
	}
	if b, err := p.ice.check(s.now); err == nil {
		s.send(p, b)
	}
}

// send queues a datagram that is no media.
func (s *shard) send(p *peer, b []byte) {
	if slot := s.queue.Slot(); slot != nil && len(b) <= len(slot) && len(b) > 0 {
		s.commit(p, slot, copy(slot, b), mmsg.Control)
	}
}

// handshake starts DTLS on the validated path. It runs beside the shard.
func (s *shard) handshake(p *peer) {
	if p.dtls == nil {
		return
	}
	h := p.dtls
	h.Send = func(b []byte) {
		b = append([]byte(nil), b...)
		s.post(func() { s.send(p, b) })
	}
	h.Closed = func() {}
	p.client.handshake(h, func(k *secured, err error) {
		s.post(func() { s.established(p, k, err) })
	})
}

// established takes the outcome of a handshake.
func (s *shard) established(p *peer, k *secured, err error) {
	if p.done {
		return
	}
	p.dtls = nil
	s.settle(p)
	if err != nil {
		p.client.fail(err)
		return
	}
	s.total.joins.add(s.now.Sub(p.joinedAt))
	p.install(s, k)
	p.client.connected()
}

// enter takes up a peer that has its first offer.
func (s *shard) enter(p *peer, d *Description) {
	s.table[p.slot] = p
	p.at = len(s.peers)
	s.peers = append(s.peers, p)
	s.wake = append(s.wake, s.now)
	s.entering = append(s.entering, p)
	s.joining++
	if p.down != nil || p.up != nil {
		s.impaired++
	}
	p.describe(s, d, p.client.receives())
	s.check(p)
}

// rouse has a peer visited soon, if it is still there.
func (s *shard) rouse(p *peer) {
	if p.at < len(s.peers) && s.peers[p.at] == p {
		s.wake[p.at] = s.now
	}
}

// leave takes a peer out and accounts for what it received.
func (s *shard) leave(p *peer) {
	if s.table[p.slot] != p {
		return
	}
	s.table[p.slot] = nil
	last := len(s.peers) - 1
	s.peers[p.at], s.peers[last].at = s.peers[last], p.at
	s.wake[p.at] = s.wake[last]
	s.peers, s.wake = s.peers[:last], s.wake[:last]
	s.settle(p)
	if p.relay != nil {
		p.relay.close()
	}
	if p.down != nil || p.up != nil {
		s.impaired--
	}
	for _, one := range p.sends {
		if one == nil {
			continue
		}
		one.origin.mark(s.phase())
		p.room.remove(one.origin)
		if !s.total.frozen {
			s.total.origins = append(s.total.origins, one.origin)
		}
	}
	s.sending.drop(p)
	for _, one := range p.streams {
		s.total.end(one, false)
	}
	p.secured = nil
}

// publish shows the counters to the run's goroutine.
func (s *shard) publish() {
	s.live.sent.Store(s.sentPackets)
	s.live.sentBytes.Store(s.sentBytes)
	s.live.forwarded.Store(s.total.arrived)
	s.live.gaps.Store(s.total.gaps)
	s.live.bytes.Store(s.total.arrivedBytes)
	s.live.overflow.Store(s.overflow.total)
	if cpu, err := proc.Thread(); err == nil {
		s.live.cpu.Store(int64(cpu))
	}
}

// precise makes the thread's sleeps end when they should, not up to 50 us later.
func precise() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// Addresses: 127.64.0.0/10, one for each join.
const maxID = 1 << 22

// addressOf returns the loopback address of an id.
func addressOf(id uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 64 | byte(id>>16), byte(id >> 8), byte(id)})
}

// idOf is the inverse of addressOf.
func idOf(a flow.Addr) uint32 {
	return uint32(a[13]&0x3f)<<16 | uint32(a[14])<<8 | uint32(a[15])
}
