// Package netio runs the shards: each owns a UDP socket per address family, receives in
// batches, hands them to a Handler, and sends what the Handler queued. A Group opens the
// sockets of all shards on one port and steers each remote address and port to one shard.
// Locked threads carry the shards: one each, or several while the load is low (Config.Share),
// but a shard is on one thread at any time. The package never looks into a datagram, never
// blocks but in a thread's one sleep, and keeps nothing between iterations but what a full
// socket could not take. Open, Start, Stop and Stats are for the control plane; a Handler's
// methods run on the thread that carries its shard only, and what they are given (batch, queue,
// the bytes in them) is theirs until they return.
package netio

import (
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// Handler is what a shard runs. All methods are called by the shard's thread, one at a time,
// and none may block: while one runs, the shard neither receives nor sends.
//
// One iteration calls HandleBatch for each socket that had something, then HandleMessages,
// then HandleTimers, all with the same now, and sends what they queued. When an iteration
// found nothing to do the shard sleeps until a datagram comes, the next timer is due, or
// somebody wakes it.
type Handler interface {
	// HandleBatch takes received datagrams; in holds at least one.
	HandleBatch(now mono.Time, in *mmsg.RxBatch, out *mmsg.TxQueue)

	// HandleMessages takes what other threads left in the shard's rings, up to a budget of
	// its own. more means that there is more: the shard comes back without sleeping. Stop
	// calls it for the last time, so that what was posted before still goes out.
	HandleMessages(now mono.Time, out *mmsg.TxQueue) (more bool)

	// HandleTimers runs what is due and returns when to come back at the latest, or
	// mono.Never. A time that is not after now makes the shard spin.
	HandleTimers(now mono.Time, out *mmsg.TxQueue) (next mono.Time)

	// Pending reports whether there is anything in the rings. It is asked after the shard has
	// announced its sleep: what is published later than that wakes it.
	Pending() bool
}
