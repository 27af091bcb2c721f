package load

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// overflow counts what a socket dropped, for want of room in its buffer. It asks the kernel for
// the number (SO_MEMINFO, socket(7)), which with the datagrams (SO_RXQ_OVFL) comes only when
// one was queued behind those dropped.
type overflow struct {
	last  uint32 // as the kernel counts
	total uint64
}

// Places in what SO_MEMINFO returns (enum in linux/sock_diag.h).
const (
	meminfoDrops = 8
	meminfoVars  = 9
)

// look brings the count up to date and reports whether it grew. Where the kernel does not say,
// it stays.
func (o *overflow) look(fd int) (grew bool) {
	var info [meminfoVars]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size < uint32(unsafe.Sizeof(info)) {
		return false
	}
	n := info[meminfoDrops] - o.last // it wraps
	o.last = info[meminfoDrops]
	o.total += uint64(n)
	return n > 0
}
