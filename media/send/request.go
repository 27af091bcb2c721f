package send

import (
	"time"

	"tsubame/media/recv"
	"tsubame/netio/mono"
)

// A viewer that asks for key frames all the time makes the picture worse for everyone
// else: its requests are spaced further and further, up to requestBackOff, until it has
// been quiet for requestQuiet.
const (
	requestBackOff = 2 * time.Second
	requestQuiet   = 5 * time.Second
)

// requests folds one viewer's key frame requests.
type requests struct {
	granted mono.Time // the last one passed on; Never: none
	served  mono.Time // when the last key frame sent to the viewer arrived here
	spacing time.Duration
	firSeq  uint8
	firSeen bool
}

// KeyFrameRequest takes a PLI (RFC 4585 section 6.3.1) of the viewer and reports whether to
// pass it on. Those that were sent before a key frame on its way could have arrived are
// not, nor are repetitions.
func (s *Stream) KeyFrameRequest(now mono.Time) bool {
	r := &s.requests
	s.stats.KeyFrameRequests++
	crossed := r.served != mono.Never && now.Sub(r.served) < s.RTT()
	if crossed || r.granted != mono.Never && now.Sub(r.granted) < r.spacing {
		s.stats.KeyFrameFolded++
		return false
	}
	if r.granted == mono.Never || now.Sub(r.granted) >= requestQuiet {
		r.spacing = recv.KeyFrameInterval
	} else {
		r.spacing = min(r.spacing*2, requestBackOff)
	}
	r.granted = now
	return true
}

// FullIntraRequest is KeyFrameRequest for a FIR (RFC 5104 section 4.3.1), in which seq tells
// a repetition from a new request: one that has been answered by a key frame is not passed
// on again.
func (s *Stream) FullIntraRequest(now mono.Time, seq uint8) bool {
	r := &s.requests
	if r.firSeen && r.firSeq == seq && r.served > r.granted {
		s.stats.KeyFrameRequests++
		s.stats.KeyFrameFolded++
		return false
	}
	if !s.KeyFrameRequest(now) {
		return false
	}
	r.firSeq, r.firSeen = seq, true
	return true
}
