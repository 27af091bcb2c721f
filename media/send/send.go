// Package send is the subscriber's side of one RTP stream: which packets go out under
// which numbers, what their headers say, what is sent again, and what to report.
//
// It is sans-IO: the Meta of a received packet goes in, numbers and header bytes come out.
// It never touches payloads, which are shared by all viewers and immutable, nor keys,
// sockets or clocks, and every table in it is of fixed size. After Init a Stream allocates
// only where more streams of a shard are in need of a table at one time than ever before
// (Tables). A Stream and the Tables that it borrows from belong to the shard that owns the
// viewer's connection, and only that goroutine may call them. Headers are written to the
// caller's memory.
//
// One rule above all: an (SSRC, index) pair is given out once, for one packet. A second
// packet sealed under the same pair would give away the key of AES-GCM (RFC 7714 section
// 9.2). The caller seals a packet at most once for every Out and every RTX index, and never
// makes two Streams of one SSRC under one key.
package send

import (
	"encoding/binary"

	"tsubame/media/param"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
	"tsubame/netio/packet"
)

// MaxHeader is the longest header that PutHeader and PutRTXHeader write, in bytes.
const MaxHeader = rtp.MaxTemplate

// maxFirst bounds the first sequence number: it starts in the lower half, so that the
// receiver cannot mistake the first wrap for reordering (RFC 3711 section 3.3.1).
const maxFirst = 1<<15 - 1

// Stats are counters since Init.
type Stats struct {
	Packets     uint64 // sent, without retransmissions
	Bytes       uint64 // of those, as given to Sent
	Resent      uint64 // retransmissions
	ResentBytes uint64 // of those, and of probes
	Waiting     uint64 // packets dropped while waiting for a key frame
	Refused     uint64 // packets refused: duplicates, and late beyond the window
	Skipped     uint64 // packets not sent on, their gap closed
	Restarts    uint64 // times that the source jumped too far to be followed
	Blind       uint64 // starts without a key frame: none could be recognised for startPatience

	NACKForeign   uint64 // asked for, but never sent by us or too long ago
	NACKThrottled uint64 // asked for again too soon or too often
	NACKBudget    uint64 // asked for beyond the share of the rate

	KeyFrameRequests uint64 // PLI and FIR received
	KeyFrameFolded   uint64 // of those, not passed on
	BadReports       uint64 // report blocks whose round-trip time could not be right
}

// Stream is the sending state of one RTP stream to one viewer. The zero value is not
// ready: call Init.
//
// What every packet touches stands at the beginning: the traffic, the header of which the
// tail is used by long ones only, and the first half of munger. A viewer's packets come far
// apart, so that each cache line of it has to come from memory, or nearly.
type Stream struct {
	traffic  traffic
	waiting  bool // for a packet to start with
	same     bool // the source is the one before the wait
	needsKey bool // the codec's key frames are known: video starts at one
	rtx      bool
	header   rtp.Template
	munger   munger

	ssrc    uint32
	rtxSSRC uint32
	rtxType uint8
	rtxSeq  uint64 // next index of the RTX stream

	wait     wait
	resends  resends
	requests requests
	reports  reports
	stats    Stats
	tables   *Tables
}

// traffic is what every packet sent changes.
type traffic struct {
	lastAt  mono.Time // last packet sent; Never: none
	packets uint32    // of Stats, modulo 1<<32; the rest of the sum is there
	bytes   uint32
	budget  int32 // bytes that may be sent again
}

// Init makes s the sender of what cfg says. seq and rtxSeq are random; only their lower 15
// bits are used. Header extensions whose id another one has already, and a MID longer than
// a template takes, are left out: they come from the peer.
func (s *Stream) Init(cfg param.Subscribe, seq, rtxSeq uint16) {
	s.Close()
	*s = Stream{
		ssrc:     cfg.SSRC,
		rtx:      cfg.RTXSSRC != 0 && cfg.RTXType != 0,
		rtxSSRC:  cfg.RTXSSRC,
		rtxType:  cfg.RTXType & 0x7f,
		needsKey: cfg.Kind == param.Video && describes(cfg.Codec),
		waiting:  true,
		rtxSeq:   uint64(rtxSeq & maxFirst),
	}
	rate := cfg.ClockRate
	if rate == 0 {
		rate = 90000
	}
	ids := distinct(cfg.Extensions)
	if len(cfg.MID) > rtp.MaxMID {
		cfg.MID = ""
	}
	if err := s.header.Init(cfg.PayloadType, cfg.SSRC, &ids, cfg.MID); err != nil {
		panic("send: " + err.Error()) // the length of the MID has been checked
	}
	s.munger.init(rate, uint64(seq&maxFirst))
	s.reports.init()
}

