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
		if off := gaps[i] - gaps[i-1]*5/4; off.Abs() > 2*time.Microsecond {
			t.Errorf("gap %v after %v, want a quarter more", gaps[i], gaps[i-1])
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

func TestOutstandingIsBoundedAndTheOldestGoFirst(t *testing.T) {
	s := newVideo()
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
	if !s.TakeLost() {
		t.Error("the packets that were given up are not reported")
	}
	if st := s.Stats(); st.GivenUp != 999-MaxOutstanding+2 || st.Missing != 1001 {
		t.Errorf("counted %+v", st)
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
}

type modelGap struct {
	seq         uint64
	since, at   mono.Time
	seen, tries int
}

func (m *model) receive(now mono.Time, ext uint64) {
	for seq := m.highest + 1; m.highest != 0 && seq < ext; seq++ {
		m.missing = append(m.missing, modelGap{seq: seq, since: now, at: now.Add(nackHold), seen: m.accepted})
	}
	if extra := len(m.missing) - MaxOutstanding; extra > 0 {
		m.missing = m.missing[extra:]
	}
	m.highest = max(m.highest, ext)
	m.missing = slices.DeleteFunc(m.missing, func(g modelGap) bool { return g.seq == ext })
	m.accepted++
	for i := range m.missing {
		if g := &m.missing[i]; g.tries == 0 && m.accepted-g.seen >= nackHoldCount {
			g.at = min(g.at, now)
		}
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
		for range g.tries {
			wait += wait / 4
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
		s, m := newVideo(), &model{}
		now := start
		ext, _ := feed(s, now, uint16(rapid.IntRange(0, 65535).Draw(t, "first")))
		m.receive(now, ext)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 12_000), rapid.IntRange(0, 700_000)).Draw(t, "µs")) * time.Microsecond)
			switch rapid.SampledFrom([]string{"next", "next", "gap", "late", "key", "nack", "nack"}).Draw(t, "what") {
			case "next":
				ext, _ := feed(s, now, uint16(m.highest+1))
				m.receive(now, ext)
			case "gap":
				ext, _ := feed(s, now, uint16(m.highest+uint64(rapid.OneOf(rapid.IntRange(2, 6), rapid.IntRange(2, 600)).Draw(t, "gap"))))
				m.receive(now, ext)
			case "late":
				ext, v := s.Receive(now, uint16(m.highest)-uint16(rapid.IntRange(0, 40).Draw(t, "back")), 0, 100, rapid.Bool().Draw(t, "rtx"))
				if v == Accept {
					m.receive(now, ext)
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
