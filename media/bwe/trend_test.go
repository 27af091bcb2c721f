package bwe

import (
	"math"
	"testing"
	"time"
)

func TestReferenceTimeGoesOnOverItsWrap(t *testing.T) {
	var c peerClock
	base := c.offset(1<<23 - 1)
	// The next unit of 64 ms is the least negative one.
	if d := c.offset(-1<<23) - base; d != 1<<24*64*ms {
		t.Errorf("forward over the wrap: %v", d)
	}
	if d := c.offset(1<<23-1) - base; d != 0 {
		t.Errorf("back over the wrap: %v", d)
	}
}

func TestReferenceTimeOfALiarStaysInBounds(t *testing.T) {
	var c peerClock
	for i := range int32(2000) {
		c.offset((i % 2) * (1<<23 - 1) * (1 - i%3))
		c.offset(i * 8_000_000 << 8 >> 8)
		if c.epoch > 1<<32 || c.epoch < -1<<32 {
			t.Fatalf("epoch %d", c.epoch)
		}
	}
}

// groups feeds packets by {sent, arrived} in ms and returns what was measured between groups.
func groups(packets ...[2]int) (deltas [][2]time.Duration) {
	var g grouping
	for _, p := range packets {
		now := simStart.Add(time.Duration(p[1]) * ms)
		apart, arrived, _, complete, _ := g.add(now, simStart.Add(time.Duration(p[0])*ms), instant(time.Duration(p[1])*ms))
		if complete {
			deltas = append(deltas, [2]time.Duration{apart, arrived})
		}
	}
	return deltas
}

func TestPacketsOfABurstAreOneGroup(t *testing.T) {
	got := groups([2]int{0, 100}, [2]int{2, 102}, [2]int{5, 105}, // one group
		[2]int{20, 122}, [2]int{24, 126}, // another, 1 ms later
		[2]int{40, 140}, [2]int{60, 160})
	want := [][2]time.Duration{{19 * ms, 21 * ms}, {16 * ms, 14 * ms}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPacketsHeldUpTogetherAreOneGroup(t *testing.T) {
	// Sent every 10 ms, but 10 to 40 come all at once.
	got := groups([2]int{0, 100}, [2]int{10, 145}, [2]int{20, 146}, [2]int{30, 146}, [2]int{40, 147},
		[2]int{50, 150}, [2]int{60, 160}, [2]int{70, 170})
	want := [][2]time.Duration{{50 * ms, 50 * ms}, {10 * ms, 10 * ms}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPacketOfAnEarlierGroupIsIgnored(t *testing.T) {
	a := groups([2]int{0, 100}, [2]int{20, 120}, [2]int{40, 140}, [2]int{60, 160})
	b := groups([2]int{0, 100}, [2]int{20, 120}, [2]int{40, 140}, [2]int{21, 150}, [2]int{60, 160})
	if len(a) != 2 || len(b) != 2 || a[1] != b[1] {
		t.Errorf("%v and %v", a, b)
	}
}

func TestClockThatIsSetBeginsAfresh(t *testing.T) {
	var g grouping
	for i := range 10 {
		now := simStart.Add(time.Duration(i) * 20 * ms)
		arrived := instant(time.Duration(i) * 20 * ms)
		if i >= 5 {
			arrived += instant(time.Hour)
		}
		_, _, _, complete, jumped := g.add(now, now, arrived)
		if jumped != (i == 6) {
			t.Errorf("packet %d: jumped %v", i, jumped)
		}
		if complete && (i == 6 || i == 7) {
			t.Errorf("packet %d: a delta over the jump", i)
		}
	}
}

// line feeds groups 20 ms apart whose delay grows by so much each.
func line(tr *trend, n int, growth time.Duration) {
	for range n {
		tr.update(20*ms, 20*ms+growth, tr.first+instant(time.Duration(tr.x[(tr.at+trendWindow-1)%trendWindow]*1e6))+instant(20*ms+growth), 0, 0)
	}
}

func TestSlopeTellsTheState(t *testing.T) {
	var tr trend
	tr.reset()
	line(&tr, 60, 0)
	if tr.state != Normal || tr.slope != 0 {
		t.Fatalf("steady: %v, slope %v", tr.state, tr.slope)
	}
	line(&tr, 20, 2*ms)
	if tr.state != Overuse {
		t.Errorf("10 %% too much: %v at %.1f of %.1f", tr.state, tr.scaled, tr.limit)
	}
	line(&tr, 40, -2*ms)
	if tr.state != Underuse {
		t.Errorf("draining: %v at %.1f of %.1f", tr.state, tr.scaled, tr.limit)
	}
	line(&tr, 60, 0)
	if tr.state != Normal {
		t.Errorf("drained: %v at %.1f of %.1f", tr.state, tr.scaled, tr.limit)
	}
}

func TestThresholdFollowsWhatIsNearItOnly(t *testing.T) {
	var tr trend
	tr.reset()
	tr.scaled = thresholdStart + thresholdSkip + 1
	tr.adapt(100)
	if tr.limit != thresholdStart {
		t.Errorf("%v after a jump", tr.limit)
	}
	tr.scaled = thresholdStart + 5
	tr.adapt(200)
	if tr.limit <= thresholdStart || tr.limit > tr.scaled {
		t.Errorf("%v after one near", tr.limit)
	}
	tr.scaled = 0
	for x := 300.0; x < 10000; x += 100 {
		tr.adapt(x)
	}
	if tr.limit != thresholdMin {
		t.Errorf("%v at rest", tr.limit)
	}
}

func TestClockDriftIsNoQueue(t *testing.T) {
	for _, ppm := range []time.Duration{-100, 100} {
		var tr trend
		tr.reset()
		for range 50 * 3600 { // an hour
			line(&tr, 1, 20*ms*ppm/1e6)
			if tr.state != Normal || tr.queued() {
				t.Fatalf("%d ppm: %v, queued %v", ppm, tr.state, tr.queued())
			}
		}
	}
}

func TestStandingQueueIsNoticedAndJitterIsNot(t *testing.T) {
	var tr trend
	tr.reset()
	line(&tr, 100, 0)
	line(&tr, 1, 60*ms) // from here on all are 60 ms later
	line(&tr, 30, 0)
	if !tr.queued() {
		t.Error("60 ms are not noticed")
	}
	tr.reset()
	line(&tr, 100, 0)
	for range 100 {
		line(&tr, 1, 60*ms)
		line(&tr, 1, -60*ms)
		if tr.queued() {
			t.Fatal("jitter is taken for a queue")
		}
	}
}

func TestAckedRateIsExactOnAFullLink(t *testing.T) {
	var a acked
	a.reset()
	at := instant(0)
	for range 300 {
		at += instant(19_200 * time.Microsecond) // 1,200 bytes at 500 kbit/s
		a.add(at, 1200)
	}
	if r := a.rate(); math.Abs(r-500_000) > 1 {
		t.Errorf("%v", r)
	}
}

func TestAckedRateFollowsAStep(t *testing.T) {
	var a acked
	a.reset()
	at := instant(0)
	for range 1000 {
		at += instant(4800 * time.Microsecond) // 2 Mbit/s
		a.add(at, 1200)
	}
	for end := at + instant(second); at < end; {
		at += instant(19_200 * time.Microsecond)
		a.add(at, 1200)
	}
	if r := a.rate(); r > 750_000 || r < 490_000 {
		t.Errorf("%v a second after the step to 500,000", r)
	}
	a.add(at+instant(10*second), 1200)
	if r := a.rate(); r < 490_000 {
		t.Errorf("%v after a pause", r)
	}
}
