package bot

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	benchpeer "tsubame/bench/peer"
)

// maxEarly bounds the media kept while the handshake ends.
const maxEarly = 64

// startDTLS begins the handshake on the first validated path; the caller holds the lock.
func (b *Bot) startDTLS(now time.Time) {
	if !b.dtlsFrom.IsZero() || b.closing {
		return
	}
	b.dtlsFrom = now
	b.dtls.Fingerprints = b.offer.fingerprints
	b.running.Go(func() {
		k, err := b.dtls.Run(b.ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		if err == nil {
			err = b.install(k)
		}
		if err != nil {
			b.fail(err)
		}
	})
}

// install makes the SRTP contexts.
func (b *Bot) install(k benchpeer.Keys) error {
	local, err := srtp.CreateContext(k.LocalKey, k.LocalSalt, k.Profile)
	if err != nil {
		return fmt.Errorf("bot: SRTP: %w", err)
	}
	remote, err := srtp.CreateContext(k.RemoteKey, k.RemoteSalt, k.Profile,
		srtp.SRTPReplayProtection(1024), srtp.SRTCPReplayProtection(128))
	if err != nil {
		return fmt.Errorf("bot: SRTP: %w", err)
	}
	b.local, b.remote, b.profile = local, remote, k.Profile.String()
	b.counts.dtlsTime = time.Since(b.dtlsFrom)
	b.counts.connectTime = time.Since(b.started)
	for _, datagram := range b.early {
		b.handleMedia(time.Now(), datagram)
	}
	b.early = nil
	close(b.connected)
	b.nudge()
	return nil
}

// dtlsClosed is called when the server says close_notify.
func (b *Bot) dtlsClosed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.dtlsClosed = true
}

// sealRTP sends a plain packet; the caller holds the lock.
func (b *Bot) sealRTP(packet []byte) {
	sealed, err := b.local.EncryptRTP(b.scratch[:0], packet, nil)
	if err != nil {
		return
	}
	b.scratch = sealed
	b.sendMedia(sealed)
}

// sealRTCP sends packets as one compound; the caller holds the lock.
func (b *Bot) sealRTCP(packets []rtcp.Packet) error {
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	sealed, err := b.local.EncryptRTCP(b.scratch[:0], plain, nil)
	if err != nil {
		return err
	}
	b.scratch = sealed
	b.sendMedia(sealed)
	return nil
}

// reports sends the RTCP that is due and returns when more is; the caller holds the lock.
func (b *Bot) reports(now time.Time) time.Time {
	us := b.ourSSRC()
	next := now.Add(reportInterval)
	for _, t := range b.senders {
		if sr := t.report(now); sr != nil {
			b.compound(append(sr, b.description(t.ssrc)))
		}
	}
	if !now.Before(b.nextRR) {
		b.nextRR = now.Add(reportInterval)
		b.receiverReports(now, us)
	}
	for _, r := range b.known {
		if !r.stats.Active {
			continue
		}
		packets, due := r.feedback(now, us)
		next = earlier(next, due)
		if len(packets) == 0 {
			continue
		}
		if !r.reduced { // RFC 5506 was not negotiated: a report goes first
			packets = append([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: us}, b.description(us)}, packets...)
		}
		b.compound(packets)
	}
	if b.cfg.TransportCC {
		if p := b.feedback.due(now, us); p != nil {
			b.compound([]rtcp.Packet{p})
		}
		next = earlier(next, b.feedback.next)
	}
	return next
}

// compound sends what can be marshalled.
func (b *Bot) compound(packets []rtcp.Packet) { _ = b.sealRTCP(packets) }

// receiverReports reports on all streams, 31 blocks a packet.
func (b *Bot) receiverReports(now time.Time, us uint32) {
	var blocks []rtcp.ReceptionReport
	for _, r := range b.known {
		if r.stats.Active && r.started {
			blocks = append(blocks, r.report(now))
		}
	}
	for len(blocks) > 0 {
		n := min(31, len(blocks))
		b.compound([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: us, Reports: blocks[:n]}, b.description(us)})
		blocks = blocks[n:]
	}
}

// description is the SDES that a compound packet needs (RFC 3550 section 6.1).
func (b *Bot) description(ssrc uint32) rtcp.Packet {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: b.answer.cname}},
	}}}
}

// ourSSRC is under which the bot sends RTCP about what it receives.
func (b *Bot) ourSSRC() uint32 {
	if len(b.senders) > 0 {
		return b.senders[0].ssrc
	}
	return 1 // as libwebrtc does when it sends nothing
}

