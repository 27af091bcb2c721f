package edge

import (
	"encoding/binary"
	"slices"
	"time"

	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// simPeer is a model of a client: it publishes one track, or watches some, and does about
// losses what a browser does.
type simPeer struct {
	*peer
	s       *sim
	relay   *relay // nil: not by one
	checkAt mono.Time

	// A publisher's.
	track   param.TrackID
	seq     uint16
	rtxSeq  uint16
	needKey bool
	frameAt mono.Time
	kept    map[uint16]simPacket

	// A viewer's, by the SSRC that it is sent.
	watched map[uint32]*simStream
}

type simPacket struct {
	ts      uint32
	payload []byte
}

// simStream is what a viewer has of one track.
type simStream struct {
	highest uint64
	packets map[uint64]simPacket // by extended sequence number
	missing map[uint64]mono.Time // and when to ask (again)
}

// publishFrame sends one frame of up to four packets, each of which carries a number that
// only ever goes up.
func (p *simPeer) publishFrame(now mono.Time) {
	p.frameAt = now.Add(33 * time.Millisecond)
	n := 1 + p.s.rnd.IntN(4)
	for i := range n {
		p.seq++
		payload := make([]byte, 20+p.s.rnd.IntN(400))
		copy(payload, vp8(p.needKey, 0))
		if i > 0 {
			payload[0] = 0
		}
		p.s.serial++
		binary.BigEndian.PutUint64(payload[4:], p.s.serial)
		ts := uint32(now / mono.Time(time.Millisecond) * 90)
		p.kept[p.seq] = simPacket{ts, payload}
		delete(p.kept, p.seq-500)
		h := header{PayloadType: 96, Marker: i == n-1, Seq: p.seq, Timestamp: ts, SSRC: 1000}
		p.s.toServer(p, p.packet(h, "", payload))
	}
	p.needKey = false
}

// receive takes a datagram of the server's.
func (p *simPeer) receive(b []byte) {
	if b[0]>>6 != 2 {
		return // an answer, or a record
	}
	var buf [mmsg.SlotSize]byte
	if b[1] >= 192 && b[1] <= 223 {
		if n, err := p.session.OpenRTCP(buf[:], b); err == nil {
			r := rtcp.NewReader(buf[:n])
			for pkt, ok := r.Next(); ok; pkt, ok = r.Next() {
				p.asked(pkt)
			}
		}
		return
	}
	if n, err := p.session.OpenRTP(buf[:], b); err == nil { // or it was duplicated
		p.media(slices.Clone(buf[:n]))
	}
}

// asked does what the server asks a publisher for.
func (p *simPeer) asked(pkt rtcp.Packet) {
	if _, err := pkt.PLI(); err == nil {
		p.needKey = true
	}
	nack, err := pkt.NACK()
	if err != nil {
		return
	}
	for seq, ok := nack.Next(); ok; seq, ok = nack.Next() {
		if old, ok := p.kept[seq]; ok {
			p.rtxSeq++
			p.s.toServer(p, p.rtxPacket(p.rtxSeq, seq, old.ts, old.payload))
		}
	}
}

// media takes a packet that a viewer is sent.
func (p *simPeer) media(b []byte) {
	t := p.s.r.t
	ssrc, seq := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])
	b = unpad(t, b)
	payload, isRTX := b[12:], ssrc%2 == 1
	if isRTX {
		seq, payload, ssrc = binary.BigEndian.Uint16(payload), payload[2:], ssrc-1
	}
	w := p.watched[ssrc]
	if w == nil {
		return // unsubscribed a moment ago
	}
	if w.highest == 0 {
		w.highest = 1<<16 + uint64(seq)
	}
	ext := w.highest + uint64(int64(int16(seq-uint16(w.highest))))
	if old, twice := w.packets[ext]; twice {
		if !slices.Equal(old.payload, payload) {
			t.Fatalf("SSRC %d: two packets under number %d", ssrc, seq)
		}
		return
	}
	w.packets[ext] = simPacket{binary.BigEndian.Uint32(b[4:]), payload}
	delete(w.missing, ext)
	for lost := w.highest + 1; lost < ext; lost++ {
		w.missing[lost] = p.s.r.now.Add(5 * time.Millisecond)
	}
	w.highest = max(w.highest, ext)
}

// ask asks for what a viewer misses.
func (p *simPeer) ask(now mono.Time) {
	for ssrc, w := range p.watched {
		var seqs []uint16
		for ext, at := range w.missing {
			if at <= now && len(seqs) < 50 {
				seqs = append(seqs, uint16(ext))
				w.missing[ext] = now.Add(100 * time.Millisecond)
			}
			if ext+400 < w.highest {
				delete(w.missing, ext)
			}
		}
		if len(seqs) > 0 {
			slices.Sort(seqs)
			p.s.toServer(p, p.rtcp(rtcp.AppendNACK(nil, 1, ssrc, seqs)))
		}
		if p.s.rnd.IntN(2000) == 0 {
			p.s.toServer(p, p.rtcp(rtcp.AppendPLI(nil, 1, ssrc)))
		}
	}
}

// verify holds a viewer's stream to being one: numbers in the order of the publisher's,
// timestamps that do not go back, a key frame to begin with.
func (w *simStream) verify(s *sim, ssrc uint32) {
	t := s.r.t
	var order []uint64
	for ext := range w.packets {
		order = append(order, ext)
	}
	slices.Sort(order)
	for i, ext := range order {
		b := w.packets[ext]
		if i == 0 {
			continue
		}
		a := w.packets[order[i-1]]
		if binary.BigEndian.Uint64(b.payload[4:]) <= binary.BigEndian.Uint64(a.payload[4:]) || int32(b.ts-a.ts) < 0 {
			t.Fatalf("SSRC %d: packets %d and %d are out of order", ssrc, order[i-1], ext)
		}
	}
	s.received += len(order)
	if len(order) > 0 {
		s.missed += int(order[len(order)-1]-order[0]) + 1 - len(order)
	}
}
