package ring

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Waker gets a consumer out of its sleep in the kernel, and costs producers one atomic load
// when it does not sleep.
//
// The consumer, which waits on FD among its sockets:
//
//	w.PrepareSleep()
//	if work is pending {
//		w.CancelSleep()
//	} else {
//		wait for FD or a socket to become readable, or for a timer
//		w.CancelSleep()
//		if FD is readable { w.Drain() }
//	}
//
// The producer publishes its work, then calls Wake. No wake-up is lost: the producer
// publishes and then reads the sleeping flag, the consumer raises the flag and then looks
// for work. All of these are sequentially consistent atomics, so at least one of the two
// sees the other: either the consumer finds the work and does not sleep, or the producer
// finds the flag and writes to FD, which stays readable until Drain. Of several producers
// that find the flag one wins it and writes. A write may come so late that it meets the
// next sleep and ends it for nothing, which is harmless.
//
// A consumer that is a goroutine of its own calls Wait, which does all of that.
type Waker struct {
	rfd, wfd int // the same for an eventfd

	// gate counts those who are using the descriptors, and has gateClosed once Close was
	// called. The last one out closes them, so that a late Wake never writes into a
	// file that got the same number.
	gate   atomic.Int64
	writes atomic.Uint64

	file *os.File // for Wait: made by the first one, so that a shard's is unknown to the netpoller
	buf  [64]byte

	_        [line]byte
	sleeping atomic.Uint32
	_        [line]byte
}

const gateClosed = 1 << 62

// NewWaker makes a waker: an eventfd on Linux, a pipe elsewhere.
func NewWaker() (*Waker, error) {
	rfd, wfd, err := openWaker()
	if err != nil {
		return nil, os.NewSyscallError("waker", err)
	}
	return &Waker{rfd: rfd, wfd: wfd}, nil
}

// Wake wakes the consumer if it sleeps or is about to. To be called after the work has been
// published; any goroutine may call it, also after Close.
func (w *Waker) Wake() {
	// The load alone first: it leaves the line shared between all producers.
	if w.sleeping.Load() != 0 && w.sleeping.CompareAndSwap(1, 0) && w.enter() {
		w.write()
		w.leave()
	}
}

// FD returns the descriptor that becomes readable on Wake. It is valid until Close.
func (w *Waker) FD() int { return w.rfd }

// PrepareSleep announces that the consumer will sleep. It has to look for work once more
// after that and before it sleeps.
func (w *Waker) PrepareSleep() { w.sleeping.Store(1) }

// CancelSleep says that the consumer is awake, or did not go to sleep.
func (w *Waker) CancelSleep() { w.sleeping.Store(0) }

// Drain makes FD unreadable again. The consumer calls it when FD was readable.
func (w *Waker) Drain() {
	if !w.enter() {
		return
	}
	defer w.leave()
	for {
		n, err := unix.Read(w.rfd, w.buf[:])
		if err == unix.EINTR || n == len(w.buf) {
			continue // a pipe may have more
		}
		return
	}
}

// Wait parks the calling goroutine, without a thread of its own, until Wake or Close. It
// returns at once if pending says that there is work. It reports false once the waker is
// closed; it may return true without a reason. The consumer loop is
//
//	for w.Wait(pending) {
//		take all the work
//	}
func (w *Waker) Wait(pending func() bool) bool {
	if !w.enter() {
		return false
	}
	defer w.leave()
	if w.file == nil {
		w.file = os.NewFile(uintptr(w.rfd), "waker")
	}
	w.PrepareSleep()
	if pending() {
		w.CancelSleep()
		return true
	}
	_, err := w.file.Read(w.buf[:])
	w.CancelSleep()
	return err == nil && w.gate.Load()&gateClosed == 0
}

// Writes returns how often a consumer was woken. Any goroutine may call it.
func (w *Waker) Writes() uint64 { return w.writes.Load() }

// Close wakes a consumer in Wait for good and closes the descriptors as soon as nobody uses
// them any more. A consumer that waits on FD itself has to have stopped before. Any
// goroutine may call it, more than once.
func (w *Waker) Close() {
	for {
		g := w.gate.Load()
		if g&gateClosed != 0 {
			return
		}
		// Closing and entering are one step: the descriptors are needed once more.
		if w.gate.CompareAndSwap(g, g+1|gateClosed) {
			w.write()
			w.leave()
			return
		}
	}
}

func (w *Waker) enter() bool {
	for {
		g := w.gate.Load()
		if g&gateClosed != 0 {
			return false
		}
		if w.gate.CompareAndSwap(g, g+1) {
			return true
		}
	}
}

// leave closes the descriptors if the waker is closed and the caller is the last one.
// Nobody enters a closed gate, so there is exactly one such moment.
func (w *Waker) leave() {
	if w.gate.Add(-1) != gateClosed {
		return
	}
	if w.file != nil {
		w.file.Close()
	} else {
		unix.Close(w.rfd)
	}
	if w.wfd != w.rfd {
		unix.Close(w.wfd)
	}
}

// write makes the descriptor readable. EAGAIN means that it is so already.
func (w *Waker) write() {
	w.writes.Add(1)
	one := [8]byte{1} // an eventfd wants a 64-bit number other than 0, a pipe takes it as well
	for {
		if _, err := unix.Write(w.wfd, one[:]); err != unix.EINTR {
			return
		}
	}
}
