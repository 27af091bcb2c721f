package edge

import (
	"encoding/binary"
	"time"

	"tsubame/media/codec"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/netio/mono"
)

const (
	simWindow    = 2048 // packets that a viewer has of a stream
	simTries     = 10
	simKeyWait   = 200 * time.Millisecond // between key frame requests of a decoder that has not begun
	simFrameWait = time.Second            // until one asks that cannot go on
	simNACKs     = 64                     // in one message

	// simSteady is how long after the end of all harm nothing may go wrong any more: a peer that
	// has been given another address by its NAT finds out with its next check.
	simSteady = simCheck + 1500*time.Millisecond
)

// simGot is one packet that a viewer has.
type simGot struct {
	ext                 uint64
	number, frame       uint32
	ts, shot            uint32 // here, and as the source says
	size                uint16
	epoch, flags, place uint8
	empty               bool
}

type simMissing struct {
	ext   uint64
	at    mono.Time // when to ask (again)
	tries uint8
}

// simView is what a viewer has of one track.
type simView struct {
	p    *simPeer
	src  *simSource
	ssrc uint32

	first, highest uint64 // 0: nothing came
	got            [simWindow]simGot
	missing        []simMissing
	keys           []uint64 // where key frames begin that are not decoded yet

	pos       uint64 // of the next packet to decode; 0: waits for a key frame
	frame     uint32 // decoded last
	epoch     uint8
	since     mono.Time       // when it was
	begun     mono.Time       // when it was subscribed
	numbers   map[uint32]bool // what has come, of a plan that measures
	freezes   int
	pli       mono.Time
	plis      int
	decoded   int
	recovered mono.Time // when it was for the first time after the networks healed
	delta     uint32    // timestamps here minus the source's, of deltaOf
	deltaOf   int
	gaps      int // of audio, since the networks healed
	nackAsked int

	received, expected uint64 // since the last report
	total              uint64 // packets in all
	lsr                uint32
	lsrAt              mono.Time
	sr                 rtcp.SR
}

// watch subscribes the peer to a track.
func (p *simPeer) watch(src *simSource) {
	if !p.spec.View {
		return
	}
	s := p.s
	s.ssrcs += 10
	v := &simView{p: p, src: src, ssrc: s.ssrcs, since: s.now, begun: s.now, deltaOf: -1}
	if s.plan.measure > 0 {
		v.numbers = map[uint32]bool{}
	}
	out := videoOut(src.track, v.ssrc)
	if src.kind == param.Audio {
		out.Kind, out.Codec, out.RTXSSRC, out.RTXType, out.PayloadType = param.Audio, param.Opus, 0, 0, 111
		out.ClockRate, out.Feedback = 48000, param.Feedback{}
		if p.spec.RED {
			out.REDType = simRED
		}
	}
	out.Extensions = simExtensions
	out.Extensions.TransportCC = 0
	if p.spec.TWCC {
		out.Extensions.TransportCC, out.Feedback.TransportCC = simExtensions.TransportCC, true
	}
	p.views = append(p.views, v)
	p.bySSRC[v.ssrc] = v
	p.bySSRC[v.ssrc+1] = v
	p.c.Subscribe(out)
}

// unwatch ends the subscription to a track.
func (p *simPeer) unwatch(src *simSource) {
	for i, v := range p.views {
		if v.src != src {
			continue
		}
		if !p.left {
			p.c.Unsubscribe(v.ssrc)
		}
		v.budget()
		p.views = append(p.views[:i:i], p.views[i+1:]...)
		delete(p.bySSRC, v.ssrc)
		delete(p.bySSRC, v.ssrc+1)
		return
	}
}

// media takes an RTP packet that a viewer is sent.
func (p *simPeer) media(b []byte) {
	s := p.s
	h, err := rtp.Parse(b)
	if err != nil {
		s.fail("RTP from the server: %v", err)
	}
	if p.spec.TWCC {
		if x := h.Known(&simExtensions); x.HasTransportSeq {
			p.arrivals.Record(s.now, x.TransportSeq)
			p.twccLast = h.SSRC
		} else {
			s.fail("SSRC %d: a packet without its transport-wide number", h.SSRC)
		}
	}
	v := p.bySSRC[h.SSRC]
	if v == nil {
		return // unsubscribed a moment ago
	}
	seq, payload := h.Seq, b[h.HeaderLen:len(b)-h.Padding]
	if h.SSRC != v.ssrc {
		if len(payload) == 0 {
			return // a probe
		}
		seq, payload = binary.BigEndian.Uint16(payload), payload[2:]
	}
	if h.PayloadType == simRED {
		payload = v.redundant(payload)
	}
	v.take(seq, h.Timestamp, h.Marker, payload)
}

