package bwe

import (
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/netio/mono"
)

// never is an arrival that did not happen.
const never = mono.Never

// tell gives feedback on arrivals from base on.
func tell(t *testing.T, e *Estimator, now mono.Time, base uint16, arrivals ...mono.Time) {
	t.Helper()
	message, covered := rtcp.AppendTWCC(nil, 1, 2, 0, base, arrivals)
	if covered != len(arrivals) {
		t.Fatalf("%d of %d covered", covered, len(arrivals))
	}
	w := parse(t, message)
	e.Feedback(now, &w)
}

// sentTo is an estimator that sent so many packets, 10 ms apart, from number base on.
func sentTo(base uint16, packets int) *Estimator {
	e := new(Estimator)
	e.Init(simStart, Config{}, nil)
	for i := range packets {
		e.Sent(at(i), base+uint16(i), 1000)
	}
	return e
}

// at is when packet i of sentTo is sent.
func at(i int) mono.Time { return simStart.Add(time.Duration(i) * 10 * ms) }

// arrivals are those of packets [from, to) of sentTo after 30 ms.
func arrivals(from, to int) (all []mono.Time) {
	for i := from; i < to; i++ {
		all = append(all, at(i).Add(30*ms))
	}
	return all
}

func TestRoundTripIsThatOfTheNewestPacket(t *testing.T) {
	e := sentTo(65530, 20) // over the wrap
	tell(t, e, at(19).Add(80*ms), 65530, arrivals(0, 20)...)
	if rtt := e.Stats().RTT; rtt < 79*ms || rtt > 81*ms {
		t.Errorf("%v", rtt)
	}
}

func TestLossIsCountedAndTakenBackForLatePackets(t *testing.T) {
	e := sentTo(100, 10)
	all := arrivals(0, 10)
	all[3], all[6] = never, never
	tell(t, e, at(12), 100, all...)
	if n := e.Stats().Lost; n != 2 {
		t.Fatalf("%d lost", n)
	}
	// Number 103 was late; the message says again what it said of the others.
	tell(t, e, at(14), 103, append([]mono.Time{at(11)}, all[4:]...)...)
	if n := e.Stats().Lost; n != 1 {
		t.Errorf("%d lost after one was only late", n)
	}
	if e.loss.lost != 1 || e.loss.packets != 10 {
		t.Errorf("%d of %d in the observation", e.loss.lost, e.loss.packets)
	}
}

func TestDuplicateFeedbackChangesNothing(t *testing.T) {
	e := sentTo(7, 100)
	all := arrivals(0, 100)
	tell(t, e, at(101), 7, all...)
	before := *e
	tell(t, e, at(102), 7, all...)
	after := *e
	// What depends on the time of the call alone.
	after.feedbacks, after.limited = before.feedbacks, before.limited
	if after.aimd != before.aimd || after.acked != before.acked || after.trend != before.trend ||
		after.loss != before.loss || after.target != before.target || after.rtt != before.rtt {
		t.Error("it did")
	}
}

func TestFeedbackInTheWrongOrderCountsForLossAndRate(t *testing.T) {
	e := sentTo(0, 100)
	all := arrivals(0, 100)
	tell(t, e, at(101), 50, all[50:]...)
	tell(t, e, at(101), 0, all[:50]...)
	if e.loss.packets+int(e.loss.n) == 0 || e.Stats().Lost != 0 {
		t.Errorf("%+v", e.Stats())
	}
	for i := range uint16(100) {
		if p := e.history.find(i); p == nil || p.fate != received {
			t.Fatalf("packet %d: %+v", i, p)
		}
	}
}

// What was in a feedback message that did not come was not lost.
func TestLostFeedbackIsNotLoss(t *testing.T) {
	e := sentTo(0, 100)
	all := arrivals(0, 100)
	tell(t, e, at(40), 0, all[:30]...)
	tell(t, e, at(101), 60, all[60:]...)
	if n := e.Stats().Lost; n != 0 {
		t.Errorf("%d lost", n)
	}
}

func TestFeedbackOnPacketsThatWereNotSentIsIgnored(t *testing.T) {
	e := sentTo(1000, 20)
	before := e.Target()
	tell(t, e, at(21), 1020, arrivals(0, 20)...)
	tell(t, e, at(21), 900, arrivals(0, 20)...)
	if e.heard != mono.Never || e.Stats().RTT != 0 || e.Target() != before {
		t.Errorf("%+v", e.Stats())
	}
}

