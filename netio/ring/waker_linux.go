package ring

import "golang.org/x/sys/unix"

// openWaker makes an eventfd: one descriptor, and one read empties it.
func openWaker() (rfd, wfd int, err error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	return fd, fd, err
}
