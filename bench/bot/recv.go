package bot

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"tsubame/media/param"
)

const (
	windowSize   = 2048 // packets between the oldest one waited for and the newest
	nackInterval = 40 * time.Millisecond
	nackTries    = 10
	giveUp       = 500 * time.Millisecond // after which a gap ends the picture
	pliInterval  = 500 * time.Millisecond
)

// slot remembers one packet of the window.
type slot struct {
	seq                         uint64 // extended; 0: empty
	start, key, marker, present bool
	since                       time.Time // when it was found missing
	asked                       time.Time
	tries                       int
}

// receiver is one stream that the server sends. The bot's lock guards it.
type receiver struct {
	kind       param.Kind
	clock      float64
	rtxSSRC    uint32
	formats    []format
	nack, pli  bool
	reduced    bool
	transport  uint8 // id of the transport-wide number's extension; 0: none
	started    bool
	highest    uint64 // extended sequence number; starts at 1<<16 plus the first one
	first      uint64
	next       uint64 // the next packet to be put into a picture
	window     []slot
	decoding   bool // the picture is whole up to next
	armed      bool // the pacer knows that feedback is due
	missing    int  // slots between next and highest without a packet
	lastPLI    time.Time
	transit    float64 // RFC 3550 appendix A.8
	jitter     float64
	arrived    time.Time // of the last packet
	lastSR     uint32
	lastSRAt   time.Time
	expectedAt uint64 // values at the last report
	receivedAt uint64
	offset     uint64   // counter of the source minus sequence number
	heard      *hearing // of redundant audio; nil: none was negotiated
	stats      ReceiveStats
}

// ReceiveStats count what one stream brought.
type ReceiveStats struct {
	Kind          param.Kind
	Codec         param.Codec // by the payload type of the last packet
	SSRC          uint32
	MID           string
	Stream, Track string // of a=msid
	Active        bool   // in the last offer
	Source        uint32 // SSRC under which the sending bot sent it; the last one seen

	Packets    uint64 // the first copy of each
	Duplicates uint64
	Recovered  uint64 // packets that came by RTX alone
	RTXPackets uint64 // packets on the RTX stream, whatever they brought
	Bytes      uint64 // of payload
	Lost       uint64 // packets of the range that never came
	Late       uint64 // packets older than the window
	Verified   uint64 // payloads that are what a bot sent
	BadPayload uint64 // payloads that are not
	WrongType  uint64 // packets of a payload type that was not negotiated; not in Packets
	Shifts     uint64 // changes of sequence number against the source's counter
	Padding    uint64 // packets of nothing but padding
	RED        uint64 // packets of redundant audio
	FromRED    uint64 // payloads that came as copies in them first; not in Packets
	Unheard    uint64 // of audio with redundancy: payloads that came in no way

	Frames     uint64 // whole pictures in a whole sequence from a key frame on; audio: packets
	KeyFrames  uint64 // of them
	FirstFrame time.Time
	LastFrame  time.Time
	MaxFreeze  time.Duration // the longest time between two of them

	Latency Latency // from the sending bot's pacer to here

	NACKs, PLIs   uint64 // sent: sequence numbers, requests
	SenderReports uint64
	Jitter        time.Duration
}

// Latency sums delays of packets.
type Latency struct {
	Count    uint64
	Sum, Max time.Duration
	// Buckets count delays by powers of two: bucket i has those below 2^i microseconds
	// that no lower one has.
	Buckets [24]uint64
}

func (l *Latency) add(d time.Duration) {
	d = max(d, 0)
	l.Count++
	l.Sum += d
	l.Max = max(l.Max, d)
	i := 0
	for us := d.Microseconds(); us > 0 && i < len(l.Buckets)-1; us >>= 1 {
		i++
	}
	l.Buckets[i]++
}

// Quantile returns an upper bound of the q-quantile, a power of two of microseconds.
func (l *Latency) Quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(l.Count)), uint64(0)
	for i, n := range l.Buckets {
		if seen += n; seen > rank || seen == l.Count {
			return time.Microsecond << i
		}
	}
	return l.Max
}

// newReceiver makes the receiver of a section's stream.
func newReceiver(s *section) *receiver {
	r := &receiver{kind: s.kind, clock: 48000}
	if s.kind == param.Video {
		r.clock = 90000
		r.window = make([]slot, windowSize)
	}
	r.describe(s)
	return r
}

// describe takes what an offer says about the stream.
func (r *receiver) describe(s *section) {
	r.formats, r.rtxSSRC, r.reduced = s.codecs, s.rtxSSRC, s.reduced
	r.nack = slices.ContainsFunc(s.codecs, func(f format) bool { return f.has("nack") })
	r.pli = slices.ContainsFunc(s.codecs, func(f format) bool { return f.has("nack pli") })
	r.transport = s.extensions[uriTransportCC]
	if r.heard == nil && slices.ContainsFunc(s.codecs, func(f format) bool { return f.red != 0 }) {
		r.heard = new(hearing)
	}
	r.stats.Kind, r.stats.SSRC, r.stats.MID = s.kind, s.ssrc, s.mid
	r.stats.Stream, r.stats.Track, r.stats.Active = s.stream, s.track, true
}

