package mmsg

import "golang.org/x/sys/unix"

const (
	forceRecvBuffer = unix.SO_RCVBUFFORCE
	forceSendBuffer = unix.SO_SNDBUFFORCE

	// bufferFactor: Linux doubles what is asked, for its own bookkeeping, and reports that.
	bufferFactor = 2

	cmsgDrops = unix.SO_RXQ_OVFL

	// soTimestamp asks for, and is the type of, the message that says when a datagram
	// arrived. This form (Linux 5.1) has 64-bit fields on every architecture.
	soTimestamp = unix.SO_TIMESTAMPNS_NEW
)

// Path MTU discovery is off in the form that also ignores what the network says: with the
// default, a forged or true ICMP message for one client makes sends to it fail with EMSGSIZE,
// and no datagram of ours is large enough for discovery to be worth that.
var (
	options4 = []option{
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1, "IP_PKTINFO"},
		{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT, "IP_MTU_DISCOVER"},
		{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"},
	}
	options6 = []option{
		{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO"},
		{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT, "IPV6_MTU_DISCOVER"},
		{unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"},
	}
)

func newSocket(domain int) (int, error) {
	return unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
}
