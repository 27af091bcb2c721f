package mmsg

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// Control messages (RFC 3542 section 4 and ip(7)) carry what a datagram's bytes do not: on
// receipt the local address that it hit and the kernel's drop count, on sending the address
// to leave from. Their layouts are
//
//	IP_PKTINFO:   int ifindex; in_addr spec_dst; in_addr addr
//	IPV6_PKTINFO: in6_addr addr; unsigned ifindex
//	SO_RXQ_OVFL:  u32 drops
//	SO_TIMESTAMPNS_NEW: s64 seconds; s64 nanoseconds
const (
	pktinfo4Size = unix.SizeofInet4Pktinfo
	pktinfo6Size = unix.SizeofInet6Pktinfo

	// controlSize has room for all that one received datagram brings, headers and padding
	// included: 40 for IPV6_PKTINFO, 24 for SO_RXQ_OVFL and 32 for SO_TIMESTAMPNS_NEW. A
	// sent one needs 40 and 24 for UDP_SEGMENT.
	controlSize = 96

	timespecSize = 16
)

// controlBuffer is aligned as the kernel wants its headers.
type controlBuffer [controlSize / 8]uint64

func (c *controlBuffer) bytes() []byte {
	return (*[controlSize]byte)(unsafe.Pointer(c))[:]
}

// arrival is what a datagram's control messages said.
type arrival struct {
	local   flow.Addr
	hasAddr bool
	drops   uint32 // datagrams dropped since the socket was opened, modulo 2^32
	hasDrop bool
	time    int64 // nanoseconds since the Unix epoch (CLOCK_REALTIME); 0: not said
}

// parseControl reads the control messages of one datagram of the given family. What it does
// not know, it steps over; malformed messages end the parse.
func parseControl(b []byte, v6 bool) (a arrival) {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return a
		}
		switch {
		case !v6 && h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= pktinfo4Size:
			a.local, a.hasAddr = local4(data), true
		case v6 && h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= pktinfo6Size:
			a.local, a.hasAddr = flow.Addr(data[:16]), true
		case h.Level == unix.SOL_SOCKET && h.Type == cmsgDrops && len(data) >= 4:
			a.drops, a.hasDrop = binary.NativeEndian.Uint32(data), true
		case h.Level == unix.SOL_SOCKET && h.Type == soTimestamp && len(data) >= timespecSize:
			a.time = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		}
		b = rest
	}
	return a
}

// local4 picks the address of ours out of an in_pktinfo. For a datagram to a broadcast or
// multicast group, addr is the group while spec_dst is the address of ours to answer from;
// otherwise they are the same. Darwin leaves spec_dst empty.
func local4(pktinfo []byte) flow.Addr {
	specDst := [4]byte(pktinfo[4:8])
	if specDst == [4]byte{} {
		specDst = [4]byte(pktinfo[8:12])
	}
	return addr4(specDst)
}

// addr4 maps an IPv4 address into a flow.Addr.
func addr4(a [4]byte) flow.Addr {
	return flow.Addr{10: 0xff, 11: 0xff, 12: a[0], 13: a[1], 14: a[2], 15: a[3]}
}

// initSource writes an empty pktinfo message and returns the bytes of c to hand to the
// kernel. setSource fills in the address.
func initSource(c *controlBuffer, v6 bool) []byte {
	*c = controlBuffer{}
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	if v6 {
		h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		h.SetLen(unix.CmsgLen(pktinfo6Size))
		return c.bytes()[:unix.CmsgSpace(pktinfo6Size)]
	}
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(pktinfo4Size))
	return c.bytes()[:unix.CmsgSpace(pktinfo4Size)]
}

// setSource names the address that the next datagram leaves from. The interface stays zero,
// so the routing table still picks the way.
func setSource(c *controlBuffer, from flow.Addr, v6 bool) {
	data := c.bytes()[unix.CmsgLen(0):]
	if v6 {
		copy(data, from[:])
		return
	}
	copy(data[4:8], from[12:16])
}

// dropGauge turns the socket's wrapping 32-bit drop count into increments.
type dropGauge uint32

// advance returns how many datagrams were dropped since the last call.
func (g *dropGauge) advance(drops uint32) uint64 {
	d := drops - uint32(*g)
	if d > 1<<31 { // older than the last one seen: two messages were queued out of order
		return 0
	}
	*g = dropGauge(drops)
	return uint64(d)
}
