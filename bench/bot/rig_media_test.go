package bot

import (
	"encoding/binary"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"tsubame/media/param"
)

// send seals and sends RTCP.
func (p *peer) send(packets ...rtcp.Packet) {
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		p.rig.t.Error(err)
		return
	}
	if sealed, err := p.out.EncryptRTCP(nil, plain, nil); err == nil {
		p.write(sealed)
	}
}

// ask asks a publisher for a key frame.
func (p *peer) ask(t *published) {
	if t.Kind == param.Video && p.out != nil {
		p.send(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: t.SSRC})
	}
}

// media opens a datagram.
func (p *peer) media(b []byte) {
	if pt := b[1] & 0x7f; pt >= 64 && pt < 96 {
		plain, err := p.in.DecryptRTCP(nil, b, nil)
		if err != nil {
			p.refused++
			return
		}
		packets, err := rtcp.Unmarshal(plain)
		if err != nil {
			p.rig.t.Errorf("RTCP: %v", err)
			return
		}
		p.feedback(packets)
		return
	}
	plain, err := p.in.DecryptRTP(nil, b, nil)
	if err != nil {
		p.refused++
		return
	}
	p.plain++
	var packet rtp.Packet
	if err := packet.Unmarshal(plain); err != nil {
		p.rig.t.Errorf("RTP: %v", err)
		return
	}
	p.packet(&packet)
}

// packet takes a publisher's packet.
func (p *peer) packet(packet *rtp.Packet) {
	t := p.publish[packet.SSRC]
	if t == nil {
		return
	}
	if id := t.Extensions.MID; id != 0 && string(packet.GetExtension(id)) != t.MID {
		p.rig.t.Errorf("MID %q, not %q", packet.GetExtension(id), t.MID)
	}
	if packet.SSRC == t.RTXSSRC && t.RTXSSRC != 0 {
		if packet.PayloadType != t.RTXType {
			p.rig.t.Errorf("RTX with payload type %d", packet.PayloadType)
		}
		packet.SequenceNumber = binary.BigEndian.Uint16(packet.Payload)
		packet.Payload = packet.Payload[2:]
	} else {
		if t.started && packet.SequenceNumber != t.highest+1 && t.Feedback.NACK {
			p.send(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: t.SSRC,
				Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{packet.SequenceNumber - 1})})
		}
		t.highest, t.started = packet.SequenceNumber, true
	}
	for _, q := range p.rig.peers {
		for _, s := range q.subscribe {
			if s.from == t && !q.left && q.out != nil {
				q.forward(s, packet)
			}
		}
	}
}

// forward sends a packet to a viewer under the viewer's numbers.
func (p *peer) forward(s *subscribed, packet *rtp.Packet) {
	h := rtp.Header{Version: 2, PayloadType: s.PayloadType, SSRC: s.SSRC, Marker: packet.Marker,
		SequenceNumber: packet.SequenceNumber + 777, Timestamp: packet.Timestamp + 999}
	if id := s.Extensions.TransportCC; id != 0 {
		_ = h.SetExtension(id, binary.BigEndian.AppendUint16(nil, h.SequenceNumber))
	}
	b, err := (&rtp.Packet{Header: h, Payload: packet.Payload}).Marshal()
	if err != nil {
		p.rig.t.Error(err)
		return
	}
	s.cache[h.SequenceNumber] = b
	if p.rig.lose != nil && p.rig.lose(p) {
		return
	}
	p.seal(b)
}

func (p *peer) seal(b []byte) {
	if sealed, err := p.out.EncryptRTP(nil, b, nil); err == nil {
		p.write(sealed)
	}
}

// feedback takes a bot's RTCP.
func (p *peer) feedback(packets []rtcp.Packet) {
	p.rtcp = append(p.rtcp, packets...)
	for _, packet := range packets {
		switch x := packet.(type) {
		case *rtcp.SenderReport:
			p.send(&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{
				SSRC: x.SSRC, FractionLost: 25, TotalLost: 3, LastSenderReport: uint32(x.NTPTime >> 16),
			}}}, &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 640_000, SSRCs: []uint32{x.SSRC}})
		case *rtcp.PictureLossIndication:
			for _, s := range p.subscribe {
				if s.SSRC == x.MediaSSRC {
					p.rig.owner(s.from).ask(s.from)
				}
			}
		case *rtcp.TransportLayerNack:
			for _, s := range p.subscribe {
				if s.SSRC == x.MediaSSRC {
					p.resend(s, x)
				}
			}
		}
	}
}

func (p *peer) resend(s *subscribed, nack *rtcp.TransportLayerNack) {
	for _, pair := range nack.Nacks {
		for _, seq := range pair.PacketList() {
			b := s.cache[seq]
			var packet rtp.Packet
			if b == nil || packet.Unmarshal(b) != nil {
				continue
			}
			packet.Payload = append(binary.BigEndian.AppendUint16(nil, seq), packet.Payload...)
			packet.SSRC, packet.PayloadType, packet.SequenceNumber = s.RTXSSRC, s.RTXType, s.rtxSeq
			s.rtxSeq++
			if out, err := packet.Marshal(); err == nil {
				p.seal(out)
			}
		}
	}
}

// owner is who publishes a track.
func (r *rig) owner(t *published) *peer {
	for _, p := range r.peers {
		if p.publish[t.SSRC] == t {
			return p
		}
	}
	panic("a track without an owner")
}
