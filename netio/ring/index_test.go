package ring

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestIndexPoolHandsOutEachIndexOnceAndTheWarmestFirst(t *testing.T) {
	const n = 5
	p := NewIndexPool(n)
	for want := range uint32(n) {
		if p.Free() != n-int(want) {
			t.Errorf("%d free, want %d", p.Free(), n-int(want))
		}
		if i, ok := p.Get(); !ok || i != want {
			t.Fatalf("got %d, %v, want %d", i, ok, want)
		}
	}
	if i, ok := p.Get(); ok || p.Free() != 0 {
		t.Fatalf("empty pool gave %d", i)
	}
	p.Put(1)
	p.Put(3)
	for _, want := range []uint32{3, 1} {
		if i, ok := p.Get(); !ok || i != want {
			t.Errorf("got %d, %v, want %d", i, ok, want)
		}
	}
}

func TestIndexPoolPanicsOnWhatIsNotTaken(t *testing.T) {
	p := NewIndexPool(3)
	i, _ := p.Get()
	p.Put(i)
	for name, bad := range map[string]uint32{"given back twice": i, "never taken": 2, "out of range": 3} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Put(%d) did not panic", name, bad)
				}
			}()
			p.Put(bad)
		}()
	}
}

// A small pool under many goroutines meets the ABA case all the time: the same few indices
// come back to the top while others are in the middle of Get.
func TestIndexPoolNeverGivesAnIndexTwice(t *testing.T) {
	const each = 20000
	for _, workers := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			n := workers + 1
			p := NewIndexPool(n)
			owners := make([]atomic.Int32, n)
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					var held []uint32
					for k := range each {
						if i, ok := p.Get(); ok {
							if owners[i].Add(1) != 1 {
								t.Errorf("index %d has two owners", i)
							}
							held = append(held, i)
						}
						if k%3 == 0 {
							runtime.Gosched()
						}
						for len(held) > k%2 {
							i := held[len(held)-1]
							held = held[:len(held)-1]
							owners[i].Add(-1)
							p.Put(i)
						}
					}
					for _, i := range held {
						owners[i].Add(-1)
						p.Put(i)
					}
				})
			}
			wg.Wait()
			if p.Free() != n {
				t.Errorf("%d free of %d", p.Free(), n)
			}
			for range n {
				if i, ok := p.Get(); !ok || owners[i].Add(1) != 1 {
					t.Errorf("index %d lost or doubled", i)
				}
			}
		})
	}
}

func TestIndexPoolAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	p := NewIndexPool(8)
	if n := testing.AllocsPerRun(1000, func() {
		i, _ := p.Get()
		p.Put(i)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkIndexPoolGetPut(b *testing.B) {
	p := NewIndexPool(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if i, ok := p.Get(); ok {
				p.Put(i)
			}
		}
	})
}
