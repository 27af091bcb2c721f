package edge

import (
	"encoding/binary"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
)

// A packet of the simulation says what it is, behind a VP8 descriptor or an Opus TOC of the same
// length: source (2), restart of its encoder (1), flags (1), frame (4), place in it (1), number of
// the packet in all (4), timestamp (4). What follows can be told from that.
const (
	simHead  = 22
	simKey   = 1
	simLast  = 2
	simQuiet = 4 // of audio: nobody speaks
)

const (
	simHistory  = 1024        // packets that a publisher keeps,
	simKeep     = time.Second // and for how long
	simKeySpace = 100 * time.Millisecond
)

// simSent is what a publisher remembers of a packet.
type simSent struct {
	seq    uint16
	used   bool
	at     mono.Time
	ts     uint32
	frame  uint32
	number uint32
	size   uint16
	place  uint8
	flags  uint8
	pad    bool
	again  mono.Time
}

// simSource is one published track.
type simSource struct {
	p       *simPeer
	kind    param.Kind
	id      uint16
	spec    param.Publish
	track   param.TrackID
	born    mono.Time
	running bool // media flows, or would if not paused
	paused  bool
	stopped bool

	// Of the present encoder:
	epoch     uint8
	ssrc, rtx uint32
	header    rtp.Template
	again     rtp.Template
	seq, rseq uint16
	ts0       uint32
	base      mono.Time
	restarted mono.Time

	frame   uint32
	number  uint32
	wantKey bool
	keyAt   mono.Time
	fir     uint8
	firSeen bool
	asked   int       // key frames asked for
	askedAt mono.Time // last
	nackAt  mono.Time // when anything was asked for again last
	history [simHistory]simSent
	packets uint32
	octets  uint32
	quiet   bool // nobody speaks

	measured []uint32 // the packets of a plan that measures
}

func newSimSource(p *simPeer, kind param.Kind) *simSource {
	s := p.s
	s.ssrcs += 10
	src := &simSource{p: p, kind: kind, id: uint16(s.ssrcs / 10), epoch: 255, number: 1, born: s.now}
	src.spec = videoIn
	src.spec.Feedback.TransportCC = p.spec.TWCC
	if !p.spec.TWCC {
		src.spec.Feedback.REMB = true
	}
	src.spec.Feedback.FIR = true
	if kind == param.Audio {
		src.spec = audioIn
		if p.spec.RED {
			src.spec.REDType = simRED
		}
	}
	src.spec.Extensions = simExtensions
	if !p.spec.TWCC {
		src.spec.Extensions.TransportCC = 0
	}
	src.restart()
	src.spec.SSRC, src.spec.RTXSSRC = src.ssrc, src.rtx
	if s.chance(0.5) {
		src.spec.SSRC, src.spec.RTXSSRC = 0, 0
	}
	id, err := p.c.Publish(src.spec)
	if err != nil {
		s.tb.Fatal(err)
	}
	src.track = id
	return src
}

// restart begins anew under another SSRC, with numbers of a new beginning.
func (src *simSource) restart() {
	s := src.p.s
	s.ssrcs += 10
	src.epoch++
	src.ssrc, src.rtx = s.ssrcs, 0
	// As browsers do: should the first packets be lost, the wrap must not be among them, which
	// nobody could know of (RFC 3711 section 3.3.1). Where they will not be, it may be near.
	src.seq, src.rseq, src.ts0 = uint16(s.rnd.Uint32N(1<<15)), uint16(s.rnd.Uint32N(1<<15)), s.rnd.Uint32()
	if s.chance(0.3) && !s.plan.darkens() {
		src.seq = 65535 - 60 - uint16(s.rnd.IntN(100))
	}
	src.base, src.restarted = mono.Time(src.p.wall()), s.now
	src.wantKey, src.firSeen = true, false
	src.history = [simHistory]simSent{}
	ids := src.spec.Extensions
	ids.VideoOrientation = 0
	if err := src.header.Init(src.spec.PayloadType, src.ssrc, &ids, src.spec.MID); err != nil {
		s.tb.Fatal(err)
	}
	if src.kind == param.Video {
		src.rtx = s.ssrcs + 1
		ids.AudioLevel = 0
		if err := src.again.Init(src.spec.RTXType, src.rtx, &ids, src.spec.MID); err != nil {
			s.tb.Fatal(err)
		}
	}
}

