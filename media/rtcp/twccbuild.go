package rtcp

import (
	"encoding/binary"
	"math"

	"tsubame/netio/mono"
)

// MaxTWCCSize is the length in bytes of the longest feedback message that AppendTWCC
// builds: with a report before it, SRTCP and the headers below it, it fits a datagram on
// any path.
const MaxTWCCSize = 1024

// maxTWCCBody is what chunks and deltas may take, with room for the filling.
const maxTWCCBody = MaxTWCCSize - HeaderSize - twccSize - 3

// AppendTWCC appends a transport-cc feedback message. arrivals[i] is when packet base+i
// arrived, mono.Never if it did not; count is the message's own number, to be raised by
// one for each that is sent. It returns how many of arrivals the message covers: all, or
// as many as MaxTWCCSize, MaxStatuses and the largest delta (8.19 s) allow. Call it again
// for the rest, from base+covered. If none of those covered did arrive, there is nothing
// to say, and dst comes back as it was; covered is 0 only for no arrivals.
//
// The message is filled up to 32 bits with zeros and without the P bit, so that it may
// stand anywhere in a compound.
func AppendTWCC(dst []byte, sender, media uint32, count uint8, base uint16, arrivals []mono.Time) (out []byte, covered int) {
	arrivals, first := limitTWCC(arrivals)
	if first < 0 {
		return dst, len(arrivals)
	}
	reference := ticksOf(arrivals[first]) / ticksPerUnit
	walk := symbolWalker{arrivals: arrivals, last: reference * ticksPerUnit}

	header := len(dst)
	dst = appendFeedback(dst, TypeRTPFB, FormatTWCC, sender, media, 0)
	dst = binary.BigEndian.AppendUint16(dst, base)
	dst = append(dst, 0, 0) // status count, known below
	// 24 bits of reference time, which wrap after 12 days, and the count.
	dst = binary.BigEndian.AppendUint32(dst, uint32(reference)<<8|uint32(count))
	dst, covered = appendChunks(dst, walk)
	binary.BigEndian.PutUint16(dst[header+HeaderSize+feedbackSize+2:], uint16(covered))
	walk.arrivals = arrivals[:covered]
	dst = appendDeltas(dst, walk)
	for (len(dst)-header)%4 != 0 {
		dst = append(dst, 0)
	}
	patchLength(dst[header:])
	return dst, covered
}

// limitTWCC cuts arrivals to MaxStatuses, and before the first delta that 16 bits cannot
// hold. It also returns the index of the first packet that did arrive, -1 if none did.
func limitTWCC(arrivals []mono.Time) (cut []mono.Time, first int) {
	arrivals = arrivals[:min(len(arrivals), MaxStatuses)]
	first = -1
	var last int64
	for i, at := range arrivals {
		if at == mono.Never {
			continue
		}
		ticks := ticksOf(at)
		if first < 0 {
			first, last = i, ticks
		}
		if d := ticks - last; d < math.MinInt16 || d > math.MaxInt16 {
			return arrivals[:i], first
		}
		last = ticks
	}
	return arrivals, first
}

// ticksOf returns t in units of TWCCDelta. Deltas are differences of these, so that
// rounding does not add up.
func ticksOf(t mono.Time) int64 { return int64(t) / int64(TWCCDelta) }

// symbolWalker turns arrivals into status symbols and deltas, one after the other. It is
// small, and copied to look ahead.
type symbolWalker struct {
	arrivals []mono.Time
	i        int
	last     int64 // ticks of the last arrival; at first, of the reference time
}

func (w *symbolWalker) left() int { return len(w.arrivals) - w.i }

// next returns the symbol of the next packet, which is also its delta's size in bytes,
// and the delta.
func (w *symbolWalker) next() (symbol uint8, delta int64) {
	at := w.arrivals[w.i]
	w.i++
	if at == mono.Never {
		return notReceived, 0
	}
	ticks := ticksOf(at)
	delta, w.last = ticks-w.last, ticks
	if delta >= 0 && delta <= maxSmallDelta {
		return smallDelta, delta
	}
	return largeDelta, delta
}

// appendChunks appends packet chunks for as many packets as fit with their deltas.
func appendChunks(dst []byte, w symbolWalker) (out []byte, covered int) {
	room := maxTWCCBody
	for w.left() > 0 {
		chunk, n := nextChunk(w, room-2)
		if n == 0 {
			break
		}
		dst = binary.BigEndian.AppendUint16(dst, chunk)
		room -= 2
		for ; n > 0; n-- {
			symbol, _ := w.next()
			room -= int(symbol)
		}
	}
	return dst, w.i
}

// nextChunk chooses the chunk that covers most packets from w on (section 3.1.2 to
// 3.1.4), and returns how many those are. Their deltas take at most room bytes; if that
// is not enough for a chunk, n is 0.
func nextChunk(w symbolWalker, room int) (chunk uint16, n int) {
	run, symbol := runLength(w)
	runChunk := func() (uint16, int) {
		if symbol != notReceived {
			run = min(run, max(room, 0)/int(symbol))
		}
		return uint16(symbol)<<13 | uint16(run), run
	}
	if run >= oneBitSymbols || run == w.left() {
		return runChunk()
	}
	var ones, twos uint16
	size, sizeOfTwos, large := 0, 0, false
	vector := min(w.left(), oneBitSymbols)
	for i := range vector {
		s, _ := w.next()
		large = large || s == largeDelta
		size += int(s)
		ones |= uint16(s&1) << (oneBitSymbols - 1 - i)
		if i < twoBitSymbols {
			twos |= uint16(s) << (2 * (twoBitSymbols - 1 - i))
			sizeOfTwos = size
		}
	}
	switch {
	case !large:
		chunk, n = 0x8000|ones, vector
	case run >= twoBitSymbols:
		return runChunk()
	default:
		chunk, n, size = 0xC000|twos, min(vector, twoBitSymbols), sizeOfTwos
	}
	if size > room {
		return 0, 0
	}
	return chunk, n
}

// runLength returns how many packets from w on have the same symbol, at most maxRun.
func runLength(w symbolWalker) (n int, symbol uint8) {
	symbol, _ = w.next()
	for n = 1; n < maxRun && w.left() > 0; n++ {
		if s, _ := w.next(); s != symbol {
			break
		}
	}
	return n, symbol
}

func appendDeltas(dst []byte, w symbolWalker) []byte {
	for w.left() > 0 {
		switch symbol, delta := w.next(); symbol {
		case smallDelta:
			dst = append(dst, uint8(delta))
		case largeDelta:
			dst = binary.BigEndian.AppendUint16(dst, uint16(int16(delta)))
		}
	}
	return dst
}
