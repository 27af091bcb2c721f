package recv

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
)

const rtt = 100 * time.Millisecond

// wantNACK asks s for what is due at now.
func wantNACK(t *testing.T, s *Stream, now mono.Time, want ...uint16) {
	t.Helper()
	if got := s.AppendNACK(now, rtt, nil); !slices.Equal(got, want) {
		t.Fatalf("at %v: asked for %v, want %v", now.Sub(start), got, want)
	}
}

func TestGapIsHeldForReordering(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12)
	wantNACK(t, s, start)
	if d := s.Deadline(); d != at(nackHold) {
		t.Fatalf("deadline after %v, want %v", d.Sub(start), nackHold)
	}
	wantNACK(t, s, at(nackHold-1))
	wantNACK(t, s, at(nackHold), 11)
}

func TestGapThatFillsInTimeIsNeverAskedFor(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12, 11)
	if d := s.Deadline(); d != mono.Never {
		t.Fatalf("deadline after %v with nothing missing", d.Sub(start))
	}
	wantNACK(t, s, at(time.Second))
}

func TestGapOvertakenByEnoughPacketsIsAskedForAtOnce(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12, 13)
	wantNACK(t, s, start)
	mustFeed(t, s, start, 14)
	if !s.Deadline().Due(start) {
		t.Fatal("not due after three newer packets")
	}
	wantNACK(t, s, start, 11)
}

func TestRetriesAreSpacedByTheRoundTripAndGrow(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12)
	now, last := at(nackHold), mono.Never
	var gaps []time.Duration
	for s.Outstanding() > 0 {
		if got := s.AppendNACK(now, rtt, nil); len(got) > 0 {
			if last != mono.Never {
				gaps = append(gaps, now.Sub(last))
			}
			last = now
		}
		if d := s.Deadline(); d != mono.Never {
			if d <= now {
				t.Fatal("the deadline stays in the past")
			}
			now = d
		}
	}
	if gaps[0] != rtt {
		t.Errorf("first retry after %v, want %v", gaps[0], rtt)
	}
	for i := 1; i < len(gaps); i++ {
		want := gaps[i-1]
		if i >= nackSteady {
			want = want * 3 / 2
		}
		if off := gaps[i] - want; off.Abs() > 2*time.Microsecond {
			t.Errorf("gap %d of %v, want %v", i, gaps[i], want)
		}
	}
	if n := len(gaps) + 1; n > nackTries {
		t.Errorf("asked %d times, want at most %d", n, nackTries)
	}
	if now.Sub(start) < nackAge || now.Sub(start) > nackAge+nackMaxSpacing {
		t.Errorf("given up after %v", now.Sub(start))
	}
	if !s.TakeLost() || s.TakeLost() {
		t.Error("the loss is to be reported once")
	}
}

func TestTriesAreBoundedOnAShortPath(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12)
	asked := 0
	for now := start; s.Outstanding() > 0; now = now.Add(ms(1)) {
		if now.Sub(start) > nackAge {
			t.Fatal("still asking")
		}
		asked += len(s.AppendNACK(now, time.Millisecond, nil))
	}
	if asked != nackTries {
		t.Errorf("asked %d times, want %d", asked, nackTries)
	}
}

func TestKeyFrameEndsWhatIsMissingBeforeIt(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12, 14)
	key := mustFeed(t, s, start, 20)
	mustFeed(t, s, start, 22)
	s.KeyFrame(key)
	wantNACK(t, s, at(nackHold), 21)
	if s.TakeLost() {
		t.Error("a key frame is asked for although one has just come")
	}
}

func TestLossReportedLateIsNotHealedByAnOldKeyFrame(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10, 12)
	for s.Outstanding() > 0 {
		s.AppendNACK(s.Deadline(), rtt, nil)
	}
	mustFeed(t, s, at(3*time.Second), 13)
	old := uint64(1<<16 + 9)
	s.KeyFrame(old)
	if !s.TakeLost() {
		t.Error("a key frame from before the loss was taken for one after it")
	}
}

