package mmsg

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openUDP opens, prepares and binds one socket, and returns its port.
func openUDP(o Options) (fd int, port uint16, err error) {
	domain := unix.AF_INET
	if o.IPv6 {
		domain = unix.AF_INET6
	}
	fd, err = newSocket(domain)
	if err != nil {
		return -1, 0, os.NewSyscallError("socket", err)
	}
	if err = prepare(fd, o); err == nil {
		port, err = bind(fd, o)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, port, nil
}

// option is one setsockopt with an integer; name is what an error calls it.
type option struct {
	level, opt, value int
	name              string
}

func prepare(fd int, o Options) error {
	opts := append([]option(nil), options4...)
	if o.IPv6 {
		opts = append([]option(nil), options6...)
	}
	if o.Membership == Next {
		opts = append(opts, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT"})
	}
	for _, s := range opts {
		if err := unix.SetsockoptInt(fd, s.level, s.opt, s.value); err != nil {
			return fmt.Errorf("setsockopt %s: %w", s.name, err)
		}
	}
	if o.Timestamps && soTimestamp >= 0 {
		// A system without them still receives: RxBatch.Time says 0 then.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, soTimestamp, 1)
	}
	if err := setBuffer(fd, unix.SO_RCVBUF, forceRecvBuffer, o.RecvBuffer, o.NoForce); err != nil {
		return fmt.Errorf("setsockopt SO_RCVBUF: %w", err)
	}
	if err := setBuffer(fd, unix.SO_SNDBUF, forceSendBuffer, o.SendBuffer, o.NoForce); err != nil {
		return fmt.Errorf("setsockopt SO_SNDBUF: %w", err)
	}
	return nil
}

// setBuffer asks for a buffer of size bytes. The forced form may exceed the system's limit
// but needs a privilege that servers rarely have; the plain form is cut to the limit in
// silence on Linux, which BufferSizes tells.
func setBuffer(fd, opt, force, size int, noForce bool) error {
	if size <= 0 {
		return nil
	}
	if force != 0 && !noForce && unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, size)
	if err == unix.ENOBUFS { // beyond the limit where it is not cut: keep the default
		return nil
	}
	return err
}

// BufferSizes returns the receive and send buffers of a socket, in the unit that Options has.
func BufferSizes(fd int) (recv, send int, err error) {
	if recv, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return 0, 0, os.NewSyscallError("getsockopt", err)
	}
	if send, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
		return 0, 0, os.NewSyscallError("getsockopt", err)
	}
	return recv / bufferFactor, send / bufferFactor, nil
}

// bind binds fd to the wildcard address.
//
// The first socket of a group binds without SO_REUSEPORT and gets it afterwards: with it, a
// second server of the same user would join the group and take a share of the datagrams
// instead of being told that the port is taken. The kernel makes the group when the second
// socket joins (udp_reuseport_add_sock), so that the first keeps index 0.
func bind(fd int, o Options) (port uint16, err error) {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(o.Port)}
	if o.IPv6 {
		sa = &unix.SockaddrInet6{Port: int(o.Port)}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	if o.Membership == First {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return 0, fmt.Errorf("setsockopt SO_REUSEPORT: %w", err)
		}
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	switch bound := bound.(type) {
	case *unix.SockaddrInet4:
		return uint16(bound.Port), nil
	case *unix.SockaddrInet6:
		return uint16(bound.Port), nil
	}
	return 0, fmt.Errorf("getsockname: unexpected address %T", bound)
}
