package offer

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// buffer is a text that grows.
type buffer []byte

func (b *buffer) writeString(s string) { *b = append(*b, s...) }
func (b *buffer) writeByte(c byte)     { *b = append(*b, c) }

// appendSDP appends the offer (RFC 8866, in the profile of RFC 8829) to dst. It allocates
// nothing where there is room: a channel re-offers to every viewer at every join.
func (s *State) appendSDP(dst []byte) []byte {
	b := (*buffer)(&dst)
	*b = slices.Grow(*b, s.size())
	b.writeString("v=0\r\no=- ")
	writeUint(b, s.sessionID)
	b.writeByte(' ')
	writeUint(b, s.version)
	b.writeString(" IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for _, sec := range s.sections {
		if sec.offered {
			b.writeByte(' ')
			b.writeString(sec.mid)
		}
	}
	// A section with port 0 must not be in the group (RFC 9143 section 7.2). For Firefox the
	// SDK makes it port 9: then it must, or Firefox gives it a transport of its own, and the
	// whole connection fails after 5 s without candidates for it. Without the SDK Firefox
	// takes it as released either way.
	for _, sec := range s.sections {
		if s.firefox && !sec.offered {
			b.writeByte(' ')
			b.writeString(sec.mid)
		}
	}
	b.writeString("\r\na=msid-semantic: WMS *\r\na=ice-lite\r\n")
	last := s.lastWithCandidates()
	for i, sec := range s.sections {
		s.writeSection(b, sec, sec.offered && i <= last)
	}
	return dst
}

// lastWithCandidates returns the index of the last section that carries candidates. The
// transport of all is that of the first section that the client takes, and browsers forget
// what a section said that they reject. Which one that is shows in the first answer; until
// then, all sections up to one that cannot be rejected for its codec have to say it. In all
// of them, candidates would make the offers of large channels a good deal longer.
func (s *State) lastWithCandidates() int {
	for i, sec := range s.sections {
		if sec.offered && (s.answered || sec.formats[0].mandatory) {
			return i
		}
	}
	return len(s.sections) - 1
}

// size returns at least the length of the offer.
func (s *State) size() int {
	candidates := 32
	for _, c := range s.cfg.Candidates {
		candidates += len(c) + 16
	}
	n := 256 + (s.lastWithCandidates()+1)*candidates
	for _, sec := range s.sections {
		n += 256 + len(s.transport) + len(extensionsOf(sec.kind)) + 2*len(sec.mid)
		for _, f := range sec.formats {
			n += len(f.lines) + 8
		}
		if sec.stream != nil {
			// Twice in each of a=msid and two a=ssrc, once more in each a=ssrc for the CNAME.
			n += 8*len(sec.stream.owner) + 192
		}
	}
	return n
}

func writeUint(b *buffer, n uint64) {
	*b = strconv.AppendUint(*b, n, 10)
}

func extensionsOf(k param.Kind) string {
	if k == param.Audio {
		return audioExtensions
	}
	return videoExtensions
}

// writeSection writes one m-section.
func (s *State) writeSection(b *buffer, sec *section, candidates bool) {
	b.writeString("m=")
	b.writeString(sec.kind.String())
	if sec.offered {
		b.writeString(" 9 UDP/TLS/RTP/SAVPF")
	} else {
		b.writeString(" 0 UDP/TLS/RTP/SAVPF")
	}
	for _, f := range sec.formats {
		if f.red != 0 {
			b.writeByte(' ')
			writeUint(b, uint64(f.red))
		}
		b.writeByte(' ')
		writeUint(b, uint64(f.pt))
		if f.rtx != 0 {
			b.writeByte(' ')
			writeUint(b, uint64(f.rtx))
		}
	}
	b.writeString("\r\nc=IN IP4 0.0.0.0\r\n")
	writeBandwidth(b, s.bitrate(sec))
	if candidates {
		for _, c := range s.cfg.Candidates {
			b.writeString("a=candidate:")
			b.writeString(c)
			b.writeString("\r\n")
		}
		b.writeString("a=end-of-candidates\r\n")
	}
	b.writeString(s.transport)
	b.writeString("a=mid:")
	b.writeString(sec.mid)
	b.writeString("\r\n")
	b.writeString(extensionsOf(sec.kind))
	b.writeString(sec.direction())
	if sec.offered && sec.hasMSID() {
		b.writeString("a=msid:")
		sec.writeMSID(b)
		b.writeString("\r\n")
	}
	b.writeString("a=rtcp-mux\r\na=rtcp-rsize\r\n")
	for _, f := range sec.formats {
		b.writeString(f.lines)
	}
	if sec.use == own && sec.kind == param.Audio && s.cfg.Audio.PTime != 0 {
		b.writeString("a=ptime:")
		writeUint(b, uint64(s.cfg.Audio.PTime))
		b.writeString("\r\n")
	}
	if sec.stream != nil && sec.offered {
		sec.writeSSRCs(b)
	}
}