// A voice has no key frames: what is newest is worth most.
func TestOutstandingIsBoundedAndTheOldestGoFirst(t *testing.T) {
	s := new(Stream)
	s.Init(Config{ClockRate: 48000, NACK: true})
	mustFeed(t, s, start, 0, 1000)
	if s.Outstanding() != MaxOutstanding {
		t.Fatalf("%d outstanding, want %d", s.Outstanding(), MaxOutstanding)
	}
	got := s.AppendNACK(at(nackHold), rtt, nil)
	if len(got) != MaxOutstanding || got[0] != 1000-MaxOutstanding || got[len(got)-1] != 999 {
		t.Fatalf("asked for %d packets, %d to %d", len(got), got[0], got[len(got)-1])
	}
	mustFeed(t, s, at(nackHold), 1003)
	if got := s.AppendNACK(at(2*nackHold), rtt, nil); s.Outstanding() != MaxOutstanding || !slices.Equal(got, []uint16{1001, 1002}) {
		t.Fatalf("asked for %v with %d outstanding", got, s.Outstanding())
	}
	if s.TakeLost() {
		t.Error("a key frame of a voice is wanted")
	}
	if st := s.Stats(); st.GivenUp != 999-MaxOutstanding+2 || st.Overflowed != st.GivenUp || st.Missing != 1001 {
		t.Errorf("counted %+v", st)
	}
}

func TestMoreMissingVideoThanIsAskedForEndsInAKeyFrame(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 0, MaxOutstanding)
	if s.Outstanding() != MaxOutstanding-1 || s.TakeLost() {
		t.Fatalf("%d outstanding", s.Outstanding())
	}
	mustFeed(t, s, start, MaxOutstanding+3)
	wantNACK(t, s, at(time.Second))
	if st := s.Stats(); !s.TakeLost() || st.Overflowed != MaxOutstanding+1 || st.GivenUp != st.Overflowed || s.Outstanding() != 0 {
		t.Errorf("counted %+v with %d outstanding", st, s.Outstanding())
	}
	mustFeed(t, s, at(time.Second), MaxOutstanding+5)
	if s.Outstanding() != 1 {
		t.Error("what is lost afterwards is not asked for")
	}
}

// What was lost in a second without network would take longer to come again than a key frame.
func TestLongBurstIsReplacedByAKeyFrame(t *testing.T) {
	for _, c := range []struct {
		name    string
		packets uint16
		pause   time.Duration
		asked   bool
	}{
		{"burst", burstPackets, burstTime, false},
		{"many packets at once", burstPackets, burstTime - 1, true},
		{"a few packets of a slow stream", burstPackets - 1, time.Second, true},
		{"a packet after a blackout", 1, burstGone, false},
	} {
		s := newVideo()
		mustFeed(t, s, start, 10, 12)
		mustFeed(t, s, at(c.pause), 13+c.packets)
		switch asked := s.AppendNACK(at(c.pause+nackHold), rtt, nil); {
		case c.asked && (len(asked) != int(c.packets)+1 || s.TakeLost()):
			t.Errorf("%s: asked for %d", c.name, len(asked))
		case !c.asked && (len(asked) != 0 || !s.TakeLost() || s.Stats().Bursts != uint64(c.packets)+1):
			t.Errorf("%s: asked for %d, %+v", c.name, len(asked), s.Stats())
		}
	}
}

// After a second without network the publisher may have forgotten: the picture does not wait for
// ten requests to find out.
func TestWhatMayBeForgottenIsAskedForTwice(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 10)
	mustFeed(t, s, at(burstOld), 12)
	asked := 0
	for now := at(burstOld); s.Outstanding() > 0; now = s.Deadline() {
		asked += len(s.AppendNACK(now, rtt, nil))
		if s.Deadline() == mono.Never && now.Sub(at(burstOld)) > 3*rtt {
			t.Errorf("given up after %v", now.Sub(at(burstOld)))
		}
	}
	if asked != nackOldTries || !s.TakeLost() {
		t.Errorf("asked for %d times", asked)
	}
}

func TestHoldShrinksWithLossAndGrowsWithReordering(t *testing.T) {
	s := newVideo()
	hold := func() time.Duration { return time.Duration(s.missing.hold) * time.Microsecond }
	seq, now := uint16(0), start
	mustFeed(t, s, now, seq)
	for range 50 { // lost, and repeated by the publisher
		mustFeed(t, s, now, seq+2)
		s.Receive(now.Add(rtt), seq+1, 0, 100, true)
		seq, now = seq+2, now.Add(rtt)
	}
	if h := hold(); h != nackHoldLeast {
		t.Errorf("held for %v on a path that loses, want %v", h, nackHoldLeast)
	}
	for range 3 { // overtaken by 20 ms
		mustFeed(t, s, now, seq+2)
		mustFeed(t, s, now.Add(ms(20)), seq+1)
		seq, now = seq+2, now.Add(rtt)
	}
	if h := hold(); h != ms(25) {
		t.Errorf("held for %v on a path that reorders by 20 ms, want %v", h, ms(25))
	}
	mustFeed(t, s, now, seq+2, seq+3, seq+4, seq+5, seq+6)
	wantNACK(t, s, now.Add(ms(25)-1))
	wantNACK(t, s, now.Add(ms(25)), seq+1)
	mustFeed(t, s, now.Add(time.Second), seq+1)
	if h := hold(); h != nackHoldMost {
		t.Errorf("held for %v after a packet came by a second late, want %v", h, nackHoldMost)
	}
}

