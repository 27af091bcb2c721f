package load

import (
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"tsubame/bench/source"
	"tsubame/media/param"
	"tsubame/media/rtcp"
	"tsubame/media/rtp"
	"tsubame/media/srtp"
	"tsubame/netio"
	"tsubame/netio/mmsg"
	"tsubame/netio/mono"
)

// Bounds of one published stream.
const (
	resendPackets = 512             // kept for retransmission, of video
	originVideo   = 2048            // remembered for viewers to recognise
	originAudio   = 512             // likewise
	maxBehind     = 1 * time.Second // a publisher further behind than this leaves the rest out
	audioLevel    = 0x80 | 30       // voice, -30 dBov
)

// publication is one track that a peer sends. Its peer's shard owns it once the peer has
// been handed over.
type publication struct {
	peer          *peer
	kind          param.Kind
	mid           string
	format        format
	ssrc, rtxSSRC uint32
	clock         uint32
	template, rtx rtp.Template

	source    source.Source
	packet    source.Packet // the next one
	origin    *origin
	due       mono.Time // of the next packet
	started   mono.Time
	timestamp uint32 // of the source's beginning
	last      uint32 // timestamp of the last packet, as the source has it
	sentAny   bool

	seq, rtxSeq        uint64 // of the next
	sealed, sealedRTX  *srtp.Stream
	cache              []cached // ring by sequence number; video only
	packets, octets    uint64
	nacked, resent     uint64
	notInCache, keyAsk uint64
}

// cached is a packet kept for retransmission.
type cached struct {
	seq       uint64
	timestamp uint32
	marker    bool
	payload   []byte // grows to the longest one that the slot had
}

