package edge

import (
	"strconv"
	"time"

	"tsubame/media/conn"
	"tsubame/media/rtcp"
	"tsubame/turnsrv"
)

// AppendJSON appends the statistics as a JSON object, in groups and under the names that tools for
// connection statistics know: every leaf is a whole number that only grows, but for those of the
// group network, which are of the last report. What is not counted is left out.
func (s *ConnStats) AppendJSON(dst []byte) []byte {
	w := leaves{dst: append(dst, '{')}
	w.begin("rtp")
	s.appendRTP(&w)
	w.end()
	w.begin("rtp_hdrext")
	s.appendExtensions(&w)
	w.end()
	w.begin("rtcp")
	s.appendRTCP(&w)
	w.end()
	w.begin("srtp")
	s.appendSRTP(&w)
	w.end()
	w.begin("dtls")
	s.appendDTLS(&w)
	w.end()
	w.begin("ice")
	s.appendICE(&w)
	w.end()
	w.begin("turn")
	s.appendTURN(&w)
	w.end()
	w.begin("network")
	s.appendNetwork(&w)
	w.end()
	return append(w.dst, '}')
}

// leaves writes the members of an object.
type leaves struct{ dst []byte }

func (w *leaves) name(parts ...string) {
	if last := w.dst[len(w.dst)-1]; last != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, '"')
	for _, p := range parts {
		w.dst = append(w.dst, p...)
	}
	w.dst = append(w.dst, '"', ':')
}

func (w *leaves) begin(group string) {
	w.name(group)
	w.dst = append(w.dst, '{')
}

func (w *leaves) end() { w.dst = append(w.dst, '}') }

func (w *leaves) put(v uint64, name ...string) {
	w.name(name...)
	w.dst = strconv.AppendUint(w.dst, v, 10)
}

func (w *leaves) millis(d time.Duration, name string) { w.put(uint64(d/time.Millisecond), name) }

// both writes what came and what was sent of one kind of packets, with their bytes.
func (w *leaves) both(in, out conn.Tally, name string) {
	w.put(in.Packets, "total_received_", name)
	w.put(in.Bytes, "total_received_", name, "_byte_size")
	w.put(out.Packets, "total_sent_", name)
	w.put(out.Bytes, "total_sent_", name, "_byte_size")
}

func (s *ConnStats) appendRTP(w *leaves) {
	in, out := s.Received(), s.Sent()
	w.put(in.Bytes, "total_received_bytes")
	w.put(in.Packets, "total_received_packets")
	w.put(out.Bytes, "total_sent_bytes")
	w.put(out.Packets, "total_sent_packets")
	w.both(s.RTPIn, s.RTPOut, "rtp")
	w.put(s.RTPIn.Packets-s.Decrypted.Packets, "total_decrypt_skipped_srtp")
	w.put(s.Padded.Packets, "total_received_rtp_padding")
	w.put(s.Padded.Bytes, "total_received_rtp_padding_size")
	w.put(s.REDIn, "total_received_rtp_red")
	w.put(s.RTXIn, "total_received_rtp_rtx")
	w.put(s.RTXOut, "total_sent_rtp_rtx")
	w.put(s.Missing, "total_missing_rtp")
	w.put(s.Repairs, "total_repaired_rtp")
	w.put(s.GivenUp, "total_given_up_rtp")
	s.appendRTCP(w) // where tools of old look for it
}

func (s *ConnStats) appendExtensions(w *leaves) {
	w.put(s.AudioLevels, "total_received_rtp_hdrext_audio_level")
	w.put(s.Orientations, "total_received_rtp_hdrext_video_orientation")
	w.put(s.Wide, "total_received_rtp_hdrext_transport_wide_cc")
}

// rtcpNames are the kinds of RTCP packets. TMMBR and TMMBN, APP and what else there is are unknown.
var rtcpNames = [...]struct {
	kind rtcp.Kind
	name string
}{
	{rtcp.KindSR, "sr"}, {rtcp.KindRR, "rr"}, {rtcp.KindSDES, "sdes"}, {rtcp.KindBYE, "bye"}, {rtcp.KindXR, "xr"},
	{rtcp.KindPLI, "psfb_pli"}, {rtcp.KindFIR, "psfb_fir"}, {rtcp.KindREMB, "psfb_afb"},
	{rtcp.KindNACK, "rtpfb_generic_nack"}, {rtcp.KindTWCC, "rtpfb_transport_wide"}, {rtcp.KindOther, "unknown"},
}

