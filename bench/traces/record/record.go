// Package record writes packet-time traces of what a browser sends: it watches datagrams pass
// the loopback interface on their way to a server's UDP port (which takes CAP_NET_RAW), reads
// their RTP headers, which SRTP leaves in the clear, and never their payloads. A Capture belongs
// to one goroutine; the other functions are pure.
package record

import (
	"encoding/binary"
	"time"

	"tsubame/bench/traces"
)

// Packet is one RTP packet that passed.
type Packet struct {
	At             time.Duration // since the first one of its capture
	Bytes          int           // of UDP payload
	Header         int           // of them in the RTP header with CSRCs and extensions
	PayloadType    uint8
	Marker         bool
	SequenceNumber uint16
	Timestamp      uint32
	SSRC           uint32
}

// datagram reads an IPv4 packet (RFC 791) and returns the payload of the UDP datagram in it.
func datagram(ip []byte) (payload []byte, ok bool) {
	if len(ip) < 20 || ip[0]>>4 != 4 {
		return nil, false
	}
	head, total := int(ip[0]&0x0f)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if head < 20 || total < head+8 || total > len(ip) || ip[9] != 17 || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
		return nil, false // no UDP, or a fragment
	}
	udp := ip[head:total]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if size < 8 || size > len(udp) {
		return nil, false
	}
	return udp[8:size], true
}

// rtp reads an RTP header (RFC 3550 section 5.1), and refuses RTCP, STUN and DTLS (RFC 7983,
// RFC 5761).
func rtp(b []byte) (p Packet, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] <= 223 {
		return p, false
	}
	p = Packet{
		Bytes: len(b), Header: 12 + int(b[0]&0x0f)*4, PayloadType: b[1] & 0x7f, Marker: b[1]&0x80 != 0,
		SequenceNumber: binary.BigEndian.Uint16(b[2:]), Timestamp: binary.BigEndian.Uint32(b[4:]), SSRC: binary.BigEndian.Uint32(b[8:]),
	}
	if b[0]&0x10 != 0 {
		if len(b) < p.Header+4 {
			return p, false
		}
		p.Header += 4 + 4*int(binary.BigEndian.Uint16(b[p.Header+2:]))
	}
	return p, len(b) >= p.Header
}

// Trace makes a trace of the packets of two payload types; those of others (retransmissions and
// probes) are not in it, and nor are frames of which the beginning or the end is not among the
// packets. Each type is to be sent by one SSRC. tag is how many bytes SRTP added. Sizes become
// those with HeaderSize and TagSize in place of what the packets had, so that a trace tells the
// sizes of payloads whatever the browser negotiated.
func Trace(packets []Packet, video, audio uint8, tag int) *traces.Trace {
	t := &traces.Trace{Video: whole(packets, video, true), Audio: whole(packets, audio, false)}
	first := time.Duration(0)
	switch {
	case len(t.Video) > 0 && (len(t.Audio) == 0 || t.Video[0].At < t.Audio[0].At):
		first = t.Video[0].At
	case len(t.Audio) > 0:
		first = t.Audio[0].At
	}
	for _, list := range [][]traces.Record{t.Video, t.Audio} {
		for i := range list {
			list[i].At -= first
			list[i].Bytes += traces.TagSize - tag
		}
	}
	return t
}

// whole makes records of one payload type. If framed, the frame at the beginning is left out,
// of which some may have passed before, and one without marker at the end.
func whole(packets []Packet, kind uint8, framed bool) (out []traces.Record) {
	frame, end := -1, 0
	begun := false
	var last Packet
	for _, p := range packets {
		if p.PayloadType != kind || begun && int16(p.SequenceNumber-last.SequenceNumber) <= 0 {
			continue // a repetition
		}
		if begun && p.Timestamp != last.Timestamp || !framed {
			frame++
		}
		begun, last = true, p
		if frame < 0 {
			continue
		}
		out = append(out, traces.Record{At: p.At, Bytes: p.Bytes - p.Header + traces.HeaderSize, Frame: frame, Marker: p.Marker})
		if p.Marker || !framed {
			end = len(out)
		}
	}
	return out[:end]
}
