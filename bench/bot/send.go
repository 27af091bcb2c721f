package bot

import (
	"encoding/binary"
	mathrand "math/rand/v2"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"tsubame/bench/source/shape"
	"tsubame/media/param"
)

const (
	audioInterval  = 20 * time.Millisecond
	audioPayload   = 90   // bytes
	maxPayload     = 1100 // of a video packet
	cacheSize      = 1024 // sent video packets kept for retransmission
	reportInterval = time.Second
	maxBehind      = 200 * time.Millisecond // a pacer further behind than this skips
)

// sender is one track that a bot sends. The bot's lock guards it.
type sender struct {
	kind          param.Kind
	format        format // what it sends
	ssrc, rtxSSRC uint32
	clock         uint32
	mid           string
	extensions    map[string]uint8
	nack          bool

	interval  time.Duration // between frames
	frameSize int           // bytes of a delta frame
	next      time.Time     // of the next frame
	started   time.Time
	timestamp uint32 // of the first frame

	seq, rtxSeq uint16
	pictureID   uint16
	tl0         uint8
	counter     uint64
	red         redundancy
	wantKey     bool
	paused      bool
	cache       [][]byte // ring of plain packets by sequence number; video only

	nextReport time.Time
	stats      SendStats
}

// SendStats count what one track sent.
type SendStats struct {
	Kind         param.Kind
	Codec        param.Codec
	SSRC         uint32
	MID          string
	Packets      uint64
	Bytes        uint64 // of payload
	Frames       uint64
	KeyFrames    uint64
	PLI, FIR     uint64 // requests that came
	NACKs        uint64 // sequence numbers asked for
	Resent       uint64
	NotInCache   uint64
	TransportCC  uint64 // feedback packets about anything that this bot sends
	REMB         uint64 // bits per second, the last one
	FractionLost uint8  // of the last report about this track
	TotalLost    uint32
	RTT          time.Duration // by the last report; 0: none yet
}

// newSender makes the sender of a section, in one of its formats.
func newSender(s *section, f *format, bitrate, fps int) *sender {
	t := &sender{
		kind: s.kind, format: *f, ssrc: mathrand.Uint32()>>1 | 1, clock: 48000,
		mid: s.mid, extensions: s.extensions, nack: f.has("nack"),
		interval: audioInterval, frameSize: audioPayload,
		timestamp: mathrand.Uint32(), seq: uint16(mathrand.Uint32()), rtxSeq: uint16(mathrand.Uint32()),
		pictureID: uint16(mathrand.Uint32()) & 0x7fff, tl0: uint8(mathrand.Uint32()),
		wantKey: true,
	}
	if s.kind == param.Video {
		t.clock = 90000
		t.interval = time.Second / time.Duration(fps)
		t.frameSize = max(minVideoPayload, bitrate/8/fps)
		t.cache = make([][]byte, cacheSize)
		if f.rtx != 0 {
			t.rtxSSRC = t.ssrc + 1
		}
	}
	t.stats = SendStats{Kind: t.kind, Codec: f.codec, SSRC: t.ssrc, MID: t.mid}
	return t
}

// outgoing is where packets of a bot go.
type outgoing struct {
	now          time.Time
	transportSeq uint16              // next transport-wide number, shared by all tracks
	rtp          func(packet []byte) // takes a plain packet and does not keep it
}

// poll sends the frames that are due and returns when the next one is.
func (t *sender) poll(now time.Time, out *outgoing) time.Time {
	if t.paused {
		return now.Add(time.Hour)
	}
	if t.started.IsZero() {
		t.started, t.next, t.nextReport = now, now, now.Add(reportInterval/2)
	}
	if now.Sub(t.next) > maxBehind {
		t.next = now
	}
	for !now.Before(t.next) {
		t.frame(t.next, out)
		t.next = t.next.Add(t.interval)
	}
	return t.next
}

// rtpTime is the RTP timestamp of an instant.
func (t *sender) rtpTime(at time.Time) uint32 {
	return t.timestamp + uint32(at.Sub(t.started).Seconds()*float64(t.clock))
}

// frame sends one frame: all its packets at once, of equal size or differing by one byte.
func (t *sender) frame(at time.Time, out *outgoing) {
	t.stats.Frames++
	ts := t.rtpTime(at)
	if t.kind == param.Audio {
		payload := make([]byte, t.frameSize)
		putOpus(payload, t.stamp(out.now))
		if t.red.levels > 0 && t.format.red != 0 {
			payload = t.red.wrap(t.format.pt, ts, payload)
		}
		t.packet(payload, ts, t.counter == 1, out)
		return
	}
	size, key := t.frameSize, t.wantKey
	if key {
		t.wantKey = false
		t.stats.KeyFrames++
		size *= 3
	}
	t.pictureID = (t.pictureID + 1) & 0x7fff
	t.tl0++
	n := (size + maxPayload - 1) / maxPayload
	for i := range n {
		length := size/n + min(1, max(0, size%n-i))
		payload := make([]byte, max(minVideoPayload, length))
		v := videoShape{shape.Video{Start: i == 0, Second: i == 1, End: i == n-1, Key: key, PictureID: t.pictureID, TL0: t.tl0}}
		putVideo(t.format.codec, payload, v, t.stamp(out.now))
		t.packet(payload, ts, i == n-1, out)
	}
}