// direction is from our point of view.
func (sec *section) direction() string {
	switch {
	case !sec.offered, sec.use == placeholder:
		return "a=inactive\r\n"
	case sec.use == own:
		return "a=recvonly\r\n"
	}
	return "a=sendonly\r\n"
}

func (sec *section) hasMSID() bool { return sec.use == placeholder || sec.stream != nil }

// writeMSID writes the stream and track id (RFC 8830); no two sections may have the same.
// The placeholder's stream id is one that clients ignore.
func (sec *section) writeMSID(b *buffer) {
	st := sec.stream
	if st == nil {
		b.writeString("default ")
		b.writeString(sec.mid)
		return
	}
	b.writeString(st.owner)
	b.writeByte(' ')
	b.writeString(st.owner)
	b.writeByte('-')
	b.writeString(sec.kind.String())
	if st.nth > 0 {
		b.writeByte('-')
		writeUint(b, uint64(st.nth)+1)
	}
}

// writeBandwidth tells the client how much to send (RFC 3890, RFC 8866 section 5.8).
func writeBandwidth(b *buffer, bps uint64) {
	if bps == 0 {
		return
	}
	b.writeString("b=TIAS:")
	writeUint(b, bps)
	b.writeString("\r\nb=AS:")
	writeUint(b, (bps+999)/1000)
	b.writeString("\r\n")
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

// writeSSRCs names the stream's SSRCs (RFC 5576). The publisher's connection id is the
// CNAME of all that it sends, which is what keeps its audio and video in step.
func (sec *section) writeSSRCs(b *buffer) {
	if sec.rtx != 0 {
		b.writeString("a=ssrc-group:FID ")
		writeUint(b, uint64(sec.ssrc))
		b.writeByte(' ')
		writeUint(b, uint64(sec.rtx))
		b.writeString("\r\n")
	}
	for _, n := range [2]uint32{sec.ssrc, sec.rtx} {
		if n == 0 {
			continue
		}
		b.writeString("a=ssrc:")
		writeUint(b, uint64(n))
		b.writeString(" cname:")
		b.writeString(sec.stream.owner)
		b.writeString("\r\na=ssrc:")
		writeUint(b, uint64(n))
		b.writeString(" msid:")
		sec.writeMSID(b)
		b.writeString("\r\n")
	}
}

// transportLines returns what every section says about the one transport of the bundle.
func transportLines(cfg Config) string {
	return "a=ice-ufrag:" + cfg.Ufrag + "\r\na=ice-pwd:" + cfg.Password +
		"\r\na=fingerprint:" + fingerprintText(cfg.Fingerprint) + "\r\na=setup:actpass\r\n"
}

// fingerprintText is the value of a=fingerprint (RFC 8122 section 5).
func fingerprintText(f param.Fingerprint) string {
	digits := strings.ToUpper(hex.EncodeToString(f.Value))
	b := make([]byte, 0, len(f.Algorithm)+1+3*len(f.Value))
	b = append(append(b, f.Algorithm...), ' ')
	for i := range f.Value {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[2*i:2*i+2]...)
	}
	return string(b)
}
