package bwe

import (
	"math/rand/v2"
	"slices"
	"time"

	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

const simStart = mono.Time(time.Hour)

// step is something that changes at a time of the simulation.
type step struct {
	at   time.Duration
	rate float64 // bit/s
}

// at returns the rate of the last step that has come.
func rateAt(steps []step, t time.Duration) float64 {
	rate := 0.0
	for _, s := range steps {
		if s.at <= t {
			rate = s.rate
		}
	}
	return rate
}

// path is a link in one direction, and what carries the feedback back.
type path struct {
	rate    []step        // bit/s of the bottleneck
	queue   time.Duration // that fits into the bottleneck's queue at its rate
	delay   time.Duration // one way
	back    time.Duration // of the feedback; 0: as delay
	jitter  time.Duration // 0 to this, added; order is kept
	reorder bool          // order is not kept
	loss    float64
	burst   float64 // mean number lost in a row
	lostRTC float64 // share of feedback messages lost
	police  []step  // bit/s of a token bucket without a queue; nil: none
	bucket  time.Duration
	tail    bool // a packet has to fit into the queue whole, so that small ones are lost less
	wire    int  // bytes that the bottleneck counts besides, of each packet
}

// link is a path at work; several sources may share it.
type link struct {
	path
	random *rand.Rand
	free   mono.Time // when the bottleneck is idle
	last   mono.Time // the latest arrival
	tokens float64   // bits
	filled mono.Time
	bad    bool

	sent, gone, overflowed int
	bits                   float64
}

func newLink(p path, seed uint64) *link {
	if p.back == 0 {
		p.back = p.delay
	}
	return &link{path: p, random: rand.New(rand.NewPCG(seed, 7)), filled: simStart}
}

// lose draws a loss, in bursts if there are any.
func (l *link) lose() bool {
	if l.burst <= 1 {
		return l.random.Float64() < l.loss
	}
	leave := 1 / l.burst
	enter := l.loss * leave / (1 - l.loss)
	if l.bad {
		l.bad = l.random.Float64() >= leave
	} else {
		l.bad = l.random.Float64() < enter
	}
	return l.bad
}

// send returns when a packet arrives; false if it does not.
func (l *link) send(now mono.Time, size int) (mono.Time, bool) {
	l.sent++
	t := now.Sub(simStart)
	bits := float64((size + l.wire) * 8)
	lost, late := l.lose(), time.Duration(l.random.Float64()*float64(l.jitter))
	if l.police != nil {
		rate := rateAt(l.police, t)
		l.tokens = min(l.tokens+rate*now.Sub(l.filled).Seconds(), max(rate*l.bucket.Seconds(), 12000))
		l.filled = now
		if l.tokens < bits {
			l.gone++
			return 0, false
		}
		l.tokens -= bits
	}
	if lost {
		l.gone++
		return 0, false
	}
	at := now
	if l.rate != nil {
		begin := max(l.free, now)
		full := begin.Sub(now)
		if l.tail && full > 0 {
			full += time.Duration(bits / rateAt(l.rate, t) * 1e9)
		}
		if full > l.queue {
			l.overflowed++
			return 0, false
		}
		at = begin.Add(time.Duration(bits / rateAt(l.rate, t) * 1e9))
		l.free = at
	}
	l.bits += bits
	at = at.Add(l.delay + late)
	if !l.reorder {
		at = max(at, l.last)
		l.last = at
	}
	return at, true
}

// waiting is how long the bottleneck's queue is.
func (l *link) waiting(now mono.Time) time.Duration { return max(l.free.Sub(now), 0) }

// subject is an estimator that is tried.
type subject interface {
	sent(now mono.Time, seq uint16, size int, cluster uint8)
	feedback(now mono.Time, message []byte)
	tick(now mono.Time)
	target() float64
	probe(now mono.Time) (Probe, bool)
}

// ours is the Estimator as a subject.
type ours struct{ *Estimator }

func newOurs(cfg Config, wanted uint64) ours {
	e := new(Estimator)
	e.Init(simStart, cfg, new(Tables))
	e.SetWanted(wanted)
	return ours{e}
}

func (o ours) sent(now mono.Time, seq uint16, size int, cluster uint8) {
	if cluster != 0 {
		o.SentProbe(now, seq, size, cluster)
		return
	}
	o.Sent(now, seq, size)
}

func (o ours) feedback(now mono.Time, message []byte) {
	r := rtcp.NewReader(message)
	for p, ok := r.Next(); ok; p, ok = r.Next() {
		if t, err := p.TWCC(); err == nil {
			o.Feedback(now, &t)
		}
	}
}

func (o ours) tick(now mono.Time) {
	if o.Deadline().Due(now) {
		o.Tick(now)
	}
}
func (o ours) target() float64                   { return float64(o.Target()) }
func (o ours) probe(now mono.Time) (Probe, bool) { return o.Probe(now) }

// arrival is a packet under way to the receiver, message feedback under way back.
type arrival struct {
	at  mono.Time
	seq uint16
}

type message struct {
	at   mono.Time
	data []byte
}

// flow is a source that sends over a link what its estimator allows, and a receiver.
type flow struct {
	subject subject
	link    *link
	demand  []step // bit/s that the source has to send; nil: whatever the target is
	obeys   bool   // it sends no more than the target
	begins  time.Duration
	voice   bool // there is audio besides
	resends bool // what is lost is sent again, once, as far as resendShare allows

	random   *rand.Rand
	seq      uint16
	frame    mono.Time // the next frame
	backlog  int       // bytes of frames that wait
	headers  int       // bytes sent that the next frame has to be smaller by
	paced    mono.Time // when the pacer may send the next packet
	probing  Probe
	probed   int // bytes
	probedN  int
	probeAt  mono.Time
	receiver recv.TWCC
	flying   []arrival
	messages []message

	spoken   mono.Time // when audio is due
	again    []again
	fresh    int // bytes sent for the first time, and
	repeated int // again

	sentBits, sentCount, lostCount int
}

// again is a packet that the receiver will have asked for at a time.
type again struct {
	at   mono.Time
	size int
}

const (
	simVoice    = 120 // bytes, every
	voiceTime   = 20 * time.Millisecond
	resendShare = 4 // of what is sent is sent again at most
	simFrame    = time.Second / 30
	simPacket   = 1150
	simHeader   = 50
	simProbe    = 255 + 60
)

// drive makes a millisecond pass.
func (f *flow) drive(now mono.Time) {
	t := now.Sub(simStart)
	if t < f.begins {
		return
	}
	for len(f.messages) > 0 && f.messages[0].at <= now {
		f.subject.feedback(now, f.messages[0].data)
		f.messages = f.messages[1:]
	}
	f.subject.tick(now)
	f.source(now, t)
	f.besides(now)
	f.probes(now)
	f.receive(now)
}

// besides sends audio, and again what was lost.
func (f *flow) besides(now mono.Time) {
	for f.voice && f.spoken <= now {
		f.spoken = max(f.spoken, now).Add(voiceTime)
		f.send(now, simVoice, 0)
	}
	for len(f.again) > 0 && f.again[0].at <= now {
		size := f.again[0].size
		f.again = f.again[1:]
		if f.repeated+size <= f.fresh/resendShare {
			f.repeated += size
			f.send(now, size, 0)
		}
	}
}

// source makes frames and sends them at 2.5 times the target.
func (f *flow) source(now mono.Time, t time.Duration) {
	if f.frame == 0 {
		f.frame = now
	}
	for f.frame <= now {
		f.frame = f.frame.Add(simFrame)
		rate := f.subject.target()
		if f.demand != nil {
			rate = rateAt(f.demand, t)
			if f.obeys {
				rate = min(rate, f.subject.target())
			}
		}
		size := int(rate*simFrame.Seconds()/8*(0.8+0.4*f.random.Float64())) - f.headers
		f.headers = max(-size, 0)
		f.backlog += max(size, 0)
	}
	pace := max(2.5*f.subject.target(), 500_000)
	if f.demand != nil && !f.obeys {
		pace = max(pace, 2.5*rateAt(f.demand, t))
	}
	f.paced = max(f.paced, now.Add(-5*time.Millisecond))
	for f.backlog > 0 && f.paced <= now {
		size := min(f.backlog, simPacket)
		f.backlog -= size
		size += simHeader
		f.headers += simHeader
		f.paced = f.paced.Add(time.Duration(float64(size*8) / pace * 1e9))
		f.fresh += size
		if !f.send(now, size, 0) && f.resends {
			f.again = append(f.again, again{now.Add(f.link.delay + f.link.back + simFrame), size})
		}
	}
}

func (f *flow) probes(now mono.Time) {
	if f.probing.Cluster == 0 {
		p, ok := f.subject.probe(now)
		if !ok {
			return
		}
		f.probing, f.probed, f.probedN, f.probeAt = p, 0, 0, now
	}
	for f.probing.Cluster != 0 && f.probeAt <= now {
		f.send(now, simProbe, f.probing.Cluster)
		f.probed += simProbe
		f.probedN++
		f.probeAt = f.probeAt.Add(time.Duration(float64(simProbe*8) / float64(f.probing.Rate) * 1e9))
		if f.probed >= f.probing.Bytes && f.probedN >= f.probing.Packets {
			f.probing = Probe{}
		}
	}
}

func (f *flow) send(now mono.Time, size int, cluster uint8) bool {
	f.seq++
	f.subject.sent(now, f.seq, size, cluster)
	f.sentBits += size * 8
	f.sentCount++
	at, ok := f.link.send(now, size)
	if !ok {
		f.lostCount++
		return false
	}
	i := len(f.flying)
	for i > 0 && f.flying[i-1].at > at {
		i--
	}
	f.flying = slices.Insert(f.flying, i, arrival{at, f.seq})
	return true
}

// receive takes what has arrived, and sends feedback.
func (f *flow) receive(now mono.Time) {
	for len(f.flying) > 0 && f.flying[0].at <= now {
		f.receiver.Record(f.flying[0].at, f.flying[0].seq)
		f.flying = f.flying[1:]
	}
	for f.receiver.Deadline().Due(now) {
		data := f.receiver.AppendFeedback(nil, now, 1, 2)
		if f.link.random.Float64() >= f.link.lostRTC {
			f.messages = append(f.messages, message{now.Add(f.link.back), data})
		}
	}
}

func newFlow(s subject, l *link, seed uint64) *flow {
	return &flow{subject: s, link: l, random: rand.New(rand.NewPCG(seed, 11)), seq: uint16(seed * 7919)}
}

// sample is what was at one time of a simulation.
type sample struct {
	at      time.Duration
	target  float64
	sent    float64 // bit/s since the last sample
	loss    float64 // since the last sample
	waiting time.Duration
}

// trace is a simulation's course, a sample every 100 ms.
type trace []sample

const sampleTime = 100 * time.Millisecond

// simulate runs flows over a link and samples the first. each is called every millisecond.
func simulate(length time.Duration, each func(now mono.Time), flows ...*flow) trace {
	var samples trace
	f := flows[0]
	var bits, count, gone int
	for t := time.Duration(0); t < length; t += time.Millisecond {
		now := simStart.Add(t)
		if each != nil {
			each(now)
		}
		for _, f := range flows {
			f.drive(now)
		}
		if t%sampleTime == 0 {
			s := sample{at: t, target: f.subject.target(), waiting: f.link.waiting(now)}
			s.sent = float64(f.sentBits-bits) / sampleTime.Seconds()
			if n := f.sentCount - count; n > 0 {
				s.loss = float64(f.lostCount-gone) / float64(n)
			}
			bits, count, gone = f.sentBits, f.sentCount, f.lostCount
			samples = append(samples, s)
		}
	}
	return samples
}

// mean is the mean target between two times.
func (s trace) mean(from, to time.Duration) float64 {
	sum, n := 0.0, 0
	for _, x := range s {
		if x.at >= from && x.at < to {
			sum += x.target
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// span is the least and the greatest target between two times.
func (s trace) span(from, to time.Duration) (low, high float64) {
	low = 1e12
	for _, x := range s {
		if x.at >= from && x.at < to {
			low, high = min(low, x.target), max(high, x.target)
		}
	}
	return low, high
}

// within is how long after from the target is within a share of what is true, counting from
// when it is so for a second; negative if never before to.
func (s trace) within(from, to time.Duration, truth, share float64) time.Duration {
	since := time.Duration(-1)
	for _, x := range s {
		if x.at < from || x.at >= to {
			continue
		}
		if x.target < truth*(1-share) || x.target > truth*(1+share) {
			since = -1
			continue
		}
		if since < 0 {
			since = x.at
		}
		if x.at-since >= time.Second {
			return since - from
		}
	}
	return -1
}

// above is the longest time in a row that the target is over a rate.
func (s trace) above(from, to time.Duration, rate float64) (longest time.Duration) {
	var run time.Duration
	for _, x := range s {
		if x.at < from || x.at >= to {
			continue
		}
		if x.target > rate {
			run += sampleTime
		} else {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// lost is the share of packets lost between two times.
func (s trace) lost(from, to time.Duration) float64 {
	sum, n := 0.0, 0.0
	for _, x := range s {
		if x.at >= from && x.at < to {
			sum += x.loss * x.sent
			n += x.sent
		}
	}
	return sum / max(n, 1)
}

// queue is the 95th percentile of the queue between two times.
func (s trace) queue(from, to time.Duration) time.Duration {
	var all []time.Duration
	for _, x := range s {
		if x.at >= from && x.at < to {
			all = append(all, x.waiting)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*95/100]
}
