package mmsg

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmentData is the length of a UDP_SEGMENT message's data, a u16 (udp(7)).
const segmentData = 2

// initSegment appends an empty UDP_SEGMENT message at offset at, behind the message that names
// the source, and returns the bytes of c to hand to the kernel with a run.
func initSegment(c *controlBuffer, at int) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.bytes()[at]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(segmentData))
	return c.bytes()[:at+unix.CmsgSpace(segmentData)]
}

// setSegment says at which length the kernel cuts the message.
func setSegment(c *controlBuffer, at int, size uint16) {
	*(*uint16)(unsafe.Pointer(&c.bytes()[at+unix.CmsgLen(0)])) = size
}

// probeWait bounds how long the probe waits, in milliseconds. Loopback delivers before the
// sending call returns, unless the machine is so busy that it is left to another thread.
const probeWait = 1000

// probeGSO sends a run of two datagrams to itself over loopback and returns nil if both
// arrive as they were meant. That setsockopt knows UDP_SEGMENT would not show this: sandboxes
// and translation layers accept options that they do not implement.
func probeGSO(v6 bool) error {
	domain, loopback := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if v6 {
		domain, loopback = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	}
	from, err := newSocket(domain)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(from)
	to, err := newSocket(domain)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(to)
	if err := unix.Bind(to, loopback); err != nil {
		return fmt.Errorf("binding to loopback: %w", err)
	}
	at, err := unix.Getsockname(to)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	const run, size = "first---second", 8
	var c controlBuffer
	control := initSegment(&c, 0)
	setSegment(&c, 0, size)
	if _, err := unix.SendmsgN(from, []byte(run), control, at, unix.MSG_DONTWAIT); err != nil {
		return fmt.Errorf("sending a run: %w", err)
	}
	for _, want := range []string{run[:size], run[size:]} {
		if err := expectDatagram(to, want); err != nil {
			return err
		}
	}
	return nil
}

// expectDatagram waits for the next datagram and compares it.
func expectDatagram(fd int, want string) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, probeWait)
	for err == unix.EINTR {
		n, err = unix.Poll(fds, probeWait)
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("a run of two did not arrive within %d ms", probeWait)
	}
	buf := make([]byte, SlotSize)
	size, err := unix.Read(fd, buf)
	if err != nil {
		return fmt.Errorf("receiving a run: %w", err)
	}
	if string(buf[:size]) != want {
		return fmt.Errorf("a run of two arrived with a datagram of %d bytes in place of %d", size, len(want))
	}
	return nil
}
