package offer

import (
	"encoding/hex"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// appendSDP appends the offer (RFC 8866, in the profile of RFC 8829).
func (s *State) appendSDP(b []byte) []byte {
	b = append(b, "v=0\r\no=- "...)
	b = strconv.AppendUint(b, s.sessionID, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, s.version, 10)
	b = append(b, " IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE"...)
	// A section with port 0 must not be in the group (RFC 9143 section 7.2).
	for _, sec := range s.sections {
		if sec.offered {
			b = append(append(b, ' '), sec.mid...)
		}
	}
	b = append(b, "\r\na=msid-semantic: WMS *\r\na=ice-lite\r\n"...)
	tagged := true
	for _, sec := range s.sections {
		b = s.appendSection(b, sec, tagged && sec.offered)
		tagged = tagged && !sec.offered
	}
	return b
}

// appendSection appends one m-section. Candidates are in the tagged section only, the
// first of the BUNDLE group, whose transport all use: repeating them would make the offers
// of large channels several times longer.
func (s *State) appendSection(b []byte, sec *section, tagged bool) []byte {
	f := formatOf(sec.codec)
	b = append(append(b, "m="...), sec.kind.String()...)
	if sec.offered {
		b = append(b, " 9"...)
	} else {
		b = append(b, " 0"...)
	}
	b = append(b, " UDP/TLS/RTP/SAVPF "...)
	b = strconv.AppendUint(b, uint64(f.pt), 10)
	if f.rtx != 0 {
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(f.rtx), 10)
	}
	b = append(b, "\r\nc=IN IP4 0.0.0.0\r\n"...)
	b = s.appendBandwidth(b, sec)
	if tagged {
		for _, c := range s.cfg.Candidates {
			b = appendAttribute(b, "candidate", c)
		}
		b = append(b, "a=end-of-candidates\r\n"...)
	}
	b = appendAttribute(b, "ice-ufrag", s.cfg.Ufrag)
	b = appendAttribute(b, "ice-pwd", s.cfg.Password)
	b = appendAttribute(b, "fingerprint", fingerprintText(s.cfg.Fingerprint))
	b = append(b, "a=setup:actpass\r\n"...)
	b = appendAttribute(b, "mid", sec.mid)
	for i := range extensions {
		if x := &extensions[i]; x.fits(sec.kind) {
			b = appendAttribute(b, "extmap", strconv.Itoa(int(x.id))+" "+x.uri)
		}
	}
	b = append(b, "a="+sec.direction()+"\r\n"...)
	if id := sec.msid(); id != "" && sec.offered {
		b = appendAttribute(b, "msid", id)
	}
	b = append(b, "a=rtcp-mux\r\na=rtcp-rsize\r\n"...)
	b = s.appendFormat(b, sec, f)
	if sec.stream != nil && sec.offered {
		b = sec.appendSSRCs(b)
	}
	return b
}

func appendAttribute(b []byte, name, value string) []byte {
	b = append(append(b, "a="...), name...)
	b = append(append(b, ':'), value...)
	return append(b, '\r', '\n')
}

// direction is from our point of view.
func (sec *section) direction() string {
	switch {
	case !sec.offered, sec.use == placeholder:
		return "inactive"
	case sec.use == own:
		return "recvonly"
	}
	return "sendonly"
}

// msid returns the stream and track id (RFC 8830); no two sections may have the same. The
// placeholder's stream id is one that clients ignore.
func (sec *section) msid() string {
	switch {
	case sec.use == placeholder:
		return "default " + sec.mid
	case sec.stream != nil:
		return sec.stream.owner + " " + sec.stream.owner + "-" + sec.kind.String()
	}
	return ""
}

// appendBandwidth tells the client how much to send (RFC 3890, RFC 8866 section 5.8).
func (s *State) appendBandwidth(b []byte, sec *section) []byte {
	bps := s.bitrate(sec)
	if bps == 0 {
		return b
	}
	b = append(b, "b=TIAS:"...)
	b = strconv.AppendUint(b, bps, 10)
	b = append(b, "\r\nb=AS:"...)
	b = strconv.AppendUint(b, (bps+999)/1000, 10)
	return append(b, '\r', '\n')
}

// bitrate returns what signaling asked the client to send on a section, in bits per second.
func (s *State) bitrate(sec *section) uint64 {
	switch {
	case sec.use != own:
		return 0
	case sec.kind == param.Audio:
		return s.cfg.Audio.Bitrate
	}
	return s.cfg.Video.Bitrate
}

func (s *State) appendFormat(b []byte, sec *section, f *format) []byte {
	pt := strconv.Itoa(int(f.pt))
	b = appendAttribute(b, "rtpmap", pt+" "+f.rtpmap())
	for i := range feedbacks {
		if x := &feedbacks[i]; x.fits(sec.kind) {
			b = appendAttribute(b, "rtcp-fb", pt+" "+x.value)
		}
	}
	if f.codec == param.Opus {
		audio := &OwnAudio{}
		if sec.use == own {
			audio = s.cfg.Audio
		}
		b = appendAttribute(b, "fmtp", pt+" "+audio.fmtp())
		if audio.PTime != 0 {
			b = appendAttribute(b, "ptime", strconv.Itoa(audio.PTime))
		}
	}
	if f.rtx != 0 {
		rtx := strconv.Itoa(int(f.rtx))
		b = appendAttribute(b, "rtpmap", rtx+" rtx/"+strconv.FormatUint(uint64(f.clock), 10))
		b = appendAttribute(b, "fmtp", rtx+" apt="+pt)
	}
	return b
}

// appendSSRCs names the stream's SSRCs (RFC 5576). The publisher's connection id is the
// CNAME of all that it sends, which is what keeps its audio and video in step.
func (sec *section) appendSSRCs(b []byte) []byte {
	ssrcs := []uint32{sec.ssrc}
	if sec.rtx != 0 {
		ssrcs = append(ssrcs, sec.rtx)
		b = appendAttribute(b, "ssrc-group", "FID "+decimal(sec.ssrc)+" "+decimal(sec.rtx))
	}
	for _, n := range ssrcs {
		b = appendAttribute(b, "ssrc", decimal(n)+" cname:"+sec.stream.owner)
		b = appendAttribute(b, "ssrc", decimal(n)+" msid:"+sec.msid())
	}
	return b
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// fingerprintText is the value of a=fingerprint (RFC 8122 section 5).
func fingerprintText(f param.Fingerprint) string {
	var b strings.Builder
	b.WriteString(f.Algorithm)
	b.WriteByte(' ')
	for i, c := range f.Value {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}
