package bwe

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/gcc"
	pion "github.com/pion/rtcp"
	"github.com/pion/rtp"

	"tsubame/netio/mono"
)

// theirs is pion/interceptor's estimator as a subject. It reads the clock, so that it runs in a
// bubble whose clock follows the simulation's.
type theirs struct {
	bwe    *gcc.SendSideBWE
	writer interceptor.RTPWriter
	began  time.Time
}

const pionExtension = 5

func newTheirs(cfg Config) (*theirs, error) {
	bwe, err := gcc.NewSendSideBWE(
		gcc.SendSideBWEPacer(gcc.NewNoOpPacer()),
		gcc.SendSideBWEInitialBitrate(int(cfg.Start)),
		gcc.SendSideBWEMinBitrate(int(cfg.Min)),
		gcc.SendSideBWEMaxBitrate(int(cfg.Max)),
	)
	if err != nil {
		return nil, err
	}
	t := &theirs{bwe: bwe, began: time.Now()}
	t.writer = bwe.AddStream(&interceptor.StreamInfo{
		SSRC: 1,
		RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{
			URI: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", ID: pionExtension,
		}},
	}, interceptor.RTPWriterFunc(func(*rtp.Header, []byte, interceptor.Attributes) (int, error) { return 0, nil }))
	return t, nil
}

// follow brings the bubble's clock to the simulation's.
func (t *theirs) follow(now mono.Time) {
	if d := now.Sub(simStart) - time.Since(t.began); d > 0 {
		<-time.After(d)
	}
}

func (t *theirs) sent(now mono.Time, seq uint16, size int, _ uint8) {
	t.follow(now)
	h := rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq}
	number, err := (&rtp.TransportCCExtension{TransportSequence: seq}).Marshal()
	if err == nil {
		err = h.SetExtension(pionExtension, number)
	}
	if err != nil {
		panic(err)
	}
	payload := make([]byte, max(size-h.MarshalSize(), 0))
	if _, err := t.writer.Write(&h, payload, interceptor.Attributes{}); err != nil {
		panic(err)
	}
}

func (t *theirs) feedback(now mono.Time, message []byte) {
	t.follow(now)
	packets, err := pion.Unmarshal(message)
	if err == nil {
		err = t.bwe.WriteRTCP(packets, nil)
	}
	if err != nil {
		panic(err)
	}
	synctest.Wait() // it has goroutines of its own
}

func (t *theirs) tick(now mono.Time)            { t.follow(now) }
func (t *theirs) target() float64               { return float64(t.bwe.GetTargetBitrate()) }
func (t *theirs) probe(mono.Time) (Probe, bool) { return Probe{}, false }

