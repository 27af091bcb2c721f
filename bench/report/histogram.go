package report

import (
	"math"
	"math/bits"
	"time"
)

const (
	// subBits makes 128 buckets of each power of two, so that a bucket is less than 1 % of
	// its values wide and its middle less than 0.4 % wrong.
	subBits = 7
	sub     = 1 << subBits
	// topBits bounds what is told apart: durations of 2^42 ns (73 minutes) and more share the
	// last bucket, and only their maximum is exact.
	topBits = 42
	slots   = (topBits - subBits + 1) * sub

	// coarse is how many neighbouring buckets are one in a Distribution's shape.
	coarse = sub / 8
)

// Histogram counts durations in buckets that grow with their values: any quantile is right to
// 0.4 %, from 1 ns (below 128 ns exactly) to 73 minutes, in 36 KiB that never grow. The zero
// value is empty and ready. It belongs to one goroutine.
type Histogram struct {
	count  uint64
	sum    time.Duration
	min    time.Duration
	max    time.Duration
	counts [slots]uint64
}

// slot returns the bucket of a duration that is not negative.
func slot(d time.Duration) int {
	u := uint64(d)
	if u < 2*sub {
		return int(u) // exact
	}
	shift := bits.Len64(u) - 1 - subBits
	return min(shift*sub+int(u>>shift), slots-1)
}

// edge returns the lowest duration of bucket i; that of i+1 is where it ends.
func edge(i int) time.Duration {
	if i < 2*sub {
		return time.Duration(i)
	}
	shift := i/sub - 1
	return time.Duration(uint64(i%sub+sub) << shift)
}

// Record counts d. A negative duration, which only a clock that was set back yields, counts
// as 0. It does not allocate.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	if h.count == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.count++
	h.sum += d
	h.counts[slot(d)]++
}

// Merge adds what o has counted; o is only read.
func (h *Histogram) Merge(o *Histogram) {
	if o.count == 0 {
		return
	}
	if h.count == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.count += o.count
	h.sum += o.sum
	for i, n := range &o.counts {
		h.counts[i] += n
	}
}

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Quantile returns the smallest duration that is not exceeded by a share q (0 to 1) of all, as
// the middle of its bucket; 0 if there are none. The share 1 yields the exact maximum.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.count)))
	if rank >= h.count {
		return h.max
	}
	rank = max(rank, 1)
	var seen uint64
	for i, n := range &h.counts {
		if seen += n; seen >= rank {
			if i == slots-1 {
				return h.max
			}
			middle := edge(i) + (edge(i+1)-1-edge(i))/2
			return min(max(middle, h.min), h.max)
		}
	}
	return h.max
}

// Distribution sums up what was recorded.
func (h *Histogram) Distribution() Distribution {
	d := Distribution{
		Count: h.count,
		P50:   h.Quantile(0.50),
		P95:   h.Quantile(0.95),
		P99:   h.Quantile(0.99),
		P999:  h.Quantile(0.999),
		Min:   h.min,
		Max:   h.max,
		Shape: h.shape(),
	}
	if h.count > 0 {
		d.Mean = h.sum / time.Duration(h.count)
	}
	return d
}

// shape is the histogram in eighths of a power of two.
func (h *Histogram) shape() []Bucket {
	var shape []Bucket
	for i := 0; i < slots; i += coarse {
		var n uint64
		for _, c := range h.counts[i : i+coarse] {
			n += c
		}
		if n > 0 {
			shape = append(shape, Bucket{From: edge(i), To: edge(i + coarse), Count: n})
		}
	}
	return shape
}
