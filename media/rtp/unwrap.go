package rtp

// Unwrapper extends 16-bit sequence numbers to 64 bits by the highest one seen: a number
// is taken for the nearest to it. A gap of up to 2^15-1 lost packets is followed, around
// the wrap too, and a packet may come up to 2^15-1 after a later one. The zero value is
// ready to use; one goroutine owns it.
type Unwrapper struct {
	highest uint64 // 0: nothing seen, since numbers start at 1<<16
}

// Unwrap returns the extended number of seq and remembers it if it is the highest. The
// first is 1<<16 + seq, so that packets older than it are no less than 1.
func (u *Unwrapper) Unwrap(seq uint16) uint64 {
	e := u.Peek(seq)
	if e > u.highest {
		u.highest = e
	}
	return e
}

// Peek returns what Unwrap would, and remembers nothing: for packets that may turn out
// to be forged, or of no use.
func (u *Unwrapper) Peek(seq uint16) uint64 {
	if u.highest == 0 {
		return 1<<16 + uint64(seq)
	}
	// The distance to the highest, in -(2^15-1)..2^15: the tie goes to the future,
	// because it is there that 2^15-1 packets may be missing in between.
	d := int64(int16(seq-uint16(u.highest)-1)) + 1
	return u.highest + uint64(d)
}

// Highest returns the highest extended number; false if there was none yet.
func (u *Unwrapper) Highest() (uint64, bool) { return u.highest, u.highest != 0 }
