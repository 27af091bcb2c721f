package edge

import (
	"sync/atomic"
	"time"

	"tsubame/media/conn"
	"tsubame/netio"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
	"tsubame/turnsrv"
)

// ConnStats are the totals of a connection from Plane.Open on. They only grow, and stay when the
// connection has ended. Bytes are those of the datagrams that the peer and we have for each other,
// without what a TURN relay or a stream puts around them; feedback that a shard which is behind
// drops unseen, and checks that do not verify, are in none.
type ConnStats struct {
	conn.Stats

	// Connectivity checks of the peer's that verified, our answers, and of these the errors. Of the
	// first and the last two, what went through our TURN server is in the relayed ones too.
	ChecksIn, ChecksOut                              conn.Tally
	CheckErrors                                      uint64
	RelayedChecks, RelayedSuccesses, RelayedFailures uint64

	TURN turnsrv.Stats // of all of the connection's allocations

	Transport    string        // TransportUDP or TransportTCP: what carries the selected path, or did last
	Checking     time.Duration // from Open until the peer nominated its first path, or until now, or the end
	Disconnected time.Duration // nothing was heard of the peer, which Silent, Lapsed and Heard tell of

	Network Network // what the connection last said of its network
}

// Received returns all that came from the peer, and Sent what was sent to it.
func (s *ConnStats) Received() conn.Tally { return plus(s.In(), s.ChecksIn) }
func (s *ConnStats) Sent() conn.Tally     { return plus(s.Out(), s.ChecksOut) }

func plus(a, b conn.Tally) conn.Tally {
	return conn.Tally{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}

// Stats returns the connection's totals. Any goroutine may call it at any time, also after the
// connection has ended. What its shard counts is up to a report old (a second), but for what was
// counted until the connection was established and until its end, which is there when signaling is
// told of them. The farewell, which follows the end, is added when the peer has been sent it.
func (c *Conn) Stats() ConnStats { return c.statsAt(netio.Now()) }

func (c *Conn) statsAt(now mono.Time) ConnStats {
	m := &c.counted
	s := ConnStats{
		Stats:       m.shared.Load(),
		ChecksIn:    m.checksIn.load(),
		ChecksOut:   m.checksOut.load(),
		CheckErrors: m.errors.Load(), RelayedChecks: m.relayedIn.Load(), RelayedFailures: m.relayedErrors.Load(),
		TURN: c.account.book.Stats(), Transport: c.transport(), Network: c.networkNow(),
	}
	channel, indications := m.onChannel.Load(), m.indications.Load()
	s.ChannelDataOut += channel
	s.IndicationsOut += indications
	s.RelayedSuccesses = channel + indications - min(s.RelayedFailures, channel+indications)
	s.Checking, s.Disconnected = m.durations(now)
	return s
}

// counted is what a connection's handle counts by itself: what is seldom, and what shards see of it
// that do not own it. All may be written by any shard, and read by anybody.
type counted struct {
	shared conn.SharedStats // written by the shard that owns the connection

	checksIn, checksOut    tally
	errors                 atomic.Uint64 // of checksOut
	relayedIn              atomic.Uint64 // of checksIn
	relayedErrors          atomic.Uint64
	onChannel, indications atomic.Uint64 // of checksOut, through relays

	// Times are mono.Time, Never for not yet.
	opened mono.Time    // by Open
	chosen atomic.Int64 // when the peer nominated its first path
	ended  atomic.Int64

	// unheard is for how long nothing was heard, in nanoseconds; while nothing is, it is that less
	// the time since when, which is negative: one word, so that it is of one moment.
	unheard atomic.Int64
}

// tally is a conn.Tally that anybody may add to. The two numbers are not of one moment.
type tally struct{ packets, bytes atomic.Uint64 }

func (t *tally) add(n int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(n))
}

func (t *tally) load() conn.Tally {
	return conn.Tally{Packets: t.packets.Load(), Bytes: t.bytes.Load()}
}

// check counts a check of n bytes that came by k.
func (m *counted) check(k *flow.Key, n int) {
	m.checksIn.add(n)
	if k.Via.IsRelayed() {
		m.relayedIn.Add(1)
	}
}

// answered counts the answer to a check, of n bytes without the frame f.
func (m *counted) answered(f *conn.Frame, n int, failed bool) {
	m.checksOut.add(n)
	if failed {
		m.errors.Add(1)
	}
	if f.Head() == 0 {
		return
	}
	if failed {
		m.relayedErrors.Add(1)
	}
	if f.IsIndication() {
		m.indications.Add(1)
	} else {
		m.onChannel.Add(1)
	}
}

// nominated notes when the peer nominated its first path.
func (m *counted) nominated(now mono.Time) {
	if m.chosen.Load() == int64(mono.Never) {
		m.chosen.Store(int64(now))
	}
}

// hears notes whether the peer is heard. Only the shard that owns the connection calls it, and
// changes nothing unless that does.
func (m *counted) hears(now mono.Time, yes bool) {
	v := m.unheard.Load()
	switch {
	case yes == (v >= 0):
	case yes:
		m.unheard.Store(max(int64(now)+v, 0))
	default:
		m.unheard.Store(min(v-int64(now), -1))
	}
}

// over notes the end.
func (m *counted) over(now mono.Time) {
	m.ended.Store(int64(now))
	m.hears(now, true)
}

// durations returns how long the peer took to nominate a path, and how long it was not heard, until
// now or the end.
func (m *counted) durations(now mono.Time) (checking, disconnected time.Duration) {
	if end := mono.Time(m.ended.Load()); end != mono.Never {
		now = end
	}
	until := now
	if at := mono.Time(m.chosen.Load()); at != mono.Never {
		until = at
	}
	v := m.unheard.Load()
	if v < 0 {
		v = max(int64(now)+v, 0)
	}
	return max(until.Sub(m.opened), 0), time.Duration(v)
}
