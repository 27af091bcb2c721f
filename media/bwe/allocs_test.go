package bwe

import (
	"testing"
	"unsafe"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// steady is an estimator that packets and feedback pass through all the time.
type steady struct {
	e        Estimator
	now      mono.Time
	seq      uint16
	count    uint8
	first    uint16
	arrivals []mono.Time
	message  []byte
}

func newSteady() *steady {
	s := &steady{now: simStart}
	s.e.Init(s.now, Config{}, new(Tables))
	s.e.SetWanted(5e6)
	return s
}

// send sends a packet that arrives 20 ms later, but for one in 32.
func (s *steady) send() {
	s.now = s.now.Add(2 * ms)
	s.e.Sent(s.now, s.seq, 1200)
	at := s.now.Add(20 * ms)
	if s.seq%32 == 5 {
		at = mono.Never
	}
	s.arrivals = append(s.arrivals, at)
	s.seq++
}

// report makes the feedback on what was sent since the last one.
func (s *steady) report(tb testing.TB) rtcp.TWCC {
	var covered int
	s.message, covered = rtcp.AppendTWCC(s.message[:0], 1, 2, s.count, s.first, s.arrivals)
	if covered != len(s.arrivals) {
		tb.Fatalf("%d of %d covered", covered, len(s.arrivals))
	}
	s.first += uint16(covered)
	s.arrivals = s.arrivals[:0]
	s.count++
	return parse(tb, s.message)
}

// parse reads a message with one packet.
func parse(tb testing.TB, message []byte) rtcp.TWCC {
	r := rtcp.NewReader(message)
	p, ok := r.Next()
	if !ok {
		tb.Fatal(r.Err())
	}
	t, err := p.TWCC()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// round is 50 packets, their feedback, and what else a connection asks for.
func (s *steady) round(tb testing.TB) {
	for range 50 {
		s.send()
	}
	t := s.report(tb)
	s.e.Feedback(s.now.Add(40*ms), &t)
	if p, ok := s.e.Probe(s.now); ok {
		for range p.Packets {
			s.now = s.now.Add(ms)
			s.e.SentProbe(s.now, s.seq, p.Bytes/p.Packets+1, p.Cluster)
			s.arrivals = append(s.arrivals, s.now.Add(20*ms))
			s.seq++
		}
	}
	s.e.Report(s.now, 3, 40*ms)
	s.e.REMB(s.now, 50e6)
	s.e.Tick(s.now)
	if s.e.Deadline() == mono.Never || s.e.Target() == 0 {
		tb.Fatal("it is asleep")
	}
}

func TestNothingIsAllocatedOnceItRuns(t *testing.T) {
	if raceEnabled {
		return // the detector allocates on its own
	}
	s := newSteady()
	for range 100 {
		s.round(t)
	}
	if n := testing.AllocsPerRun(500, func() { s.round(t) }); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if s.e.Stats().Probed == 0 {
		t.Error("no probe was answered")
	}
}

// A viewer has an estimator, and a table while it is sent to.
func TestAnEstimatorIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Estimator{}); n > 2048 {
		t.Errorf("an estimator has %d bytes", n)
	}
	if n := unsafe.Sizeof(entry{}) * minHistory; n != 1024 {
		t.Errorf("the smallest table has %d bytes", n)
	}
	var e Estimator
	if n := unsafe.Offsetof(e.bytes) + unsafe.Sizeof(e.bytes); n > 64 {
		t.Errorf("what a packet touches has %d bytes", n)
	}
}