func (s *ConnStats) appendRTCP(w *leaves) {
	w.both(s.RTCPIn, s.RTCPOut, "rtcp")
	for _, k := range rtcpNames {
		w.put(s.RTCPKindsIn[k.kind], "total_received_rtcp_", k.name)
	}
	for _, k := range rtcpNames {
		w.put(s.RTCPKindsOut[k.kind], "total_sent_rtcp_", k.name)
	}
	w.put(s.NACKsIn, "total_received_nacked_rtp")
	w.put(s.NACKsOut, "total_sent_nacked_rtp")
}

func (s *ConnStats) appendSRTP(w *leaves) {
	w.both(s.RTPIn, s.RTPOut, "srtp")
	w.put(s.Decrypted.Packets, "total_decrypted_srtp")
	w.put(s.Decrypted.Bytes, "total_decrypted_srtp_byte_size")
	w.put(s.AuthFailures, "total_authentication_failed")
	w.put(s.Replayed, "total_replayed")
}

func (s *ConnStats) appendDTLS(w *leaves) { w.both(s.DTLSIn, s.DTLSOut, "dtls") }

func (s *ConnStats) appendICE(w *leaves) {
	w.put(s.ChecksIn.Packets, "total_received_binding_request")
	w.put(s.ChecksOut.Packets-s.CheckErrors, "total_sent_binding_success")
	w.put(s.CheckErrors, "total_sent_binding_error")
	w.millis(s.Checking, "total_checking_duration_ms")
	w.millis(s.Disconnected, "total_disconnected_duration_ms")
}

// turnNames are the messages that a client and we have for each other. Plain Binding requests are
// nobody's in particular, and we send none.
var turnNames = [turnsrv.NumMessages]string{
	turnsrv.AllocateRequest: "total_received_allocate_request",
	turnsrv.AllocateSuccess: "total_sent_allocate_success", turnsrv.AllocateError: "total_sent_allocate_error",
	turnsrv.RefreshRequest: "total_received_refresh_request",
	turnsrv.RefreshSuccess: "total_sent_refresh_success", turnsrv.RefreshError: "total_sent_refresh_error",
	turnsrv.CreatePermissionRequest: "total_received_create_permission_request",
	turnsrv.CreatePermissionSuccess: "total_sent_create_permission_success",
	turnsrv.CreatePermissionError:   "total_sent_create_permission_error",
	turnsrv.ChannelBindRequest:      "total_received_channel_bind_request",
	turnsrv.ChannelBindSuccess:      "total_sent_channel_bind_success",
	turnsrv.ChannelBindError:        "total_sent_channel_bind_error",
	turnsrv.SendIndication:          "total_received_send_indication",
	turnsrv.ChannelDataSent:         "total_received_channel_data",
}

func (s *ConnStats) appendTURN(w *leaves) {
	for m, name := range turnNames {
		w.put(s.TURN[m], name)
	}
	w.put(s.ChannelDataOut, "total_sent_channel_data")
	w.put(s.IndicationsOut, "total_sent_data_indication")
	w.put(s.RelayedChecks, "total_received_turn_binding_request")
	w.put(s.RelayedSuccesses, "total_sent_turn_binding_success")
	w.put(s.RelayedFailures, "total_sent_turn_binding_error")
}

// appendNetwork writes what was measured. What was never measured is left out.
func (s *ConnStats) appendNetwork(w *leaves) {
	n := &s.Network
	if n.Reports == 0 {
		return
	}
	w.put(n.Sent, "sent_bitrate")
	w.put(n.Received, "received_bitrate")
	if n.Target > 0 {
		w.put(n.Target, "estimated_bitrate")
	}
	if n.RTT > 0 {
		w.put(uint64(n.RTT/time.Microsecond), "round_trip_time_us")
	}
	w.put(uint64(n.Loss*1000), "sent_loss_permille")
	w.put(uint64(n.ReceivedLoss*1000), "received_loss_permille")
	w.put(uint64(n.Unstable), "unstable_level")
}