// stamp makes the next packet's.
func (t *sender) stamp(now time.Time) stamp {
	t.counter++
	return stamp{source: t.ssrc, counter: t.counter, sent: now.UnixNano()}
}

// payloadType is that of what the track sends.
func (t *sender) payloadType() uint8 {
	if t.red.levels > 0 && t.format.red != 0 {
		return t.format.red
	}
	return t.format.pt
}

// packet sends a payload.
func (t *sender) packet(payload []byte, ts uint32, marker bool, out *outgoing) {
	h := rtp.Header{
		Version: 2, PayloadType: t.payloadType(), Marker: marker,
		SequenceNumber: t.seq, Timestamp: ts, SSRC: t.ssrc,
	}
	t.seq++
	t.stats.Packets++
	t.stats.Bytes += uint64(len(payload))
	if b := t.marshal(&h, payload, out); b != nil && t.cache != nil {
		t.cache[h.SequenceNumber%cacheSize] = b
	}
}

// marshal adds the extensions, sends the packet and returns it.
func (t *sender) marshal(h *rtp.Header, payload []byte, out *outgoing) []byte {
	extend := func(uri string, b []byte) {
		if id, ok := t.extensions[uri]; ok {
			_ = h.SetExtension(id, b) // ids are 1 to 14, lengths under 16: it cannot fail
		}
	}
	extend(uriMID, []byte(t.mid))
	// abs-send-time: 24 bits, 6.18 fixed point seconds.
	abs := uint32(uint64(out.now.UnixNano())%64_000_000_000*(1<<18)/1_000_000_000) & 0xffffff
	extend(uriAbsSendTime, []byte{byte(abs >> 16), byte(abs >> 8), byte(abs)})
	if t.kind == param.Audio {
		extend(uriAudioLevel, []byte{0x80 | 30}) // voice, -30 dBov
	}
	if _, ok := t.extensions[uriTransportCC]; ok {
		extend(uriTransportCC, binary.BigEndian.AppendUint16(nil, out.transportSeq))
		out.transportSeq++
	}
	p := rtp.Packet{Header: *h, Payload: payload}
	b, err := p.Marshal()
	if err != nil {
		return nil
	}
	out.rtp(b)
	return b
}

// resend answers a NACK for one packet.
func (t *sender) resend(seq uint16, out *outgoing) {
	t.stats.NACKs++
	if t.cache == nil {
		t.stats.NotInCache++
		return
	}
	b := t.cache[seq%cacheSize]
	var h rtp.Header
	n, err := h.Unmarshal(b)
	if b == nil || err != nil || h.SequenceNumber != seq {
		t.stats.NotInCache++
		return
	}
	t.stats.Resent++
	if t.rtxSSRC == 0 {
		// The very bytes again, so that the cipher makes the very packet again.
		out.rtp(b)
		return
	}
	// RFC 4588 section 4: the original sequence number goes before the payload.
	payload := append(binary.BigEndian.AppendUint16(nil, seq), b[n:]...)
	rtx := rtp.Header{
		Version: 2, PayloadType: t.format.rtx, Marker: h.Marker,
		SequenceNumber: t.rtxSeq, Timestamp: h.Timestamp, SSRC: t.rtxSSRC,
	}
	t.rtxSeq++
	t.marshal(&rtx, payload, out)
}

// report returns a sender report if one is due.
func (t *sender) report(now time.Time) []rtcp.Packet {
	if t.started.IsZero() || now.Before(t.nextReport) {
		return nil
	}
	t.nextReport = now.Add(reportInterval)
	return []rtcp.Packet{&rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: ntp(now), RTPTime: t.rtpTime(now),
		PacketCount: uint32(t.stats.Packets), OctetCount: uint32(t.stats.Bytes),
	}}
}

// reported takes a report about this track.
func (t *sender) reported(now time.Time, r rtcp.ReceptionReport) {
	t.stats.FractionLost, t.stats.TotalLost = r.FractionLost, r.TotalLost
	if r.LastSenderReport == 0 {
		return
	}
	// RFC 3550 section 6.4.1, in units of 1/65536 s.
	ticks := uint32(ntp(now)>>16) - r.LastSenderReport - r.Delay
	if ticks < 1<<31 {
		t.stats.RTT = time.Duration(ticks) * time.Second >> 16
	}
}

// ntp is the 64-bit NTP timestamp of an instant.
func ntp(at time.Time) uint64 {
	const toUnix = 2_208_988_800
	seconds := uint64(at.Unix()) + toUnix
	return seconds<<32 | uint64(at.Nanosecond())<<32/1_000_000_000
}
