// Package recv is the publisher's side of one RTP stream: what has arrived, what is
// missing and when to ask for it again, what to report, and whose clock it runs by.
//
// It is sans-IO: sequence numbers, timestamps and now go in; verdicts, lists of missing
// packets, report blocks and deadlines come out. It never touches packets, buffers,
// sockets or clocks, and every table in it is of fixed size. After Init a Stream allocates
// only where more streams of a shard miss packets at one time than ever before (Tables).
// A Stream and its companions (TWCC, REMB, KeyFrames, Policer, Origin, Tables) belong to the
// shard that owns the publisher's connection, and only that goroutine may call them;
// SharedClock is the one type that other shards may read. All but Stream and Tables are
// plain values without pointers; the slices they return are the caller's own, extended.
package recv

import (
	"time"

	"tsubame/netio/mono"
)

// WindowSize is how far back, in packets, a late or retransmitted packet is told from a
// duplicate. Anything older is refused. (RFC 3711 section 3.3.2 asks for at least 64.)
const WindowSize = 2048

// The bounds of what one packet may do to the sequence.
const (
	// maxForward is the longest gap that a single packet opens: RFC 3550 appendix A.1
	// calls it MAX_DROPOUT. A longer one has to be confirmed by the packets after it.
	maxForward = 3000
	// jumpForward and jumpBack are how many packets in a row have to agree on a jump
	// before the stream follows it, so that a lone packet with a wild number changes
	// nothing. Numbers below the window take more, since a burst that the network has
	// held up for long looks just like that.
	jumpForward = 3
	jumpBack    = 32
)

// Config says what a stream is. It does not change.
type Config struct {
	SSRC      uint32
	ClockRate uint32 // RTP timestamp units in a second; 0 counts as 90000
	NACK      bool   // generic NACK was negotiated (RFC 4585 section 6.2.1)
	Video     bool   // losses may end in a key frame

	Tables *Tables // where to note missing packets; nil: on the heap
}

// Verdict says what has become of a packet.
type Verdict uint8

// The verdicts. Only accepted packets are passed on.
const (
	Accept    Verdict = iota
	Duplicate         // seen before, as an original or as a retransmission
	TooOld            // older than the window
	Jump              // far ahead of the sequence, refused until the next packets agree with it
)

// Stats are counters since Init. Received counts originals, Recovered those that a
// retransmission brought; an accepted packet is in exactly one of them.
type Stats struct {
	Received   uint64
	Recovered  uint64
	Bytes      uint64 // of accepted packets, RTP header and payload
	Duplicates uint64
	TooOld     uint64
	Jumps      uint64 // packets refused as Jump
	Resets     uint64 // jumps that were followed
	Missing    uint64 // gaps noticed, in packets
	NACKs      uint64 // sequence numbers asked for, repetitions included
	Suspected  uint64 // of those, the ones that nothing of the stream told of
	GivenUp    uint64 // missing packets no longer asked for, for one of the next reasons:
	Unanswered uint64 // asked for too often, or for too long
	Overflowed uint64 // more were missing at once than are asked for
	Bursts     uint64 // missing in a row that a key frame replaces sooner
	Superseded uint64 // from before a key frame, or a jump
	Repeated   uint64 // retransmissions of what was there already
	Reports    uint64 // sender reports taken
	BadReports uint64 // sender reports whose clock could not be right
	Reordered  uint64 // originals that arrived out of order
}

// Stream is the receiving state of one RTP stream. The zero value is not ready: call Init.
type Stream struct {
	cfg Config

	started bool
	highest uint64 // highest extended sequence number
	base    uint64 // lowest one that counts as expected
	window  [WindowSize / 64]uint64

	// A jump that waits for its confirmation.
	jumpFirst uint16
	jumpNext  uint16
	jumpCount uint8

	missing missingList
	lost    bool   // missing video was given up, and no key frame has come since
	lostTo  uint64 // no packet above this was given up
	eager   eager
	tail    tail

	arrivals reception
	sr       senderReport
	meter    meter
	stats    Stats
}

// Init makes s a stream of which nothing has arrived.
func (s *Stream) Init(cfg Config) {
	if cfg.ClockRate == 0 {
		cfg.ClockRate = 90000
	}
	s.Close()
	*s = Stream{cfg: cfg, missing: missingList{tables: cfg.Tables, hold: uint32(nackHold / time.Microsecond)}}
}

// Close gives back what the stream was lent. Without it that is lost to the other streams
// of its shard, and otherwise the collector's. Nothing is asked for any more.
func (s *Stream) Close() { s.missing.clear() }

