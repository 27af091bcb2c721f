package bot

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	feedbackInterval = 100 * time.Millisecond
	maxFeedback      = 512 // packets in one; more wait for the next
	tick             = 250 * time.Microsecond
	reference        = 64 * time.Millisecond
)

// transportFeedback makes transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01) of what came in.
type transportFeedback struct {
	start    time.Time
	arrivals []numbered
	last     uint64 // highest extended number so far
	media    uint32
	count    uint8
	next     time.Time
}

type numbered struct {
	seq uint64
	at  time.Time
}

// record notes a packet that carries a transport-wide number.
func (f *transportFeedback) record(now time.Time, r *receiver, p *rtp.Packet) {
	if r.transport == 0 {
		return
	}
	b := p.GetExtension(r.transport)
	if len(b) != 2 {
		return
	}
	if f.start.IsZero() {
		f.start, f.last = now.Add(-reference), 1<<16
	}
	seq := uint64(int64(f.last) + int64(int16(binary.BigEndian.Uint16(b)-uint16(f.last))))
	f.last = max(f.last, seq)
	f.media = p.SSRC
	if len(f.arrivals) < maxFeedback {
		f.arrivals = append(f.arrivals, numbered{seq, now})
	}
}

// due returns the feedback if it is time for it.
func (f *transportFeedback) due(now time.Time, us uint32) rtcp.Packet {
	if now.Before(f.next) {
		return nil
	}
	f.next = now.Add(feedbackInterval)
	if len(f.arrivals) == 0 {
		return nil
	}
	slices.SortFunc(f.arrivals, func(a, b numbered) int { return int(int64(a.seq) - int64(b.seq)) })
	p := f.build(us)
	f.arrivals = f.arrivals[:0]
	f.count++
	return p
}

// build writes sorted arrivals as vectors of two-bit symbols.
func (f *transportFeedback) build(us uint32) *rtcp.TransportLayerCC {
	base := f.arrivals[0].seq
	at := f.arrivals[0].at.Sub(f.start) / reference * reference
	p := &rtcp.TransportLayerCC{
		SenderSSRC: us, MediaSSRC: f.media, FbPktCount: f.count,
		BaseSequenceNumber: uint16(base), ReferenceTime: uint32(at/reference) & 0xffffff,
	}
	var symbols []uint16
	for _, a := range f.arrivals {
		gap := a.seq - base
		if gap >= maxFeedback || gap < uint64(len(symbols)) {
			continue // far ahead, or twice
		}
		for uint64(len(symbols)) < gap {
			symbols = append(symbols, rtcp.TypeTCCPacketNotReceived)
		}
		delta := (a.at.Sub(f.start) - at) / tick
		delta = min(max(delta, -1<<15), 1<<15-1)
		at += delta * tick
		symbol := uint16(rtcp.TypeTCCPacketReceivedSmallDelta)
		if delta < 0 || delta > 255 {
			symbol = rtcp.TypeTCCPacketReceivedLargeDelta
		}
		symbols = append(symbols, symbol)
		p.RecvDeltas = append(p.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: int64(delta * tick / time.Microsecond)})
	}
	p.PacketStatusCount = uint16(len(symbols))
	for chunk := range slices.Chunk(symbols, 7) {
		list := make([]uint16, 7)
		copy(list, chunk)
		p.PacketChunks = append(p.PacketChunks, &rtcp.StatusVectorChunk{
			Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit, SymbolList: list,
		})
	}
	size := 20 + 2*len(p.PacketChunks)
	for _, d := range p.RecvDeltas {
		size++
		if d.Type == rtcp.TypeTCCPacketReceivedLargeDelta {
			size++
		}
	}
	p.Header = rtcp.Header{
		Padding: size%4 != 0, Count: rtcp.FormatTCC,
		Type: rtcp.TypeTransportSpecificFeedback, Length: uint16((size+3)/4 - 1),
	}
	return p
}
