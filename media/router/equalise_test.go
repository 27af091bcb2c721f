package router

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEqualisePadsToTheFewestRuns(t *testing.T) {
	for _, c := range []struct{ lengths, pads []int }{
		{[]int{1100}, []int{0}},
		{[]int{1100, 1100, 1100}, []int{0, 0, 0}},
		{[]int{1100, 1100, 400}, []int{0, 0, 0}},          // the last one may be shorter
		{[]int{1099, 1100, 1099}, []int{1, 0, 0}},         // and is not padded for nothing
		{[]int{1099, 1100}, []int{1, 0}},                  // the last one is the longest
		{[]int{1100, 1084, 1100}, []int{0, 16, 0}},        // as much as may be
		{[]int{1100, 1083, 1100}, []int{0, 0, 0}},         // and no more
		{[]int{500, 1100, 1099, 1100}, []int{0, 0, 1, 0}}, // one that no padding reaches
		{[]int{1100, 0, 1099, 1100}, []int{0, 0, 1, 0}},   // a probe in between
		// Fewer runs come before fewer bytes.
		{[]int{1000, 1000, 1000, 1010, 1010, 1000, 500, 1200}, []int{10, 10, 10, 0, 0, 10, 0, 0}},
	} {
		room := slices.Repeat([]uint8{MaxPad}, len(c.lengths))
		pads := make([]uint8, len(c.lengths))
		total := Equalise(c.lengths, room, pads)
		sum := 0
		for i, p := range pads {
			sum += int(p)
			if int(p) != c.pads[i] {
				t.Errorf("%v: padding %v, want %v", c.lengths, pads, c.pads)
				break
			}
		}
		if total != sum {
			t.Errorf("%v: says %d bytes, and pads by %d", c.lengths, total, sum)
		}
	}
}

// groups counts what the kernel can be given at once.
func groups(lengths []int) (n int) {
	size, open := 0, false
	for _, l := range lengths {
		if l == 0 {
			continue
		}
		if !open || l > size {
			n, size, open = n+1, l, true
		}
		open = l == size
	}
	return n
}

// every calls f with each way to pad.
func every(room []uint8, pads []uint8, at int, f func()) {
	if at == len(pads) {
		f()
		return
	}
	for p := uint8(0); p <= room[at]; p++ {
		pads[at] = p
		every(room, pads, at+1, f)
	}
	pads[at] = 0
}

// The slow and obvious way: try everything.
func TestEqualiseFindsTheBestWay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		n := 1 + rnd.IntN(5)
		lengths, room, pads := make([]int, n), make([]uint8, n), make([]uint8, n)
		for i := range n {
			if lengths[i] = 20 + rnd.IntN(6); rnd.IntN(10) == 0 {
				lengths[i] = 0
			} else {
				room[i] = uint8(rnd.IntN(5))
			}
		}
		padded := func(pads []uint8) (l []int, sum int) {
			for i := range n {
				l, sum = append(l, lengths[i]+int(pads[i])), sum+int(pads[i])
			}
			return l, sum
		}
		bestGroups, bestBytes := 1000, 0
		try := make([]uint8, n)
		every(room, try, 0, func() {
			l, sum := padded(try)
			if g := groups(l); g < bestGroups || g == bestGroups && sum < bestBytes {
				bestGroups, bestBytes = g, sum
			}
		})
		total := Equalise(lengths, room, pads)
		l, sum := padded(pads)
		if groups(l) != bestGroups || sum != bestBytes || total != sum {
			t.Fatalf("lengths %v, room %v: padding %v makes %d groups with %d bytes; %d with %d are possible",
				lengths, room, pads, groups(l), sum, bestGroups, bestBytes)
		}
		for i := range n {
			if pads[i] > room[i] {
				t.Fatalf("padding %v where there is room for %v", pads, room)
			}
		}
	}
}

func TestEqualiseAllocatesNothing(t *testing.T) {
	lengths, room, pads := []int{1100, 1099, 1100, 1099, 1100, 300}, slices.Repeat([]uint8{MaxPad}, 6), make([]uint8, 6)
	if n := testing.AllocsPerRun(100, func() { Equalise(lengths, room, pads) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkEqualise(b *testing.B) {
	lengths, room, pads := []int{1100, 1099, 1100, 1099, 1100, 300}, slices.Repeat([]uint8{MaxPad}, 6), make([]uint8, 6)
	b.ReportAllocs()
	for b.Loop() {
		Equalise(lengths, room, pads)
	}
}
