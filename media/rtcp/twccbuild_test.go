package rtcp

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tsubame/netio/mono"
)

const (
	msec = mono.Time(time.Millisecond)
	tick = mono.Time(TWCCDelta)
)

func TestFeedbackIsWrittenByteForByte(t *testing.T) {
	base := 640 * msec // reference time 10
	for _, c := range []struct {
		name     string
		arrivals []mono.Time
		want     string
	}{
		{"two-bit vector", []mono.Time{base, base - 200*tick, base - 180*tick, 0, 0, base - 20*tick, 0},
			"8FCD0006 00000001 00000002 00010007 00000A05 D904 00 FF38 14 A0 00"},
		{"one packet: a run", []mono.Time{base + tick}, "8FCD0005 00000001 00000002 00010001 00000A05 2001 01 00"},
		{"seven in a row", []mono.Time{base, base, base, base, base, base, base},
			"8FCD0007 00000001 00000002 00010007 00000A05 2007 00000000000000 000000"},
		{"one-bit vector", []mono.Time{base, 0, base, 0, base + 255*tick},
			"8FCD0006 00000001 00000002 00010005 00000A05 AA00 00 00 FF 000000"},
		{"256 ticks take two bytes", []mono.Time{base, 0, base + 256*tick},
			"8FCD0006 00000001 00000002 00010003 00000A05 D200 00 0100 000000"},
		{"lost ones first", append(make([]mono.Time, 20), base),
			"8FCD0006 00000001 00000002 00010015 00000A05 0014 2001 00 000000"},
		{"lost ones last", append([]mono.Time{base, base, base, base, base, base, base, base}, make([]mono.Time, 16)...),
			"8FCD0007 00000001 00000002 00010018 00000A05 BFC0 000A 0000000000000000"},
	} {
		got, n := AppendTWCC(nil, 1, 2, 5, 1, c.arrivals)
		if n != len(c.arrivals) || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %d covered, %x", c.name, n, got)
		}
	}
}

func TestNothingReceivedIsNothingToSay(t *testing.T) {
	for _, n := range []int{0, 1, 100, MaxStatuses} {
		got, covered := AppendTWCC([]byte("x"), 1, 2, 0, 0, make([]mono.Time, n))
		if covered != n || string(got) != "x" {
			t.Errorf("%d lost: %d covered, %x", n, covered, got)
		}
	}
	// And beyond the cap, so much of it as the cap allows.
	if got, covered := AppendTWCC(nil, 1, 2, 0, 0, make([]mono.Time, MaxStatuses+9)); covered != MaxStatuses || got != nil {
		t.Errorf("%d covered, %x", covered, got)
	}
}

// checkFeedback writes arrivals in as many messages as it takes, reads them back, and
// compares every status.
func checkFeedback(t checker, base uint16, arrivals []mono.Time) (messages int) {
	t.Helper()
	for start := 0; start < len(arrivals); {
		b, covered := AppendTWCC(nil, 1, 2, uint8(messages), base+uint16(start), arrivals[start:])
		if covered <= 0 {
			t.Fatalf("no progress at %d of %d", start, len(arrivals))
		}
		part := arrivals[start : start+covered]
		start += covered
		if len(b) == 0 {
			for _, at := range part {
				if at != mono.Never {
					t.Fatal("an arrival is passed over in silence")
				}
			}
			continue
		}
		if len(b) > MaxTWCCSize {
			t.Fatalf("message of %d bytes", len(b))
		}
		r := NewReader(b)
		p, ok := r.Next()
		if !ok {
			t.Fatalf("%x: %v", b, r.Err())
		}
		w, got := statuses(t, p)
		if w.Base != base+uint16(start-covered) || int(w.StatusCount) != covered || w.FeedbackCount != uint8(messages) {
			t.Fatalf("%+v", w)
		}
		checkStatuses(t, w, got, part)
		comparePionTWCC(t, b, got)
		messages++
	}
	return messages
}

