package bwe

import (
	"testing"
	"time"

	"tsubame/netio/mono"
)

// heardFrom is an estimator with feedback on a steady 300 kbit/s of packets, to which more is
// wanted. It returns the next number and the time.
func heardFrom(t *testing.T, wanted uint64) (*Estimator, uint16, mono.Time) {
	t.Helper()
	e := new(Estimator)
	e.Init(simStart, Config{Start: 300_000}, nil)
	e.SetWanted(wanted)
	for i := range 100 {
		e.Sent(at(i), uint16(i), 375)
	}
	if _, ok := e.Probe(at(50)); ok {
		t.Error("a probe before any feedback")
	}
	tell(t, e, at(103), 0, arrivals(0, 100)...)
	return e, 100, at(103)
}

// probe sends a cluster, and feedback as if the path took so many bit/s of it.
func probe(t *testing.T, e *Estimator, p Probe, seq uint16, now mono.Time, takes float64) (uint16, mono.Time) {
	t.Helper()
	const size = 250
	base, sent, begin := seq, now, now
	var all []mono.Time
	for bytes, n := 0, 0; bytes < p.Bytes || n < p.Packets; n++ {
		e.SentProbe(sent, seq, size, p.Cluster)
		all = append(all, begin.Add(30*ms+time.Duration(float64(bytes)*8e9/min(takes, float64(p.Rate)))))
		bytes += size
		seq++
		sent = now.Add(time.Duration(float64(bytes) * 8e9 / float64(p.Rate)))
	}
	// A packet after it, so that the cluster is known to be reported in whole.
	e.Sent(sent, seq, size)
	all = append(all, all[len(all)-1].Add(10*ms))
	tell(t, e, all[len(all)-1].Add(30*ms), base, all...)
	return seq + 1, all[len(all)-1].Add(30 * ms)
}

func TestProbesAtTheBeginningFindTheRate(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	first, ok := e.Probe(now)
	if !ok || first.Rate < 900_000 || first.Rate > 910_000 || first.Packets < 5 || first.Bytes < 900_000/8*30/1000 {
		t.Fatalf("%+v, %v", first, ok)
	}
	if _, ok := e.Probe(now); ok {
		t.Error("a second one while the first is not sent")
	}
	seq, now = probe(t, e, first, seq, now, 20e6)
	if e.Target() < 800_000 || e.Target() > 910_000 {
		t.Errorf("target %d", e.Target())
	}
	second, ok := e.Probe(now)
	if !ok || second.Rate < 1_800_000 || second.Cluster == first.Cluster {
		t.Fatalf("%+v, %v", second, ok)
	}
	seq, now = probe(t, e, second, seq, now, 20e6)
	third, ok := e.Probe(now)
	if !ok || third.Rate < 3_000_000 {
		t.Fatalf("%+v, %v", third, ok)
	}
	probe(t, e, third, seq, now, 2.5e6) // the path takes no more
	if e.Target() < 2_200_000 || e.Target() > 2_500_000 {
		t.Errorf("target %d", e.Target())
	}
	if s := e.Stats(); s.Probes != 3 || s.Probed != 3 {
		t.Errorf("%+v", s)
	}
}

func TestProbesAreBoundedByWhatIsWanted(t *testing.T) {
	e, seq, now := heardFrom(t, 800_000)
	p, ok := e.Probe(now)
	if !ok || p.Rate < 900_000 || p.Rate > 910_000 {
		t.Fatalf("%+v, %v", p, ok)
	}
	seq, now = probe(t, e, p, seq, now, 20e6)
	if p, ok := e.Probe(now); ok && p.Rate > 1_000_000 {
		t.Errorf("%+v", p)
	}
	e.SetWanted(0)
	for range 20 {
		now = now.Add(second)
		e.Sent(now, seq, 100)
		seq++
		e.Tick(now)
	}
	if p, ok := e.Probe(now); ok && p.Rate > 1_000_000 {
		t.Errorf("%+v though nothing is wanted", p)
	}
}

func TestNothingIsProbedWhenNothingMoreIsWanted(t *testing.T) {
	for _, wanted := range []uint64{0, 250_000, 300_000} {
		e, _, now := heardFrom(t, wanted)
		if p, ok := e.Probe(now); ok {
			t.Errorf("%+v for %d", p, wanted)
		}
	}
}

func TestMoreIsProbedWhenMoreIsWanted(t *testing.T) {
	e, seq, now := heardFrom(t, 300_000)
	e.prober.begun = true
	now = now.Add(2 * second)
	e.SetWanted(2e6)
	for i := range 10 { // feedback goes on
		e.Sent(now.Add(time.Duration(i)*10*ms), seq+uint16(i), 375)
	}
	tell(t, e, now.Add(130*ms), seq, now.Add(30*ms), now.Add(40*ms), now.Add(50*ms))
	if p, ok := e.Probe(now); !ok || p.Rate < 550_000 {
		t.Errorf("%+v, %v", p, ok)
	}
}

