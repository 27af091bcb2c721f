package ring

import "sync/atomic"

// IndexPool hands out the numbers 0 to n-1 and takes them back: a lock-free stack, so the
// number that was given back last, whose memory is warm, is the next one out. Any
// goroutine may call anything.
type IndexPool struct {
	_ [line]byte
	// top is the number on top of the stack plus one (0: empty) in the low half and a tag
	// in the high half. The tag changes with every operation: without it a Get that was
	// interrupted after reading "7, and 3 below" would succeed after others took 7 and 3
	// and put 7 back, and hand out 3 twice (the ABA problem). To be fooled it would have
	// to sleep through exactly a multiple of 2^32 operations.
	top  atomic.Uint64
	_    [line]byte
	free atomic.Int64
	_    [line]byte
	next []atomic.Uint32 // by number: the one below plus one, or taken
}

const taken = 1<<32 - 1

// NewIndexPool makes a pool with all of 0 to n-1 free; Get begins with 0.
func NewIndexPool(n int) *IndexPool {
	if n < 1 || n > 1<<30 {
		panic("ring: number of indices out of range")
	}
	p := &IndexPool{next: make([]atomic.Uint32, n)}
	for i := range n - 1 {
		p.next[i].Store(uint32(i) + 2)
	}
	p.top.Store(1)
	p.free.Store(int64(n))
	return p
}

// Get takes a number, or reports false if none is free.
func (p *IndexPool) Get() (uint32, bool) {
	for {
		top := p.top.Load()
		if uint32(top) == 0 {
			return 0, false
		}
		i := uint32(top) - 1
		// If others take i meanwhile this reads something old or taken; then the tag
		// has changed and the swap fails.
		below := p.next[i].Load()
		if p.top.CompareAndSwap(top, retag(top, below)) {
			p.next[i].Store(taken)
			p.free.Add(-1)
			return i, true
		}
	}
}

// Put gives i back. Giving back a number that is free panics.
func (p *IndexPool) Put(i uint32) {
	// Only one of two Puts of the same number gets past this.
	if !p.next[i].CompareAndSwap(taken, 0) {
		panic("ring: index given back twice")
	}
	for {
		top := p.top.Load()
		p.next[i].Store(uint32(top))
		if p.top.CompareAndSwap(top, retag(top, i+1)) {
			p.free.Add(1)
			return
		}
	}
}

// retag returns a new top with the next tag.
func retag(top uint64, low uint32) uint64 { return (top>>32+1)<<32 | uint64(low) }

// Free returns how many numbers are free. While others take and give it is a figure for
// statistics.
func (p *IndexPool) Free() int { return int(p.free.Load()) }
