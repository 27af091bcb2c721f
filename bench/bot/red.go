package bot

import (
	"encoding/binary"
	"strings"
)

// Redundant audio (RFC 2198), written from the RFC and sharing nothing with the server's: each
// packet carries those before it once more.

const (
	redName      = "red/48000/2" // of a=rtpmap
	maxRedOffset = 1<<14 - 1     // timestamp units
)

// redOf reports whether the format parameters of RED ("111/111") are of copies of one payload
// type.
func redOf(fmtp, payloadType string) bool {
	of := strings.Split(fmtp, "/")
	for _, s := range of {
		if strings.TrimSpace(s) != payloadType {
			return false
		}
	}
	return len(of) > 1
}

// copied is a payload that was sent already.
type copied struct {
	timestamp uint32
	payload   []byte
}

// redundancy makes redundant audio of what a track sends.
type redundancy struct {
	levels int
	last   []copied // oldest first
}

// wrap returns the payload with its redundancy, and remembers it.
func (r *redundancy) wrap(payloadType uint8, timestamp uint32, payload []byte) []byte {
	var b []byte
	kept := r.last[:0]
	for _, c := range r.last {
		if offset := timestamp - c.timestamp; offset <= maxRedOffset {
			b = binary.BigEndian.AppendUint32(b, 1<<31|uint32(payloadType)<<24|offset<<10|uint32(len(c.payload)))
			kept = append(kept, c)
		}
	}
	r.last = kept
	b = append(b, payloadType)
	for _, c := range r.last {
		b = append(b, c.payload...)
	}
	r.last = append(r.last, copied{timestamp, payload})
	if len(r.last) > r.levels {
		r.last = append([]copied(nil), r.last[1:]...)
	}
	return append(b, payload...)
}

// unwrap takes a payload apart: what the packet itself carries, and the copies, oldest first.
// False: it is none, or of another payload type.
func unwrap(b []byte, payloadType uint8, timestamp uint32) (primary []byte, copies []copied, ok bool) {
	var lengths []int
	for len(b) >= 4 && b[0]&0x80 != 0 {
		h := binary.BigEndian.Uint32(b)
		if uint8(h>>24)&0x7f != payloadType {
			return nil, nil, false
		}
		copies = append(copies, copied{timestamp: timestamp - h>>10&maxRedOffset})
		lengths = append(lengths, int(h&0x3ff))
		b = b[4:]
	}
	if len(b) == 0 || b[0] != payloadType {
		return nil, nil, false
	}
	b = b[1:]
	for i, n := range lengths {
		if n > len(b) {
			return nil, nil, false
		}
		copies[i].payload, b = b[:n], b[n:]
	}
	return b, copies, true
}

// hearing remembers which payloads of a source have been heard, by the counters in their
// stamps.
type hearing struct {
	source      uint32
	first, last uint64
	bits        [hearingWindow / 64]uint64
	missed      uint64 // of those that have left the window
}

const hearingWindow = 2048

// note takes a payload and reports whether it is new.
func (h *hearing) note(s stamp) bool {
	if h.source != s.source {
		*h = hearing{source: s.source, first: s.counter, last: s.counter - 1}
	}
	if s.counter < h.first || s.counter+hearingWindow <= h.last {
		return false
	}
	for h.last < s.counter {
		h.last++
		if h.last >= h.first+hearingWindow && !h.has(h.last) {
			h.missed++
		}
		h.bits[h.last%hearingWindow/64] &^= 1 << (h.last % 64)
	}
	fresh := !h.has(s.counter)
	h.bits[s.counter%hearingWindow/64] |= 1 << (s.counter % 64)
	return fresh
}

func (h *hearing) has(counter uint64) bool {
	return h.bits[counter%hearingWindow/64]>>(counter%64)&1 != 0
}

// unheard returns how many payloads between the first and the last were never heard.
func (h *hearing) unheard() uint64 {
	n := h.missed
	if h.source == 0 {
		return 0
	}
	for c := max(h.first, h.last-min(h.last, hearingWindow-1)); c <= h.last; c++ {
		if !h.has(c) {
			n++
		}
	}
	return n
}

// red takes a packet of redundant audio: what is new among the copies, then the packet itself.
func (r *receiver) red(a arrival, f *format) {
	primary, copies, ok := unwrap(a.payload, f.pt, a.timestamp)
	if !ok {
		r.stats.BadPayload++
		return
	}
	r.stats.RED++
	for _, c := range copies {
		s, ok := readOpus(c.payload)
		if !ok {
			r.stats.BadPayload++
		} else if r.hears(s) {
			r.stats.FromRED++
			r.frame(a.now, false)
		}
	}
	a.payload = primary
	r.packet(a)
}

// hears notes a payload and reports whether it is new. Without redundancy every one is: it is
// SRTP that sees to that.
func (r *receiver) hears(s stamp) bool { return r.heard == nil || r.heard.note(s) }
