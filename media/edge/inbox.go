package edge

import (
	"sync/atomic"

	"tsubame/media/dtls"
	"tsubame/media/param"
	"tsubame/media/router"
	"tsubame/netio"
	"tsubame/turnsrv"
)

// op says what a command asks for.
type op uint8

const (
	opRemote op = iota + 1
	opPublish
	opUnpublish
	opSubscribe
	opUnsubscribe
	opKeyFrame
	opClose
	opRecords    // a flight of the handshake, to be sent
	opHandshake  // the handshake is over
	opDTLSClosed // the peer said goodbye
	opTap
	opUntap
	opAddresses // our candidates' addresses have changed
)

// command is one thing that a control goroutine wants of a connection. Pointers in it are
// handed over.
type command struct {
	op        op
	ssrc      uint32
	track     param.TrackID
	remote    *param.Remote
	publish   *param.Publish
	subscribe *param.Subscribe
	records   []byte
	result    *dtls.Result
	err       error
	tap       *router.Tap
	addresses []turnsrv.Address
	earlier   []turnsrv.Address // that are relayed to still
}

// control is an entry of a shard's control lane.
type control struct {
	conn *Conn // nil: for the shard itself
	cmd  command
}

// inbox is where a connection's commands wait for an owner, and the word that says who the
// owner is: one pointer, so that both change at once. While nobody owns the connection it
// is the head of a list of commands, latest first. The compare-and-swap that puts an owner
// there takes the list out in the same instant: a command is in the list, or goes into the
// owner's ring after; it is never between.
type inbox struct{ head atomic.Pointer[note] }

// note is a link of the list; or, with settled, the end of it: the owner's name.
type note struct {
	cmd     command
	next    *note
	settled bool
	owner   int // the shard, or nobody: the connection is closed
}

// nobody owns a connection that was closed.
const nobody = -1

// post brings a command to the owner, or to the list. It may wait for room in the owner's
// control lane.
func (c *Conn) post(cmd command) {
	var n *note
	for {
		head := c.inbox.head.Load()
		if head != nil && head.settled {
			if head.owner == nobody || !c.plane.shards[head.owner].push(control{conn: c, cmd: cmd}) {
				c.discard(cmd)
			}
			return
		}
		if cmd.op == opClose {
			// Nobody has made a connection of it yet: it ends here.
			if c.inbox.head.CompareAndSwap(head, &note{settled: true, owner: nobody}) {
				for ; head != nil; head = head.next {
					c.discard(head.cmd)
				}
				c.closed(netio.Now(), ReasonRequested)
				c.plane.endRelays(c, nobody)
				c.released()
				return
			}
			continue
		}
		if n == nil {
			n = &note{cmd: cmd}
		}
		n.next = head
		if c.inbox.head.CompareAndSwap(head, n) {
			return
		}
	}
}

// adopt makes shard the owner, if nobody is. It returns the commands that waited, oldest
// first.
func (c *Conn) adopt(shard int) (waiting []command, won bool) {
	settled := &note{settled: true, owner: shard}
	for {
		head := c.inbox.head.Load()
		if head != nil && head.settled {
			return nil, false
		}
		if !c.inbox.head.CompareAndSwap(head, settled) {
			continue
		}
		n := 0
		for m := head; m != nil; m = m.next {
			n++
		}
		waiting = make([]command, n)
		for m := head; m != nil; m = m.next {
			n--
			waiting[n] = m.cmd
		}
		return waiting, true
	}
}

// disown is called by the owner when the connection has ended: later commands go nowhere.
func (c *Conn) disown() { c.inbox.head.Store(&note{settled: true, owner: nobody}) }

// owner returns the shard that owns the connection; false while there is none.
func (c *Conn) owner() (int, bool) {
	head := c.inbox.head.Load()
	if head == nil || !head.settled {
		return 0, false
	}
	return head.owner, true
}

// discard lets go of what a command that comes too late carries: the name of a track that
// will never be.
func (c *Conn) discard(cmd command) {
	if cmd.op == opPublish {
		c.plane.tracks.Cancel(cmd.track)
	}
}

// Records implements dtls.Sink: a flight of the handshake, to go out by the connection's
// present path.
func (c *Conn) Records(_ uint64, datagram []byte) {
	c.post(command{op: opRecords, records: append([]byte(nil), datagram...)})
}

// Done implements dtls.Sink.
func (c *Conn) Done(_ uint64, r dtls.Result, err error) {
	c.post(command{op: opHandshake, result: &r, err: err})
}

// Closed implements dtls.Sink.
func (c *Conn) Closed(uint64) { c.post(command{op: opDTLSClosed}) }
