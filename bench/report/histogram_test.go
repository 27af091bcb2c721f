package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBucketsFollowEachOtherWithoutGap(t *testing.T) {
	for i := range slots - 1 {
		low, high := edge(i), edge(i+1)
		if high <= low {
			t.Fatalf("bucket %d from %d to %d", i, low, high)
		}
		if slot(low) != i || slot(high-1) != i {
			t.Fatalf("bucket %d: %d falls into %d, %d into %d", i, low, slot(low), high-1, slot(high-1))
		}
		if width := float64(high - low); width > 1 && width/float64(low) > 0.01 {
			t.Fatalf("bucket %d is %.2f %% wide", i, 100*width/float64(low))
		}
	}
}

func TestQuantilesAreRightToOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spread := rapid.Float64Range(0, 24).Draw(t, "spread")
		n := rapid.IntRange(1, 3000).Draw(t, "n")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var h Histogram
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(math.Exp(random.Float64() * spread))
			h.Record(all[i])
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.001, 0.5, 0.95, 0.99, 0.999, 1} {
			want := all[max(int(math.Ceil(q*float64(n))), 1)-1]
			got := h.Quantile(q)
			if diff := math.Abs(float64(got - want)); diff > 0.01*float64(want) {
				t.Fatalf("quantile %v of %d: %d, want %d", q, n, got, want)
			}
		}
	})
}

func TestExtremesAreExactAndBounded(t *testing.T) {
	var h Histogram
	if d := h.Distribution(); d.Count != 0 || d.P50 != 0 || d.Max != 0 || d.Shape != nil {
		t.Errorf("empty: %+v", d)
	}
	h.Record(-time.Second)
	h.Record(math.MaxInt64)
	h.Record(100 * time.Hour)
	d := h.Distribution()
	if d.Count != 3 || d.Min != 0 || d.Max != math.MaxInt64 || d.P99 != math.MaxInt64 {
		t.Errorf("%+v", d)
	}
}

func TestMergedHistogramsAreAsIfOneHadSeenAll(t *testing.T) {
	var a, b, none, all Histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(&b)
	a.Merge(&none)
	if a != all {
		t.Errorf("%+v, want %+v", a.Distribution(), all.Distribution())
	}
	none.Merge(&all)
	if none != all {
		t.Error("merging into an empty one differs")
	}
	none.Reset()
	if none != (Histogram{}) {
		t.Error("something is left after Reset")
	}
}

func TestShapeCountsEverything(t *testing.T) {
	var h Histogram
	for i := range 10_000 {
		h.Record(time.Duration(i) * 137 * time.Nanosecond)
	}
	var sum uint64
	var last time.Duration
	shape := h.Distribution().Shape
	for _, b := range shape {
		if b.From < last || b.To <= b.From || b.Count == 0 {
			t.Fatalf("bucket %+v behind %v", b, last)
		}
		last = b.To
		sum += b.Count
	}
	if sum != 10_000 || len(shape) > slots/coarse {
		t.Errorf("%d in %d buckets", sum, len(shape))
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(1000, func() { h.Record(123456) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	b.ReportAllocs()
	var h Histogram
	d := time.Duration(1)
	for b.Loop() {
		h.Record(d)
		d = (d*5 + 1) & (1<<30 - 1)
	}
}