// redundant takes a payload of RFC 2198 apart and returns what it is about.
func (v *simView) redundant(b []byte) []byte {
	r, err := codec.ParseRED(b)
	if err != nil || !v.p.spec.RED || r.PayloadType != 111 {
		v.p.s.fail("SSRC %d: redundant audio %x: %v", v.ssrc, b, err)
	}
	for _, block := range r.Blocks() {
		var g simGot
		g.size = block.Len
		v.parse(&g, b[block.At:block.At+block.Len])
		v.p.s.stats.redundant++
	}
	return b[r.At:]
}

// take keeps a packet and holds it to what its neighbours say.
func (v *simView) take(seq uint16, ts uint32, marker bool, payload []byte) {
	s := v.p.s
	if v.highest == 0 {
		v.highest = 1<<16 + uint64(seq)
		v.first = v.highest
		v.highest--
	}
	ext := v.highest + uint64(int64(int16(seq-uint16(v.highest))))
	if ext+simWindow <= v.highest {
		return // nobody waits for it any more
	}
	g := simGot{ext: ext, ts: ts, empty: len(payload) == 0, size: uint16(len(payload))}
	if !g.empty {
		v.read(&g, ts, payload)
		if marker != (v.src.kind == param.Video && g.flags&simLast != 0) {
			s.fail("SSRC %d: packet %d has the wrong marker", v.ssrc, seq)
		}
	}
	if old := &v.got[ext%simWindow]; old.ext == ext {
		if *old != g {
			s.fail("SSRC %d: two packets under number %d: %+v and %+v", v.ssrc, seq, *old, g)
		}
		return
	}
	v.received++
	v.total++
	if v.numbers != nil && !g.empty {
		v.numbers[g.number] = true
	}
	v.expected += max(ext, v.highest) - v.highest
	v.first = min(v.first, ext)
	v.got[ext%simWindow] = g
	v.neighbours(ext)
	v.miss(ext)
	if v.src.kind == param.Audio {
		v.hear(ext, &g)
		return
	}
	if !g.empty && g.flags&simKey != 0 && g.place == 0 {
		v.keys = append(v.keys, ext)
	}
	v.decode()
}

// parse takes a payload apart.
func (v *simView) parse(g *simGot, b []byte) {
	s := v.p.s
	if len(b) < simHead {
		s.fail("SSRC %d: a payload of %d bytes", v.ssrc, len(b))
	}
	g.epoch, g.flags, g.frame = b[7], b[8], binary.BigEndian.Uint32(b[9:])
	g.place, g.number = b[13], binary.BigEndian.Uint32(b[14:])
	e := simSent{
		ts: binary.BigEndian.Uint32(b[18:]), frame: g.frame, number: g.number, size: g.size, place: g.place, flags: g.flags,
	}
	var room [2048]byte
	if string(simPayload(room[:0], v.src.kind, v.src.id, g.epoch, &e)) != string(b) {
		s.fail("SSRC %d: a payload that was not sent: %x", v.ssrc, b)
	}
	g.shot = e.ts
}

// read takes the payload of a packet apart and holds its timestamp to the source's.
func (v *simView) read(g *simGot, ts uint32, b []byte) {
	v.parse(g, b)
	delta := ts - g.shot
	if v.deltaOf == int(g.epoch) && delta != v.delta {
		v.p.s.fail("SSRC %d: timestamps of one source have moved by %d", v.ssrc, int32(delta-v.delta))
	}
	if int(g.epoch) > v.deltaOf {
		v.delta, v.deltaOf = delta, int(g.epoch)
	}
}

// at returns the packet with content at ext, or nil.
func (v *simView) at(ext uint64) *simGot {
	if g := &v.got[ext%simWindow]; g.ext == ext {
		return g
	}
	return nil
}

// neighbours holds a packet against the ones before and after it, where they have come: whatever
// was lost on the way to the viewer has to have left a gap, so that it can be asked for.
func (v *simView) neighbours(ext uint64) {
	v.pair(ext, -1)
	v.pair(ext, 1)
}

func (v *simView) pair(ext uint64, step int) {
	g := v.at(ext)
	if g.empty {
		return
	}
	other := v.at(ext + uint64(step))
	for other != nil && other.empty {
		other = v.at(other.ext + uint64(step))
	}
	if other == nil {
		return
	}
	a, b := other, g
	if step > 0 {
		a, b = g, other
	}
	if !v.follows(a, b) {
		v.p.s.fail("SSRC %d: %+v is followed by %+v", v.ssrc, *a, *b)
	}
	if int32(b.ts-a.ts) < 0 {
		v.p.s.fail("SSRC %d: timestamps go back: %+v is followed by %+v", v.ssrc, *a, *b)
	}
}

