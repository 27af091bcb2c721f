package send_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
)

// viewer is a receiver as one would write it down in an afternoon: maps, and patience.
type viewer struct {
	w       *world
	s       *sub
	up      *link
	seqs    rtp.Unwrapper
	got     map[uint64][]byte // payload by extended sequence number
	keys    []uint64          // where key frames begin
	first   uint64
	highest uint64
	missing map[uint64]*viewerGap
	delta   map[byte]uint32 // by source: our timestamps minus its own
	pos     uint64          // the next packet to decode; 0: waiting for a key frame
	since   mono.Time       // when pos last moved
	pli     mono.Time
	plis    int
	decoded uint64 // number in the source of the last packet decoded
	from    byte   // and the source
	lsr     uint32
	lsrAt   mono.Time
}

type viewerGap struct {
	since, next mono.Time
	tries       int
}

func newViewer(s *sub) *viewer {
	w := s.f.w
	v := &viewer{
		w: w, s: s, up: newLink(w), got: map[uint64][]byte{}, missing: map[uint64]*viewerGap{},
		delta: map[byte]uint32{}, since: w.now,
	}
	w.at(w.now.Add(20*time.Millisecond), v.tick)
	return v
}

func (v *viewer) rtt() time.Duration {
	return v.up.delay + v.s.down.delay + v.s.down.jitter + v.up.jitter
}

// receive takes a datagram of the SFU.
func (v *viewer) receive(b []byte) {
	if rtp.IsRTCP(b) {
		r := rtcp.NewReader(b)
		p, _ := r.Next()
		sr, _, err := p.SR()
		if err != nil {
			v.w.fail("%v", err)
		}
		v.lsr, v.lsrAt = uint32(sr.NTP>>16), v.w.now
		return
	}
	h, err := rtp.Parse(b)
	if err != nil {
		v.w.fail("%v", err)
	}
	seq, payload := h.Seq, b[h.HeaderLen:]
	if h.PayloadType == simRTXPT {
		if seq, payload, err = rtx.ParsePayload(payload); err != nil {
			v.w.fail("%v", err)
		}
	}
	v.take(v.seqs.Unwrap(seq), h.Timestamp, payload)
	v.decode()
}

// take keeps a packet and notes the gaps before it.
func (v *viewer) take(ext uint64, ts uint32, payload []byte) {
	if old, dup := v.got[ext]; dup {
		if !slices.Equal(old, payload) {
			v.w.fail("two packets under the number %d", ext)
		}
		return
	}
	v.got[ext] = payload
	if len(payload) > 0 {
		delta := ts - binary.BigEndian.Uint32(payload[9:])
		if was, ok := v.delta[payload[13]]; ok && was != delta {
			v.w.fail("the timestamps of source %d moved by %d", payload[13], int32(delta-was))
		}
		v.delta[payload[13]] = delta
		if payload[0]&simKey != 0 {
			v.keys = append(v.keys, ext)
		}
	}
	if v.highest == 0 {
		v.first, v.highest = ext, ext
		return
	}
	v.first = min(v.first, ext)
	for n := v.highest + 1; n < ext; n++ {
		v.missing[n] = &viewerGap{since: v.w.now, next: v.w.now.Add(10 * time.Millisecond)}
	}
	v.highest = max(v.highest, ext)
	delete(v.missing, ext)
}

// decode goes on as far as there are whole frames.
func (v *viewer) decode() {
	if v.pos == 0 {
		if v.pos = v.keyFrame(v.first); v.pos == 0 {
			return
		}
	}
	for {
		end, last := v.frame(v.pos)
		if end == 0 {
			return
		}
		if last != nil {
			v.decoded, v.from = binary.BigEndian.Uint64(last[1:]), last[13]
		}
		v.pos, v.since = end, v.w.now
	}
}

// frame returns the number after the frame that begins at n, and its last packet; an empty
// packet counts as a frame. 0: the frame is not complete.
func (v *viewer) frame(n uint64) (end uint64, last []byte) {
	for first := true; ; n++ {
		p, ok := v.got[n]
		switch {
		case !ok:
			return 0, nil
		case len(p) == 0 && first:
			return n + 1, nil
		case len(p) == 0:
		case first && p[0]&simFirst == 0:
			v.w.fail("a frame begins with packet %d of source %d", binary.BigEndian.Uint64(p[1:]), p[13])
		case !first && p[0]&simFirst != 0:
			// The source changed in the middle of a frame.
			return n, nil
		case p[0]&simLast != 0:
			return n + 1, p
		}
		first = false
	}
}

// keyFrame returns where the first whole key frame at or after n begins; 0: nowhere.
func (v *viewer) keyFrame(n uint64) uint64 {
	found := uint64(0)
	for _, k := range v.keys {
		if end, _ := v.frame(k); end != 0 && k >= n && (found == 0 || k < found) {
			found = k
		}
	}
	return found
}