// codecOf returns what a payload type says that a packet is; 0: it was not negotiated.
func (r *receiver) codecOf(pt uint8, rtx bool) param.Codec {
	for i := range r.formats {
		if f := &r.formats[i]; rtx && f.rtx != 0 && f.rtx == pt || !rtx && f.pt == pt {
			return f.codec
		}
	}
	return 0
}

// redFormat returns the format that redundant audio of a payload type has copies of; nil: it is
// none.
func (r *receiver) redFormat(pt uint8) *format {
	for i := range r.formats {
		if f := &r.formats[i]; f.red != 0 && f.red == pt {
			return f
		}
	}
	return nil
}

// arrival is one packet.
type arrival struct {
	now       time.Time
	codec     param.Codec
	seq       uint16
	timestamp uint32
	marker    bool
	rtx       bool // it came on the RTX stream
	payload   []byte
}

// extend returns the extended sequence number.
func (r *receiver) extend(seq uint16) uint64 {
	if !r.started {
		r.started = true
		r.first = 1<<16 + uint64(seq)
		r.highest, r.next = r.first-1, r.first
	}
	return uint64(int64(r.highest) + int64(int16(seq-uint16(r.highest))))
}

// packet takes a packet, decrypted, and of the RTX stream unpacked.
func (r *receiver) packet(a arrival) {
	ext := r.extend(a.seq)
	if r.kind == param.Audio {
		r.audio(a, ext)
		return
	}
	if ext+windowSize <= r.highest || ext < r.next {
		// Either given up, or here already and shown.
		if r.wasHere(ext) {
			r.stats.Duplicates++
		} else {
			r.stats.Late++
		}
		return
	}
	for ext >= r.next+windowSize {
		r.skip(a.now)
	}
	r.advance(a.now, ext)
	s := &r.window[ext%windowSize]
	if s.present && s.seq == ext {
		r.stats.Duplicates++
		return
	}
	r.missing--
	*s = slot{seq: ext, present: true, marker: a.marker}
	if v, ok := r.content(a, ext); ok {
		s.start, s.key = v.Start, v.Start && v.Key
	}
	r.play(a.now)
}

// wasHere reports whether a packet behind the window's start is remembered as received.
func (r *receiver) wasHere(ext uint64) bool {
	s := &r.window[ext%windowSize]
	return s.seq == ext && s.present
}

// advance opens slots up to ext.
func (r *receiver) advance(now time.Time, ext uint64) {
	for r.highest < ext {
		r.highest++
		r.window[r.highest%windowSize] = slot{seq: r.highest, since: now}
		r.missing++
	}
}

// content counts a packet and checks what is in it.
func (r *receiver) content(a arrival, ext uint64) (v videoShape, ok bool) {
	r.count(a)
	if len(a.payload) == 0 {
		r.stats.Padding++
		return v, false
	}
	v, s, ok := readVideo(a.codec, a.payload)
	r.verify(a.now, ext, s, ok)
	return v, ok
}

// count counts the first copy of a packet.
func (r *receiver) count(a arrival) {
	r.stats.Packets++
	r.stats.Codec = a.codec
	r.stats.Bytes += uint64(len(a.payload))
	if a.rtx {
		r.stats.Recovered++
		return // late by design
	}
	transit := float64(a.now.UnixNano())/1e9*r.clock - float64(a.timestamp)
	if !r.arrived.IsZero() {
		d := transit - r.transit
		if d < 0 {
			d = -d
		}
		if d < r.clock { // not a jump of the timestamp
			r.jitter += (d - r.jitter) / 16
		}
	}
	r.transit, r.arrived = transit, a.now
}

// verify compares a stamp with those before it.
func (r *receiver) verify(now time.Time, ext uint64, s stamp, ok bool) {
	if !ok {
		r.stats.BadPayload++
		return
	}
	r.stats.Verified++
	r.stats.Latency.add(s.latency(now))
	if offset := s.counter - ext; r.stats.Source != s.source || offset != r.offset {
		if r.stats.Verified > 1 {
			r.stats.Shifts++
		}
		r.stats.Source, r.offset = s.source, offset
	}
}

// audio takes an Opus packet; each is a frame of its own.
func (r *receiver) audio(a arrival, ext uint64) {
	r.highest = max(r.highest, ext)
	r.count(a)
	if len(a.payload) == 0 {
		r.stats.Padding++
		return
	}
	s, ok := readOpus(a.payload)
	r.verify(a.now, ext, s, ok)
	switch {
	case !ok:
	case r.hears(s):
		r.frame(a.now, false)
	default:
		r.stats.Duplicates++
	}
}

