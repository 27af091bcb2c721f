package netio

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for descriptors. Its methods belong to one goroutine, close excepted, which
// comes after all of them. Descriptors are named by the order of their adding.
type poller interface {
	// watch adds a descriptor, watched for nothing yet.
	watch(fd int) error

	// want says what to watch a descriptor for. One that is watched for nothing wakes nobody,
	// whatever state it is in.
	want(id int, w interest)

	// wait sleeps until a descriptor is ready or the time is over, and returns how many are
	// ready; a signal may end it early. A negative timeout waits without end. With raw it
	// keeps the processor slot of the Go scheduler, if it knows how (see processorSlots).
	wait(timeout time.Duration, raw bool) int

	// ready reports whether the last wait found the descriptor ready.
	ready(id int) bool

	// fine reports whether wait ends at the microsecond rather than the millisecond.
	fine() bool

	close()
}

// interest is what a descriptor is watched for.
type interest uint8

const (
	wantInput interest = 1 << iota
	wantOutput
)

// longestSleep bounds a timeout, which in milliseconds has to fit 32 bits.
const longestSleep = time.Hour

// milliseconds rounds a timeout up, so that nobody wakes before the time to find nothing due
// and come back at once, over and over. Negative stays so.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int((min(d, longestSleep) + time.Millisecond - 1) / time.Millisecond)
}

// portablePoller is poll(2).
type portablePoller struct {
	fds  []int
	sets []unix.PollFd
}

func newPortablePoller() (poller, error) { return &portablePoller{}, nil }

func (p *portablePoller) watch(fd int) error {
	p.fds = append(p.fds, fd)
	p.sets = append(p.sets, unix.PollFd{Fd: -1})
	return nil
}

func (p *portablePoller) want(id int, w interest) {
	set := unix.PollFd{Fd: int32(p.fds[id])}
	if w&wantInput != 0 {
		set.Events |= unix.POLLIN
	}
	if w&wantOutput != 0 {
		set.Events |= unix.POLLOUT
	}
	if w == 0 {
		set.Fd = -1 // poll reports errors unasked, except of a negative descriptor
	}
	p.sets[id] = set
}

func (p *portablePoller) wait(timeout time.Duration, _ bool) int {
	n, err := unix.Poll(p.sets, milliseconds(timeout))
	if err == unix.EINTR {
		for i := range p.sets {
			p.sets[i].Revents = 0
		}
		return 0
	}
	if err != nil {
		panic(fmt.Sprintf("netio: poll: %v", err))
	}
	return n
}

func (p *portablePoller) ready(id int) bool { return p.sets[id].Revents != 0 }

func (p *portablePoller) fine() bool { return false }

func (p *portablePoller) close() {}