// Borrow makes t what the stream takes its tables from; without it they come from the heap.
func (s *Stream) Borrow(t *Tables) { s.tables, s.munger.tables = t, t }

// Close gives back what the stream was lent, when nothing is to be sent any more. Without it
// that is lost to the other streams of its shard, and otherwise the collector's.
func (s *Stream) Close() {
	s.munger.stop()
	s.resends.end(s.tables)
}

// describes reports whether media/codec finds the key frames of c. The others start with
// whatever packet comes first.
func describes(c param.Codec) bool {
	switch c {
	case param.VP8, param.VP9, param.AV1, param.H264, param.H265:
		return true
	}
	return false
}

// distinct returns ids without those that repeat an earlier one.
func distinct(ids param.Extensions) param.Extensions {
	sent := [...]*uint8{&ids.TransportCC, &ids.AbsSendTime, &ids.MID, &ids.AudioLevel, &ids.VideoOrientation}
	for i, id := range sent {
		for _, other := range sent[:i] {
			if *other == *id {
				*id = 0
			}
		}
	}
	return ids
}

// Waiting reports whether the stream waits for a packet to start with: at the beginning,
// after Retarget, and after a loss too long to be repaired. While a video stream waits the
// caller asks for a key frame.
func (s *Stream) Waiting() bool { return s.waiting }

// Munge returns the numbers under which the packet m is sent, or false when it is not:
// before a key frame, as a duplicate, or too late. What it returns is never returned again.
func (s *Stream) Munge(m *packet.Meta) (Out, bool) {
	g := &s.munger
	if !s.waiting && m.Seq >= g.next && g.far(m.Seq) {
		s.stats.Restarts++
		s.waiting, s.same, s.wait = true, true, wait{}
	}
	// What is late from before the loss is no start, even if it begins a key frame.
	if s.waiting && !(s.same && m.Seq < g.next) {
		if !s.starts(m) {
			s.stats.Waiting++
			return Out{}, false
		}
		g.start(m, s.same)
		s.waiting = false
	}
	if m.Seq < g.next {
		out, ok := g.late(m)
		if !ok {
			s.stats.Refused++
		}
		return out, ok
	}
	if m.Flags&packet.FlagKeyFrame != 0 {
		s.requests.served = m.Arrival
	}
	return g.newest(m), true
}

// Skip notes that the packet m is not to be sent on, because it is a probe without payload
// or of a layer that is not wanted, and closes the gap that it would leave. It returns
// false when the gap is already shown to the viewer: the caller then calls Munge and sends
// the packet like any other, with no payload if it has none.
func (s *Stream) Skip(m *packet.Meta) bool {
	g := &s.munger
	if s.waiting || m.Seq >= g.next && g.far(m.Seq) {
		return true
	}
	if !g.skip(m.Seq) {
		return false
	}
	s.stats.Skipped++
	return true
}

// Retarget makes the next packets come from another source: another track, or another
// layer of it. Video goes on at its next key frame. Sequence numbers continue, timestamps
// go on by the time that has passed. The caller passes no packet of the old source after
// this; numbers of the old source are no longer resent.
func (s *Stream) Retarget() {
	s.munger.stop()
	s.waiting, s.same, s.wait = true, false, wait{}
}

// Interrupt makes the stream wait as after a loss too long to be repaired: the viewer was not
// sent packets that have their numbers already, because of what is between us and it. Video
// goes on at the next key frame, anything else with the next packet; numbers continue.
func (s *Stream) Interrupt() { s.waiting, s.same, s.wait = true, true, wait{} }

// Original returns which packet of the source the viewer knows by the sequence number seq;
// false when there is none within Window. The packet need not have been sent: it may have
// been lost on its way to us, and may be in the retransmission ring by now.
func (s *Stream) Original(seq uint16) (ext uint64, ok bool) {
	if s.munger.n == 0 {
		return 0, false
	}
	return s.munger.original(seq)
}

// Number returns the sequence number that the viewer was sent the source's packet ext under;
// false if it was not sent, or is behind Window.
func (s *Stream) Number(ext uint64) (seq uint16, ok bool) {
	g := &s.munger
	r, ok := g.find(ext)
	if !ok || !g.begun || ext >= g.next {
		return 0, false
	}
	index := ext + r.delta
	if index > g.head || g.head-index >= Window || index < g.first || g.free(index) {
		return 0, false
	}
	return uint16(index), true
}

// Next returns the source's number that follows the newest packet sent; 0: nothing was sent of it.
func (s *Stream) Next() uint64 {
	if s.munger.n == 0 {
		return 0
	}
	return s.munger.next
}