// lossyReport makes the last report one of 10 % of loss, in which so many retransmissions came,
// and so many of those once more.
func lossyReport(t *testing.T, s *Stream, now mono.Time, recovered, repeated int) {
	t.Helper()
	highest, _ := s.Highest()
	seq := uint16(highest)
	for i := range uint16(100) {
		if i%10 != 5 {
			mustFeed(t, s, now, seq+1+i)
		}
	}
	for i := range recovered {
		s.Receive(now, seq+6+uint16(10*i), 0, 100, true)
	}
	for range repeated {
		s.Receive(now, seq+6, 0, 100, true)
	}
	for s.Outstanding() > 0 {
		s.AppendNACK(s.Deadline(), rtt, nil)
	}
	if b, _ := s.Report(now); b.FractionLost < eagerLoss {
		t.Fatalf("loss of %d of 256", b.FractionLost)
	}
}

func TestRequestsAreRepeatedWithinARoundTripWhereMuchIsLost(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 0)
	lossyReport(t, s, start, 10, 0)
	mustFeed(t, s, start, 103)
	var asked []time.Duration
	for first := mono.Never; s.Outstanding() > 0; {
		now := s.Deadline()
		if first == mono.Never {
			first = now
		}
		if n := len(s.AppendNACK(now, rtt, nil)); n > 0 {
			asked = append(asked, now.Sub(first))
		}
	}
	if len(asked) < 2*nackSteady+2 || len(asked) > nackTries+nackSteady {
		t.Fatalf("asked %d times", len(asked))
	}
	for i, d := range asked[:2*nackSteady+1] {
		if off := d - time.Duration(i)*rtt/2; off.Abs() > 20*time.Microsecond {
			t.Errorf("request %d after %v, want one each half round trip", i, d)
		}
	}
	if last := asked[2*nackSteady+1] - asked[2*nackSteady]; (last - rtt*3/2).Abs() > 20*time.Microsecond {
		t.Errorf("the rounds after those are %v apart", last)
	}
}

func TestPublisherThatAnswersRepeatsIsAskedOnce(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 0)
	lossyReport(t, s, start, 10, 0)
	lossyReport(t, s, start, 10, 8)
	lossyReport(t, s, start, 10, 2) // that was a probe of its bandwidth
	lossyReport(t, s, start, 10, 8)
	if !s.eager.on {
		t.Fatal("asked once although the publisher does not waste")
	}
	lossyReport(t, s, start, 10, 8)
	if s.eager.on {
		t.Fatal("asked twice although most comes twice")
	}
	lossyReport(t, s, start, 10, 0)
	if s.eager.on {
		t.Error("forgotten")
	}
	s.Init(s.cfg)
	mustFeed(t, s, start, 0)
	lossyReport(t, s, start, 10, 0)
	if !s.eager.on {
		t.Error("held against another source")
	}
}

func TestRequestsAreNotRepeatedWhereLittleIsLost(t *testing.T) {
	s := newVideo()
	mustFeed(t, s, start, 0)
	lossyReport(t, s, start, 10, 0)
	for i := range uint16(100) {
		mustFeed(t, s, start, 101+i)
	}
	s.Report(start)
	if s.eager.on {
		t.Error("still")
	}
}

func TestStreamWithoutNACKAsksForNothing(t *testing.T) {
	s := new(Stream)
	s.Init(Config{ClockRate: 48000})
	mustFeed(t, s, start, 10, 20)
	wantNACK(t, s, at(time.Second))
	if s.Deadline() != mono.Never || s.TakeLost() {
		t.Error("audio without NACK wants something")
	}
	if got := s.Stats().Missing; got != 9 {
		t.Errorf("%d counted as missing", got)
	}
}

// model is the NACK schedule as one would explain it: a list of what is missing, looked
// through from end to end for everything.
type model struct {
	highest  uint64
	accepted int
	missing  []modelGap
	hold     time.Duration
	video    bool
}

type modelGap struct {
	seq         uint64
	since, at   mono.Time
	seen, tries int
}

