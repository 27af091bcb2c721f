package webhook

import (
	"strconv"
	"time"
)

// LocalStats are what the server has counted of a connection.
type LocalStats struct {
	Received, Sent Traffic

	SkippedSRTP    uint64 // received and not opened: of a stream or a time that does not count
	SRTPAuthFailed uint64 // received and refused by SRTP's authentication or replay check

	ICE            ICEDurations
	RoundTrip      time.Duration // the last that is known; 0: none
	LossPermille   int           // of what was sent lately, as the client reports it
	EstimatedBits  uint64        // bit/s towards the client; 0: no estimate
	TURNAllocation uint64        // allocations that it made
}

// Traffic counts one direction of a connection.
type Traffic struct {
	Bytes, Packets  uint64 // of payload of UDP or TCP, whatever it was
	RTP, RTPBytes   uint64 // SRTP packets, and their bytes
	RTCP, RTCPBytes uint64
	SR, RR          uint64 // reports in RTCP
	NACK, PLI, FIR  uint64
	TransportWide   uint64 // feedback of transport-wide congestion control
	DTLS            uint64 // datagrams
	STUN            uint64 // connectivity checks and their answers
	TURN            uint64 // messages to or from the TURN server for it
}

// Append appends the statistics to dst as an object.
func (s *LocalStats) Append(dst []byte) []byte {
	w := writer{b: dst}
	w.begin()
	w.open("rtp")
	w.traffic("total_received", &s.Received)
	w.traffic("total_sent", &s.Sent)
	w.close()
	w.open("srtp")
	w.count("total_received_srtp", s.Received.RTP)
	w.count("total_received_srtp_byte_size", s.Received.RTPBytes)
	w.count("total_sent_srtp", s.Sent.RTP)
	w.count("total_sent_srtp_byte_size", s.Sent.RTPBytes)
	w.count("total_decrypt_skipped_srtp", s.SkippedSRTP)
	w.count("total_decrypt_failed_srtp", s.SRTPAuthFailed)
	w.close()
	w.open("dtls")
	w.count("total_received_dtls", s.Received.DTLS)
	w.count("total_sent_dtls", s.Sent.DTLS)
	w.close()
	w.open("ice")
	w.count("total_received_stun", s.Received.STUN)
	w.count("total_sent_stun", s.Sent.STUN)
	w.milliseconds("total_checking_duration_ms", s.ICE.Checking)
	w.milliseconds("total_disconnected_duration_ms", s.ICE.Disconnected)
	w.close()
	w.open("turn")
	w.count("total_allocation", s.TURNAllocation)
	w.count("total_received_turn", s.Received.TURN)
	w.count("total_sent_turn", s.Sent.TURN)
	w.close()
	w.open("network")
	w.key("round_trip_time_us")
	w.b = strconv.AppendInt(w.b, s.RoundTrip.Microseconds(), 10)
	w.integer("loss_permille", s.LossPermille)
	w.count("estimated_bit_rate", s.EstimatedBits)
	w.close()
	w.close()
	return w.b
}

// traffic writes the counters of RTP and RTCP of one direction.
func (w *writer) traffic(prefix string, t *Traffic) {
	w.countOf(prefix, "_bytes", t.Bytes)
	w.countOf(prefix, "_packets", t.Packets)
	w.countOf(prefix, "_rtp", t.RTP)
	w.countOf(prefix, "_rtp_byte_size", t.RTPBytes)
	w.countOf(prefix, "_rtcp", t.RTCP)
	w.countOf(prefix, "_rtcp_byte_size", t.RTCPBytes)
	w.countOf(prefix, "_rtcp_sr", t.SR)
	w.countOf(prefix, "_rtcp_rr", t.RR)
	w.countOf(prefix, "_rtcp_psfb_pli", t.PLI)
	w.countOf(prefix, "_rtcp_psfb_fir", t.FIR)
	w.countOf(prefix, "_rtcp_rtpfb_generic_nack", t.NACK)
	w.countOf(prefix, "_rtcp_rtpfb_transport_wide", t.TransportWide)
}