// Receive takes one packet that has been decrypted: its sequence number, timestamp and
// size in bytes, and whether it came as a retransmission (RFC 4588), in which case seq is
// the original's. It returns the extended sequence number, which starts a little above
// 1<<16 and then only grows, and what to do with the packet. The number means something
// only when the packet is accepted.
func (s *Stream) Receive(now mono.Time, seq uint16, ts uint32, size int, rtx bool) (ext uint64, v Verdict) {
	if !s.started {
		if rtx {
			// Nothing tells how far behind a retransmission is: the stream begins with
			// an original.
			s.stats.TooOld++
			return 0, TooOld
		}
		s.start(uint64(1)<<16 + uint64(seq))
		return s.accept(now, s.highest, ts, size, false)
	}
	// RFC 3550 appendix A.1, with a signed distance in place of its unsigned one. The tie,
	// half a cycle away, goes to the future: there 1<<15-1 packets may have been lost.
	switch d := int(int16(seq-uint16(s.highest)-1)) + 1; {
	case d > 0 && d <= maxForward:
		ext = s.highest + uint64(d)
		s.advance(now, ext)
		return s.accept(now, ext, ts, size, rtx)
	case d <= 0 && d > -WindowSize:
		return s.late(now, s.highest-uint64(-d), ts, size, rtx)
	case rtx:
		s.stats.TooOld++
		return 0, TooOld
	}
	return s.jump(now, seq, ts, size)
}

// start begins the sequence with the first packet.
func (s *Stream) start(ext uint64) {
	s.started = true
	s.highest, s.base = ext, ext
	s.set(ext)
}

// advance moves the head of the sequence to ext and notes everything skipped as missing.
func (s *Stream) advance(now mono.Time, ext uint64) {
	first := s.highest + 1
	s.clear(first, ext)
	s.highest = ext
	s.set(ext)
	s.jumpCount = 0
	if ext >= s.tail.to {
		s.tail.at = mono.Never
	}
	if first == ext {
		return
	}
	s.stats.Missing += ext - first
	if s.cfg.NACK {
		s.miss(now, first, ext)
	}
}

// A burst of losses: so many packets in a row, over so long, are more than a key frame, which would
// have to wait for them. After a pause of longer than publishers remember what they sent, there is
// nothing to ask for; after one of half of that they may have it or not, which two requests tell.
const (
	burstPackets = 64
	burstTime    = 500 * time.Millisecond
	burstOld     = time.Second
	burstGone    = 2 * time.Second
)

// miss notes [first, ext) as missing, or gives up what a key frame is quicker than.
func (s *Stream) miss(now mono.Time, first, ext uint64) {
	n, pause := int(ext-first), time.Duration(0)
	if s.cfg.Video && s.arrivals.lastAt != mono.Never {
		pause = now.Sub(s.arrivals.lastAt)
	}
	switch {
	case n >= burstPackets && pause >= burstTime || pause >= burstGone:
		s.giveUp(n+s.missing.clear(), &s.stats.Bursts)
	case s.cfg.Video && n+int(s.missing.n) > MaxOutstanding:
		s.giveUp(n+s.missing.clear(), &s.stats.Overflowed)
	default:
		s.giveUp(s.missing.add(now, first, ext, s.stats.accepted(), pause >= burstOld, &s.tail), &s.stats.Overflowed)
	}
}

// late takes a packet that is not the newest: a reordered one, a retransmission or a
// duplicate.
func (s *Stream) late(now mono.Time, ext uint64, ts uint32, size int, rtx bool) (uint64, Verdict) {
	if s.has(ext) {
		s.stats.Duplicates++
		if rtx {
			s.stats.Repeated++
		}
		return ext, Duplicate
	}
	s.set(ext)
	// Reordering right at the start of the stream: the base was not the first packet.
	if ext < s.base && !rtx {
		s.base = ext
	}
	since, missed := s.missing.remove(ext)
	if !rtx {
		s.stats.Reordered++
	}
	switch {
	case missed && rtx:
		s.missing.confirmed()
	case missed:
		s.missing.reordered(micros(now) - since)
	}
	return s.accept(now, ext, ts, size, rtx)
}

// accept counts a packet that is new.
func (s *Stream) accept(now mono.Time, ext uint64, ts uint32, size int, rtx bool) (uint64, Verdict) {
	s.stats.Bytes += uint64(size)
	s.meter.add(now, size)
	if rtx {
		// A retransmission says nothing about the network's jitter, nor does it make
		// the loss of the original undone (RFC 4588 section 6.3).
		s.stats.Recovered++
	} else {
		s.stats.Received++
		s.arrivals.add(now, ts, ext == s.highest, s.cfg.ClockRate)
	}
	s.missing.newer(now, s.stats.accepted())
	return ext, Accept
}

