package ring

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func drain(f *Flags) (got []uint32) {
	for i, ok := f.Next(); ok; i, ok = f.Next() {
		got = append(got, i)
	}
	return got
}

func TestFlagsGiveBackEachSetBitOnce(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 4096, 4097, 3 * 4096} {
		f := NewFlags(n)
		var want []uint32
		for i := uint32(0); i < uint32(n); i += 1 + uint32(n)/50 {
			want = append(want, i)
		}
		want = append(want, uint32(n)-1)
		want = slices.Compact(want)
		for _, i := range want {
			if !f.Set(i) {
				t.Fatalf("%d flags: %d was not clear", n, i)
			}
			if f.Set(i) {
				t.Fatalf("%d flags: %d was clear after Set", n, i)
			}
		}
		if f.Empty() {
			t.Errorf("%d flags: empty with %d set", n, len(want))
		}
		if got := drain(f); !slices.Equal(got, want) {
			t.Errorf("%d flags: got %v, want %v", n, got, want)
		}
		if !f.Empty() || drain(f) != nil {
			t.Errorf("%d flags: not empty after the drain", n)
		}
	}
}

// A connection that has news all the time does not keep the others from being heard.
func TestFlagsGoRoundSoThatNoBitStarves(t *testing.T) {
	const n = 5000
	f := NewFlags(n)
	for i := range uint32(n) {
		f.Set(i)
	}
	seen := make([]bool, n)
	for range n {
		i, ok := f.Next()
		if !ok || seen[i] {
			t.Fatalf("got %d, %v a second time before the others had their turn", i, ok)
		}
		seen[i] = true
		f.Set(i)
		f.Set(0)
	}
}

func TestFlagsRefuseNumbersThatAreNotThere(t *testing.T) {
	f := NewFlags(65) // 127 has a word, but is no flag
	for _, i := range []uint32{65, 127, 1 << 31} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Set(%d) of 65 flags did not panic", i)
				}
			}()
			f.Set(i)
		}()
	}
}

// Setters write a version, then set the bit; the consumer that takes the bit has to find a
// version at least as new as any setter's that returned, and in the end the last one.
func TestFlagsLoseNothing(t *testing.T) {
	const bits, each = 130, 20000
	for _, setters := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(setters), func(t *testing.T) {
			f := NewFlags(bits)
			var posted [bits]atomic.Uint64
			var running atomic.Int64
			running.Store(int64(setters))
			var wg sync.WaitGroup
			for s := range setters {
				wg.Go(func() {
					defer running.Add(-1)
					for k := range each {
						i := uint32(k*(s+1)+s) % bits
						posted[i].Add(1)
						f.Set(i)
					}
				})
			}
			var seen [bits]uint64
			for {
				last := running.Load() == 0
				for i, ok := f.Next(); ok; i, ok = f.Next() {
					seen[i] = posted[i].Load()
				}
				if last {
					break
				}
				runtime.Gosched()
			}
			wg.Wait()
			for i := range seen {
				if seen[i] != posted[i].Load() {
					t.Errorf("bit %d: %d posts seen of %d", i, seen[i], posted[i].Load())
				}
			}
			if !f.Empty() {
				t.Error("flags left after the last drain")
			}
		})
	}
}

// Each setter waits until its flag was seen before it sets it again, so the word runs empty
// all the time, and a flag that slips through then is not brought up by a later one.
func TestFlagsLoseNothingWhenTheWordRunsEmpty(t *testing.T) {
	const each = 2000
	for _, setters := range []int{1, 2, 4, 8} {
		f := NewFlags(setters)
		seen := make([]atomic.Int64, setters)
		var running atomic.Int64
		running.Store(int64(setters))
		patience := time.Now().Add(60 * time.Second)
		var wg sync.WaitGroup
		for s := range setters {
			wg.Go(func() {
				defer running.Add(-1)
				for k := range int64(each) {
					f.Set(uint32(s))
					for seen[s].Load() == k {
						if time.Now().After(patience) {
							t.Errorf("%d setters: flag %d was lost", setters, s)
							return
						}
						runtime.Gosched()
					}
				}
			})
		}
		for running.Load() > 0 {
			if i, ok := f.Next(); ok {
				seen[i].Add(1)
			} else {
				runtime.Gosched()
			}
		}
		wg.Wait()
	}
}

// Of the setters of one bit exactly one per Next learns that it was clear, so that a caller
// who wakes the consumer only then wakes it often enough and not too often.
func TestFlagsTellOneSetterPerMessage(t *testing.T) {
	const setters, each = 4, 20000
	f := NewFlags(1)
	var first, running atomic.Int64
	running.Store(setters)
	var wg sync.WaitGroup
	for range setters {
		wg.Go(func() {
			defer running.Add(-1)
			for range each {
				if f.Set(0) {
					first.Add(1)
				}
			}
		})
	}
	taken := int64(0)
	for last := false; !last; {
		last = running.Load() == 0
		taken += int64(len(drain(f)))
		runtime.Gosched()
	}
	wg.Wait()
	if first.Load() != taken {
		t.Errorf("%d setters found the bit clear, it was taken %d times", first.Load(), taken)
	}
}

func TestFlagsAllocateNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	f := NewFlags(10000)
	if n := testing.AllocsPerRun(1000, func() {
		f.Set(7777)
		f.Next()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFlagsSetNext(b *testing.B) {
	f := NewFlags(10000)
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		f.Set(i % 10000)
		f.Next()
	}
}

func BenchmarkFlagsEmpty(b *testing.B) {
	f := NewFlags(10000)
	b.ReportAllocs()
	for b.Loop() {
		f.Empty()
	}
}
