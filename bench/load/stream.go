package load

import (
	"encoding/binary"
	"time"

	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
)

// Bounds and schedules of one received stream.
const (
	windowSize   = 1024                   // packets behind the newest that are told from duplicates
	verifyEvery  = 256                    // packets between two looks whether a stream is still what it was
	maxMissing   = 256                    // packets waited for at once; more are given up
	nackInterval = 40 * time.Millisecond  // between two requests for one packet
	nackTries    = 10                     // for one packet
	pliInterval  = 500 * time.Millisecond // between two requests for a key frame
)

// firstExt is where rtp.Unwrapper begins: the index of SRTP, whose rollover counter begins at 0,
// is this much less.
const firstExt = 1 << 16

// stream is one track that the server sends to a viewer: which of the publisher's packets
// came, and what the viewer's reports say of it. Its peer's shard owns it.
type stream struct {
	// What each packet needs stands together, see hotLines.
	unwrap    rtp.Unwrapper
	first     uint64
	highest   uint64
	packets   uint64 // distinct
	transport uint8  // id of the extension with the transport-wide number; 0: none
	pt        uint8  // of the last packet
	kind      param.Kind
	nack, pli bool
	key       bool // a whole key frame came
	clock     uint32

	// Where the packets come from: ext = index + distance.
	from     *origin
	distance uint64 // modulo 2^64
	start    uint64 // the lowest index that came
	check    int    // packets until the next look
	counted  uint64 // distinct packets that are measured

	jitter  jitter
	missing []missing

	seen [windowSize / 64]uint64 // bit ext%windowSize, of the last windowSize

	ssrc, rtxSSRC uint32
	name          string      // of the stream it is of, as the server calls it
	codec         param.Codec // of what the payload type says
	formats       []format    // the section's, to read payload types by
	reduced       bool
	live          bool // in the last offer
	lastPLI       mono.Time

	// The first key frame.
	keyFrom, keyEnd uint64
	keyStamp        uint32

	lastSR     uint32
	lastSRAt   mono.Time
	expectedAt uint64 // values at the last report
	packetsAt  uint64
}

// missing is a packet to ask for.
type missing struct {
	ext   uint64
	asked mono.Time
	tries int
}

// jitter is the interarrival jitter of RFC 3550 appendix A.8 in units of the clock, times 16.
type jitter struct {
	transit int64
	value   int64
	started bool
}

func (j *jitter) add(now mono.Time, timestamp, clock uint32) {
	transit := int64(now)/1000*int64(clock)/1_000_000 - int64(timestamp)
	if j.started {
		d := int64(int32(transit - j.transit))
		if d < 0 {
			d = -d
		}
		if d < int64(clock) { // not a jump of the timestamp
			j.value += d - (j.value+8)>>4
		}
	}
	j.transit, j.started = transit, true
}

// arrival is one plain packet.
type arrival struct {
	now       mono.Time
	kernel    int64 // Unix time of the kernel's receipt in nanoseconds; 0: not known
	seq       uint16
	timestamp uint32
	marker    bool
	rtx       bool // it came on the RTX stream
	payload   []byte
	padding   int
	size      int // of the datagram
}

// place is what a packet turned out to be.
type place uint8

const (
	fresh     place = iota
	duplicate       // its number came before
	ancient         // too old to tell
)

// accept notes a number and returns it extended. Nothing is allocated while missing has room.
func (s *stream) accept(seq uint16, now mono.Time) (ext uint64, p place) {
	ext = s.unwrap.Unwrap(seq)
	if s.packets == 0 {
		s.first, s.highest = ext, ext
		s.packets = 1
		s.set(ext)
		return ext, fresh
	}
	if ext > s.highest {
		s.advance(ext, now)
	} else if s.highest-ext >= windowSize {
		return ext, ancient
	} else if s.has(ext) {
		return ext, duplicate
	} else {
		s.found(ext)
		s.first = min(s.first, ext)
	}
	s.set(ext)
	s.packets++
	return ext, fresh
}

// old reports whether ext, which is not the first, came before or is too old to tell.
func (s *stream) old(ext uint64) bool {
	return ext <= s.highest && (s.highest-ext >= windowSize || s.has(ext))
}

func (s *stream) has(ext uint64) bool { return s.seen[ext/64%(windowSize/64)]>>(ext%64)&1 != 0 }

func (s *stream) set(ext uint64) { s.seen[ext/64%(windowSize/64)] |= 1 << (ext % 64) }

// advance makes ext the newest; what lies between is missing.
func (s *stream) advance(ext uint64, now mono.Time) {
	if ext-s.highest >= windowSize {
		s.seen = [windowSize / 64]uint64{}
		s.missing = s.missing[:0]
		s.highest = ext
		return
	}
	for e := s.highest + 1; e <= ext; e++ {
		s.seen[e/64%(windowSize/64)] &^= 1 << (e % 64)
		if e < ext && s.nack {
			if len(s.missing) == maxMissing {
				copy(s.missing, s.missing[1:])
				s.missing = s.missing[:maxMissing-1]
			}
			s.missing = append(s.missing, missing{ext: e})
		}
	}
	s.highest = ext
}

