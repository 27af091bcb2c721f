package netio

import (
	"time"

	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// A socket that keeps failing would keep its shard from sleeping: it is readable, or
// writable, and yet gives or takes nothing. After a few failures in a row it gets a rest, and
// after each further one again. A healthy socket never does.
const (
	patienceRecv = 4                     // failures of Recv in a row
	restRecv     = 10 * time.Millisecond // then at most 100 tries a second
	patienceSend = 16                    // calls of Send in a row that found the socket full
	restSend     = time.Millisecond      // about what a full buffer needs to drain by half
)

// port is one socket of a shard and what the shard knows about it.
type port struct {
	socket mmsg.Socket
	id     int  // in the poller
	input  bool // may have datagrams: the poller said so, or nobody asked it

	failures  int       // of Recv, in a row
	recvAfter mono.Time // resting until then

	blocked   bool // the last Send left a tail
	stuck     int  // calls of Send in a row that sent nothing
	sendAfter mono.Time
}

// recv fills the batch and reports whether anything came. rested counts rests.
func (p *port) recv(now mono.Time, b *mmsg.RxBatch) (n int, rested bool) {
	b.Reset()
	if now < p.recvAfter {
		return 0, false
	}
	n, err := p.socket.Recv(b)
	if err == nil {
		p.failures = 0
		return n, false
	}
	if p.failures++; p.failures < patienceRecv {
		return n, false
	}
	p.recvAfter = now.Add(restRecv)
	return n, true
}

// send sends what the queue has for this socket.
func (p *port) send(now mono.Time, q *mmsg.TxQueue) (sent int, rested bool) {
	if now < p.sendAfter {
		return 0, false
	}
	sent, p.blocked = p.socket.Send(q)
	if !p.blocked || sent > 0 {
		p.stuck = 0
		return sent, false
	}
	if p.stuck++; p.stuck < patienceSend {
		return 0, false
	}
	p.sendAfter = now.Add(restSend)
	return 0, true
}

// interest is what to wake up for, and wake the time to wake up at because of a rest.
func (p *port) interest(now mono.Time) (w interest, wake mono.Time) {
	if now < p.recvAfter {
		wake = p.recvAfter
	} else {
		w |= wantInput
	}
	if p.blocked {
		if now < p.sendAfter {
			wake = mono.Earliest(wake, p.sendAfter)
		} else {
			w |= wantOutput
		}
	}
	return w, wake
}