func TestClusterOfWhichTooMuchWasLostShowsNothing(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	before := e.Target()
	p, _ := e.Probe(now)
	base := seq
	var all []mono.Time
	for i := range 14 {
		e.SentProbe(now.Add(time.Duration(i)*2*ms), seq, 250, p.Cluster)
		all = append(all, now.Add(30*ms+time.Duration(i)*2*ms))
		if i%2 == 0 {
			all[i] = never
		}
		seq++
	}
	e.Sent(now.Add(40*ms), seq, 100)
	tell(t, e, now.Add(100*ms), base, append(all, now.Add(70*ms))...)
	if e.Target() > before*11/10 || e.Stats().Probed != 0 {
		t.Errorf("target %d, %+v", e.Target(), e.Stats())
	}
}

// Held up and let go together: it says nothing about the rate of the path.
func TestClusterThatArrivesAllAtOnceShowsNothing(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	before := e.Target()
	p, _ := e.Probe(now)
	base := seq
	var all []mono.Time
	for i := range 15 {
		e.SentProbe(now.Add(time.Duration(i)*2*ms), seq, 250, p.Cluster)
		all = append(all, now.Add(90*ms+time.Duration(i)*ms/4))
		seq++
	}
	tell(t, e, now.Add(130*ms), base, all...)
	if e.Target() > before*11/10 {
		t.Errorf("target %d", e.Target())
	}
}

func TestClusterThatIsNotSentIsGivenUp(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	p, _ := e.Probe(now)
	e.SentProbe(now, seq, 250, p.Cluster)
	for i := range uint16(30) { // without another packet of it: those of media count for it
		e.Sent(now.Add(time.Duration(i)*ms), seq+1+i, 10)
	}
	if d := e.Deadline(); d > now.Add(probeWait) {
		t.Errorf("deadline in %v", d.Sub(now))
	}
	e.Tick(now.Add(probeWait))
	if e.history.probing != 0 || e.prober.open != 0 {
		t.Error("it is still open")
	}
	if e.prober.busy() {
		t.Error("it is in the way of the next one")
	}
}

func TestClusterThatIsNotAskedForIsGivenUp(t *testing.T) {
	e, _, now := heardFrom(t, 5e6)
	e.Tick(now.Add(probeWait))
	if p, ok := e.Probe(now.Add(probeWait)); ok {
		t.Errorf("%+v", p)
	}
}

// What is wanted is told every second, and is a little more or less each time.
func TestWishThatVariesIsNoReasonToProbe(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	clusters := 0
	for i := range 100 { // 10 s
		e.SetWanted(5e6 + uint64(i%7)*1e5)
		base := seq
		var all []mono.Time
		for range 10 {
			now = now.Add(10 * ms)
			e.Sent(now, seq, 375)
			all = append(all, now.Add(30*ms))
			seq++
		}
		tell(t, e, now.Add(40*ms), base, all...)
		if _, ok := e.Probe(now); ok {
			clusters++
		}
	}
	if clusters < 2 || clusters > 5 {
		t.Errorf("%d clusters in 10 s", clusters)
	}
}

func TestOtherPathIsMeasuredAfresh(t *testing.T) {
	o := newOurs(Config{}, 5e6)
	l := newLink(path{rate: []step{{0, 5e6}}, queue: 300 * ms, delay: 20 * ms}, 1)
	f := newFlow(o, l, 1)
	f.demand, f.obeys = []step{{0, 5e6}}, true
	s := simulate(60*second, func(now mono.Time) {
		if now.Sub(simStart) == 20*second {
			l.rate, l.delay, l.back = []step{{0, 1.5e6}}, 120*ms, 120*ms
			o.Moved(now)
		}
	}, f)
	if d := s.within(20*second, 60*second, 1.5e6, 0.2); d < 0 || d > 5*second {
		t.Errorf("within %v", d)
	}
}

func TestPacketsSentAnywayCountForTheCluster(t *testing.T) {
	e, seq, now := heardFrom(t, 5e6)
	p, _ := e.Probe(now)
	e.SentProbe(now, seq, 200, p.Cluster)
	for i := range 4 {
		e.Sent(now.Add(ms*time.Duration(i+1)), seq+1+uint16(i), 1200)
	}
	if e.prober.open != 0 || !e.prober.clusters[0].done {
		t.Errorf("%+v", e.prober.clusters[0])
	}
	e.Sent(now.Add(10*ms), seq+5, 1200)
	if got := e.history.find(seq + 5).cluster; got != 0 {
		t.Errorf("a packet behind it is of cluster %d", got)
	}
	e.SentProbe(now, seq+6, 200, 99)
	if got := e.history.find(seq + 6).cluster; got != 0 {
		t.Errorf("a packet of an unknown cluster is of %d", got)
	}
}
