package bare

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

// controlLen holds IP_PKTINFO, which names the source, and UDP_SEGMENT.
const controlLen = 64

// sender is the loop that is measured. Its methods belong to one thread.
type sender struct {
	cfg      Config
	gso      bool
	fd       int
	viewers  []*viewer
	payloads [][]byte // of the longest run; all viewers share them

	slab     []byte // packets of one batch, those of a message back to back
	used     int    // bytes of slab
	batch    int    // messages that wait
	headers  [maxMessages]mmsghdr
	iovecs   [maxMessages]unix.Iovec
	names    [maxMessages]unix.RawSockaddrInet4
	controls [maxMessages][controlLen]byte
	plainLen int // of a control message without UDP_SEGMENT, which stands last
	port     uint16

	bursts    int
	timestamp uint32
	packets   uint64
	messages  uint64
	silent    bool // nothing is handed to the kernel
}

// destination is the loopback address of a viewer.
func destination(i int) [4]byte { return [4]byte{127, 77, byte(i >> 8), byte(i)} }

// source is the address that all packets leave from.
var source = [4]byte{127, 0, 0, 1}

// newSender opens a socket and makes the streams to the wildcard socket at port.
func newSender(cfg Config, gso bool, port uint16) (*sender, error) {
	fd, err := openSocket()
	if err != nil {
		return nil, err
	}
	longest := slices.Max(cfg.Runs)
	s := &sender{cfg: cfg, gso: gso, fd: fd, port: port}
	s.slab = make([]byte, maxMessages*longest*s.packetLen())
	for i := range cfg.Destinations {
		v, err := newViewer(uint32(i))
		if err != nil {
			s.close()
			return nil, err
		}
		s.viewers = append(s.viewers, v)
	}
	for i := range longest {
		p := make([]byte, cfg.Payload)
		for j := range p {
			p[j] = byte(i*31 + j*7)
		}
		s.payloads = append(s.payloads, p)
	}
	for i := range s.headers {
		s.initMessage(i)
	}
	return s, nil
}

func (s *sender) close() { unix.Close(s.fd) }

func (s *sender) packetLen() int { return headerLen + s.cfg.Payload + tagLen }

// openSocket returns a wildcard UDP socket with the options of the server's.
func openSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("bare: socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bare: IP_MTU_DISCOVER: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bare: bind: %w", err)
	}
	return fd, nil
}

// initMessage lays out what is the same each time that message i is used.
func (s *sender) initMessage(i int) {
	name := &s.names[i]
	name.Family = unix.AF_INET
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], s.port)

	c := s.controls[i][:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	copy(c[unix.CmsgLen(0)+4:], source[:])
	s.plainLen = unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	h = (*unix.Cmsghdr)(unsafe.Pointer(&c[s.plainLen]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(c[s.plainLen+unix.CmsgLen(0):], uint16(s.packetLen()))

	m := &s.headers[i].header
	m.Name = (*byte)(unsafe.Pointer(name))
	m.Namelen = unix.SizeofSockaddrInet4
	m.Iov = &s.iovecs[i]
	m.SetIovlen(1)
	m.Control = &c[0]
}

// burst sends the next run to every destination.
func (s *sender) burst(sendTime uint32) error {
	run := s.cfg.Runs[s.bursts%len(s.cfg.Runs)]
	s.bursts++
	s.timestamp += 3000 // 30 frames a second
	size, perMessage := s.packetLen(), 1
	if s.gso {
		perMessage = run
	}
	for i, v := range s.viewers {
		for k := 0; k < run; k += perMessage {
			start := s.used
			for j := k; j < k+perMessage; j++ {
				v.seal(s.slab[s.used:s.used+size:s.used+size], s.payloads[j], s.timestamp, sendTime, j == run-1)
				s.used += size
			}
			if err := s.add(i, start, perMessage); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

// add describes what lies in the slab from start on as one message.
func (s *sender) add(viewer, start, packets int) error {
	s.packets += uint64(packets)
	s.names[s.batch].Addr = destination(viewer)
	s.iovecs[s.batch].Base = &s.slab[start]
	s.iovecs[s.batch].SetLen(s.used - start)
	control := s.plainLen
	if packets > 1 {
		control += unix.CmsgSpace(2)
	}
	s.headers[s.batch].header.SetControllen(control)
	s.batch++
	if s.batch < s.cfg.Batch {
		return nil
	}
	return s.flush()
}

// flush hands the batch to the kernel.
func (s *sender) flush() error {
	n := s.batch
	s.batch, s.used = 0, 0
	if s.silent {
		return nil
	}
	for done := 0; done < n; {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.headers[done])), uintptr(n-done), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			done += int(sent)
			s.messages += uint64(sent)
		case unix.EINTR, unix.EAGAIN: // loopback takes a message at once, so this is short
		default:
			return fmt.Errorf("bare: sendmmsg: %w", errno)
		}
	}
	return nil
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic("bare: thread clock: " + err.Error()) // Linux has had it since 2.6
	}
	return time.Duration(t.Nano())
}

// round sends bursts until at least n packets are out and returns the CPU time they took.
func (s *sender) round(n int) (packets uint64, spent time.Duration, err error) {
	before := s.packets
	next := time.Now()
	start := threadTime()
	for s.packets-before < uint64(n) {
		if s.cfg.Interval > 0 && !s.silent {
			spent += threadTime() - start
			next = next.Add(s.cfg.Interval)
			time.Sleep(time.Until(next))
			start = threadTime()
		}
		if err := s.burst(uint32(s.bursts) << 8); err != nil {
			return 0, 0, err
		}
	}
	return s.packets - before, spent + threadTime() - start, nil
}

// measure is GSO and Sendmmsg.
func measure(cfg Config, gso bool) (Cost, error) {
	cfg, err := cfg.withDefaults(gso)
	if err != nil {
		return Cost{}, err
	}
	r, err := newReceiver(nil)
	if err != nil {
		return Cost{}, err
	}
	defer r.close()
	s, err := newSender(cfg, gso, r.port)
	if err != nil {
		return Cost{}, err
	}
	defer s.close()
	runtime.LockOSThread() // the thread's clock is the measure
	defer runtime.UnlockOSThread()
	return s.measure(r)
}

// measure runs one round to warm up, those that count, and those without sending.
func (s *sender) measure(r *receiver) (c Cost, err error) {
	n := min(s.cfg.RoundPackets, r.room(s.packetLen()))
	var whole, sealing []time.Duration
	for i := range s.cfg.Rounds + 1 {
		m := s.messages
		packets, spent, err := s.round(n)
		if err != nil {
			return Cost{}, err
		}
		r.await(s.packets)
		if i > 0 {
			whole = append(whole, spent/time.Duration(packets))
			c.Packets += packets
			c.Messages += s.messages - m
		}
	}
	c.Lost = s.packets - min(r.received.Load(), s.packets)
	s.silent = true
	for range s.cfg.Rounds {
		packets, spent, err := s.round(n)
		if err != nil {
			return Cost{}, err
		}
		sealing = append(sealing, spent/time.Duration(packets))
	}
	slices.Sort(whole)
	slices.Sort(sealing)
	c.PerPacket, c.Best, c.Worst = whole[len(whole)/2], whole[0], whole[len(whole)-1]
	c.Seal = sealing[len(sealing)/2]
	return c, nil
}
