// Package mmsg moves UDP datagrams between a socket and permanent buffers, many a system
// call: recvmmsg and sendmmsg on Linux, and a portable twin (one recvmsg or sendmsg a
// datagram) that behaves the same and serves every other system. A received datagram comes
// with the local address that it hit, and a sent one names the address that it leaves from,
// because a wildcard socket would otherwise answer from whichever one the routing table
// likes. On Linux, neighbouring datagrams of one length to one destination leave as one
// message that the kernel cuts (UDP GSO): who queues a client's datagrams together pays for
// one passage of the network stack. Nothing here ever blocks, waits, retries later, logs or interprets a payload; what
// cannot be sent is skipped and counted, so no error ever stops the datagrams behind it. A
// Socket, an RxBatch and a TxQueue belong to one goroutine, the shard's; only the counters
// may be read by others. A packet's bytes live until the batch's Reset, a slot's until its
// Commit or the next Slot.
package mmsg

import "errors"

const (
	// SlotSize is the room for one datagram, received or sent. Browsers keep RTP under 1200
	// bytes and DTLS under 1400; nothing that this server speaks comes near 2048.
	SlotSize = 2048

	// maxMessages bounds one system call, so that the thread is back before the garbage
	// collector has to wait for it: raw system calls cannot be preempted.
	maxMessages = 64
)

// Class says what may be dropped first when a socket cannot keep up.
type Class uint8

const (
	Control Class = iota // STUN, DTLS, RTCP: never dropped for room
	Audio                // never dropped for room
	Video                // the oldest goes first

	// Classes is how many there are.
	Classes = 3
)

// String returns the name that counters carry.
func (c Class) String() string { return [Classes]string{"control", "audio", "video"}[c] }

// Socket is one non-blocking UDP socket on the wildcard address of one family. All methods
// but GSO and Counters belong to one goroutine.
type Socket interface {
	// Recv appends what has arrived to b, as far as b has room, and returns how many
	// datagrams it took from the kernel: those that could not be used (see Counters) are
	// among them, so b may have grown by fewer. n == 0 without an error means that nothing
	// is there. An error is not about a datagram but about the socket; it has been counted,
	// and the next call may well succeed.
	Recv(b *RxBatch) (n int, err error)

	// Send sends the datagrams of the socket's family that are queued in q, oldest first,
	// removes them and returns how many the kernel took. One that the kernel refuses is
	// removed too and counted by reason. blocked means that the socket's buffer is full:
	// the rest stays queued, in order, for a call after the socket is writable again.
	Send(q *TxQueue) (sent int, blocked bool)

	// GSO reports whether runs of datagrams leave as one message (UDP_SEGMENT, udp(7)), and if
	// not, why. Any goroutine may call it, also after Close.
	GSO() (on bool, why string)

	// FD is the file descriptor, to wait on. It stays the Socket's.
	FD() int

	// LocalPort is the port that the socket is bound to.
	LocalPort() uint16

	// Counters may be read by any goroutine, also after Close.
	Counters() *Counters

	// Close gives the descriptor back. No other method may be called after it.
	Close() error
}

// Membership is a socket's place among those that share its port.
type Membership uint8

const (
	Alone Membership = iota // the only one: refused if anyone has the port
	First                   // refused if anyone has the port; then lets others join
	Next                    // joins those of this user that are open to it
)

// Options says what Open opens.
type Options struct {
	IPv6       bool       // the family: IPv6 only, or IPv4
	Port       uint16     // 0 picks a free one
	Membership Membership // in an SO_REUSEPORT group
	RecvBuffer int        // bytes asked of the kernel; 0 leaves the system's default
	SendBuffer int        // likewise
	NoForce    bool       // do not exceed the system's limits even where we have the right to
	Plain      bool       // the portable implementation, also where there is a faster one
	NoGSO      bool       // send no runs; otherwise they are sent where a probe says that they work
	Timestamps bool       // ask the kernel when each datagram arrived (RxBatch.Time), where it can say
}

// Open opens a socket. Whether the kernel granted the buffers is for BufferSizes to say. The
// error wraps the system's: EADDRINUSE for a port that is taken, EAFNOSUPPORT for a family
// that the system does not have.
func Open(o Options) (Socket, error) {
	fd, port, err := openUDP(o)
	if err != nil {
		return nil, err
	}
	if o.Plain || !haveBatched {
		return newPlain(fd, port, o.IPv6), nil
	}
	return newBatched(fd, port, o), nil
}

// errNothing ends a receive loop: nothing is there now.
var errNothing = errors.New("nothing to receive")
