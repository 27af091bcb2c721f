// Package turnsrv is the built-in TURN server (RFC 8656, with the long-term credentials of
// RFC 8489 section 9.2): a client whose network lets nothing else through wraps what it sends
// to this server in ChannelData or Send indications, and this package unwraps it.
//
// An allocation has no socket. The only peers that a client may reach are our own candidates
// (Server.SetAddresses), which means this very process; every other peer is refused with 403,
// however its address is spelled. The relayed transport address that a client is told is one
// of our advertised addresses with a port that nothing is bound to. So there is nothing that
// could be relayed to, and no port that could run out.
//
// What comes through a relay is handed out as payload and path: the flow.Key of the client's
// own flow with a Via that names the allocation and the peer. What goes back is written by the
// package functions PutChannelHeader and PutIndication around bytes that already stand in
// their place; Book.Channel says which of the two.
//
// The package never opens a socket, reads a clock, starts a goroutine or takes a lock, and it
// never sends: it writes answers into the caller's buffer. A Server belongs to one shard and
// only that shard's goroutine may call it; Books are shared by all shards and are made of
// atomic words; the package functions may be called by anybody. Payloads are views into the
// datagram that was handed in, and live as long as that does. Handle and ChannelData allocate
// no memory but for a new allocation.
//
// Everything has a bound: allocations of a connection (flow.MaxAllocations: browsers make one for
// each URL and interface and keep them all, and those of a network that has gone away stay for
// their lifetime, since nobody can give them back; StaleAfter says when they give way) and of a server (Config.Allocations), permissions and channels of an allocation (flow.MaxPeers of each, since
// there are no more peers), what a source that has proven nothing may be told (Config.Burst and
// Config.Rate, and three times the bytes it sent), and the table of such sources.
//
// Not done, because no client of ours asks for it: TCP allocations (RFC 6062), mobility
// (RFC 8016), reserved ports, DONT-FRAGMENT, SHA-256 integrity and USERHASH.
package turnsrv
