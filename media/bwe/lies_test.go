package bwe

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// sane fails if anything about e is out of what it may be.
func sane(t *testing.T, e *Estimator, now mono.Time) {
	t.Helper()
	s := e.Stats()
	if s.Target < e.cfg.Min || s.Target > e.cfg.Max {
		t.Fatalf("target %d", s.Target)
	}
	for name, x := range map[string]float64{
		"target": e.target, "rate": e.aimd.rate, "acked": e.acked.kbps, "variance": e.acked.variance,
		"slope": e.trend.slope, "limit": e.trend.limit, "delay": e.trend.delay, "capacity": e.aimd.capacity.kbps,
		"average": e.loss.average, "inherent": e.loss.inherent, "bound": e.loss.bound, "budget": e.limited.budget,
	} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Fatalf("%s is %v", name, x)
		}
	}
	if e.loss.inherent < 0 || e.loss.inherent > inherentMost || e.loss.average < 0 || e.loss.average > 1 {
		t.Fatalf("loss %v, inherent %v", e.loss.average, e.loss.inherent)
	}
	if s.RTT < 0 || s.RTT > rttMost {
		t.Fatalf("RTT %v", s.RTT)
	}
	e.Tick(now)
	if d := e.Deadline(); d != mono.Never && d <= now {
		t.Fatalf("deadline %v ago after Tick", now.Sub(d))
	}
}

// liesAbout is a message about packets [base, base+count) with the same delta each.
func liesAbout(base, count uint16, reference uint32, delta uint16) []byte {
	b := []byte{0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}
	b = binary.BigEndian.AppendUint16(b, base)
	b = binary.BigEndian.AppendUint16(b, count)
	b = binary.BigEndian.AppendUint32(b, reference<<8)
	b = binary.BigEndian.AppendUint16(b, 0x4000|count) // run of large deltas
	for range count {
		b = binary.BigEndian.AppendUint16(b, delta)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}

// Row RTP-10.
func TestFalseFeedbackStaysWithinTheBounds(t *testing.T) {
	for _, c := range []struct {
		name      string
		reference func(i int) uint32
		delta     uint16
	}{
		{"arrivals in the future", func(i int) uint32 { return uint32(i) * 1e5 }, 0},
		{"the reference time backwards", func(i int) uint32 { return 1<<24 - 1 - uint32(i)*977 }, 4},
		{"the reference time at its ends by turns", func(i int) uint32 { return uint32(i%2) * (1<<23 - 1) }, 4},
		{"deltas of 8 s", func(i int) uint32 { return uint32(i) }, 0x7fff},
		{"deltas of -8 s", func(i int) uint32 { return uint32(i) }, 0x8000},
		{"all at one time", func(int) uint32 { return 5 }, 0},
		{"ten times too fast", func(i int) uint32 { return uint32(i) / 6 }, 4},
		{"ten times too slow", func(i int) uint32 { return uint32(i) * 16 }, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOurs(Config{}, 5e6)
			now, seq := simStart, uint16(60000)
			for i := range 600 {
				base := seq
				for range 10 {
					now = now.Add(10 * ms)
					o.Sent(now, seq, 1200)
					seq++
				}
				o.feedback(now, liesAbout(base, 10, c.reference(i), c.delta))
				sane(t, o.Estimator, now)
				if p, ok := o.Probe(now); ok {
					for range p.Packets {
						o.SentProbe(now, seq, p.Bytes/p.Packets+1, p.Cluster)
						seq++
					}
				}
				// A megabit is sent a second, and probed at what is wanted and a
				// quarter: nothing shows that there is more.
				if o.Target() > 6_300_000 {
					t.Fatalf("target %d", o.Target())
				}
			}
			if o.Stats().Feedbacks != 600 {
				t.Errorf("%d messages were read", o.Stats().Feedbacks)
			}
		})
	}
}

// Row RTP-10.
func TestFalseReportsAndREMBsStayWithinTheBounds(t *testing.T) {
	var e Estimator
	e.Init(simStart, Config{}, nil)
	now := simStart
	for i := range 1000 {
		now = now.Add(100 * ms)
		e.Sent(now, uint16(i), 1200)
		for _, rate := range []uint64{0, 1, 1 << 63, math.MaxUint64} {
			e.REMB(now, rate)
			sane(t, &e, now)
		}
		e.Report(now, 255, time.Duration(math.MaxInt64))
		e.Report(now, uint8(i), -time.Hour)
		sane(t, &e, now)
	}
	if e.Target() != DefaultMin {
		t.Errorf("%d with everything lost for 100 s", e.Target())
	}
}

func TestHonestFeedbackIsBelievedAgainAfterLies(t *testing.T) {
	o := newOurs(Config{}, 2.5e6)
	l := newLink(path{rate: []step{{0, 2e6}}, queue: 300 * ms, delay: 25 * ms}, 1)
	f := newFlow(o, l, 1)
	f.demand, f.obeys = []step{{0, 2.5e6}}, true
	r := rand.New(rand.NewPCG(1, 1))
	s := simulate(60*second, func(now mono.Time) {
		if t := now.Sub(simStart); t > 20*second && t < 22*second && t%(50*ms) == 0 {
			o.feedback(now, liesAbout(f.seq-5, 5, r.Uint32N(1<<24), uint16(r.Uint32())))
		}
	}, f)
	if d := s.within(25*second, 60*second, 2e6, 0.2); d < 0 || d > 15*second {
		t.Errorf("believed again after %v", d)
	}
}

// FuzzFeedback is a peer that says anything about what it was sent.
func FuzzFeedback(f *testing.F) {
	f.Add(liesAbout(0, 10, 1, 4), uint16(10), uint8(20))
	f.Add(liesAbout(65530, 20, 1<<24-1, 0x8000), uint16(300), uint8(0))
	f.Add(append(liesAbout(5, 3, 7, 1), liesAbout(1, 3, 1<<23, 0x7fff)...), uint16(40), uint8(255))
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 5, 0, 0}, uint16(9), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, packets uint16, gap uint8) {
		var e Estimator
		e.Init(simStart, Config{}, nil)
		e.SetWanted(5e6)
		now := simStart
		for round := range 3 {
			for i := range packets % 1000 {
				now = now.Add(time.Duration(gap) * ms / 4)
				e.Sent(now, uint16(round)*(packets%1000)+i, int(i)*7%1500)
			}
			if p, ok := e.Probe(now); ok {
				e.SentProbe(now, 3*(packets%1000)+uint16(round), p.Bytes, p.Cluster)
			}
			r := rtcp.NewReader(data)
			for p, ok := r.Next(); ok; p, ok = r.Next() {
				if w, err := p.TWCC(); err == nil {
					e.Feedback(now, &w)
				}
			}
			now = now.Add(time.Duration(gap) * 10 * ms)
			sane(t, &e, now)
		}
	})
}
