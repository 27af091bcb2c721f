package mmsg

import "golang.org/x/sys/unix"

const (
	forceRecvBuffer = 0
	forceSendBuffer = 0
	bufferFactor    = 1
	cmsgDrops       = -1 // there is no such message
	soTimestamp     = -1 // likewise
	haveBatched     = false
)

var (
	options4 = []option{
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1, "IP_PKTINFO"},
	}
	options6 = []option{
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
	}
)

func newSocket(domain int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM, unix.IPPROTO_UDP)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// rxRaw has nothing to prepare: the portable path describes one slot at a time.
type rxRaw struct{}

func (*rxRaw) init([]byte, int) {}

// newBatched is never reached where haveBatched is false.
func newBatched(fd int, port uint16, o Options) Socket { return newPlain(fd, port, o.IPv6) }