// follows reports whether b may have the number after a's.
func (v *simView) follows(a, b *simGot) bool {
	if b.number <= a.number || b.epoch < a.epoch {
		return false
	}
	if v.src.kind == param.Audio {
		return b.number == a.number+1 || b.epoch != a.epoch || b.number > a.number+900
	}
	switch {
	case b.frame == a.frame:
		return b.place == a.place+1 && a.flags&simLast == 0
	case b.place != 0:
		return false
	case b.epoch == a.epoch && b.frame == a.frame+1 && a.flags&simLast != 0:
		return true
	}
	return b.flags&simKey != 0 || v.p.s.sum(func(c *Counters) uint64 { return c.Conn.BlindStarts.Load() }) > 0
}

// miss notes the gaps in front of a packet.
func (v *simView) miss(ext uint64) {
	if ext <= v.highest {
		for i := range v.missing {
			if v.missing[i].ext == ext {
				v.missing = append(v.missing[:i], v.missing[i+1:]...)
				break
			}
		}
		return
	}
	if v.src.kind == param.Video {
		for lost := max(v.highest+1, v.first); lost < ext; lost++ {
			v.missing = append(v.missing, simMissing{ext: lost, at: v.p.s.now})
		}
	}
	v.highest = ext
	if n := len(v.missing); n > 1000 {
		v.missing = v.missing[:0]
		v.askKey()
	}
}

// hear takes a packet of audio, which nobody asks for again.
func (v *simView) hear(ext uint64, g *simGot) {
	s := v.p.s
	if g.empty {
		return
	}
	v.decoded++
	if before := v.at(ext - 1); before == nil && ext > v.first && s.now > s.heals.Add(simSteady) {
		v.gaps++
	}
	v.age(g)
	v.frame, v.epoch = max(v.frame, g.frame), max(v.epoch, g.epoch)
}

// age notes whether what is decoded now is live.
func (v *simView) age(g *simGot) {
	s, src := v.p.s, v.src
	if v.recovered != 0 || s.now < s.heals || g.epoch != src.epoch {
		return
	}
	late := time.Duration(src.clock()-g.shot) * time.Second / time.Duration(src.spec.ClockRate)
	if late < src.p.up.Delay+v.p.down.Delay+400*time.Millisecond {
		v.recovered = s.now
		s.stats.slowest = max(s.stats.slowest, s.now.Sub(max(s.heals, v.begun)))
	}
}

// decode goes on as far as there are whole frames, and over to a later key frame where it cannot.
func (v *simView) decode() {
	for {
		if v.pos != 0 {
			if end, last := v.whole(v.pos); end != 0 {
				if last != nil && !v.shown(last, end) {
					v.pos = 0
					continue
				}
				v.pos = end
				continue
			}
		}
		k := v.keyFrame()
		if k == 0 {
			return
		}
		if v.pos != 0 {
			kept := v.missing[:0]
			for _, m := range v.missing {
				if m.ext > k {
					kept = append(kept, m)
				}
			}
			v.missing = kept
		}
		v.pos = k
		v.frame = v.at(k).frame - 1
		v.epoch = v.at(k).epoch
	}
}

// shown notes a decoded frame; false if its reference is missing.
func (v *simView) shown(last *simGot, end uint64) bool {
	if last.flags&simKey == 0 && (last.frame != v.frame+1 || last.epoch != v.epoch) {
		return false
	}
	v.frame, v.epoch = last.frame, last.epoch
	if s := v.p.s; v.decoded > 0 && s.now.Sub(v.since) > 500*time.Millisecond && s.plan.measures(s.now.Sub(s.begun)) {
		v.freezes++
	}
	v.since = v.p.s.now
	v.decoded++
	v.p.s.stats.decoded++
	v.age(last)
	for len(v.keys) > 0 && v.keys[0] < end {
		v.keys = v.keys[1:]
	}
	return true
}

// whole returns the number after the frame that begins at n, and its last packet; of an empty
// packet the number after it and nil. 0: not all of it is there.
func (v *simView) whole(n uint64) (end uint64, last *simGot) {
	for first := true; ; n++ {
		g := v.at(n)
		switch {
		case g == nil:
			return 0, nil
		case g.empty && first:
			return n + 1, nil
		case g.empty:
		case first && g.place != 0:
			v.p.s.fail("SSRC %d: a frame begins with %+v", v.ssrc, *g)
		case !first && g.place == 0:
			return n, nil // the rest of the frame was never sent on
		case g.flags&simLast != 0:
			return n + 1, g
		}
		first = first && g.empty
	}
}

