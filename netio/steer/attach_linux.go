package steer

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Attach makes prog choose the receiving socket in the SO_REUSEPORT group that fd is in. It
// acts on the whole group, so one call after the last socket has joined is enough; called
// earlier, the program could name sockets that are not there yet, and the kernel would fall
// back to its own hash. fd must have had SO_REUSEPORT set before it was bound, or be followed
// into its group by another socket. The kernel copies the program.
func Attach(fd int, prog []Instruction) error {
	filter := make([]unix.SockFilter, len(prog))
	for i, in := range prog {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fprog); err != nil {
		return fmt.Errorf("attaching the steering program: %w", err)
	}
	return nil
}