// tick asks for what is missing, and for a key frame when that does not help.
func (v *viewer) tick() {
	w := v.w
	w.at(w.now.Add(20*time.Millisecond), v.tick)
	var seqs []uint16
	for n, g := range v.missing {
		if g.next > w.now {
			continue
		}
		if g.tries >= 20 || w.now.Sub(g.since) > 2*time.Second {
			continue
		}
		g.tries++
		g.next = w.now.Add(max(v.rtt(), 20*time.Millisecond))
		seqs = append(seqs, uint16(n))
	}
	if len(seqs) > 0 {
		slices.Sort(seqs) // the order of a map is no part of the schedule
		v.up.send(rtcp.AppendNACK(nil, 1, 2, seqs), v.s.feedback)
	}
	if v.stuck() {
		if k := v.keyFrame(v.pos); k != 0 {
			for n := range v.missing {
				if n < k {
					delete(v.missing, n)
				}
			}
			v.pos, v.since = k, w.now
			v.decode()
		} else if w.now.Sub(v.pli) >= 200*time.Millisecond {
			v.pli = w.now
			v.plis++
			v.up.send(rtcp.AppendPLI(nil, 1, 2), v.s.feedback)
		}
	}
	if w.chance(0.05) && v.lsr != 0 {
		delay := uint32(w.now.Sub(v.lsrAt) * 65536 / time.Second)
		v.up.send(rtcp.AppendRR(nil, 1, []rtcp.ReportBlock{{SSRC: 2, LastSR: v.lsr, DelaySinceSR: delay}}), v.s.feedback)
	}
}

// stuck reports whether decoding has not moved for long although there is more.
func (v *viewer) stuck() bool {
	if v.pos == 0 {
		return v.w.now.Sub(v.since) > 500*time.Millisecond
	}
	return v.pos <= v.highest && v.w.now.Sub(v.since) > 500*time.Millisecond+2*v.rtt()
}

// simulate runs one schedule from its beginning to its end and checks what is left.
func simulate(t testing.TB, f *sfu, seed uint64) {
	w := newWorld(t, seed)
	f.w, f.subs = w, nil
	var tracks []*track
	for id := range 1 + w.rng.IntN(2) {
		tracks = append(tracks, newTrack(f, newPublisher(w, byte(id+1))))
	}
	alone := w.chance(0.3) // nobody else to ask for key frames
	for i := range 1 + w.rng.IntN(3) {
		if alone && i > 0 {
			break
		}
		join := w.between(0, w.heals.Sub(w.now))
		if alone {
			join = 0
		}
		switches := len(tracks) == 2 && !alone && w.chance(0.5)
		w.at(w.now.Add(join), func() {
			s := newSub(f, tracks[0], uint32(10*(i+1)))
			if switches {
				w.at(w.now.Add(w.between(0, 2*time.Second)), func() {
					s.stream.Retarget()
					s.source = tracks[1]
					s.want()
				})
			}
		})
	}
	w.run()
	for _, tr := range tracks {
		checkTrack(w, tr)
	}
	for _, s := range f.subs {
		checkViewer(w, s)
	}
	for _, tr := range tracks {
		f.pool.Close(tr.id, f.mag)
	}
	if n := f.arena.Outstanding(); n != 0 {
		w.fail("%d buffers have not come back", n)
	}
}

func checkTrack(w *world, tr *track) {
	if n, d := tr.stream.Outstanding(), tr.stream.Deadline(); n != 0 || d != mono.Never {
		w.fail("%d packets are still asked for, deadline %v", n, d)
	}
	if d := tr.keys.Deadline(); d != mono.Never {
		w.fail("a key frame is still wanted")
	}
	if window := w.ends.Sub(simStart)/(500*time.Millisecond) + 1; tr.plis > int(window) {
		w.fail("%d key frame requests", tr.plis)
	}
	last, _ := tr.stream.Highest()
	for n := max(tr.p.lastKey, tr.first); n+tr.offset <= last; n++ {
		// Whatever did not come has been asked for as often as the schedule has it, or
		// for as long as the publisher could still answer.
		if p := tr.p.packets[n]; !tr.got[n] && tr.nacks[uint16(n)] < 4 {
			w.fail("packet %d (padding: %v) is given up after %d NACKs", n, p.padding, tr.nacks[uint16(n)])
		}
	}
	for seq, n := range tr.nacks {
		if n > 10 {
			w.fail("packet %d was asked for %d times", seq, n)
		}
	}
}

func checkViewer(w *world, s *sub) {
	v, p := s.v, s.source.p
	if s.again*2 > s.bytes {
		w.fail("%d bytes resent of %d sent", s.again, s.bytes)
	}
	if s.stream.Waiting() {
		w.fail("a stream still waits for its key frame")
	}
	if v.from != p.id || v.decoded != p.lastEnd {
		w.fail("a viewer has decoded up to packet %d of source %d, the last one is %d of source %d", v.decoded, v.from, p.lastEnd, p.id)
	}
	// In order, without a gap but for what is lost, and nothing but padding left out.
	var before, number uint64
	var source byte
	for n := v.first; n <= v.highest; n++ {
		payload := v.got[n]
		if len(payload) == 0 {
			continue
		}
		id, from := binary.BigEndian.Uint64(payload[1:]), payload[13]
		if source == from {
			padding := uint64(0)
			for i := number + 1; i < id; i++ {
				if p := tracksPacket(s, from, i); p != nil && p.padding {
					padding++
				}
			}
			if d := n - before; id <= number || d > id-number || d < id-number-padding {
				w.fail("packets %d and %d of source %d are numbered %d and %d", number, id, from, before, n)
			}
		}
		before, number, source = n, id, from
	}
	for n, g := range v.missing {
		ext, ok := s.stream.Original(uint16(n))
		if !ok || !s.source.got[ext-s.source.offset] || g.tries >= 4 || s.stream.Awaits(uint16(n)) {
			continue // it never came to us, or luck was against it
		}
		if w.ends.Sub(g.since) > 3*time.Second {
			w.fail("packet %d is missing, was asked for %d times, and is in the ring", n, g.tries)
		}
	}
}

// tracksPacket returns what a source sent under a number, if that source is known here.
func tracksPacket(s *sub, source byte, n uint64) *simPacket {
	if s.source.p.id == source {
		return s.source.p.packets[n]
	}
	return &simPacket{padding: true} // a former source: anything may have been left out
}
