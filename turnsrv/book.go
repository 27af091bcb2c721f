package turnsrv

import (
	"sync/atomic"
	"time"

	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// StaleAfter is how long no valid connectivity check has come through an allocation that gives
// way to a new one of its connection when all numbers are taken. A client that goes from network
// to network leaves behind in each what it cannot give back, and would be refused a relay (486)
// in the last one otherwise. Consent over such an allocation ended long before (30 s, RFC 7675),
// so that nothing is sent by it.
const StaleAfter = 60 * time.Second

// Book is what all shards know of one connection's allocations: which numbers are taken, and
// which channel each allocation has bound to each of our addresses. The zero Book is ready.
// A connection's allocations may live on different shards, each writing its own; any goroutine
// may read. A Book must not be copied.
type Book struct {
	words    [flow.MaxAllocations]atomic.Uint32 // of the numbers
	channels [flow.MaxAllocations][flow.MaxPeers]atomic.Uint32
	checked  [flow.MaxAllocations]atomic.Int64 // mono.Time of the last check through it
	tallies  tallies
}

// The word of a number: two bits, and above them how often it has changed hands. Whoever sets busy
// has it to himself until he stores the next word.
const (
	taken = 1 << 0
	busy  = 1 << 1
	hands = 1 << 2
)

// claim is what an allocation has of its connection's Book: its number, for as long as the word is
// that of when it was taken.
type claim struct {
	number uint8
	word   uint32
}

// Channel returns the channel that the client has bound for the relayed path v, or 0: then what
// is sent there has to go in a Data indication.
func (b *Book) Channel(v flow.Via) uint16 {
	return uint16(b.channels[v.Allocation()][v.Peer()].Load())
}

// Allocations returns how many allocations the connection has.
func (b *Book) Allocations() int {
	n := 0
	for i := range b.words {
		n += int(b.words[i].Load() & taken)
	}
	return n
}

// take takes the lowest number that is free. When all are taken it takes the one through which no
// check has come for longest, if that is StaleAfter: the allocation that had it has it no more.
// All taken, and none stale, is the quota of a connection (486).
func (b *Book) take(now mono.Time) (c claim, evicts, ok bool) {
	for number := range b.words {
		w := b.words[number].Load()
		for w&(taken|busy) == 0 {
			b.checked[number].Store(int64(now))
			if b.words[number].CompareAndSwap(w, w|taken) {
				return claim{uint8(number), w | taken}, false, true
			}
			w = b.words[number].Load()
		}
	}
	stalest, word := -1, uint32(0)
	for number := range b.words {
		w := b.words[number].Load() // before checked: whoever takes it writes that first
		if w&busy == 0 && b.age(now, number) >= StaleAfter && (stalest < 0 || b.age(now, number) > b.age(now, stalest)) {
			stalest, word = number, w
		}
	}
	if stalest < 0 {
		return claim{}, false, false
	}
	b.checked[stalest].Store(int64(now))
	if !b.enter(claim{uint8(stalest), word}) {
		return claim{}, false, false // another shard was faster; the client asks again
	}
	b.clear(stalest)
	c = claim{uint8(stalest), word + hands}
	b.words[stalest].Store(c.word)
	return c, true, true
}

func (b *Book) age(now mono.Time, number int) time.Duration {
	return now.Sub(mono.Time(b.checked[number].Load()))
}

// enter makes a number busy, if it is still c's.
func (b *Book) enter(c claim) bool {
	return c.word&taken != 0 && b.words[c.number].CompareAndSwap(c.word, c.word|busy)
}

func (b *Book) clear(number int) {
	for peer := range b.channels[number] {
		b.channels[number][peer].Store(0)
	}
}

// holds reports whether the number is still c's.
func (b *Book) holds(c claim) bool { return b.words[c.number].Load() == c.word }

// note says that a valid check has come through the allocation.
func (b *Book) note(c claim, now mono.Time) {
	if b.holds(c) {
		b.checked[c.number].Store(int64(now))
	}
}

// release gives a number back, unless it is another's already. Its channels go first, so that who
// takes it next begins without.
func (b *Book) release(c claim) {
	if !b.enter(c) {
		return
	}
	b.clear(int(c.number))
	b.words[c.number].Store(c.word&^taken + hands)
}

// bind notes that peer has channel; 0 says that it has none any more.
func (b *Book) bind(c claim, peer int, channel uint16) {
	if !b.enter(c) {
		return
	}
	b.channels[c.number][peer].Store(uint32(channel))
	b.words[c.number].Store(c.word)
}
