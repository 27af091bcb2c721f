package bare

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// poll is how often the receiver looks, so that the sender does not pay for waking it.
	poll = 5 * time.Millisecond

	receiveBuffer = 64 << 20 // asked for; without privileges the system gives less
	slotLen       = 2048

	// patience is how long a receiver that gets nothing more is waited for: longer than a
	// loaded machine lets its thread wait for a processor.
	patience = 5 * time.Second
)

// receiver is the wildcard socket behind all destinations, and the thread that drains it.
type receiver struct {
	fd       int
	port     uint16
	buffer   int // bytes that the socket holds, by the kernel's way of counting
	received atomic.Uint64
	stop     atomic.Bool
	done     chan struct{}
	patience time.Duration

	// inspect sees every datagram on the receiver's thread, with the local address that it
	// hit; nil: they are counted. Neither is valid after it returns.
	inspect func(local [4]byte, datagram []byte)

	slab     []byte
	headers  [maxMessages]mmsghdr
	iovecs   [maxMessages]unix.Iovec
	controls [maxMessages][controlLen]byte
}

// newReceiver opens the socket and starts the thread, which close ends.
func newReceiver(inspect func(local [4]byte, datagram []byte)) (*receiver, error) {
	fd, err := openSocket()
	if err != nil {
		return nil, err
	}
	r := &receiver{fd: fd, inspect: inspect, patience: patience, done: make(chan struct{}), slab: make([]byte, maxMessages*slotLen)}
	if err := r.prepare(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	go r.run()
	return r, nil
}

// prepare sets the socket's options and lays out the messages.
func (r *receiver) prepare() error {
	if unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	var err error
	if r.buffer, err = unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return fmt.Errorf("bare: SO_RCVBUF: %w", err)
	}
	if r.inspect != nil {
		if err := unix.SetsockoptInt(r.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
			return fmt.Errorf("bare: IP_PKTINFO: %w", err)
		}
	}
	name, err := unix.Getsockname(r.fd)
	if err != nil {
		return fmt.Errorf("bare: getsockname: %w", err)
	}
	r.port = uint16(name.(*unix.SockaddrInet4).Port)
	for i := range r.headers {
		r.iovecs[i].Base = &r.slab[i*slotLen]
		r.iovecs[i].SetLen(slotLen)
		r.headers[i].header.Iov = &r.iovecs[i]
		r.headers[i].header.SetIovlen(1)
	}
	return nil
}

// room is how many datagrams of a length the socket holds: the kernel counts each with its
// bookkeeping, and takes memory by powers of two.
func (r *receiver) room(length int) int {
	const bookkeeping = 1024
	whole := 512
	for whole < length+bookkeeping {
		whole *= 2
	}
	return max(1, r.buffer/whole)
}

func (r *receiver) run() {
	defer close(r.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for !r.stop.Load() {
		r.drain()
		time.Sleep(poll)
	}
}

// drain takes all that there is.
func (r *receiver) drain() {
	for {
		if r.inspect != nil {
			for i := range r.headers {
				r.headers[i].header.Control = &r.controls[i][0]
				r.headers[i].header.SetControllen(controlLen)
			}
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(r.fd),
			uintptr(unsafe.Pointer(&r.headers[0])), uintptr(len(r.headers)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			return
		}
		if r.inspect != nil {
			for i := range int(n) {
				info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&r.controls[i][unix.CmsgLen(0)]))
				r.inspect(info.Addr, r.slab[i*slotLen:][:r.headers[i].size])
			}
		}
		r.received.Add(uint64(n))
	}
}

// await returns when that many have come in all, or none for as long as the receiver's patience.
func (r *receiver) await(n uint64) {
	last, since := r.received.Load(), time.Now()
	for last < n && time.Since(since) < r.patience {
		time.Sleep(time.Millisecond)
		if now := r.received.Load(); now != last {
			last, since = now, time.Now()
		}
	}
}

func (r *receiver) close() {
	r.stop.Store(true)
	<-r.done
	unix.Close(r.fd)
}