func checkStatuses(t checker, w TWCC, got []TWCCStatus, part []mono.Time) {
	t.Helper()
	const wrap = TWCCReference << 24
	for i, s := range got {
		if s.Seq != w.Base+uint16(i) || s.Received != (part[i] != mono.Never) {
			t.Fatalf("status %d: %+v, arrival %d", i, s, part[i])
		}
		if !s.Received {
			continue
		}
		// To the tick: rounding must not add up. The reference time wraps.
		diff := (time.Duration(part[i])/TWCCDelta*TWCCDelta - s.Arrival) % wrap
		if diff != 0 && diff != wrap && diff != -wrap {
			t.Fatalf("status %d: arrival %v, want %v", i, s.Arrival, time.Duration(part[i]))
		}
	}
}

func TestAnyArrivalsAreReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(rt, "packets")
		seed := rapid.Uint64().Draw(rt, "seed")
		loss := rapid.SampledFrom([]float64{0, 0.01, 0.3, 0.9, 0.999}).Draw(rt, "loss")
		late := rapid.SampledFrom([]float64{0, 0.05, 0.5}).Draw(rt, "late")
		step := rapid.SampledFrom([]mono.Time{1, tick, msec, 20 * msec, 63 * msec, 64 * msec, 500 * msec, 9000 * msec}).Draw(rt, "step")
		start := rapid.SampledFrom([]mono.Time{1, msec, 1 << 40, 1 << 51}).Draw(rt, "start")
		rnd := rand.New(rand.NewPCG(seed, 0))
		arrivals := make([]mono.Time, n)
		now := start
		for i := range arrivals {
			now += mono.Time(rnd.Int64N(int64(2*step))) + 1
			if rnd.Float64() < loss {
				continue
			}
			arrivals[i] = now
			if rnd.Float64() < late {
				arrivals[i] += 30 * msec
			}
		}
		checkFeedback(rt, uint16(seed), arrivals)
	})
}

func TestArrivalsThatDoNotFitGoIntoTheNextMessage(t *testing.T) {
	steady := make([]mono.Time, 3000)
	for i := range steady {
		steady[i] = msec * mono.Time(1000+i)
	}
	slow := make([]mono.Time, 100) // deltas of two bytes
	for i := range slow {
		slow[i] = 100 * msec * mono.Time(1+i)
	}
	gap := []mono.Time{msec, 2 * msec, 0, 2*msec + 32767*tick, 2*msec + 2*32767*tick + tick}
	back := []mono.Time{10000 * msec, 1800 * msec, 1799 * msec}
	sparse := make([]mono.Time, 3*MaxStatuses)
	sparse[2*MaxStatuses-1] = msec
	sparse[3*MaxStatuses-1] = 2 * msec
	for name, c := range map[string]struct {
		arrivals []mono.Time
		want     int
	}{
		"3,000 at one byte each":           {steady, 4},
		"100 at two bytes each":            {slow, 1},
		"a gap of more than 16 bits":       {gap, 2},
		"a step back of more than 16 bits": {back, 2},
		"more statuses than the cap":       {sparse, 2},
	} {
		if got := checkFeedback(t, 0xFFF0, c.arrivals); got != c.want {
			t.Errorf("%s: %d messages, want %d", name, got, c.want)
		}
	}
}

// A feedback message built here never makes our own reader stop.
func TestLargestFeedbackStaysBelowTheReadersCap(t *testing.T) {
	arrivals := make([]mono.Time, MaxStatuses)
	arrivals[MaxStatuses-1] = msec
	b, n := AppendTWCC(nil, 1, 2, 0, 0, arrivals)
	if packets, err := consume(b); n != MaxStatuses || packets != 1 || err != nil {
		t.Errorf("%d covered, %d packets, %v", n, packets, err)
	}
}

func TestReferenceTimeWrapsAt24Bits(t *testing.T) {
	at := mono.Time(TWCCReference)*(1<<24+3) + 5*tick
	b, _ := AppendTWCC(nil, 1, 2, 0, 0, []mono.Time{at})
	r := NewReader(b)
	p, _ := r.Next()
	w, got := statuses(t, p)
	if w.ReferenceTime != 3 || got[0].Arrival != 3*TWCCReference+5*TWCCDelta {
		t.Errorf("reference %d, arrival %v", w.ReferenceTime, got[0].Arrival)
	}
}
