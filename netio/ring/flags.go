package ring

import (
	"math/bits"
	"sync/atomic"
)

// Flags is a mailbox of n bits: any goroutine sets bits, one consumer takes them out. It is
// for messages of which only the latest counts ("connection 17 has news", which stands in
// connection 17): setting a bit that is set is one message, so the mailbox is never full.
//
// Two levels of words make finding the set bits cheap: a word of the upper level has one
// bit for each of 64 words of the lower one that may have bits.
type Flags struct {
	words   []atomic.Uint64
	summary []atomic.Uint64
	n       uint32
	at      uint32 // consumer: where to look first, so that low bits cannot starve high ones
}

// NewFlags makes a mailbox of bits 0 to n-1, all clear.
func NewFlags(n int) *Flags {
	if n < 1 || n > 1<<30 {
		panic("ring: number of flags out of range")
	}
	words := (n + 63) / 64
	return &Flags{
		words:   make([]atomic.Uint64, words),
		summary: make([]atomic.Uint64, (words+63)/64),
		n:       uint32(n),
	}
}

// Set sets bit i and reports whether it was clear. What the caller wrote before Set is
// seen by the consumer when Next returns i, whoever of several setters was first. A setter
// that learns that the bit was set need not wake the consumer: the one who set it does.
func (f *Flags) Set(i uint32) (wasClear bool) {
	if i >= f.n {
		panic("ring: flag out of range")
	}
	w := i / 64
	// Always the read-modify-write, never a load that finds the bit set and is content:
	// it is what orders this setter's message before the consumer's And.
	old := f.words[w].Or(1 << (i % 64))
	// Order matters: first the bit, then the summary, which the consumer clears in the
	// opposite order. If the summary is set here, the consumer has yet to clear it, and
	// looks at the word again afterwards.
	if up := &f.summary[w/64]; up.Load()&(1<<(w%64)) == 0 {
		up.Or(1 << (w % 64))
	}
	return old&(1<<(i%64)) == 0
}

// Next clears one set bit and returns its number, or reports false if there is none. It
// goes round: a bit that is set again and again comes last. Only the consumer may call it.
func (f *Flags) Next() (uint32, bool) {
	w, ok := f.word()
	for ; ok; w, ok = f.word() {
		word := &f.words[w]
		set := word.Load()
		if set == 0 {
			// A summary bit without bits below: left by a setter that was overtaken.
			f.settle(w)
			continue
		}
		// From the cursor on if it points into this word, else the first one.
		bit := uint32(bits.TrailingZeros64(set))
		if f.at/64 == w {
			if later := set &^ (1<<(f.at%64) - 1); later != 0 {
				bit = uint32(bits.TrailingZeros64(later))
			}
		}
		if word.And(^uint64(1<<bit))&^(1<<bit) == 0 {
			f.settle(w)
		}
		f.at = w*64 + bit + 1
		return w*64 + bit, true
	}
	return 0, false
}

// settle clears the summary bit of word w, and sets it again if a bit came in between.
func (f *Flags) settle(w uint32) {
	up := &f.summary[w/64]
	up.And(^uint64(1 << (w % 64)))
	if f.words[w].Load() != 0 {
		up.Or(1 << (w % 64))
	}
}

// word finds a word that may have bits, from the cursor's on and once around.
func (f *Flags) word() (uint32, bool) {
	start := f.at / 64
	if int(start) >= len(f.words) || f.at%64 != 0 && f.words[start].Load()>>(f.at%64) == 0 {
		start++ // nothing left at or above the cursor in its word
	}
	if int(start) >= len(f.words) {
		start = 0
	}
	first := int(start / 64)
	for k := 0; k <= len(f.summary); k++ {
		s := (first + k) % len(f.summary)
		set := f.summary[s].Load()
		if k == 0 {
			set &^= 1<<(start%64) - 1
		}
		if set != 0 {
			return uint32(s*64 + bits.TrailingZeros64(set)), true
		}
	}
	return 0, false
}

// Empty reports whether Next would find nothing at the moment. A bit that is being set
// right now may not show; its setter wakes the consumer afterwards.
func (f *Flags) Empty() bool {
	for i := range f.summary {
		if f.summary[i].Load() != 0 {
			return false
		}
	}
	return true
}
