package conn

import (
	"time"

	"tsubame/media/bwe"
	"tsubame/netio/count"
	"tsubame/netio/mono"
)

// Network is what a connection says of its network: the connection writes it with every report
// (reportInterval) and nobody else does, anybody may read it. What is read together may be of two
// reports, one after the other. Rates are in bit/s, times in microseconds.
type Network struct {
	Reports count.Word // so many times it was written; 0: not yet

	// What the peer is sent.
	Sent     count.Word // of all RTP, since the last report, retransmissions and probes included
	Target   count.Word // what the way to the peer takes, by estimate; 0: nothing is estimated
	Acked    count.Word // what arrived lately; 0: not known
	State    count.Word // bwe.State
	Loss     count.Word // what the peer lost lately, in 1/256
	RTT      count.Word // smoothed; 0: not known
	Queue    count.Word // the longest that something had to wait in the pacer since the last report
	Queued   count.Word // the most packets that waited there
	Unstable count.Word // Conn.Unstable

	Feedbacks count.Word // transport-wide feedback taken
	Probes    count.Word // clusters sent, and
	Probed    count.Word // those that gave a rate
	NACKs     count.Word // sequence numbers asked for by the peer
	PLIs      count.Word // key frames asked for by the peer, by PLI or FIR

	Subscribed count.Word // tracks that the peer is to be sent
	Published  count.Word // tracks that it sends

	// What the peer sends.
	Received     count.Word
	ReceivedLoss count.Word // of the worst of its tracks, since the last report, in 1/256
	NACKsSent    count.Word // sequence numbers asked for from the peer
	PLIsSent     count.Word
}

// asked are the requests of one peer and of ours to it, ever.
type asked struct {
	nacksIn, plisIn, nacksOut, plisOut uint32
}

// quality is what a connection measures of the way to its peer from one report to the next.
type quality struct {
	at     mono.Time // the last report; Never: none yet
	bytes  uint64    // sent until then
	gone   uint64    // of those, of subscriptions that have ended
	sent   uint64    // bit/s, in the time before it
	played uint64    // bytes sent until then without retransmissions and probes
	over   uint64    // of those, of subscriptions that have ended
	media  uint64    // bit/s of them
	rated  bool      // it was measured for a whole interval once
	loss   uint8     // by receiver reports, smoothed
	twcc   uint16    // number of the next packet with a transport-wide number, at that report
	heard  mono.Time // the last feedback, or when nothing had been sent that it could be about
	stable stability

	receivedLoss uint8 // of the worst of the peer's tracks, in the last report to it
}

// The bounds of the levels of instability: level i+1 from this on.
var (
	unstableLoss   = [3]uint8{256 * 3 / 100, 256 * 10 / 100, 256 * 20 / 100} // of packets
	unstableShare  = [3]uint64{85, 60, 35}                                   // percent of what is sent that arrives, less than
	unstableSilent = [3]time.Duration{1500 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second}
)

// A level holds for so many reports before it is believed: it goes up with the second, and down,
// by one, after five in a row that are below it.
const (
	unstableRise = 2
	unstableFall = 5
)

// grade returns how unstable the network is from 0, stable, to 3: by the loss, in 1/256, by what
// of the rate that is sent gets through, and for how long there was no feedback about it.
func grade(loss uint8, through, sent uint64, silent time.Duration) (level uint8) {
	for i := range uint8(len(unstableLoss)) {
		if loss >= unstableLoss[i] || through*100 < sent*unstableShare[i] || silent >= unstableSilent[i] {
			level = i + 1
		}
	}
	return level
}

// stability makes a level out of grades, with hysteresis. The zero value is level 0.
type stability struct {
	level uint8
	above uint8 // grades in a row above the level, and
	least uint8 // the lowest of them
	below uint8 // grades in a row below it
}

// take takes the next grade.
func (s *stability) take(grade uint8) {
	switch {
	case grade > s.level:
		if s.above == 0 || grade < s.least {
			s.least = grade
		}
		s.above, s.below = s.above+1, 0
		if s.above >= unstableRise {
			s.level, s.above = s.least, 0
		}
	case grade < s.level:
		s.above, s.below = 0, s.below+1
		if s.below >= unstableFall {
			s.level, s.below = s.level-1, 0
		}
	default:
		s.above, s.below = 0, 0
	}
}