// keyFrame returns where the first whole key frame begins that is not decoded; 0: there is none.
func (v *simView) keyFrame() (k uint64) {
	kept := v.keys[:0]
	for _, at := range v.keys {
		if g := v.at(at); g == nil || at < v.pos {
			continue
		}
		kept = append(kept, at)
	}
	v.keys = kept
	for _, at := range v.keys {
		if e, last := v.whole(at); e != 0 && last != nil && (k == 0 || at < k) {
			k = at
		}
	}
	return k
}

func (v *simView) askKey() {
	s := v.p.s
	v.pli = s.now
	v.plis++
	v.p.toServer(v.p.rtcp(rtcp.AppendPLI(nil, v.p.reporter, v.ssrc)))
}

// look asks for what is missing, and for a key frame where that does not help.
func (p *simPeer) look() {
	s := p.s
	if p.left {
		return
	}
	s.after(20*time.Millisecond, p.look)
	if !p.up2 {
		return
	}
	for _, v := range p.views {
		if v.src.kind == param.Video {
			v.ask()
		}
	}
	if p.spec.TWCC && p.arrivals.Deadline().Due(s.now) {
		b := p.arrivals.AppendFeedback(nil, s.now, p.reporter, p.twccLast)
		if p.spec.Liar {
			b = p.lieTWCC(b)
		}
		if len(b) > 0 {
			p.toServer(p.rtcp(b))
		}
	}
}

func (v *simView) ask() {
	p, s := v.p, v.p.s
	var seqs []uint16
	rtt := p.up.Delay + p.down.Delay + 20*time.Millisecond
	kept := v.missing[:0]
	for _, m := range v.missing {
		if m.ext+simWindow/2 < v.highest {
			continue
		}
		if m.at <= s.now && len(seqs) < simNACKs {
			if m.tries == simTries {
				continue
			}
			seqs = append(seqs, uint16(m.ext))
			m.tries++
			m.at = s.now.Add(rtt)
		}
		kept = append(kept, m)
	}
	v.missing = kept
	if p.spec.Liar && s.chance(0.3) {
		for range s.rnd.IntN(20) {
			seqs = append(seqs, uint16(s.rnd.Uint32()))
		}
	}
	if len(seqs) > 0 {
		v.nackAsked += len(seqs)
		p.toServer(p.rtcp(rtcp.AppendNACK(nil, p.reporter, v.ssrc, seqs)))
	}
	switch {
	case v.pos == 0 && s.now.Sub(max(v.pli, v.since)) >= simKeyWait:
		v.askKey()
	case v.pos != 0 && v.pos <= v.highest && s.now.Sub(max(v.pli, v.since)) >= simFrameWait:
		v.askKey()
	case p.spec.Liar && s.chance(0.05):
		v.askKey()
	}
}

// block is what the viewer reports about the stream.
func (v *simView) block() (rtcp.ReportBlock, bool) {
	if v.highest == 0 {
		return rtcp.ReportBlock{}, false
	}
	b := rtcp.ReportBlock{SSRC: v.ssrc, HighestSeq: uint32(v.highest), LastSR: v.lsr}
	if v.expected > v.received {
		b.FractionLost = uint8(min(255, (v.expected-v.received)*256/v.expected))
	}
	v.expected, v.received = 0, 0
	if v.lsr != 0 {
		b.DelaySinceSR = uint32(v.p.s.now.Sub(v.lsrAt) * 65536 / time.Second)
	}
	return b, true
}

// budget holds the retransmissions of the stream to their share.
func (v *simView) budget() {
	s := v.p.s
	media, again := s.seals[simStreamID{v.p.c, v.ssrc}], s.seals[simStreamID{v.p.c, v.ssrc + 1}]
	if media != nil {
		s.stats.mediaBytes += media.bytes
	}
	if again == nil {
		return
	}
	s.stats.rtxBytes += again.bytes
	most := uint64(0)
	if media != nil {
		most = media.bytes / 2
	}
	if v.p.spec.TWCC {
		s.probed += int(again.bytes - min(again.bytes, most)) // it is probed with what is sent again
		return
	}
	if again.bytes > most {
		s.fail("SSRC %d: %d bytes of retransmissions, at most %d may be", v.ssrc, again.bytes, most)
	}
}