// handleMedia takes an SRTP or SRTCP datagram; the caller holds the lock.
func (b *Bot) handleMedia(now time.Time, datagram []byte) {
	if b.remote == nil && len(b.early) < maxEarly {
		// The server has the keys before the client has.
		b.early = append(b.early, append([]byte(nil), datagram...))
		return
	}
	if b.remote == nil || len(datagram) < 12 {
		b.counts.undecryptable++
		return
	}
	if pt := datagram[1] & 0x7f; pt >= 64 && pt < 96 { // RFC 5761 section 4
		plain, err := b.remote.DecryptRTCP(nil, datagram, nil)
		if err != nil {
			b.refused(err)
			return
		}
		b.handleRTCP(now, plain)
		return
	}
	var h rtp.Header
	plain, err := b.remote.DecryptRTP(b.scratch[:0], datagram, &h)
	if err != nil {
		b.refused(err)
		return
	}
	b.scratch = plain
	b.handleRTP(now, plain)
}

// refused counts a datagram that SRTP did not open.
func (b *Bot) refused(err error) {
	// The library does not export this error.
	if strings.Contains(err.Error(), "duplicated") {
		b.counts.replayed++
		return
	}
	b.counts.undecryptable++
}

// handleRTP takes a decrypted packet.
func (b *Bot) handleRTP(now time.Time, plain []byte) {
	var p rtp.Packet
	if err := p.Unmarshal(plain); err != nil {
		b.counts.undecryptable++
		return
	}
	r := b.receive[p.SSRC]
	if r == nil {
		b.counts.unknownSSRC++
		return
	}
	if b.cfg.TransportCC {
		b.feedback.record(now, r, &p)
	}
	a := arrival{now: now, seq: p.SequenceNumber, timestamp: p.Timestamp, marker: p.Marker, payload: p.Payload}
	if f := r.redFormat(p.PayloadType); f != nil {
		a.codec = f.codec
		r.red(a, f)
		return
	}
	if a.codec = r.codecOf(p.PayloadType, p.SSRC == r.rtxSSRC); a.codec == 0 {
		r.stats.WrongType++
		return
	}
	if p.SSRC == r.rtxSSRC {
		r.stats.RTXPackets++
		if len(p.Payload) < 2 {
			r.stats.Padding++ // a probe
			return
		}
		a.rtx, a.seq, a.payload = true, binary.BigEndian.Uint16(p.Payload), p.Payload[2:]
	}
	r.packet(a)
	if r.needs() && !r.armed {
		r.armed = true
		b.nudge()
	}
}

// handleRTCP takes a decrypted compound packet.
func (b *Bot) handleRTCP(now time.Time, plain []byte) {
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		b.counts.undecryptable++
		return
	}
	b.counts.rtcp++
	b.out.now = now
	for _, packet := range packets {
		switch p := packet.(type) {
		case *rtcp.SenderReport:
			if r := b.receive[p.SSRC]; r != nil {
				r.senderReport(now, p)
			}
			b.reported(now, p.Reports)
		case *rtcp.ReceiverReport:
			b.reported(now, p.Reports)
		case *rtcp.PictureLossIndication:
			b.keyFrameWanted(p.MediaSSRC, false)
		case *rtcp.FullIntraRequest:
			for _, f := range p.FIR {
				b.keyFrameWanted(f.SSRC, true)
			}
		case *rtcp.TransportLayerNack:
			b.nacked(p)
		case *rtcp.TransportLayerCC:
			for _, t := range b.senders {
				t.stats.TransportCC++
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			for _, t := range b.senders {
				t.stats.REMB = uint64(p.Bitrate)
			}
		}
	}
}

func (b *Bot) reported(now time.Time, reports []rtcp.ReceptionReport) {
	for _, report := range reports {
		for _, t := range b.senders {
			if t.ssrc == report.SSRC {
				t.reported(now, report)
			}
		}
	}
}

func (b *Bot) keyFrameWanted(ssrc uint32, fir bool) {
	for _, t := range b.senders {
		if t.ssrc != ssrc {
			continue
		}
		t.wantKey = true
		if fir {
			t.stats.FIR++
		} else {
			t.stats.PLI++
		}
	}
}

func (b *Bot) nacked(p *rtcp.TransportLayerNack) {
	for _, t := range b.senders {
		if t.ssrc != p.MediaSSRC {
			continue
		}
		for _, pair := range p.Nacks {
			for _, seq := range pair.PacketList() {
				t.resend(seq, &b.out)
			}
		}
	}
}
