package send

import (
	"time"

	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// The bounds of waiting for a key frame.
const (
	// startPatience is for how long packets may flow without a key frame before the viewer
	// gets them all the same. Some publishers send key frames that nobody but their viewers
	// can tell: whole payloads encrypted end to end, H.264 whose parameter sets are in the
	// SDP only. Five requests have gone to the publisher by then (media/recv asks after 0,
	// 0.5, 1, 2 and 4 seconds), and the last has had a second to be answered. A viewer that
	// cannot decode what it gets then asks for a key frame itself, and gets it like any
	// other packet; one whose publisher was only slow has lost nothing, since decoders drop
	// what comes before the first key frame.
	startPatience = 5 * time.Second

	// startGap is how much of the time between two packets counts as flowing: a publisher
	// that has paused was not asked in vain.
	startGap = time.Second
)

// wait is for how long a stream has been waiting, and for what it has refused last.
type wait struct {
	flowing time.Duration
	last    mono.Time // arrival; Never: nothing was refused yet
	ts      uint32    // of the newest packet refused
	seq     uint64
}

// starts reports whether a viewer can begin with m, which is a key frame's first packet, or,
// after startPatience, the first of any frame: where the timestamp changes, since not every
// payload tells. Call it once for each packet while the stream waits.
func (s *Stream) starts(m *packet.Meta) bool {
	const first = packet.FlagKeyFrame | packet.FlagFrameStart
	if !s.needsKey || m.Flags&first == first {
		return true
	}
	w := &s.wait
	if w.last == mono.Never {
		*w = wait{last: m.Arrival, ts: m.Timestamp, seq: m.Seq}
		return false
	}
	if m.Arrival > w.last {
		w.flowing += min(m.Arrival.Sub(w.last), startGap)
		w.last = m.Arrival
	}
	if m.Seq <= w.seq {
		return false // late: of a frame that has begun
	}
	next := m.Timestamp != w.ts
	w.ts, w.seq = m.Timestamp, m.Seq
	if !next || w.flowing < startPatience {
		return false
	}
	s.stats.Blind++
	return true
}
