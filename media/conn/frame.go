package conn

import (
	"math/rand/v2"

	"tsubame/netio/flow"
	"tsubame/netio/mmsg"
	"tsubame/turnsrv"
)

// MaxFrame is the most that a Frame adds to a datagram: the header of a Data indication with
// an IPv6 address, 48 bytes, and the padding of its data.
const MaxFrame = 48 + 3

// Frame is what a path wants written around each datagram: nothing, which is the zero Frame,
// or for a path through a TURN relay the header of ChannelData (RFC 8656 section 12.4) or, as
// long as the client has bound no channel, that of a Data indication (section 11.3). What is
// sealed is sealed behind it, so that relaying costs no copy.
//
// A Frame is found once for a run of datagrams and not kept: the next moment the client may
// have bound a channel. What streams put around frames is the streams' own business.
type Frame struct {
	head    int // bytes in front of the datagram
	channel uint16
	pad     bool // to a multiple of four (RFC 8656 section 12.5)
	peer    turnsrv.Address
}

// Frame returns the frame of path to, of the connection whose allocations book knows. It is
// false when nothing can be sent on it: no channel is bound, and the address that the client
// sends to is none of ours any more.
func (e *Env) Frame(book *turnsrv.Book, to flow.Key) (Frame, bool) {
	if !to.Via.IsRelayed() {
		return Frame{}, true
	}
	if channel := book.Channel(to.Via); channel != 0 {
		return Frame{head: turnsrv.ChannelHeader, channel: channel, pad: to.Via.IsStream()}, true
	}
	peer := e.Peers[to.Via.Peer()]
	if peer.Port == 0 {
		return Frame{}, false
	}
	return Frame{head: turnsrv.IndicationHeader(peer), peer: peer}, true
}

// Head returns how many bytes of a slot the datagram has to leave free in front.
func (f *Frame) Head() int { return f.head }

// Close completes a datagram of n bytes that stands in slot behind Head bytes, and returns how
// many bytes of the slot are to be sent. The slot has to have MaxFrame bytes more than n.
func (f *Frame) Close(slot []byte, n int) int {
	switch {
	case f.head == 0:
		return n
	case f.channel == 0:
		return turnsrv.PutIndication(slot, f.peer, n, rand.Uint64())
	}
	turnsrv.PutChannelHeader(slot, f.channel, n)
	n += turnsrv.ChannelHeader
	if f.pad {
		end := turnsrv.Padded(n)
		clear(slot[n:end])
		n = end
	}
	return n
}

// Commit queues what stands in the slot, framed, and counts what goes through a relay over
// UDP. It reports whether it was taken: see mmsg.TxQueue.
func (e *Env) Commit(n int, to flow.Key, c mmsg.Class) bool {
	if to.Via.IsRelayed() && !to.Via.IsStream() {
		e.Count.TurnUDPOut.Inc()
		e.Count.TurnUDPOutBytes.Add(uint64(n))
	}
	return e.Out.Commit(n, to, c)
}

// IsIndication reports whether the datagram goes in a Data indication.
func (f *Frame) IsIndication() bool { return f.head != 0 && f.channel == 0 }
