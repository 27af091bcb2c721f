package conn

import (
	"errors"
	"time"

	"tsubame/media/dtls"
	"tsubame/media/ice"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/router"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// ErrBadFingerprint says that the peer's certificate is not the one that signaling named.
var ErrBadFingerprint = errors.New("conn: the certificate does not match the signalled fingerprint")

// reportInterval is how often sender and receiver reports go out. libwebrtc's is one
// second for video; shorter makes round-trip times fresher and costs more.
const reportInterval = time.Second

// What a peer may send of RTCP, per second. A browser that receives 50 Mbps sends some 200
// kbps of feedback in 50 packets; more than these is meant to keep us busy (row RTP-11).
const (
	controlBitrate = 2_000_000
	controlRate    = 1000
)

// Conn is one connection. See the package comment for who may call it.
type Conn struct {
	Index uint32 // names the connection in the plane's tables

	// Heard is set once a packet of the peer's has authenticated: the peer has the keys.
	Heard bool

	// What every packet needs stands in the first cache line.
	relayed bool   // what was sent last went through a relay
	twccOut uint16 // transport-wide sequence number of what we send
	session *srtp.Session
	subs    []*subscriber // by slot; nil: free
	binds   []bind        // SSRC -> publisher

	// Where out ends the line ends in which ICE has its first path, as a rule the selected one.
	out *outgoing // nil: the peer is sent nothing with transport-wide sequence numbers

	// ICE is the set of paths. The shard hands it the checks, since it also has to keep
	// its table of flows in step.
	ICE ice.Agent

	// Book knows the channels of the peer's TURN allocations. It is the connection's for life.
	Book *turnsrv.Book

	relayedOut uint64 // datagrams sent through relays; with ICE's last line since emit counts here

	control recv.Policer // what the peer may send of RTCP
	rtcpIn  rtcpIn       // what came of it: counted in the policers' lines
	policer recv.Policer // and at all
	rtpIn   Tally
	asks    asks // and ask for again

	// DTLS is the endpoint, once the first record has come; nil before.
	DTLS *dtls.Endpoint

	result  *dtls.Result      // the handshake's outcome while the answer has not come
	remote  *param.Remote     // what the answer said
	dtlsKey flow.Key          // the path that the last DTLS record came by
	hasDTLS bool              //
	rtt     recv.RTT          // by the peer's reports, of either kind
	xr      *extended         // what those about what the peer sends are made of; nil: nothing yet
	report  mono.Time         // when the next reports are due
	lost    bool              // consent is: nothing may be sent any more
	bySSRC  map[uint32]uint32 // our SSRCs, retransmissions too -> slot
	retry   mono.Time         // when to look for tracks again that are not there yet, and to go on with replays

	// What each packet of a publisher needs stands in one cache line.
	pubs []*publisher // by slot; nil: free
	twcc *recv.TWCC   // arrival times of what the peer sends; not nil if cc: most only receive
	cc   bool         // the peer wants transport-wide feedback
	// behind is what the packet before was of, by transport-wide number; nil: retransmissions.
	behind *publisher
	remb   recv.REMB // used when it does not
	rembs  bool

	origin recv.Origin // the publisher's wall clock against ours

	results []router.Result // see TakeResults
	reduced bool            // the peer takes RTCP of reduced size

	// Network is where the connection says how its network is; nil: nobody wants to know.
	Network *Network

	// Shared is where the connection says what it has counted; nil: nobody wants to know.
	Shared *SharedStats

	quality quality
	asked   asked
	tallies tallies
}

// New makes the connection that the peer at some path has just proven to own. book is that of
// its TURN allocations; nil: it makes none.
func New(index uint32, now mono.Time, book *turnsrv.Book) *Conn {
	c := &Conn{Index: index, Book: book, bySSRC: make(map[uint32]uint32)}
	c.ICE.Init(now)
	c.policer.Init(0, 0)
	c.control.Init(controlBitrate, controlRate)
	// Spread the reports of connections that start together.
	c.report = now.Add(reportInterval/2 + time.Duration(index%64)*reportInterval/128)
	return c
}

// Established reports whether the keys are in place and the peer has proven to be the one
// that signaling named.
func (c *Conn) Established() bool { return c.session != nil }

// DTLSPath notes the path that a DTLS record came by: answers go there until nomination.
func (c *Conn) DTLSPath(k flow.Key) { c.dtlsKey, c.hasDTLS = k, true }

// SendPath returns the path to send on: the selected one; before the peer's first nomination the
// one that the last DTLS record came by; none once consent is lost. That there is no selected path
// any more, because the stream that it went over is closed, does not bring the early one back: the
// peer has left it, and nobody knows whose its address is by now (RFC 7675 section 5.1).
func (c *Conn) SendPath() (flow.Key, bool) {
	if k, ok := c.ICE.Selected(); ok {
		return k, true
	}
	return c.dtlsKey, c.hasDTLS && !c.lost && !c.ICE.Nominated()
}

// Forget takes a path that can carry nothing any more: see ice.Agent.
func (c *Conn) Forget(now mono.Time, k flow.Key) {
	c.ICE.Forget(now, k)
	if c.dtlsKey == k {
		c.hasDTLS = false
	}
	c.PathChanged()
}

// PathChanged says that what is sent takes another path from now on: that the former one was
// jammed, or how much it took, means nothing for it.
func (c *Conn) PathChanged() {
	if c.out != nil {
		c.out.moved = true
	}
	for _, s := range c.subs {
		if s != nil {
			s.jam = jam{}
		}
	}
}

// way returns the path to send on and what it wants written around each datagram. When there is
// none, that is counted.
func (c *Conn) way(env *Env) (to flow.Key, f Frame, ok bool) {
	if to, ok = c.SendPath(); ok {
		f, ok = env.Frame(c.Book, to)
	}
	if !ok {
		env.Count.DropNoPath.Inc()
	}
	return to, f, ok
}

// SendDTLS queues one DTLS datagram for the peer.
func (c *Conn) SendDTLS(env *Env, datagram []byte) {
	to, f, ok := c.way(env)
	if !ok {
		return
	}
	slot := env.Out.Slot()
	if slot == nil || len(datagram)+MaxFrame > len(slot) {
		env.Count.DropTxFull.Inc()
		return
	}
	if env.Commit(f.Close(slot, copy(slot[f.head:], datagram)), to, mmsg.Control) {
		c.tallies.dtlsOut.add(len(datagram))
		c.relayedBy(&f, 1)
	}
}

// SetRemote takes what the answer said about the peer. It returns whether that has
// established the connection, or ErrBadFingerprint.
func (c *Conn) SetRemote(env *Env, now mono.Time, r *param.Remote) (bool, error) {
	c.remote = r
	return c.establish(env, now)
}

// HandshakeDone takes the handshake's outcome: keys and the peer's certificate. It returns
// whether that has established the connection, or ErrBadFingerprint.
func (c *Conn) HandshakeDone(env *Env, now mono.Time, r *dtls.Result) (bool, error) {
	c.result = r
	return c.establish(env, now)
}

// establish waits for both the handshake and the answer, in either order, and then
// verifies one by the other. No media passes before.
func (c *Conn) establish(env *Env, now mono.Time) (bool, error) {
	if c.session != nil || c.result == nil || c.remote == nil {
		return false, nil
	}
	r := c.result
	c.result = nil
	if !dtls.Matches(r.PeerCertificate, c.remote.Fingerprints) {
		return false, ErrBadFingerprint
	}
	s, err := srtp.NewSession(r.Keys)
	if err != nil {
		return false, err
	}
	c.session = s
	for slot, sub := range c.subs {
		if sub != nil {
			if res := c.activate(env, now, uint32(slot), sub); res.Last {
				c.results = append(c.results, res)
			}
		}
	}
	return true, nil
}

// TakeResults returns what SetRemote, HandshakeDone or Tick has left for the shard to tell
// the owners of tracks that ended meanwhile.
func (c *Conn) TakeResults() []router.Result {
	r := c.results
	c.results = nil
	return r
}

// Close lets go of everything that the connection holds: its tracks end (the returned
// ones are to be closed by the shard, which knows who reads them), its subscriptions leave
// the fan-out, its DTLS endpoint says goodbye.
func (c *Conn) Close(env *Env, tracks []param.TrackID, results []router.Result) ([]param.TrackID, []router.Result) {
	for slot, p := range c.pubs {
		if p != nil {
			tracks = append(tracks, p.track)
			c.ended(env, p)
			c.pubs[slot] = nil
		}
	}
	c.pubs, c.binds = nil, nil
	for slot, s := range c.subs {
		if s != nil {
			results = append(results, c.detach(env, uint32(slot), s))
		}
	}
	c.subs = nil
	clear(c.bySSRC)
	c.Abandon(env)
	c.out.close()
	if c.DTLS != nil {
		c.DTLS.Close()
	}
	return tracks, results
}

// Deadline returns when Tick has to be called next.
func (c *Conn) Deadline() mono.Time {
	d := c.ICE.Deadline()
	if c.session == nil {
		return d
	}
	d = mono.Earliest(d, mono.Earliest(c.report, c.retry))
	if c.cc {
		d = mono.Earliest(d, c.twcc.Deadline())
	}
	d = mono.Earliest(d, c.out.deadline())
	for _, p := range c.pubs {
		if p != nil {
			d = mono.Earliest(d, p.deadline())
		}
	}
	return d
}

// Tick does what is due: feedback, reports, key frame requests. It returns false when the
// consent to send has been lost (RFC 7675), which ends the connection.
func (c *Conn) Tick(env *Env, now mono.Time) (alive bool) {
	if c.ICE.Lost(now) {
		c.lost = true
		c.Abandon(env) // what waits would wait for a path
		return false
	}
	if c.hasDTLS && !c.ICE.Nominated() && !c.ICE.Consented(now, c.dtlsKey) {
		c.hasDTLS = false // consent that holds is for other paths; the next record says which
	}
	if c.session == nil {
		return true
	}
	if c.retry.Due(now) {
		c.retryPending(env, now)
	}
	c.sendFeedback(env, now)
	if c.out != nil {
		c.tick(env, now)
	}
	if c.report.Due(now) {
		c.measure(now)
		c.sendReports(env, now)
		c.publishNetwork(now)
		c.PublishStats()
		c.expire(env, now)
		c.report = now.Add(reportInterval)
	}
	return true
}

// expire lets go of packets that are too old to be sent again, of tracks that are silent.
func (c *Conn) expire(env *Env, now mono.Time) {
	for _, p := range c.pubs {
		if p != nil && p.ring != nil {
			p.ring.Expire(now, env.Mag)
		}
	}
}
