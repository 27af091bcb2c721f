package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// maxCapture bounds the packets of one Run.
const maxCapture = 200_000

// Capture is a packet socket (packet(7)) on the loopback interface.
type Capture struct {
	fd    int
	begin int64 // kernel time of the first packet
	buf   [65536]byte
	oob   [128]byte
}

// Open begins to watch IPv4 datagrams to a UDP port of this machine.
func Open(port uint16) (*Capture, error) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	// Bound to a protocol, a packet socket sees what is received, which is once.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("record: a packet socket (CAP_NET_RAW): %w", err)
	}
	c := &Capture{fd: fd}
	if err := c.prepare(lo.Index, port); err != nil {
		c.Close()
		return nil, fmt.Errorf("record: %w", err)
	}
	return c, nil
}

func (c *Capture) prepare(index int, port uint16) error {
	filter := portFilter(port)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	return errors.Join(
		unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20),
		unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}),
	)
}

// portFilter accepts UDP to a port (bpf(4) classic; the packet begins with its IP header).
func portFilter(port uint16) []unix.SockFilter {
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 6, K: unix.IPPROTO_UDP},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 4, K: 0x1fff}, // a later fragment
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(port)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
}

// Close ends it.
func (c *Capture) Close() error { return unix.Close(c.fd) }

// Run returns the RTP packets that pass during a time, by the kernel's times. It is an error
// if the kernel had to drop some, or shows several datagrams as one (UDP_SEGMENT).
func (c *Capture) Run(d time.Duration) (packets []Packet, err error) {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("record: %w", err)
		}
		if n < 1 {
			continue
		}
		p, ok, err := c.read()
		if err != nil {
			return nil, err
		}
		if ok && len(packets) < maxCapture {
			packets = append(packets, p)
		}
	}
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	if stats.Drops > 0 || len(packets) == maxCapture {
		return nil, fmt.Errorf("record: %d packets are missing, %d were taken", stats.Drops, len(packets))
	}
	return packets, nil
}

// read takes one packet.
func (c *Capture) read() (p Packet, ok bool, err error) {
	n, oobn, _, _, err := unix.Recvmsg(c.fd, c.buf[:], c.oob[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("record: %w", err)
	}
	payload, ok := datagram(c.buf[:n])
	if !ok {
		return p, false, nil
	}
	if p, ok = rtp(payload); !ok {
		return p, false, nil
	}
	if p.Bytes > 1500 {
		return p, false, fmt.Errorf("record: %d bytes at once: the sender uses UDP_SEGMENT", p.Bytes)
	}
	at, ok := kernelTime(c.oob[:oobn])
	if !ok {
		return p, false, errors.New("record: a packet without the kernel's time")
	}
	if c.begin == 0 {
		c.begin = at
	}
	p.At = time.Duration(at - c.begin)
	return p, true, nil
}

// kernelTime finds SCM_TIMESTAMPNS in control data.
func kernelTime(oob []byte) (ns int64, ok bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:])), true
		}
	}
	return 0, false
}
