package srtp

// windowSize is how many indices behind the highest a window knows about.
const windowSize = 1024

// window knows which packet indices have been used: all more than windowSize below next count
// as used, above that a bit tells. It is plain data: a copy goes on where the original stood.
type window struct {
	next uint64                  // the highest index used, plus one; 0: none yet
	used [windowSize / 64]uint64 // bit index%windowSize, for the last windowSize indices
}

// reset makes all indices below next used.
func (w *window) reset(next uint64) {
	w.next = next
	for i := range w.used {
		w.used[i] = ^uint64(0)
	}
}

// place returns where the bit of index is.
func (w *window) place(index uint64) (word *uint64, bit uint64) {
	return &w.used[index/64%uint64(len(w.used))], 1 << (index % 64)
}

// fresh reports whether index is known not to have been used.
func (w *window) fresh(index uint64) bool {
	if index >= w.next {
		return true
	}
	word, bit := w.place(index)
	return w.next-index <= windowSize && *word&bit == 0
}

// use marks index, which has to be fresh, as used.
func (w *window) use(index uint64) {
	if index >= w.next {
		w.skip(index)
		w.next = index + 1
	}
	word, bit := w.place(index)
	*word |= bit
}

// skip clears the bits of the indices from next up to index, which stay free for late packets.
func (w *window) skip(index uint64) {
	if index-w.next >= windowSize {
		w.used = [windowSize / 64]uint64{}
		return
	}
	for i := w.next; i < index; i++ {
		word, bit := w.place(i)
		*word &^= bit
	}
}

// guess returns the index that a packet with sequence number seq most likely has: the one with
// the rollover counter that brings it nearest to the highest so far (RFC 3711 section 3.3.1 and
// appendix A). The first packet has a rollover counter of 0. So does whatever would be nearest
// below 0.
func (w *window) guess(seq uint16) uint64 {
	if w.next == 0 {
		return uint64(seq)
	}
	const half = 1 << 15
	roc, last, s := (w.next-1)>>16, int(uint16(w.next-1)), int(seq)
	switch {
	case last < half && s-last > half && roc > 0:
		roc--
	case last >= half && last-half > s:
		roc++
	}
	return roc<<16 | uint64(seq)
}
