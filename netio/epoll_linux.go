package netio

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoller is epoll(7), level-triggered. It sleeps by epoll_pwait2, which takes nanoseconds,
// because the frame window of 1 ms would otherwise last up to 2; kernels before 5.11 and
// some sandboxes do not have it, which is found when the poller is made.
type epoller struct {
	fd     int
	fds    []int
	now    []interest // what the kernel watches each descriptor for
	isUp   []bool     // by the last wait
	events []unix.EpollEvent
	coarse bool
	raised int // of events: what the last wait set isUp of
}

func newEpoller() (*epoller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &epoller{fd: fd}
	var none [1]unix.EpollEvent
	_, errno := epollWait2(fd, none[:], 0, false)
	p.coarse = errno != 0 && errno != unix.EINTR
	return p, nil
}

func (p *epoller) watch(fd int) error {
	p.fds = append(p.fds, fd)
	p.now = append(p.now, 0)
	p.isUp = append(p.isUp, false)
	p.events = append(p.events, unix.EpollEvent{})
	// Whether epoll takes it shows now, at start, and not in want.
	event := unix.EpollEvent{}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil))
}

func (p *epoller) want(id int, w interest) {
	if p.now[id] == w {
		return
	}
	op := unix.EPOLL_CTL_MOD
	switch {
	case p.now[id] == 0:
		op = unix.EPOLL_CTL_ADD
	case w == 0:
		op = unix.EPOLL_CTL_DEL // epoll reports errors unasked
	}
	event := unix.EpollEvent{Fd: int32(id)}
	if w&wantInput != 0 {
		event.Events |= unix.EPOLLIN
	}
	if w&wantOutput != 0 {
		event.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(p.fd, op, p.fds[id], &event); err != nil {
		panic(fmt.Sprintf("netio: epoll_ctl %d of descriptor %d: %v", op, p.fds[id], err))
	}
	p.now[id] = w
}

func (p *epoller) wait(timeout time.Duration, raw bool) int {
	for _, e := range p.events[:p.raised] {
		p.isUp[e.Fd] = false
	}
	p.raised = 0
	n, err := p.sleep(min(timeout, longestSleep), raw)
	if err == unix.EINTR {
		return 0
	}
	if err != nil {
		panic(fmt.Sprintf("netio: epoll_wait: %v", err))
	}
	for _, e := range p.events[:n] {
		p.isUp[e.Fd] = true
	}
	p.raised = n
	return n
}

func (p *epoller) sleep(timeout time.Duration, raw bool) (int, error) {
	if p.coarse || timeout <= 0 {
		return unix.EpollWait(p.fd, p.events, milliseconds(timeout))
	}
	n, errno := epollWait2(p.fd, p.events, timeout, raw)
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// epollWait2 is epoll_pwait2(2). Unless raw it enters the kernel in the way that lets other
// goroutines have the thread's processor slot.
func epollWait2(fd int, events []unix.EpollEvent, timeout time.Duration, raw bool) (int, unix.Errno) {
	spec := struct{ seconds, nanoseconds int64 }{int64(timeout / time.Second), int64(timeout % time.Second)}
	if raw {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd),
			uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(unsafe.Pointer(&spec)), 0, 0)
		return int(n), errno
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(unsafe.Pointer(&spec)), 0, 0)
	return int(n), errno
}

func (p *epoller) ready(id int) bool { return p.isUp[id] }

func (p *epoller) fine() bool { return !p.coarse }

func (p *epoller) close() { unix.Close(p.fd) }
