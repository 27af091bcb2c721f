package mmsg

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

const haveBatched = true

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32 // of the datagram received, or the bytes sent
}

// nameSize has room for a sockaddr_in or a sockaddr_in6, which share their first four bytes:
// the family in host order, the port in network order. The address follows at 4 or at 8.
const (
	nameSize   = unix.SizeofSockaddrInet6
	nameSize4  = unix.SizeofSockaddrInet4
	name4Addr  = 4
	name6Addr  = 8
	nameAddr4s = name4Addr + 4
	nameAddr6s = name6Addr + 16
)

// rxRaw is the kernel's view of a batch's slots. It is set up once; after each datagram only
// the lengths that the kernel changed are restored.
type rxRaw struct {
	headers  []mmsghdr
	iovecs   []unix.Iovec
	names    [][nameSize]byte
	controls []controlBuffer
}

func (r *rxRaw) init(slab []byte, n int) {
	r.headers = make([]mmsghdr, n)
	r.iovecs = make([]unix.Iovec, n)
	r.names = make([][nameSize]byte, n)
	r.controls = make([]controlBuffer, n)
	for i := range r.headers {
		r.iovecs[i].Base = &slab[i*SlotSize]
		r.iovecs[i].SetLen(SlotSize)
		h := &r.headers[i].header
		h.Name = &r.names[i][0]
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		h.Control = &r.controls[i].bytes()[0]
		r.rearm(i)
	}
}

// rearm makes slot i ready to receive again.
func (r *rxRaw) rearm(i int) {
	h := &r.headers[i].header
	h.Namelen = nameSize
	h.SetControllen(controlSize)
	h.Flags = 0
}

// batched is the Linux Socket: recvmmsg and sendmmsg.
type batched struct {
	fd       int
	port     uint16
	v6       bool
	counters Counters
	drops    dropGauge
	tx       txRaw

	longest  int     // datagrams in a run: maxSegments, or 1 where runs do not work
	alone    flowSet // flows that take no runs
	whyNoGSO string  // from the start; empty: it was on

	// The system calls, as tests replace them.
	recvmmsg, sendmmsg func(fd int, headers []mmsghdr) (n int, errno unix.Errno)
}

func newBatched(fd int, port uint16, o Options) Socket {
	s := &batched{fd: fd, port: port, v6: o.IPv6, longest: 1, recvmmsg: recvmmsg, sendmmsg: sendmmsg}
	s.tx.init(o.IPv6)
	if o.NoGSO {
		s.whyNoGSO = "switched off"
	} else if err := probeGSO(o.IPv6); err != nil {
		s.whyNoGSO = "does not work here: " + err.Error()
	} else {
		s.longest = maxSegments
	}
	return s
}

func (s *batched) FD() int             { return s.fd }
func (s *batched) LocalPort() uint16   { return s.port }
func (s *batched) Counters() *Counters { return &s.counters }
func (s *batched) Close() error        { return unix.Close(s.fd) }

func (s *batched) GSO() (on bool, why string) {
	switch {
	case s.whyNoGSO != "":
		return false, s.whyNoGSO
	case s.counters.GSOOff.Load() != 0:
		return false, "the network device refused a run (EIO)"
	}
	return true, ""
}

func (s *batched) Recv(b *RxBatch) (n int, err error) {
	room := b.Room()
	if room == 0 {
		return 0, nil
	}
	headers := b.raw.headers[b.used : b.used+min(room, maxMessages)]
	n, errno := s.recvmmsg(s.fd, headers)
	for errno == unix.EINTR {
		n, errno = s.recvmmsg(s.fd, headers)
	}
	if errno != 0 {
		n = 0
	}
	s.counters.received(n)
	if errno != 0 && errno != unix.EAGAIN {
		s.counters.RxErrors.Inc()
		return 0, errno
	}
	for range n {
		s.accept(b, b.used)
		b.raw.rearm(b.used)
		b.used++
	}
	return n, nil
}

// accept delivers the datagram in a slot if it is whole.
func (s *batched) accept(b *RxBatch, slot int) {
	m := &b.raw.headers[slot]
	control := b.raw.controls[slot].bytes()
	a := parseControl(control[:min(int(m.header.Controllen), len(control))], s.v6)
	if a.hasDrop {
		s.counters.RxOverflow.Add(s.drops.advance(a.drops))
	}
	k := flow.Key{Local: a.local}
	known := a.hasAddr && s.remote(b.raw.names[slot][:min(m.header.Namelen, nameSize)], &k)
	switch {
	case m.header.Flags&unix.MSG_TRUNC != 0:
		s.counters.RxDropped[RxTruncated].Inc()
	case m.size == 0:
		s.counters.RxDropped[RxEmpty].Inc()
	case !known:
		s.counters.RxDropped[RxUnaddressed].Inc()
	default:
		b.deliver(k, slot, int(m.size), a.time)
		s.counters.delivered(int(m.size))
	}
}

// remote puts the source address in name into k.
func (s *batched) remote(name []byte, k *flow.Key) bool {
	switch {
	case s.v6 && len(name) >= nameAddr6s:
		k.Remote = flow.Addr(name[name6Addr:nameAddr6s])
	case !s.v6 && len(name) >= nameAddr4s:
		k.Remote = addr4([4]byte(name[name4Addr:nameAddr4s]))
	default:
		return false
	}
	k.Port = binary.BigEndian.Uint16(name[2:])
	return true
}

// recvmmsg and sendmmsg are raw system calls: they do not tell the scheduler, which for a
// call that never sleeps costs more than it gives. MSG_DONTWAIT keeps that promise even for a
// descriptor that someone made blocking.

func recvmmsg(fd int, headers []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(headers)
	return int(n), errno
}

func sendmmsg(fd int, headers []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(headers)
	return int(n), errno
}
