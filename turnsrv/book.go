package turnsrv

import (
	"sync/atomic"

	"tsubame/netio/flow"
)

// Book is what all shards know of one connection's allocations: which numbers are taken, and
// which channel each allocation has bound to each of our addresses. The zero Book is ready.
// A connection's allocations may live on different shards, each writing its own; any goroutine
// may read. A Book must not be copied.
type Book struct {
	taken    atomic.Uint32 // a bit for each number
	channels [flow.MaxAllocations][flow.MaxPeers]atomic.Uint32
}

// Channel returns the channel that the client has bound for the relayed path v, or 0: then what
// is sent there has to go in a Data indication.
func (b *Book) Channel(v flow.Via) uint16 {
	return uint16(b.channels[v.Allocation()][v.Peer()].Load())
}

// Allocations returns how many allocations the connection has.
func (b *Book) Allocations() int {
	n := 0
	for left := b.taken.Load(); left != 0; left &= left - 1 {
		n++
	}
	return n
}

// take takes the lowest number that is free. All taken is the quota of a connection (486).
func (b *Book) take() (number int, ok bool) {
	for {
		old := b.taken.Load()
		for number = 0; number < flow.MaxAllocations && old>>number&1 != 0; {
			number++
		}
		if number == flow.MaxAllocations {
			return 0, false
		}
		if b.taken.CompareAndSwap(old, old|1<<number) {
			return number, true
		}
	}
}

// release gives a number back. Its channels go first, so that who takes it next begins without.
func (b *Book) release(number int) {
	for peer := range b.channels[number] {
		b.channels[number][peer].Store(0)
	}
	b.taken.And(^uint32(1 << number))
}

// bind notes that peer has channel; 0 says that it has none any more.
func (b *Book) bind(number, peer int, channel uint16) {
	b.channels[number][peer].Store(uint32(channel))
}
