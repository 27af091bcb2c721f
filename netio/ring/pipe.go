package ring

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// openPipe is the waker's descriptor where there is no eventfd. It is built everywhere, so
// that the tests on Linux run it too.
func openPipe() (rfd, wfd int, err error) {
	// Not every system has pipe2: keep a fork from inheriting the descriptors before
	// they are marked.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return -1, -1, err
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(p[0])
			unix.Close(p[1])
			return -1, -1, err
		}
	}
	return p[0], p[1], nil
}
