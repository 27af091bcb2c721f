package recv

import (
	"sync"
	"testing"
	"time"
)

// reportEach feeds a second of voice, of which every lost-th packet is lost (0: none), and
// returns the report about it.
func reportEach(t *testing.T, s *Stream, now time.Duration, seq *uint16, lost int) (fraction uint8, cumulative int32) {
	t.Helper()
	for i := range 50 {
		if *seq++; lost == 0 || i%lost != lost-2 {
			mustFeed(t, s, at(now+ms(20*i)), *seq)
		}
	}
	b, ok := s.Report(at(now + time.Second))
	if !ok {
		t.Fatal("no report")
	}
	return b.FractionLost, b.CumulativeLost
}

func newVoice() *Stream {
	s := new(Stream)
	s.Init(Config{SSRC: 1, ClockRate: 48000})
	return s
}

func TestReportsTellOfTheLossAtViewers(t *testing.T) {
	s, seq, now := newVoice(), uint16(0), time.Duration(0)
	step := func(lost int) (uint8, int32) {
		now += time.Second
		return reportEach(t, s, now, &seq, lost)
	}
	s.LossBeyond(26)
	for range beyondAfter {
		if f, n := step(0); f != 0 || n != 0 {
			t.Fatalf("told of %d in the first seconds, %d in all", f, n)
		}
	}
	before := int32(0)
	for range 10 { // a tenth of 50 packets each time
		f, n := step(0)
		if f != 26 || n-before < 5 || n-before > 6 || s.Loss() != 0 {
			t.Fatalf("told of %d of 256 and %d packets, %d of 256 of them here; want 26, 5 and 0", f, n-before, s.Loss())
		}
		before = n
	}
	f, n := step(5) // more is lost on the way to us than the viewers say, who do not know yet
	if f != 51 || n != before+10 || s.Loss() != 51 {
		t.Errorf("told of %d and %d packets, want 51 and 10", f, n-before)
	}
	before = n
	s.LossBeyond(0)
	if f, n = step(0); f != 0 || n != before {
		t.Errorf("told of %d and %d packets after the viewers were well", f, n-before)
	}
}

// Row RTP-10.
func TestLossClaimedByViewersIsBounded(t *testing.T) {
	var s SharedLoss
	s.Report(at(0), 255)
	if w := s.Worst(at(0)); w != beyondMost {
		t.Errorf("255 of 256 counts as %d", w)
	}
	v, seq := newVoice(), uint16(0)
	v.beyond.reports, v.beyond.added = beyondAfter, 1<<40
	v.LossBeyond(beyondMost)
	if _, n := reportEach(t, v, 0, &seq, 0); n != 1<<23-1 {
		t.Errorf("%d lost in all, want what fits 24 bits", n)
	}
}

func TestWorstLossIsRememberedForAWhile(t *testing.T) {
	var s SharedLoss
	if s.Worst(start) != 0 {
		t.Error("before any report")
	}
	s.Report(start, beyondLeast-1)
	if s.Worst(start) != 0 {
		t.Error("next to nothing counts")
	}
	s.Report(start, 20)
	s.Report(at(time.Second), 10)
	if w := s.Worst(at(-ms(3))); w != 20 {
		t.Errorf("%d on a shard whose time is a little behind", w)
	}
	if w := s.Worst(at(beyondMemory - 1)); w != 20 {
		t.Errorf("%d, want the worst of both", w)
	}
	if w := s.Worst(at(beyondMemory)); w != 0 {
		t.Errorf("%d after it is forgotten", w)
	}
	s.Report(at(beyondMemory), 10)
	if w := s.Worst(at(beyondMemory)); w != 10 {
		t.Errorf("%d, want the next one's", w)
	}
	s.Reset()
	if s.Worst(at(beyondMemory)) != 0 {
		t.Error("not forgotten")
	}
}

// Shards report at once; under the race detector this shows that they may.
func TestShardsReportTheLossAtTheirViewers(t *testing.T) {
	var s SharedLoss
	var all sync.WaitGroup
	for shard := range uint8(4) {
		all.Go(func() {
			for i := range 1000 {
				s.Report(at(ms(i)), 10+shard)
				if w := s.Worst(at(ms(i))); w < 10 || w > 13 {
					t.Errorf("worst is %d", w)
					return
				}
			}
		})
	}
	all.Wait()
}