// Unstable returns how unstable the network between us and the peer is, from 0, stable, to 3. It
// changes with the reports, at most once a second.
func (c *Conn) Unstable() uint8 { return c.quality.stable.level }

// lossReported takes the fraction of 256 that the peer says it has lost of expected packets.
func (q *quality) lossReported(lost, expected uint64) {
	if expected == 0 {
		return
	}
	// Half of the news: a report may be about ten packets.
	q.loss = uint8((uint64(q.loss) + min(lost/expected, 255) + 1) / 2)
}

// measure brings what is known of the network up to date, once for each report.
func (c *Conn) measure(now mono.Time) {
	q := &c.quality
	total, played := q.gone, q.over
	for _, s := range c.subs {
		if s != nil {
			n := s.stream.Stats()
			total, played = total+n.Bytes+n.ResentBytes, played+n.Bytes
		}
	}
	if d := now.Sub(q.at); q.at != mono.Never && d > 0 {
		q.sent = (total - q.bytes) * 8 * uint64(time.Second) / uint64(d)
		q.rated = q.rated || played > q.played && q.played > 0
		q.media = (played - q.played) * 8 * uint64(time.Second) / uint64(d)
	}
	news := played - q.played
	q.bytes, q.played, q.at = total, played, now
	through, silent := q.sent, time.Duration(0)
	if o := c.out; o != nil {
		st := o.est.Stats()
		if st.Feedbacks > 0 {
			q.loss = st.Loss
		}
		through = gettingThrough(&st, q.sent)
		if q.twcc == c.twccOut || !o.fed {
			q.heard = now // nothing was sent that there could be feedback about, or the peer gives none
		}
		q.twcc = c.twccOut
		silent = now.Sub(q.heard)
		c.retune()
		c.want(news)
	}
	q.stable.take(grade(q.loss, through, q.sent, silent))
}

// lossy is the loss, in 1/256, from which on a rate that arrives below the one that is sent says
// something: what arrives is measured over a shorter time, so that the two differ as frames do.
const lossy = 3

// gettingThrough returns what of the rate that is sent gets through, as far as it is known. While
// nothing is lost and no queue grows all of it does; and an estimate that has yet to grow makes
// nothing unstable.
func gettingThrough(st *bwe.Stats, sent uint64) uint64 {
	if st.Acked == 0 || st.Loss < lossy && st.State != bwe.Overuse {
		return sent
	}
	return max(st.Acked, st.Target)
}

// ended takes the bytes of a subscription into the sums, since it will not be asked any more.
func (q *quality) ended(s *subscriber) {
	n := s.stream.Stats()
	q.gone, q.over = q.gone+n.Bytes+n.ResentBytes, q.over+n.Bytes
}

// publishNetwork writes what is known to where others read it.
func (c *Conn) publishNetwork(now mono.Time) {
	n, q := c.Network, &c.quality
	if n == nil {
		return
	}
	n.Sent.Set(q.sent)
	if o := c.out; o != nil {
		st := o.est.Stats()
		n.Target.Set(st.Target)
		n.Acked.Set(st.Acked)
		n.State.Set(uint64(st.State))
		n.Feedbacks.Set(uint64(st.Feedbacks))
		n.Probes.Set(uint64(st.Probes))
		n.Probed.Set(uint64(st.Probed))
		n.Queue.Set(uint64(o.longest / time.Microsecond))
		n.Queued.Set(uint64(o.most))
		o.longest, o.most = 0, 0
	}
	n.Loss.Set(uint64(q.loss))
	if c.rtt.Known() {
		n.RTT.Set(uint64(c.rtt.Smoothed() / time.Microsecond))
	}
	n.Unstable.Set(uint64(q.stable.level))
	n.NACKs.Set(uint64(c.asked.nacksIn))
	n.PLIs.Set(uint64(c.asked.plisIn))
	n.NACKsSent.Set(uint64(c.asked.nacksOut))
	n.PLIsSent.Set(uint64(c.asked.plisOut))
	n.Subscribed.Set(uint64(c.Subscriptions()))
	var received, published uint64
	for _, p := range c.pubs {
		if p != nil {
			published++
			received += p.stream.Bitrate(now)
		}
	}
	n.Published.Set(published)
	n.ReceivedLoss.Set(uint64(q.receivedLoss))
	n.Received.Set(received)
	n.Reports.Inc()
}