// start begins to send, once there is a path.
func (src *simSource) start() {
	if src.running {
		return
	}
	src.running = true
	if src.kind == param.Video {
		src.p.s.after(src.p.s.between(0, 30*time.Millisecond), src.video)
	} else {
		src.p.s.after(src.p.s.between(0, 20*time.Millisecond), src.audio)
	}
}

func (src *simSource) clock() uint32 {
	elapsed := src.p.wall() - uint64(src.base)
	if src.kind == param.Audio {
		elapsed = drifted(elapsed, src.p.spec.AudioDrift)
	}
	return src.ts0 + uint32(elapsed*uint64(src.spec.ClockRate)/uint64(time.Second))
}

func (src *simSource) keyFrameAsked() {
	src.asked++
	src.askedAt = src.p.s.now
	src.p.s.stats.keyAsked++
	src.wantKey = true
}

// video sends one frame and plans the next.
func (src *simSource) video() {
	p, s := src.p, src.p.s
	if p.left || src.stopped {
		return
	}
	interval := time.Second / time.Duration(p.spec.FPS)
	s.after(interval+s.between(-interval/8, interval/8), src.video)
	if src.paused {
		return
	}
	flags, n := uint8(0), 1+s.rnd.IntN(3)
	if src.wantKey && (src.keyAt == mono.Never || s.now.Sub(src.keyAt) >= simKeySpace) {
		src.wantKey, src.keyAt = false, s.now
		flags, n = simKey, 3+s.rnd.IntN(5)
		if p.spec.Size > 500 {
			n *= 4
		}
	}
	src.frame++
	s.stats.sent++
	ts := src.clock()
	size := simHead + p.spec.Size/2 + s.rnd.IntN(p.spec.Size)
	for i := range n {
		if i == n-1 {
			flags |= simLast
			size = simHead + s.rnd.IntN(size-simHead+1)
		}
		src.emit(simSent{ts: ts, frame: src.frame, size: uint16(size), place: uint8(i), flags: flags})
	}
	if s.chance(0.03) { // probes for bandwidth: on this stream, or on its other one
		for range 1 + s.rnd.IntN(3) {
			// libwebrtc's go by the other one where there is one: what is lost of this one nobody
			// can repeat.
			src.probe(ts, s.plan.measure > 0 || s.chance(0.8))
		}
	}
}

// audio sends one packet and plans the next.
func (src *simSource) audio() {
	p, s := src.p, src.p.s
	if p.left || src.stopped {
		return
	}
	if p.spec.DTX && s.chance(0.02) {
		src.quiet = !src.quiet
	}
	wait := p.spec.Ptime
	flags := uint8(simLast)
	if src.quiet {
		wait, flags = 400*time.Millisecond, simLast|simQuiet
	}
	s.after(wait, src.audio)
	if src.paused {
		return
	}
	src.frame++
	src.emit(simSent{ts: src.clock(), frame: src.frame, size: uint16(simHead + s.rnd.IntN(60)), flags: flags})
}

// emit numbers a packet, keeps it and sends it.
func (src *simSource) emit(e simSent) {
	e.seq, e.number, e.at, e.used = src.seq, src.number, src.p.s.now, true
	src.seq++
	if !e.pad {
		if src.kind == param.Video && src.p.s.plan.measures(src.p.s.now.Sub(src.p.s.begun)) {
			src.measured = append(src.measured, e.number)
		}
		src.number++
		src.packets++
		src.octets += uint32(e.size)
	}
	src.history[e.seq%simHistory] = e
	p := src.p
	if !p.up2 || p.s.now < p.up.dark && !p.key.Via.IsStream() {
		p.twccOut++
		return // nobody would ever see it
	}
	h := src.header.Put(p.scratch[:], src.values(&e, e.seq))
	if e.pad {
		rtp.SetPadded(p.scratch[:])
		p.toServer(p.seal(p.scratch[:], h, simPadding[256-int(e.size):]))
		return
	}
	if src.spec.REDType != 0 {
		p.scratch[1] = p.scratch[1]&0x80 | simRED
		p.toServer(p.seal(p.scratch[:], h, src.redundant(p.scratch[h:h], &e)))
		return
	}
	p.toServer(p.seal(p.scratch[:], h, src.payload(p.scratch[h:h], &e)))
}

