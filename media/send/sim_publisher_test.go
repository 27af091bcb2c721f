package send_test

import (
	"encoding/binary"
	"time"

	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/rtx"
	"tsubame/netio/mono"
)

// The payload of the simulation tells what the packet is:
// flags, number in the source (8), timestamp in the source (4), source (1).
const (
	simKey byte = 1 << iota
	simFirst
	simLast
)

const (
	simHead    = 14
	simPT      = 96
	simRTXPT   = 97
	simFrame   = 33 * time.Millisecond
	simRate    = 90000
	simHistory = time.Second // how long a browser keeps what it sent
	simKeyGap  = 200 * time.Millisecond
)

type simPacket struct {
	b       []byte
	at      mono.Time
	padding bool
	tries   int // times that the SFU asked for it
}

// publisher sends frames, answers NACKs by RTX and PLIs by key frames.
type publisher struct {
	w        *world
	id       byte
	track    *track
	up       *link
	next     uint64 // number of the next packet; its low 16 bits are the sequence number
	first    uint64
	ts0      uint32
	rtxSeq   uint16
	packets  map[uint64]*simPacket
	wantKey  bool
	keys     int
	keyAt    mono.Time
	lastKey  uint64 // number of the first packet of the newest key frame
	lastEnd  uint64 // number of the last packet of the newest frame
	clockOff time.Duration
	stops    mono.Time
}

func newPublisher(w *world, id byte) *publisher {
	p := &publisher{
		w: w, id: id, up: newLink(w), wantKey: true,
		// Often just below the wrap.
		next:     1<<20 + []uint64{65000, 65500, uint64(w.rng.IntN(65536))}[w.rng.IntN(3)],
		ts0:      w.rng.Uint32(),
		packets:  map[uint64]*simPacket{},
		clockOff: w.between(-time.Hour, time.Hour),
		stops:    w.heals.Add(3300 * time.Millisecond),
	}
	p.first = p.next
	w.at(w.now.Add(w.between(0, simFrame)), p.frame)
	w.at(w.now.Add(w.between(0, time.Second)), p.report)
	return p
}

// clock is the source's RTP clock.
func (p *publisher) clock(now mono.Time) uint32 {
	return p.ts0 + uint32(now.Sub(simStart)*simRate/time.Second)
}

func (p *publisher) frame() {
	w := p.w
	if w.now >= p.stops {
		return
	}
	flags, n := simFirst, 1+w.rng.IntN(4)
	// The stream does not end in a key frame: if its packets overtake its first one, only
	// the frames after it can tell the viewer what it has missed.
	if p.wantKey && w.now.Sub(p.keyAt) >= simKeyGap && p.stops.Sub(w.now) > 200*time.Millisecond {
		p.wantKey, p.keyAt, p.lastKey = false, w.now, p.next
		p.keys++
		flags |= simKey
		n += 6
	}
	ts := p.clock(w.now)
	for i := range n {
		if i == n-1 {
			flags |= simLast
		}
		p.lastEnd = p.next
		p.emit(flags, ts, false)
		flags = 0
	}
	if w.chance(0.1) { // a probe
		for range 1 + w.rng.IntN(3) {
			p.emit(0, ts, true)
		}
	}
	w.at(w.now.Add(w.between(simFrame/2, 3*simFrame/2)), p.frame)
}

// emit sends one packet and keeps it.
func (p *publisher) emit(flags byte, ts uint32, padding bool) {
	n := p.next
	p.next++
	b := make([]byte, rtp.HeaderSize, 800)
	rtp.PutHeader(b, rtp.HeaderFields{
		PayloadType: simPT, Marker: flags&simLast != 0, Seq: uint16(n), Timestamp: ts, SSRC: uint32(p.id),
	})
	if !padding {
		b = append(b, flags)
		b = binary.BigEndian.AppendUint64(b, n)
		b = binary.BigEndian.AppendUint32(b, ts)
		b = append(b, p.id)
		b = b[:simHead+200+p.w.rng.IntN(500)]
	}
	p.packets[n] = &simPacket{b: b, at: p.w.now, padding: padding}
	p.up.send(b, p.track.receive)
}

// resend answers one number of a NACK.
func (p *publisher) resend(seq uint16) {
	n := p.next - 1 - uint64(uint16(p.next-1)-seq)
	sent := p.packets[n]
	if sent == nil {
		p.w.fail("the publisher is asked for %d (%d), which it never sent", seq, n)
	}
	sent.tries++
	if p.w.now.Sub(sent.at) > simHistory {
		return
	}
	v, err := rtp.Parse(sent.b)
	if err != nil {
		p.w.fail("%v", err)
	}
	b := make([]byte, rtp.HeaderSize, 820)
	rtp.PutHeader(b, rtp.HeaderFields{
		PayloadType: simRTXPT, Seq: p.rtxSeq, Marker: v.Marker, Timestamp: v.Timestamp, SSRC: uint32(p.id),
	})
	p.rtxSeq++
	p.up.send(rtx.AppendPayload(b, seq, sent.b[v.HeaderLen:]), p.track.receive)
}

// report sends a sender report.
func (p *publisher) report() {
	wall := p.w.now.Add(p.clockOff) + mono.Time(2*time.Hour)
	p.up.send(rtcp.AppendSR(nil, rtcp.SR{
		SSRC:    uint32(p.id),
		NTP:     uint64(ntpOffset/2+wall/1e9)<<32 | uint64(wall%1e9)<<32/1e9,
		RTPTime: p.clock(p.w.now),
	}, nil), p.track.receive)
	p.w.at(p.w.now.Add(p.w.between(200*time.Millisecond, time.Second)), p.report)
}

// feedback takes RTCP of the SFU.
func (p *publisher) feedback(b []byte) {
	r := rtcp.NewReader(b)
	for {
		pkt, ok := r.Next()
		if !ok {
			break
		}
		if n, err := pkt.NACK(); err == nil {
			for {
				seq, ok := n.Next()
				if !ok {
					break
				}
				p.resend(seq)
			}
		}
		if _, err := pkt.PLI(); err == nil {
			p.wantKey = true
		}
	}
	if r.Err() != nil {
		p.w.fail("feedback: %v", r.Err())
	}
}
