package stream

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel may hold that it has not sent (tcp(7), TCP_NOTSENT_LOWAT).
// Without it the kernel would take megabytes for a peer that reads slowly: seconds of video
// that is too late before the first frame is refused here.
const unsentBytes = 32 << 10

// tune keeps the queue of c here, where frames are told apart, rather than in the kernel. A
// connection that has no socket, or a kernel that knows no such option, goes on as it is.
func tune(c net.Conn) {
	for {
		switch inner := c.(type) {
		case interface{ NetConn() net.Conn }: // of crypto/tls
			c = inner.NetConn()
		case interface{ Raw() net.Conn }: // of a PROXY header's reader
			c = inner.Raw()
		case syscall.Conn:
			raw, err := inner.SyscallConn()
			if err == nil {
				_ = raw.Control(func(fd uintptr) {
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
				})
			}
			return
		default:
			return
		}
	}
}