// newPublication makes what a client sends on a section.
func newPublication(s *section, f *format, from source.Source) (*publication, error) {
	p := &publication{
		kind: s.kind, mid: s.mid, format: *f, clock: 48000, source: from,
		ssrc: mathrand.Uint32()>>1 | 1, timestamp: mathrand.Uint32(),
		seq: uint64(mathrand.Uint32() & 0x7fff), rtxSeq: uint64(mathrand.Uint32() & 0x7fff),
	}
	size := originAudio
	if s.kind == param.Video {
		p.clock, size = 90000, originVideo
		p.cache = make([]cached, resendPackets)
		if f.rtx != 0 {
			p.rtxSSRC = p.ssrc + 1
		}
	}
	p.origin = newOrigin(s.kind, size)
	if err := p.template.Init(f.pt, p.ssrc, &s.extensions, s.mid); err != nil {
		return nil, err
	}
	if p.rtxSSRC != 0 {
		if err := p.rtx.Init(f.rtx, p.rtxSSRC, &s.extensions, s.mid); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// describe writes the SDP lines of what is sent.
func (p *publication) describe(b *strings.Builder, cname string) {
	msid := fmt.Sprintf("%s %s-%s", cname, cname, p.kind)
	fmt.Fprintf(b, "a=msid:%s\r\n", msid)
	if p.rtxSSRC != 0 {
		fmt.Fprintf(b, "a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:%s\r\n", p.ssrc, p.rtxSSRC, p.rtxSSRC, cname)
	}
	fmt.Fprintf(b, "a=ssrc:%d cname:%s\r\n", p.ssrc, cname)
}

// start begins to send after a delay.
func (p *publication) start(now mono.Time, delay time.Duration, session *srtp.Session) {
	p.sealed = session.AddStream(p.ssrc)
	if p.rtxSSRC != 0 {
		p.sealedRTX = session.AddStream(p.rtxSSRC)
	}
	p.started = now.Add(delay)
	p.source.Next(&p.packet)
	p.due = p.started.Add(p.packet.At)
}

// send sends the packet that is due and fetches the next.
func (p *publication) send(s *shard, now mono.Time) {
	if late := now.Sub(p.due); late > maxBehind {
		p.started = p.started.Add(late)
	}
	pk := &p.packet
	slot := s.queue.Slot()
	if slot != nil {
		if n := p.seal(s, slot, now); n > 0 {
			s.commit(p.peer, slot, n, mmsg.Video)
			s.sentPackets++
			s.sentBytes += uint64(n)
		}
	}
	p.packets++
	p.octets += uint64(len(pk.Payload))
	p.seq++
	p.last, p.sentAny = pk.Timestamp, true
	p.source.Next(pk)
	p.due = p.started.Add(pk.At)
}

// seal writes the packet into a slot and notes it.
func (p *publication) seal(s *shard, slot []byte, now mono.Time) int {
	pk := &p.packet
	v := rtp.Values{
		Marker: pk.Marker, Seq: uint16(p.seq), Timestamp: p.timestamp + pk.Timestamp,
		AbsSendTime: rtp.AbsSendTime(netio.NTP(now)), TransportSeq: p.peer.transportSeq,
		AudioLevel: audioLevel, HasAudioLevel: p.kind == param.Audio,
	}
	p.peer.transportSeq++
	head := p.template.Put(slot, &v)
	n, err := p.peer.secured.session.SealRTP(slot, head, pk.Payload, p.sealed, p.seq)
	if err != nil {
		return 0
	}
	var flags uint32
	if !p.sentAny || pk.Timestamp != p.last {
		flags |= frameFirst
	}
	if pk.Marker {
		flags |= frameLast
	}
	p.origin.mark(s.phase())
	s.stamps = append(s.stamps, p.origin.put(pk.Payload, flags))
	if p.cache != nil {
		c := &p.cache[p.seq%uint64(len(p.cache))]
		c.seq, c.timestamp, c.marker = p.seq, v.Timestamp, pk.Marker
		c.payload = append(c.payload[:0], pk.Payload...)
	}
	return n
}

// resend answers a NACK for one packet.
func (p *publication) resend(s *shard, seq uint16, now mono.Time) {
	p.nacked++
	if p.cache == nil || p.sealedRTX == nil {
		p.notInCache++
		return
	}
	ext := p.seq - 1 - uint64(uint16(p.seq-1)-seq)
	c := &p.cache[ext%uint64(len(p.cache))]
	slot := s.queue.Slot()
	if c.seq != ext || c.payload == nil || slot == nil {
		p.notInCache++
		return
	}
	p.resent++
	head := p.rtx.Put(slot, &rtp.Values{
		Marker: c.marker, Seq: uint16(p.rtxSeq), Timestamp: c.timestamp,
		AbsSendTime: rtp.AbsSendTime(netio.NTP(now)), TransportSeq: p.peer.transportSeq,
	})
	p.peer.transportSeq++
	slot[head], slot[head+1] = byte(seq>>8), byte(seq)
	n := head + 2 + copy(slot[head+2:], c.payload)
	sealed, err := p.peer.secured.session.SealRTP(slot, head, slot[head:n], p.sealedRTX, p.rtxSeq)
	p.rtxSeq++
	if err == nil {
		s.commit(p.peer, slot, sealed, mmsg.Video)
	}
}

// report returns the sender information of an SR.
func (p *publication) report(now mono.Time) rtcp.SR {
	return rtcp.SR{
		SSRC: p.ssrc, NTP: netio.NTP(now), Packets: uint32(p.packets), Octets: uint32(p.octets),
		RTPTime: p.timestamp + uint32(int64(now.Sub(p.started))/1000*int64(p.clock)/1_000_000),
	}
}

// schedule is a heap of publications by when they are due.
type schedule []*publication

func (h *schedule) push(p *publication) {
	*h = append(*h, p)
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].due <= a[i].due {
			return
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

// sink puts the publication at i, which is due later than it was, in its place.
func (h schedule) sink(i int) {
	for {
		least, left := i, 2*i+1
		if left < len(h) && h[left].due < h[least].due {
			least = left
		}
		if right := left + 1; right < len(h) && h[right].due < h[least].due {
			least = right
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// drop removes all of a peer.
func (h *schedule) drop(p *peer) {
	keep := (*h)[:0]
	for _, one := range *h {
		if one.peer != p {
			keep = append(keep, one)
		}
	}
	clear((*h)[len(keep):])
	*h = keep
	for i := len(keep)/2 - 1; i >= 0; i-- {
		keep.sink(i)
	}
}
