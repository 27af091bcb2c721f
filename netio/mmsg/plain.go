package mmsg

import (
	"golang.org/x/sys/unix"

	"tsubame/netio/flow"
)

// plain is the portable Socket: one recvmsg or sendmsg a datagram. Receiving allocates a
// little, since golang.org/x/sys returns addresses that way; sending does not.
type plain struct {
	fd       int
	port     uint16
	v6       bool
	counters Counters
	drops    dropGauge

	rxControl controlBuffer
	txControl controlBuffer
	source    []byte // the used part of txControl
	to4       unix.SockaddrInet4
	to6       unix.SockaddrInet6

	recvmsg func(fd int, p, oob []byte, flags int) (n, oobn, recvflags int, from unix.Sockaddr, err error)
	sendmsg func(fd int, p, oob []byte, to unix.Sockaddr, flags int) (n int, err error)
}

func newPlain(fd int, port uint16, v6 bool) *plain {
	s := &plain{fd: fd, port: port, v6: v6, recvmsg: unix.Recvmsg, sendmsg: unix.SendmsgN}
	s.source = initSource(&s.txControl, v6)
	return s
}

func (s *plain) FD() int             { return s.fd }
func (s *plain) LocalPort() uint16   { return s.port }
func (s *plain) Counters() *Counters { return &s.counters }
func (s *plain) Close() error        { return unix.Close(s.fd) }

func (s *plain) GSO() (on bool, why string) {
	return false, "the portable implementation sends each datagram by itself"
}

func (s *plain) Recv(b *RxBatch) (n int, err error) {
	if b.Room() == 0 {
		return 0, nil
	}
	for b.Room() > 0 {
		if err = s.recvOne(b); err != nil {
			break
		}
		n++
	}
	s.counters.received(n)
	if err == errNothing {
		err = nil
	}
	if err != nil {
		s.counters.RxErrors.Inc()
	}
	return n, err
}

// recvOne takes one datagram from the kernel, and delivers it if it is whole.
func (s *plain) recvOne(b *RxBatch) error {
	slot := b.used
	size, oobn, flags, from, err := s.recvmsg(s.fd, b.slot(slot), s.rxControl.bytes(), unix.MSG_DONTWAIT)
	for err == unix.EINTR {
		size, oobn, flags, from, err = s.recvmsg(s.fd, b.slot(slot), s.rxControl.bytes(), unix.MSG_DONTWAIT)
	}
	if err == unix.EAGAIN {
		return errNothing
	}
	if err != nil {
		return err
	}
	b.used++
	a := parseControl(s.rxControl.bytes()[:oobn], s.v6)
	if a.hasDrop {
		s.counters.RxOverflow.Add(s.drops.advance(a.drops))
	}
	k := flow.Key{Local: a.local}
	known := a.hasAddr && remoteOf(from, &k)
	switch {
	case flags&unix.MSG_TRUNC != 0:
		s.counters.RxDropped[RxTruncated].Inc()
	case size == 0:
		s.counters.RxDropped[RxEmpty].Inc()
	case !known:
		s.counters.RxDropped[RxUnaddressed].Inc()
	default:
		b.deliver(k, slot, size, a.time)
		s.counters.delivered(size)
	}
	return nil
}

// remoteOf puts a source address into k.
func remoteOf(from unix.Sockaddr, k *flow.Key) bool {
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		k.Remote, k.Port = addr4(from.Addr), uint16(from.Port)
	case *unix.SockaddrInet6:
		k.Remote, k.Port = from.Addr, uint16(from.Port)
	default:
		return false
	}
	return true
}

func (s *plain) Send(q *TxQueue) (sent int, blocked bool) { return q.flush(s, s.v6) }

func (s *plain) send(q *TxQueue, slots []uint16) (done, sent int) {
	for _, slot := range slots {
		err := s.sendOne(q, slot)
		for err == unix.EINTR {
			err = s.sendOne(q, slot)
		}
		if err == unix.EAGAIN {
			s.counters.TxBlocked.Inc()
			return done, sent
		}
		done++
		if err != nil {
			errno, _ := err.(unix.Errno)
			s.counters.TxErrors[txReason(errno)].Inc()
			continue
		}
		sent++
		s.counters.sent(int(q.entries[slot].size))
	}
	return done, sent
}

func (s *plain) sendOne(q *TxQueue, slot uint16) error {
	to := &q.entries[slot].to
	setSource(&s.txControl, to.Local, s.v6)
	var sa unix.Sockaddr
	if s.v6 {
		s.to6.Addr, s.to6.Port = to.Remote, int(to.Port)
		sa = &s.to6
	} else {
		s.to4.Addr, s.to4.Port = [4]byte(to.Remote[12:]), int(to.Port)
		sa = &s.to4
	}
	_, err := s.sendmsg(s.fd, q.bytes(slot), s.source, sa, unix.MSG_DONTWAIT)
	return err
}