func (m *model) receive(now mono.Time, ext uint64, rtx bool) {
	if m.highest != 0 && ext > m.highest+1 {
		m.miss(now, ext)
	}
	m.highest = max(m.highest, ext)
	for i, g := range m.missing {
		if g.seq != ext {
			continue
		}
		m.missing = slices.Delete(m.missing, i, i+1)
		if late := now.Sub(g.since); rtx {
			m.hold = max(m.hold-m.hold/8/time.Microsecond*time.Microsecond, nackHoldLeast)
		} else {
			m.hold = min(max(m.hold, late+late/4/time.Microsecond*time.Microsecond), nackHoldMost)
		}
		break
	}
	m.accepted++
	for i := range m.missing {
		if g := &m.missing[i]; m.hold <= nackHold && g.tries == 0 && m.accepted-g.seen >= nackHoldCount {
			g.at = min(g.at, now)
		}
	}
}

func (m *model) miss(now mono.Time, ext uint64) {
	due := now.Add(m.hold)
	for _, g := range m.missing {
		if g.tries == 0 {
			due = max(due, g.at)
		}
	}
	for seq := m.highest + 1; seq < ext; seq++ {
		m.missing = append(m.missing, modelGap{seq: seq, since: now, at: due, seen: m.accepted})
	}
	if extra := len(m.missing) - MaxOutstanding; extra > 0 {
		if m.video {
			extra = len(m.missing)
		}
		m.missing = m.missing[extra:]
	}
}

func (m *model) nacks(now mono.Time, rtt time.Duration) (out []uint16) {
	m.missing = slices.DeleteFunc(m.missing, func(g modelGap) bool {
		return g.at <= now && (g.tries >= nackTries || now.Sub(g.since) >= nackAge)
	})
	for i := range m.missing {
		g := &m.missing[i]
		if g.at > now {
			continue
		}
		out = append(out, uint16(g.seq))
		wait := max(rtt, nackMinSpacing)
		for try := g.tries; try >= nackSteady; try-- {
			wait += wait / 2
		}
		g.at = now.Add(min(wait, nackMaxSpacing))
		g.tries++
	}
	return out
}

func (m *model) deadline() mono.Time {
	d := mono.Never
	for _, g := range m.missing {
		d = mono.Earliest(d, g.at)
	}
	return d
}

func TestNACKScheduleAgreesWithAnObviousOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := new(Stream), &model{hold: nackHold, video: rapid.Bool().Draw(t, "video")}
		s.Init(Config{SSRC: 1, NACK: true, Video: m.video})
		now := start
		ext, _ := feed(s, now, uint16(rapid.IntRange(0, 65535).Draw(t, "first")))
		m.receive(now, ext, false)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 12_000), rapid.IntRange(0, 450_000)).Draw(t, "µs")) * time.Microsecond)
			switch rapid.SampledFrom([]string{"next", "next", "gap", "late", "key", "nack", "nack"}).Draw(t, "what") {
			case "next":
				ext, _ := feed(s, now, uint16(m.highest+1))
				m.receive(now, ext, false)
			case "gap":
				if now.Sub(s.arrivals.lastAt) >= burstTime {
					break // see TestLongBurstIsReplacedByAKeyFrame
				}
				ext, _ := feed(s, now, uint16(m.highest+uint64(rapid.OneOf(rapid.IntRange(2, 6), rapid.IntRange(2, 600)).Draw(t, "gap"))))
				m.receive(now, ext, false)
			case "late":
				rtx := rapid.Bool().Draw(t, "rtx")
				ext, v := s.Receive(now, uint16(m.highest)-uint16(rapid.IntRange(0, 40).Draw(t, "back")), 0, 100, rtx)
				if v == Accept {
					m.receive(now, ext, rtx)
				}
			case "key":
				key := m.highest - uint64(rapid.IntRange(0, 5).Draw(t, "back"))
				s.KeyFrame(key)
				m.missing = slices.DeleteFunc(m.missing, func(g modelGap) bool { return g.seq < key })
			case "nack":
				rtt := time.Duration(rapid.IntRange(1, 400).Draw(t, "rtt")) * time.Millisecond
				got, want := s.AppendNACK(now, rtt, nil), m.nacks(now, rtt)
				if !slices.Equal(got, want) {
					t.Fatalf("asked for %v, want %v", got, want)
				}
			}
			if s.Outstanding() != len(m.missing) {
				t.Fatalf("%d outstanding, want %d", s.Outstanding(), len(m.missing))
			}
			got, want := s.Deadline(), m.deadline()
			if (got == mono.Never) != (want == mono.Never) || got > want {
				t.Fatalf("deadline %v, want %v or a little earlier", got, want)
			}
		}
	})
}