// play moves next over what is there.
func (r *receiver) play(now time.Time) {
	for r.next <= r.highest {
		s := &r.window[r.next%windowSize]
		if !s.present {
			return
		}
		if s.key {
			r.decoding = true
			r.stats.KeyFrames++
		}
		if s.marker && r.decoding {
			r.frame(now, true)
		}
		r.next++
	}
}

// frame counts a whole frame.
func (r *receiver) frame(now time.Time, video bool) {
	r.stats.Frames++
	if r.stats.FirstFrame.IsZero() {
		r.stats.FirstFrame = now
	} else {
		r.stats.MaxFreeze = max(r.stats.MaxFreeze, now.Sub(r.stats.LastFrame))
	}
	r.stats.LastFrame = now
}

// skip gives up the packet that the picture waits for.
func (r *receiver) skip(now time.Time) {
	if r.next > r.highest {
		r.advance(now, r.next)
	}
	s := &r.window[r.next%windowSize]
	if !s.present {
		r.missing--
		r.stats.Lost++
		r.decoding = false
		r.next++
	}
	r.play(now)
}

// needs reports whether there is something to ask the server for.
func (r *receiver) needs() bool {
	return r.kind == param.Video && r.started && (r.missing > 0 || !r.decoding)
}

// feedback returns the NACK and PLI that are due, and when it wants to be asked again.
func (r *receiver) feedback(now time.Time, us uint32) (out []rtcp.Packet, next time.Time) {
	next = now.Add(time.Second)
	if r.kind != param.Video || !r.started {
		return nil, next
	}
	var lost []uint16
	for r.missing > 0 && r.next <= r.highest {
		if s := &r.window[r.next%windowSize]; s.present || now.Sub(s.since) < giveUp {
			break
		}
		r.skip(now)
	}
	if r.missing > 0 {
		next = now.Add(nackInterval / 2)
		lost = r.due(now)
	}
	if len(lost) > 0 && r.nack {
		r.stats.NACKs += uint64(len(lost))
		out = append(out, &rtcp.TransportLayerNack{
			SenderSSRC: us, MediaSSRC: r.stats.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(lost),
		})
	}
	if !r.decoding && r.pli {
		if now.Sub(r.lastPLI) >= pliInterval {
			r.lastPLI = now
			r.stats.PLIs++
			out = append(out, &rtcp.PictureLossIndication{SenderSSRC: us, MediaSSRC: r.stats.SSRC})
		}
		next = earlier(next, r.lastPLI.Add(pliInterval))
	}
	r.armed = r.needs()
	return out, next
}

// due collects the missing packets to ask for now.
func (r *receiver) due(now time.Time) (lost []uint16) {
	for ext := r.next; ext <= r.highest && len(lost) < 200; ext++ {
		s := &r.window[ext%windowSize]
		if s.present || s.tries >= nackTries || now.Sub(s.asked) < nackInterval {
			continue
		}
		s.asked = now
		s.tries++
		lost = append(lost, uint16(ext))
	}
	return lost
}

// senderReport takes the server's clock.
func (r *receiver) senderReport(now time.Time, sr *rtcp.SenderReport) {
	r.stats.SenderReports++
	r.lastSR, r.lastSRAt = uint32(sr.NTPTime>>16), now
}

// report returns the report block of this stream (RFC 3550 section 6.4.1).
func (r *receiver) report(now time.Time) rtcp.ReceptionReport {
	expected := r.highest - r.first + 1
	received := r.stats.Packets
	b := rtcp.ReceptionReport{
		SSRC: r.stats.SSRC, LastSequenceNumber: uint32(r.highest - 1<<16),
		Jitter: uint32(r.jitter), LastSenderReport: r.lastSR,
	}
	if expected > received {
		b.TotalLost = uint32(min(expected-received, 0x7fffff))
	}
	de, dr := expected-r.expectedAt, received-r.receivedAt
	if de > dr {
		b.FractionLost = uint8(min(255, (de-dr)*256/de))
	}
	r.expectedAt, r.receivedAt = expected, received
	if !r.lastSRAt.IsZero() {
		b.Delay = uint32(now.Sub(r.lastSRAt) << 16 / time.Second)
	}
	return b
}

// snapshot returns the counters.
func (r *receiver) snapshot() ReceiveStats {
	s := r.stats
	s.Jitter = time.Duration(r.jitter / r.clock * float64(time.Second))
	if r.kind == param.Audio && r.started {
		if expected := r.highest - r.first + 1; expected > s.Packets {
			s.Lost = expected - s.Packets
		}
		if r.heard != nil {
			s.Unheard = r.heard.unheard()
		}
	}
	return s
}
