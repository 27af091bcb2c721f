package turnsrv

import "sync/atomic"

// Message is a kind of message between a client and us that a Book counts.
type Message uint8

// The messages: each request is followed by its answers.
const (
	AllocateRequest Message = iota
	AllocateSuccess
	AllocateError
	RefreshRequest
	RefreshSuccess
	RefreshError
	CreatePermissionRequest
	CreatePermissionSuccess
	CreatePermissionError
	ChannelBindRequest
	ChannelBindSuccess
	ChannelBindError
	SendIndication  // relayed to us
	ChannelDataSent // by the client, relayed to us

	NumMessages = iota
)

// Stats are what one connection's client and we have said to each other, by Message. Who has shown
// no credentials may be anybody, so that a request counts only when they are there and good: the
// first Allocate, which is challenged, never does.
type Stats [NumMessages]uint64

// tallies are a Book's counts. Several shards may add to them.
type tallies [NumMessages]atomic.Uint64

// Stats returns what was counted. Data that is relayed counts up to tallyEvery messages late; when
// its allocation has ended, all of it. Any goroutine may call it.
func (b *Book) Stats() (s Stats) {
	for i := range b.tallies {
		s[i] = b.tallies[i].Load()
	}
	return s
}

// answered counts a request and its answer.
func (b *Book) answered(method uint16, r Reason) {
	var m Message
	switch method {
	case methodAllocate:
		m = AllocateRequest
	case methodRefresh:
		m = RefreshRequest
	case methodCreatePermission:
		m = CreatePermissionRequest
	case methodChannelBind:
		m = ChannelBindRequest
	default:
		return
	}
	b.tallies[m].Add(1)
	switch r {
	case Allocated, Repeated, Refreshed, Released, Permitted, ChannelBound:
		b.tallies[m+1].Add(1)
	default:
		b.tallies[m+2].Add(1)
	}
}

// tallyEvery is how many messages with data an allocation relays before it tells the Book: a store
// that others may see costs as much as all else that is done with ChannelData.
const tallyEvery = 64

// relayed is what an allocation has relayed and not told its Book yet.
type relayed struct{ channelData, indications uint32 }

// relays counts a message with data.
func (a *allocation) relays(n *uint32) {
	if *n++; *n >= tallyEvery {
		a.settle()
	}
}

// settle tells the Book.
func (a *allocation) settle() {
	if n := a.untold.channelData; n > 0 {
		a.book.tallies[ChannelDataSent].Add(uint64(n))
	}
	if n := a.untold.indications; n > 0 {
		a.book.tallies[SendIndication].Add(uint64(n))
	}
	a.untold = relayed{}
}
