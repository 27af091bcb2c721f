package load

import (
	"encoding/binary"
	"time"

	"tsubame/bench/impair"
	benchpeer "tsubame/bench/peer"
	"tsubame/media/param"
	"tsubame/media/recv"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio/flow"
	"tsubame/netio/mono"
)

// Bounds and schedules of one peer.
const (
	maxEarly       = 64                     // datagrams kept that came before the keys
	joinTimeout    = 30 * time.Second       // from the connect message to the end of the handshake
	reportInterval = 750 * time.Millisecond // a report on all streams; Chromium sends 1.35 a second, of a stream each
	maxPast        = 256                    // streams whose numbers are remembered; all are forgotten there
	// A Chromium 156 that only views 300 kbit/s of video and 50 packets/s of audio sends
	// transport-wide feedback 16 times in each second. Its rule: 5 % of the rate that it believes
	// it may send, which stays at the 300 kbit/s it begins with, but not more often than every
	// 50 ms; that it comes to 62.5 must be the grain of its timers.
	feedbackInterval = time.Second / 16
	consentInterval  = 5 * time.Second
	consentTimeout   = 30 * time.Second // RFC 7675 section 5.1
)

// peer is one client's media from its first offer until it leaves. Its shard owns it.
type peer struct {
	// What each packet needs stands together, see hotLines.
	secured    *secured     // nil: no keys yet
	down       *impair.Link // nil: a perfect one
	table      ssrcTable
	incoming   oneWay // of secured
	id         uint32 // of its address
	heard      uint32 // SSRC of the last packet, for the feedback
	media      bool   // a media packet came
	keyFrame   bool   // a whole key frame came
	lossy      bool   // it is in the shard's list of those that ask for packets
	feeding    bool   // it is in the shard's list of those that have feedback to send
	feedbackAt mono.Time
	room       *room

	key          flow.Key
	us           uint32 // the SSRC of its reports
	transportSeq uint16 // of the next packet sent
	cname        string
	client       *client
	slot         int // in the shard's table
	at           int // in the shard's list

	ice      agent
	relay    *relay // nil: the direct way
	dtls     *benchpeer.Handshaker
	early    [][]byte
	joinedAt mono.Time // when the connect message was sent
	done     bool      // the join has ended
	settled  bool      // it was connected before the measured part began

	sends    [2]*publication // audio, video; nil: it does not
	up       *impair.Link    // nil: a perfect one
	streams  []*stream
	past     map[uint32]rtp.Unwrapper // numbers of streams that ended, by SSRC: the keys go on
	reportAt mono.Time
	twcc     recv.TWCC
}

// ssrcTable finds streams by SSRC: open addressing, at most half full.
type ssrcTable struct {
	slots []ssrcSlot
	shift uint8
}

type ssrcSlot struct {
	ssrc   uint32
	stream *stream // nil: free
	rtx    bool
}

func (t *ssrcTable) build(streams []*stream) {
	t.shift = 28
	for 1<<(32-t.shift) < 4*len(streams) {
		t.shift--
	}
	t.slots = make([]ssrcSlot, 1<<(32-t.shift))
	for _, s := range streams {
		t.put(ssrcSlot{s.ssrc, s, false})
		if s.rtxSSRC != 0 {
			t.put(ssrcSlot{s.rtxSSRC, s, true})
		}
	}
}

func (t *ssrcTable) put(slot ssrcSlot) {
	i := t.home(slot.ssrc)
	for t.slots[i].stream != nil {
		i = (i + 1) % len(t.slots)
	}
	t.slots[i] = slot
}

func (t *ssrcTable) home(ssrc uint32) int { return int(ssrc * 0x9e3779b1 >> t.shift) }

func (t *ssrcTable) find(ssrc uint32) (s *stream, rtx bool) {
	if len(t.slots) == 0 {
		return nil, false
	}
	for i := t.home(ssrc); t.slots[i].stream != nil; i = (i + 1) % len(t.slots) {
		if t.slots[i].ssrc == ssrc {
			return t.slots[i].stream, t.slots[i].rtx
		}
	}
	return nil, false
}