// simRED is the payload type of redundant audio.
const simRED = 63

// redundant appends a payload of RFC 2198: what the packet before carried, and what this one does.
func (src *simSource) redundant(dst []byte, e *simSent) []byte {
	before := src.history[(e.seq-1)%simHistory]
	offset := e.ts - before.ts
	with := before.used && before.seq == e.seq-1 && !before.pad && offset < 1<<14
	if with {
		dst = binary.BigEndian.AppendUint32(dst, 1<<31|uint32(src.spec.PayloadType)<<24|offset<<10|uint32(before.size))
	}
	dst = append(dst, src.spec.PayloadType)
	if with {
		dst = src.payload(dst, &before)
	}
	return src.payload(dst, e)
}

func (src *simSource) values(e *simSent, seq uint16) *rtp.Values {
	p := src.p
	p.twccOut++
	return &rtp.Values{
		Marker: src.kind == param.Video && e.flags&simLast != 0, Seq: seq, Timestamp: e.ts, TransportSeq: p.twccOut - 1,
		AudioLevel: 30, HasAudioLevel: src.kind == param.Audio,
	}
}

// simPadding ends in its own length, whatever it is cut to in front.
var simPadding = [256]byte{255: 64}

// probe sends padding and nothing else.
func (src *simSource) probe(ts uint32, other bool) {
	p := src.p
	if !other || src.rtx == 0 {
		src.emit(simSent{ts: ts, size: 64, pad: true})
		return
	}
	if !p.up2 {
		return
	}
	e := simSent{ts: ts}
	h := src.again.Put(p.scratch[:], src.values(&e, src.rseq))
	src.rseq++
	rtp.SetPadded(p.scratch[:])
	p.toServer(p.seal(p.scratch[:], h, simPadding[192:]))
}

// payload appends what a packet carries.
func (src *simSource) payload(dst []byte, e *simSent) []byte {
	return simPayload(dst, src.kind, src.id, src.epoch, e)
}

func simPayload(dst []byte, kind param.Kind, id uint16, epoch uint8, e *simSent) []byte {
	begin := len(dst)
	if kind == param.Video {
		first, header := byte(0x80), byte(1)
		if e.place == 0 {
			first |= 0x10
			if e.flags&simKey != 0 {
				header = 0
			}
		}
		dst = append(dst, first, 0x80, 0x80|byte(e.frame>>8), byte(e.frame), header)
	} else {
		dst = append(dst, 0x78, 0, 0, 0, 0)
	}
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = append(dst, epoch, e.flags)
	dst = binary.BigEndian.AppendUint32(dst, e.frame)
	dst = append(dst, e.place)
	dst = binary.BigEndian.AppendUint32(dst, e.number)
	dst = binary.BigEndian.AppendUint32(dst, e.ts)
	for i := len(dst) - begin; i < int(e.size); i++ {
		dst = append(dst, byte(e.number)+byte(i))
	}
	return dst
}

// resend answers one number of a NACK.
func (src *simSource) resend(seq uint16) {
	p, s := src.p, src.p.s
	src.nackAt = s.now
	e := &src.history[seq%simHistory]
	if !e.used || e.pad || e.seq != seq || s.now.Sub(e.at) > max(simKeep, 3*(p.up.Delay+p.down.Delay)) || src.rtx == 0 {
		return
	}
	if e.again != 0 && s.now.Sub(e.again) < 5*time.Millisecond {
		return
	}
	e.again = s.now
	h := src.again.Put(p.scratch[:], src.values(e, src.rseq))
	src.rseq++
	body := src.payload(rtx.AppendPayload(p.scratch[h:h], seq, nil), e)
	p.toServer(p.seal(p.scratch[:], h, body))
}

// appendReport appends a sender report.
func (src *simSource) appendReport(b []byte) []byte {
	if src.packets == 0 || src.paused {
		return b
	}
	wall := src.p.wall()
	return rtcp.AppendSR(b, rtcp.SR{
		SSRC: src.ssrc, NTP: (3_900_000_000+wall/1e9)<<32 | wall%1e9<<32/1e9, RTPTime: src.clock(),
		Packets: src.packets, Octets: src.octets,
	}, nil)
}