// jump takes an original that is far off the sequence, and follows it if enough packets in
// a row now agree that the sequence goes on there.
func (s *Stream) jump(now mono.Time, seq uint16, ts uint32, size int) (uint64, Verdict) {
	if s.jumpCount == 0 || seq != s.jumpNext {
		s.jumpFirst, s.jumpCount = seq, 0
	}
	s.jumpCount++
	s.jumpNext = seq + 1
	need, v, refused := uint8(jumpForward), Jump, &s.stats.Jumps
	if s.jumpFirst-uint16(s.highest) > 1<<15 {
		need, v, refused = jumpBack, TooOld, &s.stats.TooOld
	}
	if s.jumpCount < need {
		*refused++
		return 0, v
	}
	s.restart(now)
	return s.accept(now, s.highest, ts, size, false)
}

// restart follows a jump. The extended number goes forward, by less than two cycles,
// whichever way the wire's number went. The packets that were not accepted while the jump
// was in doubt are not lost for good: they count as missing and are asked for.
func (s *Stream) restart(now mono.Time) {
	first := s.highest + uint64(s.jumpFirst-uint16(s.highest))
	s.stats.Resets++
	s.supersede(s.missing.clear())
	s.tail = tail{}
	s.window = [WindowSize / 64]uint64{}
	s.arrivals.restart(s.expected())
	s.sr.clock = Clock{}
	s.base, s.highest = first, first-1
	s.advance(now, first+uint64(s.jumpCount)-1)
	s.lost, s.lostTo = s.cfg.Video, s.highest
}

// giveUp counts missing packets that are no longer asked for, for a reason.
func (s *Stream) giveUp(n int, reason *uint64) {
	if n == 0 {
		return
	}
	s.stats.GivenUp += uint64(n)
	*reason += uint64(n)
	s.lost = s.lost || s.cfg.Video
	s.lostTo = s.highest
}

// supersede counts missing packets that nobody needs any more.
func (s *Stream) supersede(n int) {
	s.stats.GivenUp += uint64(n)
	s.stats.Superseded += uint64(n)
}

// KeyFrame notes that the accepted packet ext begins a key frame: what is missing before
// it is of no use any more.
func (s *Stream) KeyFrame(ext uint64) {
	s.supersede(s.missing.removeBelow(ext))
	if ext > s.lostTo { // and not one that was recovered, from before that loss
		s.lost = false
	}
}

// TakeLost reports, once, that missing video was given up: the caller asks for a key frame.
func (s *Stream) TakeLost() bool {
	l := s.lost
	s.lost = false
	return l
}

// AppendNACK appends the sequence numbers to ask for at now, oldest first, given how long the
// publisher's answer takes (RTT.Answer; 0: unknown). At most MaxNACK are appended.
func (s *Stream) AppendNACK(now mono.Time, answer time.Duration, dst []uint16) []uint16 {
	n := len(dst)
	dst, dropped := s.missing.appendDue(now, answer, s.eager.on, dst)
	if s.tail.at.Due(now) {
		dst = s.appendTail(now, answer, dst)
	}
	s.stats.NACKs += uint64(len(dst) - n)
	s.giveUp(dropped, &s.stats.Unanswered)
	return dst
}

// Deadline returns when AppendNACK has something to do; it may be early, never late.
func (s *Stream) Deadline() mono.Time { return mono.Earliest(s.missing.next, s.tail.at) }

// Outstanding returns how many missing packets are being asked for.
func (s *Stream) Outstanding() int { return int(s.missing.n) }

// Highest returns the highest extended sequence number; false when nothing has arrived.
func (s *Stream) Highest() (uint64, bool) { return s.highest, s.started }

// Bitrate returns what has arrived in the last second or so, in bits per second.
func (s *Stream) Bitrate(now mono.Time) uint64 { return s.meter.bitrate(now) }

// Stats returns the counters.
func (s *Stream) Stats() Stats { return s.stats }

func (st *Stats) accepted() uint64 { return st.Received + st.Recovered }

// The window has one bit for each of the last WindowSize extended sequence numbers.

func (s *Stream) has(ext uint64) bool {
	return s.window[ext/64%uint64(len(s.window))]>>(ext%64)&1 != 0
}

func (s *Stream) set(ext uint64) {
	s.window[ext/64%uint64(len(s.window))] |= 1 << (ext % 64)
}

// clear empties the bits of [from, to], which the head is about to move over.
func (s *Stream) clear(from, to uint64) {
	if to-from >= WindowSize {
		s.window = [WindowSize / 64]uint64{}
		return
	}
	for ; from <= to && from%64 != 0; from++ {
		s.window[from/64%uint64(len(s.window))] &^= 1 << (from % 64)
	}
	for ; from+63 <= to; from += 64 {
		s.window[from/64%uint64(len(s.window))] = 0
	}
	for ; from <= to; from++ {
		s.window[from/64%uint64(len(s.window))] &^= 1 << (from % 64)
	}
}
