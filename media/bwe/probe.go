package bwe

import (
	"time"

	"tsubame/netio/mono"
)

// Probes find out what the path takes above what is sent. libwebrtc sends them at the beginning,
// while the application limits the rate, and after a drop (goog_cc/probe_controller.cc,
// probe_bitrate_estimator.cc). Here they are sent as long as more is wanted than the target,
// because otherwise a path that has become better is found at 8 % a second only.
const (
	probeTime    = 30 * time.Millisecond // that a cluster takes to send, at least: about a frame, so that others' gaps do not count
	probePackets = 5                     // in it, at least

	probeFirst   = 3.0 // times the target, at the beginning,
	probeSecond  = 6.0 // and then
	probeFurther = 2.0 // times what was found, if that was probeAlmost of the last probe
	probeAlmost  = 0.7
	probeRegular = 2.0             // times the target
	probeEvery   = 5 * time.Second // regularly
	probeSooner  = time.Second     // when more is wanted than before
	probeUsed    = 0.6             // of the target arrives, before the next one that is not regular
	probeLeast   = 1.05            // times the target; a probe below that shows nothing
	probeWanted  = 1.25            // times what is wanted is probed at most: what is found is a little less

	// After a drop to less than dropShare that ends within dropSoon, dropProbe of what was
	// before is probed: most drops are short.
	dropShare = 0.66
	dropSoon  = 5 * time.Second
	dropProbe = 0.85

	// probeWait is how long the result of a cluster, or the rest of it, is waited for.
	probeWait = time.Second

	// A result is what arrived, by the times of sending and of arrival. It is refused if too
	// much was lost, or if packets arrived at a multiple of the rate they were sent at, as
	// they do when they were held up together.
	resultLost      = 0.4
	resultRatio     = 2.0
	resultFree      = 0.9  // received over sent, from which on the path was not full
	resultFull      = 0.95 // of what arrived, if it was
	resultTime      = time.Second
	clusterCapacity = 2
)

// cluster is a probe that was handed out.
type cluster struct {
	probe  Probe // Cluster 0: none
	handed mono.Time
	done   bool   // all of it is sent
	last   uint16 // the number of its newest packet

	// What was sent, and of what was received: sizes, and the first and the last packet at
	// both ends.
	bytes, packets      int
	got, gotPackets     int
	gone                int
	firstSent, lastSent mono.Time
	firstGot, lastGot   instant
	firstSize, lastSize int // first to arrive, last to be sent
}

// prober plans probes and reads their results.
type prober struct {
	wanted   float64
	pending  [clusterCapacity]float64 // rates to hand out; 0: none
	clusters [clusterCapacity]cluster
	open     uint8     // the cluster that is being sent, or to be sent next
	id       uint8     // of the newest cluster
	begun    bool      // the first probes were planned
	retry    bool      // there is more to find out than regularly
	overused bool      // the path was too slow once
	lastAt   mono.Time // when probes were planned last, or handed out
	asked    float64   // what was wanted when they were planned
	from     float64   // target before a drop; 0: none
	dropped  mono.Time // when

	handed, found uint32
}

// plan queues up to two clusters, to be sent one after the other.
func (p *prober) plan(target, ceiling float64, rates ...float64) {
	ceiling = min(ceiling, probeWanted*p.wanted)
	n := 0
	for _, rate := range rates {
		rate = min(rate, ceiling)
		if rate < probeLeast*target || n == len(p.pending) || n > 0 && rate <= p.pending[n-1] {
			continue
		}
		p.pending[n] = rate
		n++
	}
}

// busy reports whether clusters are planned, being sent, or waited for.
func (p *prober) busy() bool {
	return p.pending[0] != 0 || p.clusters[0].probe.Cluster != 0 || p.clusters[1].probe.Cluster != 0
}

// hand returns the next cluster that is planned.
func (p *prober) hand(now mono.Time) (Probe, bool) {
	if p.pending[0] == 0 || p.open != 0 {
		return Probe{}, false
	}
	for i := range p.clusters {
		c := &p.clusters[i]
		if c.probe.Cluster != 0 {
			continue
		}
		rate := p.pending[0]
		p.pending = [clusterCapacity]float64{p.pending[1]}
		p.id = p.id%255 + 1
		*c = cluster{handed: now, probe: Probe{
			Cluster: p.id,
			Rate:    uint64(rate),
			Bytes:   int(rate * probeTime.Seconds() / 8),
			Packets: probePackets,
		}}
		p.open, p.lastAt = p.id, now
		p.handed++
		return c.probe, true
	}
	return Probe{}, false
}