// Awaits reports whether the number seq is kept for a packet that has not come to Munge
// yet. If it is lost on its way to us, we are asking its publisher for it already, and
// Munge sends it when it comes: the viewer's asking needs no answer, least of all a key
// frame.
func (s *Stream) Awaits(seq uint16) bool {
	g := &s.munger
	_, ok := s.Original(seq)
	return ok && g.free(g.head-uint64(uint16(g.head)-seq))
}

// PutHeader writes the header of the packet m, numbered out, to dst, which must have room
// for MaxHeader, and returns its length. ntp is the wall clock at now, twcc the connection's
// next transport-wide sequence number. The payload follows it unchanged.
func (s *Stream) PutHeader(dst []byte, m *packet.Meta, out Out, now mono.Time, ntp uint64, twcc uint16) int {
	s.sentAt(now)
	v := values(m, ntp, twcc)
	v.Seq, v.Timestamp = uint16(out.Index), out.Timestamp
	return s.header.Put(dst, &v)
}

// TransportWide reports whether the headers that the stream writes have transport-wide sequence
// numbers.
func (s *Stream) TransportWide() bool { return s.header.Layout().TransportSeq != 0 }

// HeaderLen returns the length of every header that PutHeader writes, in bytes.
func (s *Stream) HeaderLen() int { return s.header.Len() }

// PutRTXHeader writes the header under which the packet m is sent again (RFC 4588 section
// 4). It returns the header's length and the index to seal under, which is never returned
// again. The caller appends the sequence number that the viewer knows m by, and the
// payload. Only for streams with RTX and packets that AllowResend has allowed.
func (s *Stream) PutRTXHeader(dst []byte, m *packet.Meta, now mono.Time, ntp uint64, twcc uint16) (headerLen int, index uint64) {
	if !s.rtx {
		panic("send: retransmission on a stream without RTX")
	}
	s.sentAt(now)
	index = s.rtxSeq
	s.rtxSeq++
	v := values(m, ntp, twcc)
	v.Seq = uint16(index)
	v.Timestamp = m.Timestamp
	if r, ok := s.munger.find(m.Seq); ok {
		v.Timestamp += r.ts
	}
	// But for these it is the header of the packet's own stream.
	headerLen = s.header.Put(dst, &v)
	dst[rtp.OffsetMarker] = dst[rtp.OffsetMarker]&0x80 | s.rtxType
	binary.BigEndian.PutUint32(dst[rtp.OffsetSSRC:], s.rtxSSRC)
	return headerLen, index
}

// PutPadding writes the header of a packet of nothing but padding on the RTX stream: a probe. It
// returns the header's length and the index to seal under, which is never returned again. The
// caller appends the padding, at least one byte. Only for streams with RTX.
func (s *Stream) PutPadding(dst []byte, now mono.Time, ntp uint64, twcc uint16) (headerLen int, index uint64) {
	m := packet.Meta{Timestamp: s.munger.lastTS - s.munger.ts, Seq: s.munger.from}
	headerLen, index = s.PutRTXHeader(dst, &m, now, ntp, twcc)
	rtp.SetPadded(dst)
	return headerLen, index
}

// Extra notes that a packet of size bytes was sent that nobody has asked for: a probe.
func (s *Stream) Extra(size int) { s.stats.ResentBytes += uint64(size) }

func values(m *packet.Meta, ntp uint64, twcc uint16) rtp.Values {
	return rtp.Values{
		Marker:              m.Flags&packet.FlagMarker != 0,
		AbsSendTime:         rtp.AbsSendTime(ntp),
		TransportSeq:        twcc,
		AudioLevel:          m.AudioLevel,
		VideoOrientation:    m.VideoOrientation,
		HasAudioLevel:       m.Flags&packet.FlagAudioLevel != 0,
		HasVideoOrientation: m.Flags&packet.FlagVideoOrientation != 0,
	}
}

// Sent notes that a packet numbered by Munge has been sealed and queued: its size in bytes
// as it goes to the socket, without RTP padding. Retransmissions are accounted for by AllowResend.
func (s *Stream) Sent(size int) {
	t := &s.traffic
	if t.packets++; t.packets == 0 {
		s.stats.Packets += 1 << 32
	}
	before := t.bytes
	if t.bytes += uint32(size); t.bytes < before {
		s.stats.Bytes += 1 << 32
	}
	t.budget = min(t.budget+int32(size/resendShare), resendBurst)
}

// sentAt notes that a packet leaves now.
func (s *Stream) sentAt(now mono.Time) {
	if s.traffic.lastAt == mono.Never {
		s.reports.firstAt = now
	}
	s.traffic.lastAt = now
}

// Stats returns the counters.
func (s *Stream) Stats() Stats {
	n := s.stats
	n.Packets += uint64(s.traffic.packets)
	n.Bytes += uint64(s.traffic.bytes)
	return n
}
