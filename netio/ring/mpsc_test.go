package ring

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

func TestRingKeepsOrderAndRefusesWhenFull(t *testing.T) {
	for _, c := range []struct{ asked, room int }{{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}} {
		r := NewMPSC[int](c.asked)
		if r.Cap() != c.room {
			t.Errorf("capacity %d gives room for %d, want %d", c.asked, r.Cap(), c.room)
		}
		for round := range 5 { // over the end of the cells
			for i := range c.room {
				if !r.TryPush(round*100 + i) {
					t.Fatalf("capacity %d: push %d refused", c.asked, i)
				}
			}
			if r.TryPush(-1) || r.Len() != c.room {
				t.Fatalf("capacity %d: %d entries, and one more was taken", c.asked, r.Len())
			}
			for i := range c.room {
				if v, ok := r.Pop(); !ok || v != round*100+i {
					t.Fatalf("capacity %d: popped %d, %v, want %d", c.asked, v, ok, round*100+i)
				}
			}
			if v, ok := r.Pop(); ok || !r.Empty() || r.Len() != 0 {
				t.Fatalf("capacity %d: empty ring gave %d", c.asked, v)
			}
		}
	}
}

func TestRingForgetsWhatWasPopped(t *testing.T) {
	r := NewMPSC[*int](2)
	freed := make(chan struct{})
	func() {
		v := new(int)
		runtime.AddCleanup(v, func(c chan struct{}) { close(c) }, freed)
		r.TryPush(v)
		r.Pop()
	}()
	for {
		runtime.GC() // would go on until the test's deadline if the cell held the pointer
		select {
		case <-freed:
			runtime.KeepAlive(r)
			return
		default:
			runtime.Gosched()
		}
	}
}

func TestClosedRingTakesNothingAndGivesWhatItHas(t *testing.T) {
	r := NewMPSC[int](4)
	r.TryPush(1)
	r.TryPush(2)
	if r.Closed() || r.Drained() {
		t.Fatal("open ring says closed")
	}
	r.Close()
	r.Close()
	if r.TryPush(3) || r.Push(4) {
		t.Error("closed ring took an entry")
	}
	if !r.Closed() || r.Drained() || r.Len() != 2 {
		t.Errorf("closed %v, drained %v, length %d", r.Closed(), r.Drained(), r.Len())
	}
	for want := 1; want <= 2; want++ {
		if v, ok := r.Pop(); !ok || v != want {
			t.Errorf("popped %d, %v, want %d", v, ok, want)
		}
	}
	if !r.Drained() || r.Len() != 0 {
		t.Error("ring is not drained")
	}
}

func TestPushWaitsForRoomAndEndsWithClose(t *testing.T) {
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := NewMPSC[int](2)
	r.Attach(w)
	r.Push(0)
	r.Push(1)
	done := make(chan bool)
	// The consumer sleeps, and the producers of 0 and 1 have not woken it.
	w.PrepareSleep()
	go func() { done <- r.Push(2) }()
	for w.Writes() == 0 {
		runtime.Gosched()
	}
	for want := range 3 {
		v, ok := r.Pop()
		for ; !ok; v, ok = r.Pop() {
			runtime.Gosched()
		}
		if v != want {
			t.Fatalf("popped %d, want %d", v, want)
		}
	}
	if !<-done {
		t.Error("Push failed although there was room")
	}

	r.Push(3)
	r.Push(4)
	go func() { done <- r.Push(5) }()
	r.Close()
	if <-done {
		t.Error("Push succeeded in a closed ring")
	}
}

// Every entry comes out once, in each producer's order, whatever the number of producers.
func TestManyProducersLoseNothing(t *testing.T) {
	const each = 5000
	for _, producers := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(producers), func(t *testing.T) {
			r := NewMPSC[*[2]int](16)
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					for i := range each {
						if !r.Push(&[2]int{p, i}) {
							t.Error("push refused")
						}
					}
				})
			}
			next := make([]int, producers)
			for n := 0; n < producers*each; {
				v, ok := r.Pop()
				if !ok {
					runtime.Gosched()
					continue
				}
				if next[v[0]] != v[1] {
					t.Fatalf("producer %d: got %d, want %d", v[0], v[1], next[v[0]])
				}
				next[v[0]]++
				n++
			}
			wg.Wait()
			if !r.Empty() || r.Len() != 0 {
				t.Error("entries left")
			}
		})
	}
}

// What TryPush took before Close is what the consumer gets until Drained, not one more or
// less: entries that own buffers can neither leak nor be freed twice.
func TestCloseWhileProducersPushAccountsForEveryEntry(t *testing.T) {
	for range 200 {
		r := NewMPSC[int](8)
		var wg sync.WaitGroup
		var took [4]int
		for p := range took {
			wg.Go(func() {
				for !r.Closed() {
					if r.TryPush(p) {
						took[p]++
					} else {
						runtime.Gosched()
					}
				}
			})
		}
		var got [4]int
		for n := 0; !r.Drained(); {
			if v, ok := r.Pop(); ok {
				got[v]++
				if n++; n == 20 {
					r.Close()
				}
			} else {
				runtime.Gosched()
			}
		}
		wg.Wait()
		if took != got {
			t.Fatalf("pushed %v, popped %v", took, got)
		}
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the detector allocates; the test runs without it
	}
	r := NewMPSC[[2]uint64](64)
	if n := testing.AllocsPerRun(1000, func() {
		r.TryPush([2]uint64{1, 2})
		r.Pop()
	}); n != 0 {
		t.Errorf("%v allocations a push and pop", n)
	}
}

func BenchmarkRingPushPop(b *testing.B) {
	r := NewMPSC[[2]uint64](64)
	b.ReportAllocs()
	for b.Loop() {
		r.TryPush([2]uint64{1, 2})
		r.Pop()
	}
}

func BenchmarkRingContended(b *testing.B) {
	r := NewMPSC[[2]uint64](1024)
	done := make(chan struct{})
	go func() {
		for !r.Drained() {
			if _, ok := r.Pop(); !ok {
				runtime.Gosched()
			}
		}
		close(done)
	}()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for !r.TryPush([2]uint64{1, 2}) {
				runtime.Gosched()
			}
		}
	})
	r.Close()
	<-done
}
