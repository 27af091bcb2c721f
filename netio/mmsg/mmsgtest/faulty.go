package mmsgtest

import (
	"sync/atomic"
	"syscall"

	"tsubame/netio/mmsg"
)

// Faulty is a Socket that fails on demand, in front of a real one. The switches may be turned
// by any goroutine while a shard uses it.
type Faulty struct {
	mmsg.Socket
	IPv6 bool // the family of the socket, to know whose datagrams would be sent

	RecvErrors atomic.Int64 // so many of the next calls of Recv fail
	Full       atomic.Bool  // Send takes nothing and says that the socket is full
	LoseAll    atomic.Bool  // Send takes everything and sends nothing, of either family

	Recvs, Sends atomic.Int64 // calls
}

// Recv implements mmsg.Socket.
func (f *Faulty) Recv(b *mmsg.RxBatch) (int, error) {
	f.Recvs.Add(1)
	if f.RecvErrors.Load() > 0 {
		f.RecvErrors.Add(-1)
		return 0, syscall.ENOMEM
	}
	return f.Socket.Recv(b)
}

// Send implements mmsg.Socket.
func (f *Faulty) Send(q *mmsg.TxQueue) (int, bool) {
	f.Sends.Add(1)
	switch {
	case f.LoseAll.Load():
		n := q.Len()
		q.Reset()
		return n, false
	case f.Full.Load():
		for i := range q.Len() {
			if to, _ := q.Packet(i); to.Is4() != f.IPv6 {
				return 0, true
			}
		}
		return 0, false
	}
	return f.Socket.Send(q)
}