func (p *prober) find(id uint8) *cluster {
	for i := range p.clusters {
		if id != 0 && p.clusters[i].probe.Cluster == id {
			return &p.clusters[i]
		}
	}
	return nil
}

// sent counts a packet for a cluster. It returns the cluster, 0 if there is none or all of it is
// sent, and whether there is more of it to come.
func (p *prober) sent(seq uint16, size int, id uint8) (cluster uint8, more bool) {
	c := p.find(id)
	if c == nil || c.done {
		return 0, false
	}
	c.bytes += size
	c.packets++
	c.last = seq
	if c.bytes >= c.probe.Bytes && c.packets >= c.probe.Packets {
		c.done = true
		p.open = 0
	}
	return id, !c.done
}

// reported counts a packet of a cluster whose fate has become known.
func (p *prober) reported(id uint8, sent mono.Time, arrived instant, size int, ok bool) {
	c := p.find(id)
	if c == nil {
		return
	}
	if !ok {
		c.gone++
		return
	}
	if c.gotPackets == 0 || sent < c.firstSent {
		c.firstSent = sent
	}
	if c.gotPackets == 0 || sent >= c.lastSent {
		c.lastSent, c.lastSize = sent, size
	}
	if c.gotPackets == 0 || arrived < c.firstGot {
		c.firstGot, c.firstSize = arrived, size
	}
	if c.gotPackets == 0 || arrived > c.lastGot {
		c.lastGot = arrived
	}
	c.got += size
	c.gotPackets++
}

// late takes back that a packet of a cluster was lost.
func (p *prober) late(id uint8) {
	if c := p.find(id); c != nil && c.gone > 0 {
		c.gone--
	}
}

// expire gives clusters up that are waited for in vain, and what is planned and not asked for.
func (p *prober) expire(now mono.Time) {
	if p.pending[0] != 0 && now.Sub(p.lastAt) >= probeWait {
		p.pending = [clusterCapacity]float64{}
	}
	for i := range p.clusters {
		c := &p.clusters[i]
		if !c.deadline().Due(now) {
			continue
		}
		if !c.done {
			p.open = 0
		}
		*c = cluster{}
	}
}

// deadline is when the cluster is given up; Never if there is none.
func (c *cluster) deadline() mono.Time {
	switch {
	case c.probe.Cluster == 0:
		return mono.Never
	case !c.done:
		return c.handed.Add(probeWait)
	}
	return c.handed.Add(2 * probeWait)
}

// result returns what a cluster that is reported in whole has found: the rate, what it was sent
// at, and whether that was more than the path took. The newest reported number is reported-1.
func (p *prober) result(reported uint16) (rate, probed float64, full bool) {
	for i := range p.clusters {
		c := &p.clusters[i]
		if c.probe.Cluster == 0 || !c.done || int16(reported-1-c.last) < 0 {
			continue
		}
		if r, filled := c.rate(); r > 0 {
			rate, probed, full = r, float64(c.probe.Rate), filled
		}
		*c = cluster{}
	}
	return rate, probed, full
}

// rate is what the cluster shows, 0 if nothing, and whether the path took no more.
func (c *cluster) rate() (rate float64, full bool) {
	if float64(c.gotPackets) < (1-resultLost)*float64(c.packets) {
		return 0, false
	}
	sending, arriving := c.lastSent.Sub(c.firstSent), c.lastGot.sub(c.firstGot)
	if sending <= 0 || arriving <= 0 || sending > resultTime || arriving > resultTime {
		return 0, false
	}
	sent := float64(c.got-c.lastSize) * 8 / sending.Seconds()
	got := float64(c.got-c.firstSize) * 8 / arriving.Seconds()
	switch ratio := got / sent; {
	case !(ratio <= resultRatio): // nor NaN
		return 0, false
	case ratio < resultFree:
		return resultFull * got, true
	}
	return min(sent, got), false
}