// describe takes the streams of an offer.
func (p *peer) describe(s *shard, d *Description, receives bool) {
	old := p.streams
	p.streams = nil
	for i := range d.sections {
		sec := &d.sections[i]
		if !receives || sec.rejected || !sec.sends || sec.ssrc == 0 {
			continue
		}
		p.streams = append(p.streams, p.stream(old, sec))
	}
	p.table.build(p.streams)
	for _, one := range p.streams {
		one.live = true
	}
	for _, one := range old {
		if !one.live {
			p.remember(one)
			s.total.end(one, false)
		}
	}
	for _, one := range p.streams {
		one.live = false
	}
	s.rouse(p)
}

// stream returns the stream of a section: the one that was there, or a new one.
func (p *peer) stream(old []*stream, sec *section) *stream {
	for _, one := range old {
		if one.ssrc == sec.ssrc {
			one.formats, one.rtxSSRC = sec.formats, sec.rtxSSRC
			return one
		}
	}
	f := &sec.formats[0]
	one := &stream{
		unwrap: p.past[sec.ssrc],
		ssrc:   sec.ssrc, rtxSSRC: sec.rtxSSRC, kind: sec.kind, name: sec.stream, formats: sec.formats, pt: f.pt, codec: f.codec,
		transport: sec.extensions.TransportCC, nack: f.nack, pli: f.pli, reduced: sec.reduced, clock: 48000,
	}
	if sec.kind == param.Video {
		one.clock = 90000
	}
	return one
}

// remember keeps the numbers of a stream that has ended: should its SSRC come back, its rollover
// counter goes on (RFC 3711 section 3.2.3).
func (p *peer) remember(one *stream) {
	if one.packets == 0 {
		return
	}
	if p.past == nil || len(p.past) >= maxPast {
		p.past = make(map[uint32]rtp.Unwrapper)
	}
	p.past[one.ssrc] = one.unwrap
}

// open takes an SRTP packet, which it overwrites. One of a stream's own SSRC is opened by the
// stream's numbers, all else by the session's.
func (p *peer) open(s *shard, b []byte, kernel int64) {
	one, rtx := p.table.find(ssrcOf(b))
	if head := clearOf(b); one != nil && !rtx && head != badHeader && p.incoming.aead != nil {
		p.openOwn(s, one, b, head, kernel)
		return
	}
	n, err := p.secured.session.OpenRTP(b, b)
	if err != nil {
		s.total.refused(err, s.phase())
		return
	}
	p.rtp(s, one, rtx, b[:n], len(b), kernel)
}

// openOwn opens a packet of a stream's own SSRC, whose header is whole.
func (p *peer) openOwn(s *shard, one *stream, b []byte, head int, kernel int64) {
	ext := one.unwrap.Peek(binary.BigEndian.Uint16(b[2:]))
	if one.packets > 0 && one.old(ext) {
		s.total.refused(srtp.ErrReplay, s.phase())
		return
	}
	n, ok := p.incoming.openRTP(&s.scratch, b, head, one.ssrc, ext-firstExt)
	if !ok {
		s.total.refused(srtp.ErrAuth, s.phase())
		return
	}
	p.rtp(s, one, false, b[:n], len(b), kernel)
}

// rtp takes a plain packet of a stream, size bytes as it was on the wire.
func (p *peer) rtp(s *shard, one *stream, rtx bool, plain []byte, size int, kernel int64) {
	v, err := rtp.Parse(plain)
	if err != nil {
		s.total.malformed++
		return
	}
	if one == nil {
		s.total.unknown++
		return
	}
	if one.transport != 0 {
		p.record(s, &v, one)
	}
	a := arrival{
		now: s.now, kernel: kernel, seq: v.Seq, timestamp: v.Timestamp, marker: v.Marker, rtx: rtx,
		payload: v.Payload(), padding: v.Padding, size: size,
	}
	if rtx {
		var ok bool
		if a.seq, a.payload, ok = original(a.payload); !ok {
			return // a probe
		}
	} else if v.PayloadType != one.pt {
		p.payloadType(one, v.PayloadType)
	}
	p.arrived(s, one, &a)
}