func TestSilenceGivesTheTableBackAndKeepsTheTarget(t *testing.T) {
	var tables Tables
	e := new(Estimator)
	e.Init(simStart, Config{Start: 777_000}, &tables)
	if e.Deadline() != mono.Never {
		t.Error("it waits for something before the first packet")
	}
	e.Sent(simStart, 1, 1000)
	lent := &e.history.entries[0]
	if d := e.Deadline(); d != simStart.Add(silence) {
		t.Fatalf("deadline %v", d.Sub(simStart))
	}
	e.Tick(simStart.Add(silence))
	if e.Deadline() != mono.Never || e.Target() != 777_000 || len(tables.free[0]) != 1 {
		t.Errorf("deadline %v, target %d, %d tables", e.Deadline(), e.Target(), len(tables.free[0]))
	}
	e.Sent(simStart.Add(time.Hour), 2, 1000)
	if &e.history.entries[0] != lent {
		t.Error("another table was made")
	}
	e.Close()
	e.Close()
	if len(tables.free[0]) != 1 {
		t.Errorf("%d tables after Close", len(tables.free[0]))
	}
	new(Estimator).Close()
}

func TestMissingFeedbackLowersTheTargetWhileMoreIsSent(t *testing.T) {
	e := sentTo(0, 100)
	tell(t, e, at(101), 0, arrivals(0, 100)...)
	start := e.Target()
	now := at(101)
	for i := range 500 { // 5 s
		now = now.Add(10 * ms)
		e.Sent(now, uint16(100+i), 1000)
		if e.Deadline().Due(now) {
			e.Tick(now)
		}
	}
	if e.Target() >= start*7/10 || e.Target() < start*4/10 {
		t.Errorf("from %d to %d in 5 s", start, e.Target())
	}
}

func TestSilentSourceDoesNotLowerTheTarget(t *testing.T) {
	e := sentTo(0, 100)
	tell(t, e, at(101), 0, arrivals(0, 99)...) // the last one is never reported
	start := e.Target()
	e.Sent(at(102), 100, 1000)
	for now := at(102); now < at(2000); now = now.Add(ms) {
		if e.Deadline().Due(now) {
			e.Tick(now)
			if e.Deadline().Due(now) {
				t.Fatal("a deadline that does not go away")
			}
		}
	}
	if e.Target() != start {
		t.Errorf("from %d to %d", start, e.Target())
	}
}

func TestReportsCountWithoutFeedback(t *testing.T) {
	e := new(Estimator)
	e.Init(simStart, Config{Start: 1e6}, nil)
	now := simStart
	for i := range 3000 { // 30 s of 800 kbit/s
		now = now.Add(10 * ms)
		e.Sent(now, uint16(i), 1000)
		if i%100 == 99 {
			e.Report(now, 0, 50*ms)
		}
	}
	if e.Target() <= 1e6 || e.Target() > 18e5 || e.Stats().RTT != 50*ms {
		t.Errorf("%+v without loss", e.Stats())
	}
	high := e.Target()
	for range 10 {
		now = now.Add(second)
		e.Report(now, 64, 50*ms)
	}
	if e.Target() >= high/2 || e.Stats().Loss != 64 {
		t.Errorf("%+v with a quarter lost", e.Stats())
	}
}

func TestReportsDoNotCountBesideFeedback(t *testing.T) {
	e := sentTo(0, 100)
	tell(t, e, at(101), 0, arrivals(0, 100)...)
	before := e.Target()
	e.Report(at(150), 255, 9*second)
	if e.Target() != before || e.Stats().RTT > second {
		t.Errorf("%+v", e.Stats())
	}
}

func TestREMBBoundsTheTargetForAWhile(t *testing.T) {
	e := sentTo(0, 10)
	before := e.Target()
	e.REMB(at(10), 123_000)
	if e.Target() != 123_000 {
		t.Errorf("%d", e.Target())
	}
	e.Tick(at(10).Add(rembValid))
	if e.Target() != before {
		t.Errorf("%d afterwards, %d before", e.Target(), before)
	}
}
