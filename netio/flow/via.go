package flow

// Via says how the datagrams of a flow travel when it is not UDP alone: over which carrier,
// and whether wrapped for a TURN relay. The zero Via is plain UDP. It is a part of the Key, so
// that a client that reaches us directly, through its TURN allocation and over TCP has three
// paths, which all that keeps paths tells apart without knowing why.
//
//	bits 0-1   the Carrier
//	bit  2     relayed: the datagram is inside ChannelData or an indication (RFC 8656)
//	bits 3-5   of a relayed flow: to which of our addresses the client sends
//	bits 6-9   of a relayed flow: which of the connection's allocations it is
//	bits 10-31 of a stream: its place in the table of streams
type Via uint32

// Carrier is what a flow's datagrams are carried by.
type Carrier uint8

// The carriers.
const (
	UDP          Carrier = iota // one datagram each
	TURNStream                  // TCP or TLS that began with TURN: STUN messages and ChannelData (RFC 8656 section 12.5)
	FramedStream                // TCP or TLS that began with ICE: two bytes of length each (RFC 4571)
)

// Bounds of what a Via can tell.
const (
	MaxPeers       = 8       // addresses of ours
	MaxAllocations = 16      // of one connection: UDP, TCP and TLS, from some interfaces, and from the networks of the last minutes
	MaxStreams     = 1 << 22 // at a time
)

const (
	carrierMask    = 1<<2 - 1
	relayedBit     = 1 << 2
	peerShift      = 3
	allocShift     = 6
	streamShift    = 10
	peerMask       = MaxPeers - 1
	allocationMask = MaxAllocations - 1
	wrapMask       = 1<<streamShift - 1 - carrierMask // what a relay adds
)

// OverStream returns the Via of a stream, not relayed.
func OverStream(c Carrier, stream uint32) Via {
	if c != TURNStream && c != FramedStream || stream >= MaxStreams {
		panic("flow: not a stream")
	}
	return Via(stream)<<streamShift | Via(c)
}

// Relayed returns v as it is for what the client sends to our address peer through its
// allocation.
func (v Via) Relayed(allocation, peer int) Via {
	if uint(allocation) >= MaxAllocations || uint(peer) >= MaxPeers {
		panic("flow: no such allocation or peer")
	}
	return v.Unwrapped() | relayedBit | Via(peer)<<peerShift | Via(allocation)<<allocShift
}

// Carrier returns what carries the flow.
func (v Via) Carrier() Carrier { return Carrier(v & carrierMask) }

// IsStream reports whether that is a stream.
func (v Via) IsStream() bool { return v&carrierMask != 0 }

// IsRelayed reports whether the flow's datagrams are wrapped for a relay.
func (v Via) IsRelayed() bool { return v&relayedBit != 0 }

// Peer returns to which of our addresses a relayed flow goes.
func (v Via) Peer() int { return int(v >> peerShift & peerMask) }

// Allocation returns which of its connection's allocations a relayed flow uses.
func (v Via) Allocation() int { return int(v >> allocShift & allocationMask) }

// Stream returns the stream's place in the table of streams.
func (v Via) Stream() uint32 { return uint32(v >> streamShift) }

// Unwrapped returns the Via of what carries a relayed flow.
func (v Via) Unwrapped() Via { return v &^ wrapMask }
