package ring

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// wakers runs f with the system's own kind of waker and with the portable one.
func wakers(t *testing.T, f func(t *testing.T, w *Waker)) {
	for name, open := range map[string]func() (int, int, error){"native": openWaker, "pipe": openPipe} {
		t.Run(name, func(t *testing.T) {
			rfd, wfd, err := open()
			if err != nil {
				t.Fatal(err)
			}
			w := &Waker{rfd: rfd, wfd: wfd}
			defer w.Close()
			f(t, w)
		})
	}
}

// readable waits until the waker's descriptor is readable, at most for so many ms.
func readable(t *testing.T, w *Waker, ms int) bool {
	t.Helper()
	for {
		fds := []unix.PollFd{{Fd: int32(w.FD()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, ms)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

func TestNewWakerIsQuietAtFirst(t *testing.T) {
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if readable(t, w, 0) {
		t.Error("readable without a Wake")
	}
	w.Drain() // must not block
}

func TestWakeWritesOnceAndOnlyForASleeper(t *testing.T) {
	wakers(t, func(t *testing.T, w *Waker) {
		w.Wake()
		if readable(t, w, 0) || w.Writes() != 0 {
			t.Error("a consumer that is awake was written to")
		}
		w.PrepareSleep()
		for range 3 {
			w.Wake()
		}
		if !readable(t, w, 0) || w.Writes() != 1 {
			t.Errorf("%d writes for one sleep, want 1", w.Writes())
		}
		w.CancelSleep()
		w.Drain()
		if readable(t, w, 0) {
			t.Error("readable after Drain")
		}
		w.PrepareSleep()
		w.CancelSleep()
		w.Wake()
		if w.Writes() != 1 {
			t.Error("a sleep that was called off was written to")
		}
	})
}

// Every entry arrives although the consumer sleeps in the kernel, without a timeout,
// whenever it sees nothing: a lost wake-up would end in the timeout of the poll.
func TestNoWakeUpIsLostInTheKernel(t *testing.T) {
	for _, producers := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(producers), func(t *testing.T) {
			wakers(t, func(t *testing.T, w *Waker) {
				const each = 3000
				r := NewMPSC[int](64)
				f := NewFlags(producers)
				var wg sync.WaitGroup
				for p := range producers {
					wg.Go(func() {
						for i := range each {
							for !r.TryPush(i) {
								runtime.Gosched()
							}
							w.Wake()
							if i == each-1 && f.Set(uint32(p)) {
								w.Wake()
							}
						}
					})
				}
				for entries, flags := 0, 0; entries < producers*each || flags < producers; {
					if _, ok := r.Pop(); ok {
						entries++
						continue
					}
					if _, ok := f.Next(); ok {
						flags++
						continue
					}
					w.PrepareSleep()
					if !r.Empty() || !f.Empty() {
						w.CancelSleep()
						continue
					}
					woken := readable(t, w, 30000)
					w.CancelSleep()
					if !woken {
						t.Fatalf("lost a wake-up after %d entries and %d flags", entries, flags)
					}
					w.Drain()
				}
				wg.Wait()
			})
		})
	}
}

// The same for a consumer goroutine that parks in Wait.
func TestNoWakeUpIsLostInWait(t *testing.T) {
	for _, producers := range []int{2, 4, 8} {
		t.Run(fmt.Sprint(producers), func(t *testing.T) {
			wakers(t, func(t *testing.T, w *Waker) {
				const each = 3000
				r := NewMPSC[int](64)
				r.Attach(w)
				var wg sync.WaitGroup
				for range producers {
					wg.Go(func() {
						for i := range each {
							r.Push(i)
							w.Wake()
						}
					})
				}
				got := 0
				for got < producers*each && w.Wait(func() bool { return !r.Empty() }) {
					for _, ok := r.Pop(); ok; _, ok = r.Pop() {
						got++
					}
				}
				if got != producers*each {
					t.Errorf("got %d entries of %d", got, producers*each)
				}
				wg.Wait()
			})
		})
	}
}

func TestCloseEndsWait(t *testing.T) {
	wakers(t, func(t *testing.T, w *Waker) {
		ended := make(chan bool)
		go func() {
			for w.Wait(func() bool { return false }) {
			}
			ended <- true
		}()
		for w.sleeping.Load() == 0 {
			runtime.Gosched()
		}
		w.Close()
		w.Close()
		<-ended
		if w.Wait(func() bool { return true }) {
			t.Error("Wait goes on after Close")
		}
		w.Drain()
	})
}

// A Wake that comes after Close must not write into whatever got the descriptor's number.
func TestWakeAfterCloseTouchesNoForeignFile(t *testing.T) {
	for range 50 {
		w, err := NewWaker()
		if err != nil {
			t.Fatal(err)
		}
		w.PrepareSleep()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(w.Wake)
		}
		wg.Go(w.Close)
		wg.Wait()
		pr, pw, err := os.Pipe() // takes the lowest free numbers: the waker's
		if err != nil {
			t.Fatal(err)
		}
		w.PrepareSleep()
		w.Wake()
		pw.Close()
		if n, _ := pr.Read(make([]byte, 8)); n != 0 {
			t.Fatalf("%d bytes in a foreign pipe", n)
		}
		pr.Close()
	}
}

func TestCloseFreesTheDescriptors(t *testing.T) {
	wakers(t, func(t *testing.T, w *Waker) {
		fd := w.FD()
		w.Wait(func() bool { return true }) // with the file of Wait, too
		w.Close()
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("descriptor %d is open after Close: %v", fd, err)
		}
	})
}

func TestWakeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return
	}
	wakers(t, func(t *testing.T, w *Waker) {
		if n := testing.AllocsPerRun(200, func() {
			w.PrepareSleep()
			w.Wake()
			w.CancelSleep()
			w.Drain()
		}); n != 0 {
			t.Errorf("%v allocations a wake-up", n)
		}
	})
}

func BenchmarkWakeOfAConsumerThatIsAwake(b *testing.B) {
	w, err := NewWaker()
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		w.Wake()
	}
}

func BenchmarkWakeOfASleeper(b *testing.B) {
	w, err := NewWaker()
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		w.PrepareSleep()
		w.Wake()
		w.CancelSleep()
		w.Drain()
	}
}