// found removes a packet from those missing.
func (s *stream) found(ext uint64) {
	for i := range s.missing {
		if s.missing[i].ext == ext {
			s.missing = append(s.missing[:i], s.missing[i+1:]...)
			return
		}
	}
}

// due appends the numbers to ask for now, most at most; the others stay due.
func (s *stream) due(now mono.Time, dst []uint16, most int) []uint16 {
	keep := s.missing[:0]
	for _, m := range s.missing {
		if most > 0 && (m.asked == mono.Never || now.Sub(m.asked) >= nackInterval) {
			if m.tries == nackTries {
				continue
			}
			m.asked = now
			m.tries++
			most--
			dst = append(dst, uint16(m.ext))
		}
		keep = append(keep, m)
	}
	s.missing = keep
	return dst
}

// identify finds out which packet of which publisher ext is, and returns its entry where it
// looked. among are the origins that it may be of.
func (s *stream) identify(ext uint64, payload []byte, always bool, among []*origin) *entry {
	if s.check--; s.from != nil && s.check > 0 && !always {
		return nil
	}
	if s.from != nil {
		if e := s.from.at(ext-s.distance, payload); e != nil {
			if s.check <= 0 {
				s.check = verifyEvery
			}
			return e
		}
	}
	s.check = 0
	var from *origin
	var index uint64
	for _, o := range among {
		if o.kind != s.kind || o.name != "" && s.name != "" && o.name != s.name {
			continue
		}
		if i, ok := o.find(payload); ok {
			if from != nil {
				return nil // two publishers have it: another packet may tell
			}
			from, index = o, i
		}
	}
	if from == nil {
		return nil
	}
	if s.from != from {
		s.from, s.start = from, index
	}
	s.distance, s.check = ext-index, verifyEvery
	s.start = min(s.start, index)
	return from.at(index, payload)
}

// measure counts a fresh packet if it is one of the measured, and reports whether it is.
func (s *stream) measure(ext uint64) bool {
	if s.from == nil {
		return false
	}
	index := ext - s.distance
	s.start = min(s.start, index)
	if from := s.from.from.Load(); from == noIndex || index < from || index >= s.from.to.Load() {
		return false
	}
	s.counted++
	return true
}

// expected returns how many of the measured packets should have come. last is true for one
// that stayed to the end: then those after the last one that came are missing, too.
func (s *stream) expected(last bool) uint64 {
	if s.from == nil {
		return 0
	}
	from, to := s.from.measured()
	from = max(from, s.start)
	if !last {
		to = min(to, s.highest+1-s.distance)
	}
	if to <= from {
		return 0
	}
	return to - from
}

// keyFrame looks for the first whole key frame and reports whether this packet completed it.
func (s *stream) keyFrame(ext uint64, a *arrival) bool {
	d, err := codec.Peek(s.codec, a.payload)
	if err == nil && d.KeyFrame && (s.keyFrom == 0 || a.timestamp != s.keyStamp) {
		s.keyFrom, s.keyEnd, s.keyStamp = ext, 0, a.timestamp
	}
	if s.keyFrom == 0 || a.timestamp != s.keyStamp {
		return false
	}
	if a.marker {
		s.keyEnd = ext
	}
	if s.keyEnd == 0 {
		return false
	}
	for e := s.keyFrom; e <= s.keyEnd; e++ {
		if !s.has(e) {
			return false
		}
	}
	s.key = true
	return true
}

// wantsKey reports whether a key frame is to be asked for now, and takes it as done.
func (s *stream) wantsKey(now mono.Time) bool {
	if s.key || !s.pli || s.packets == 0 || s.lastPLI != mono.Never && now.Sub(s.lastPLI) < pliInterval {
		return false
	}
	s.lastPLI = now
	return true
}

// report returns the stream's report block (RFC 3550 section 6.4.1).
func (s *stream) report(now mono.Time) rtcp.ReportBlock {
	expected := s.highest - s.first + 1
	b := rtcp.ReportBlock{
		SSRC: s.ssrc, CumulativeLost: int32(expected - s.packets),
		HighestSeq: uint32(s.highest - 1<<16), Jitter: uint32(s.jitter.value >> 4), LastSR: s.lastSR,
	}
	de, dp := expected-s.expectedAt, s.packets-s.packetsAt
	if de > dp {
		b.FractionLost = uint8(min(255, (de-dp)*256/de))
	}
	s.expectedAt, s.packetsAt = expected, s.packets
	if s.lastSRAt != mono.Never {
		b.DelaySinceSR = uint32(now.Sub(s.lastSRAt) << 16 / time.Second)
	}
	return b
}

// original takes a retransmission apart (RFC 4588 section 4); false: it is a probe.
func original(payload []byte) (seq uint16, rest []byte, ok bool) {
	if len(payload) < 2 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(payload), payload[2:], true
}
