package recv

import (
	"sync/atomic"
	"time"

	"tsubame/netio/mono"
)

// A voice is protected by its encoder: Opus repeats the last frame in the next, coarsely, as far as
// it is told of losses (RFC 6716 section 2.1.7, by the receiver reports). A publisher whose own
// link loses nothing would send its viewers nothing to fill their holes with, where one that was
// connected to a viewer directly would. So the reports about a voice tell of the loss at the
// viewers, as those of a translator do, who passes them on (RFC 3550 section 7.2).
//
// They tell of more than was lost only to publishers with transport-wide feedback, whose estimate
// of the bandwidth goes by that and not by reports; and not in the first seconds, in which
// libwebrtc goes by reports too.
const (
	beyondLeast   = 3                // of 256: what is less is told nobody
	beyondMost    = 256 * 15 / 100   // what one viewer's word can make others' voices pay for
	beyondAfter   = 10               // reports without, in the beginning
	beyondMemory  = 12 * time.Second // Browsers report about audio each 5 s
	beyondPerUnit = 256
)

// SharedLoss is the worst loss at the viewers of a stream: what any of them has last said, for
// beyondMemory. Any shard may call its methods. It is one word; of two reports at once the lesser
// may win, until the next.
type SharedLoss struct{ word atomic.Uint64 } // milliseconds << 8 | loss

// Report takes what a viewer has lost, as a fraction of 256.
func (s *SharedLoss) Report(now mono.Time, loss uint8) {
	if loss < beyondLeast {
		return
	}
	if w := s.word.Load(); loss >= uint8(w) || forgotten(w, now) {
		s.word.Store(uint64(now)/uint64(time.Millisecond)<<8 | uint64(loss))
	}
}

// Worst returns the worst loss of late, at most 15 %, as a fraction of 256.
func (s *SharedLoss) Worst(now mono.Time) uint8 {
	w := s.word.Load()
	if forgotten(w, now) {
		return 0
	}
	return min(uint8(w), beyondMost)
}

// forgotten reports whether a word is too old. Another shard's may be a little ahead of now.
func forgotten(w uint64, now mono.Time) bool {
	return now.Sub(mono.Time(w>>8)*mono.Time(time.Millisecond)) >= beyondMemory
}

// Reset forgets all. Only the stream's owner may call it.
func (s *SharedLoss) Reset() { s.word.Store(0) }

// beyond is what reports tell of the loss at viewers.
type beyond struct {
	loss    uint8  // of 256, what is lost on the way to us included
	own     uint8  // without it, in the last report
	reports uint8  // up to beyondAfter
	added   uint64 // packets, in 1/256
}

// LossBeyond sets the loss at the viewers that reports tell of from now on, if it is more than
// what was lost on the way to us: a fraction of 256, which includes that.
func (s *Stream) LossBeyond(loss uint8) { s.beyond.loss = loss }

// Loss returns what was lost on the way to us between the last two reports, of 256.
func (s *Stream) Loss() uint8 { return s.beyond.own }

// report takes the loss and the number of packets since the last report, and returns what to say
// of it, and how many packets more to count as lost in all.
func (b *beyond) report(fraction uint8, expected uint64) (uint8, uint64) {
	b.own = fraction
	if b.reports < beyondAfter {
		b.reports++
	} else if b.loss > fraction {
		b.added += uint64(b.loss-fraction) * expected
		fraction = b.loss
	}
	return fraction, b.added / beyondPerUnit
}