// inBubble runs f with pion's estimator.
func inBubble(t *testing.T, cfg Config, f func(s subject)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := newTheirs(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f(s)
		if err := s.bwe.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// scenario is a course that both estimators are put through.
type scenario struct {
	name   string
	path   path
	demand []step  // nil: what is wanted
	free   bool    // the source does not obey
	wanted float64 // bit/s
	truth  []step  // what the path takes
	length time.Duration
	tcp    bool // beside a TCP flow from 10 s on
}

const (
	second = time.Second
	ms     = time.Millisecond
)

func scenarios() []scenario {
	down := []step{{0, 2e6}, {20 * second, 5e5}, {50 * second, 2e6}}
	flat := func(rate float64) []step { return []step{{0, rate}} }
	var all []scenario
	add := func(s scenario) {
		if s.wanted == 0 {
			s.wanted = 2.5e6
		}
		if s.length == 0 {
			s.length = 60 * second
		}
		if s.truth == nil {
			s.truth = s.path.rate
		}
		all = append(all, s)
	}
	for _, rtt := range []time.Duration{40 * ms, 100 * ms, 200 * ms, 400 * ms} {
		add(scenario{name: fmt.Sprintf("step 2 M, 500 k, 2 M, RTT %v", rtt), length: 80 * second,
			path: path{rate: down, queue: 300 * ms, delay: rtt / 2}})
	}
	add(scenario{name: "step, queue of 2 s", length: 80 * second, path: path{rate: down, queue: 2 * second, delay: 25 * ms}})
	add(scenario{name: "step, queue of 50 ms", length: 80 * second, path: path{rate: down, queue: 50 * ms, delay: 25 * ms}})
	add(scenario{name: "steady 2 M", path: path{rate: flat(2e6), queue: 300 * ms, delay: 25 * ms}})
	add(scenario{name: "steady 300 k", path: path{rate: flat(3e5), queue: 300 * ms, delay: 25 * ms}})
	add(scenario{name: "jitter 100 ms, in order", path: path{rate: flat(2e6), queue: 300 * ms, delay: 25 * ms, jitter: 100 * ms}})
	add(scenario{name: "jitter 20 ms, in order", path: path{rate: flat(2e6), queue: 300 * ms, delay: 25 * ms, jitter: 20 * ms}})
	add(scenario{name: "jitter 100 ms, reordering", path: path{rate: flat(2e6), queue: 300 * ms, delay: 25 * ms, jitter: 100 * ms, reorder: true}})
	add(scenario{name: "policer 1 M", path: path{police: flat(1e6), bucket: 100 * ms, delay: 25 * ms}, truth: flat(1e6)})
	add(scenario{name: "policer 300 k, deep bucket", path: path{police: flat(3e5), bucket: 500 * ms, delay: 25 * ms}, truth: flat(3e5)})
	add(scenario{name: "loss 10 %, 20 M", wanted: 5e6, path: path{rate: flat(20e6), queue: 300 * ms, delay: 25 * ms, loss: 0.1}, truth: flat(5e6)})
	add(scenario{name: "loss 20 %, 20 M", wanted: 5e6, path: path{rate: flat(20e6), queue: 300 * ms, delay: 25 * ms, loss: 0.2}, truth: flat(5e6)})
	add(scenario{name: "loss 10 % in bursts of 4, 20 M", wanted: 5e6, path: path{rate: flat(20e6), queue: 300 * ms, delay: 25 * ms, loss: 0.1, burst: 4}, truth: flat(5e6)})
	add(scenario{name: "loss 10 %, 2 M", path: path{rate: flat(2e6), queue: 300 * ms, delay: 50 * ms, loss: 0.1}})
	add(scenario{name: "loss 20 %, feedback too, 2 M", path: path{rate: flat(2e6), queue: 300 * ms, delay: 50 * ms, loss: 0.2, lostRTC: 0.2}})
	add(scenario{name: "beside TCP, 4 M, queue of 200 ms", wanted: 4e6, tcp: true, path: path{rate: flat(4e6), queue: 200 * ms, delay: 25 * ms}, truth: flat(2e6)})
	add(scenario{name: "200 k sent, then 2 M, of 3 M", demand: []step{{0, 2e5}, {30 * second, 2e6}}, path: path{rate: flat(3e6), queue: 300 * ms, delay: 25 * ms}})
	add(scenario{name: "2 M sent whatever is estimated, 1 M", free: true, demand: flat(2e6), path: path{rate: flat(1e6), queue: 300 * ms, delay: 25 * ms}})
	return all
}

// run puts an estimator through the course.
func (c scenario) run(s subject, seed uint64) trace {
	l := newLink(c.path, seed)
	f := newFlow(s, l, seed)
	f.demand, f.obeys = c.demand, !c.free
	if f.demand == nil {
		f.demand = []step{{0, c.wanted}}
	}
	var each func(mono.Time)
	if c.tcp {
		each = newTCP(l, 10*second, c.length).drive
	}
	return simulate(c.length, each, f)
}

// accuracy is the mean of the target over what is true, and of its distance from that, after the
// first sixth.
func (c scenario) accuracy(s trace) (mean, off float64) {
	var n float64
	for _, x := range s[len(s)/6:] {
		truth := rateAt(c.truth, x.at)
		mean += x.target / truth
		off += max(x.target/truth-1, 1-x.target/truth)
		n++
	}
	return mean / n, off / n
}

const compareSeed = 3

// TestCompareWithPion prints how both do. Ours runs the same every time; theirs has goroutines of
// its own, and differs a little.
func TestCompareWithPion(t *testing.T) {
	t.Logf("seed %d; target over truth (mean), its distance from 1 (mean), share lost, queue (95 %%)", compareSeed)
	cfg := Config{Min: DefaultMin, Start: DefaultStart, Max: 20e6}
	for _, c := range scenarios() {
		us := c.run(newOurs(cfg, uint64(c.wanted)), compareSeed)
		var them trace
		inBubble(t, cfg, func(s subject) { them = c.run(s, compareSeed) })
		um, ud := c.accuracy(us)
		tm, td := c.accuracy(them)
		from := c.length / 6
		t.Logf("%-38s ours %5.2f %5.2f %4.1f %% %6v   pion %5.2f %5.2f %4.1f %% %6v", c.name,
			um, ud, 100*us.lost(from, c.length), us.queue(from, c.length).Round(ms),
			tm, td, 100*them.lost(from, c.length), them.queue(from, c.length).Round(ms))
		if ud > max(0.3, td+0.1) {
			t.Errorf("%s: ours is off by %.2f, theirs by %.2f", c.name, ud, td)
		}
	}
}