// record notes the transport-wide number; feedback that is due goes out behind the batch.
func (p *peer) record(s *shard, v *rtp.View, one *stream) {
	r := v.Extensions()
	for {
		id, value, ok := r.Next()
		if !ok {
			return
		}
		if id != one.transport || len(value) != 2 {
			continue
		}
		p.heard = one.ssrc
		p.twcc.Record(s.now, uint16(value[0])<<8|uint16(value[1]))
		if !p.feeding && (s.now >= p.feedbackAt || p.twcc.Deadline().Due(s.now)) {
			p.feeding = true
			s.feeding = append(s.feeding, p)
			p.warmFeedback()
		}
		return
	}
}

// payloadType follows a change of the payload type.
func (p *peer) payloadType(one *stream, pt uint8) {
	one.pt = pt
	for i := range one.formats {
		if one.formats[i].pt == pt {
			one.codec = one.formats[i].codec
		}
	}
}

// arrived accounts for a packet of media.
func (p *peer) arrived(s *shard, one *stream, a *arrival) {
	if len(a.payload) == 0 {
		if !a.rtx {
			one.accept(a.seq, a.now) // padding alone: a number, no media
		}
		return
	}
	newest, began := one.highest, one.packets > 0
	ext, place := one.accept(a.seq, a.now)
	if place != fresh {
		s.total.again(place, a.rtx, s.phase())
		return
	}
	if began && ext > newest+1 {
		s.total.gaps += ext - newest - 1
	}
	s.total.arrived++
	s.total.arrivedBytes += uint64(a.size)
	if !a.rtx {
		one.jitter.add(a.now, a.timestamp, one.clock)
	}
	e := one.identify(ext, a.payload, s.latency, p.room.streams())
	if one.measure(ext) {
		s.total.count(one, a, e)
	}
	if !p.media {
		p.media = true
		s.total.media.add(a.now.Sub(p.joinedAt))
	}
	if one.kind == param.Video && !one.key && one.keyFrame(ext, a) && !p.keyFrame {
		p.keyFrame = true
		s.total.keyFrames.add(a.now.Sub(p.joinedAt))
	}
	if len(one.missing) > 0 && !p.lossy {
		p.lossy = true
		s.lossy = append(s.lossy, p)
	}
}

// control takes a plain compound packet.
func (p *peer) control(s *shard, plain []byte) {
	r := rtcp.NewReader(plain)
	for {
		pk, ok := r.Next()
		if !ok {
			return
		}
		switch pk.Kind() {
		case rtcp.KindSR:
			if sr, _, err := pk.SR(); err == nil {
				if one, _ := p.table.find(sr.SSRC); one != nil {
					one.lastSR, one.lastSRAt = uint32(sr.NTP>>16), s.now
				}
			}
		case rtcp.KindPLI:
			if f, err := pk.PLI(); err == nil {
				p.wanted(f.Media)
			}
		case rtcp.KindFIR:
			if f, err := pk.FIR(); err == nil {
				for i := range f.Len() {
					p.wanted(f.At(i).SSRC)
				}
			}
		case rtcp.KindNACK:
			if n, err := pk.NACK(); err == nil {
				p.nacked(s, n)
			}
		}
	}
}

// wanted asks the source of a stream for a key frame.
func (p *peer) wanted(ssrc uint32) {
	for _, one := range p.sends {
		if one != nil && one.ssrc == ssrc {
			one.keyAsk++
			one.source.KeyFrame()
		}
	}
}

func (p *peer) nacked(s *shard, n rtcp.NACK) {
	for _, one := range p.sends {
		if one == nil || one.ssrc != n.Media {
			continue
		}
		for seq, ok := n.Next(); ok; seq, ok = n.Next() {
			one.resend(s, seq, s.now)
		}
	}
}

// install takes the keys: media may flow.
func (p *peer) install(s *shard, k *secured) {
	p.secured, p.incoming = k, k.media
	p.feedbackAt = s.now.Add(s.spread(feedbackInterval))
	p.reportAt = s.now.Add(s.spread(reportInterval))
	s.rouse(p)
	for _, one := range p.sends {
		if one == nil {
			continue
		}
		one.peer = p
		if s.scenario.Storm {
			continue
		}
		one.start(s.now, s.spread(100*time.Millisecond), k.session)
		p.room.add(one.origin)
		s.sending.push(one)
	}
	early := p.early
	p.early = nil
	for _, b := range early {
		s.media(p, b, 0)
	}
}
