package load

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tsubame/media/param"
)

// Bounds of what is read of an offer.
const (
	maxSections = 4096
	maxFormats  = 32 // of one section
)

// Description is what a client needs to know of a server's offer.
type Description struct {
	ufrag, password string
	fingerprints    []param.Fingerprint
	candidate       netip.AddrPort // UDP, of the highest priority
	sections        []section
}

// section is one m-section of an offer.
type section struct {
	lines        []string // all, the m-line first
	kind         param.Kind
	mid          string
	rejected     bool
	sends, takes bool // the server's directions
	reduced      bool

	extensions    param.Extensions
	formats       []format
	stream        string // a=msid: of which publisher the section is
	ssrc, rtxSSRC uint32 // of what the server sends
}

// format is one payload format of a section.
type format struct {
	codec     param.Codec
	pt, rtx   uint8 // rtx 0: none
	nack, pli bool
}

var encodings = map[string]param.Codec{
	"opus/48000/2": param.Opus, "VP8/90000": param.VP8, "VP9/90000": param.VP9,
	"AV1/90000": param.AV1, "H264/90000": param.H264, "H265/90000": param.H265,
}

// parseOffer reads an offer in one pass over its lines. It is written for clients that read
// a new offer for each who joins their channel: it keeps pieces of the text and copies none.
func parseOffer(text string) (*Description, error) {
	d := &Description{}
	var best uint64
	var s *section
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "m=") {
			if len(d.sections) == maxSections {
				return nil, errors.New("load: offer of too many sections")
			}
			if len(strings.Fields(line)) < 4 { // media, port, protocol, a format (RFC 8866 section 5.14)
				return nil, fmt.Errorf("load: offer has the line %q", line)
			}
			d.sections = append(d.sections, newSection(line))
			s = &d.sections[len(d.sections)-1]
			continue
		}
		if s != nil {
			s.lines = append(s.lines, line)
			s.read(line)
		}
		if len(d.sections) <= 1 { // of one transport, the first says all
			d.transport(line, &best)
		}
	}
	for i := range d.sections {
		s := &d.sections[i]
		s.rejected = s.rejected || len(s.formats) == 0
	}
	switch {
	case d.ufrag == "" || d.password == "":
		return nil, errors.New("load: offer has no ICE credentials")
	case len(d.fingerprints) == 0:
		return nil, errors.New("load: offer has no fingerprint")
	case !d.candidate.IsValid():
		return nil, errors.New("load: offer has no UDP candidate with an IPv4 address")
	}
	return d, nil
}

// transport reads what belongs to the one transport of a bundle.
func (d *Description) transport(line string, best *uint64) {
	key, value, _ := strings.Cut(line, ":")
	switch key {
	case "a=ice-ufrag":
		d.ufrag = value
	case "a=ice-pwd":
		d.password = value
	case "a=fingerprint":
		name, digits, _ := strings.Cut(value, " ")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
		if err == nil && len(b) > 0 {
			d.fingerprints = append(d.fingerprints, param.Fingerprint{Algorithm: strings.ToLower(name), Value: b})
		}
	case "a=candidate":
		f := strings.Fields(value)
		if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
			return
		}
		priority, err1 := strconv.ParseUint(f[3], 10, 32)
		ip, err2 := netip.ParseAddr(f[4])
		port, err3 := strconv.ParseUint(f[5], 10, 16)
		if err1 != nil || err2 != nil || err3 != nil || !ip.Is4() || priority <= *best {
			return
		}
		*best, d.candidate = priority, netip.AddrPortFrom(ip, uint16(port))
	}
}

// newSection begins one by its m-line.
func newSection(line string) section {
	s := section{lines: append(make([]string, 0, 32), line), sends: true, takes: true}
	media, rest, _ := strings.Cut(line[2:], " ")
	port, _, _ := strings.Cut(rest, " ")
	s.rejected = port == "0"
	switch media {
	case "audio":
		s.kind = param.Audio
	case "video":
		s.kind = param.Video
	}
	return s
}

// read takes one line.
func (s *section) read(line string) {
	key, value, _ := strings.Cut(line, ":")
	switch key {
	case "a=mid":
		s.mid = value
	case "a=sendonly":
		s.takes = false
	case "a=recvonly":
		s.sends = false
	case "a=inactive":
		s.sends, s.takes = false, false
	case "a=rtcp-rsize":
		s.reduced = true
	case "a=extmap":
		s.extension(value)
	case "a=rtpmap", "a=fmtp", "a=rtcp-fb":
		s.format(key, value)
	case "a=msid":
		s.stream, _, _ = strings.Cut(value, " ")
	case "a=ssrc":
		first, _, _ := strings.Cut(value, " ")
		if n, err := strconv.ParseUint(first, 10, 32); err == nil && s.ssrc == 0 {
			s.ssrc = uint32(n)
		}
	case "a=ssrc-group":
		f := strings.Fields(value)
		if len(f) != 3 || f[0] != "FID" {
			return
		}
		primary, err1 := strconv.ParseUint(f[1], 10, 32)
		repair, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil {
			s.ssrc, s.rtxSSRC = uint32(primary), uint32(repair)
		}
	}
}

// extension reads an a=extmap.
func (s *section) extension(value string) {
	id, uri, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || n == 0 || n > 14 {
		return
	}
	switch uri {
	case "urn:ietf:params:rtp-hdrext:sdes:mid":
		s.extensions.MID = uint8(n)
	case "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time":
		s.extensions.AbsSendTime = uint8(n)
	case "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01":
		s.extensions.TransportCC = uint8(n)
	case "urn:ietf:params:rtp-hdrext:ssrc-audio-level":
		s.extensions.AudioLevel = uint8(n)
	}
}

// format reads a line about a payload type.
func (s *section) format(key, value string) {
	number, rest, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(number, 10, 7)
	if err != nil {
		return
	}
	pt := uint8(n)
	switch {
	case key == "a=rtpmap":
		if c := encodings[rest]; c != 0 && len(s.formats) < maxFormats {
			s.formats = append(s.formats, format{codec: c, pt: pt})
		}
	case key == "a=fmtp" && strings.HasPrefix(rest, "apt="):
		apt, err := strconv.ParseUint(rest[4:], 10, 7)
		if f := s.byType(uint8(apt)); f != nil && err == nil {
			f.rtx = pt
		}
	case key == "a=rtcp-fb":
		if f := s.byType(pt); f != nil {
			f.nack = f.nack || rest == "nack"
			f.pli = f.pli || rest == "nack pli"
		}
	}
}

// byType returns the format of a payload type, or nil.
func (s *section) byType(pt uint8) *format {
	for i := range s.formats {
		if s.formats[i].pt == pt {
			return &s.formats[i]
		}
	}
	return nil
}

// byCodec returns the first format of a codec, or nil.
func (s *section) byCodec(c param.Codec) *format {
	for i := range s.formats {
		if s.formats[i].codec == c {
			return &s.formats[i]
		}
	}
	return nil
}

// local is what an answer says of the client.
type local struct {
	session, version uint64
	ufrag, password  string
	fingerprint      string // as SDP has it
	cname            string
	receives         bool
	audio, video     *publication // what it sends, or nil
	offer            *Description // the last one
}

// fingerprintText writes a digest as RFC 8122 wants it.
func fingerprintText(f param.Fingerprint) string {
	parts := make([]string, len(f.Value))
	for i, b := range f.Value {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return f.Algorithm + " " + strings.Join(parts, ":")
}

// answer writes the answer (RFC 8829 section 5.3): the same sections in the same order, of
// which one of each kind at most is what the client sends.
func (l *local) answer(d *Description) string {
	var b strings.Builder
	b.Grow(1024 + 512*len(d.sections))
	l.version++
	fmt.Fprintf(&b, "v=0\r\no=- %d %d IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE", l.session, l.version)
	for i := range d.sections {
		if s := &d.sections[i]; !s.rejected {
			b.WriteString(" " + s.mid)
		}
	}
	b.WriteString("\r\n")
	for i := range d.sections {
		l.section(&b, &d.sections[i])
	}
	return b.String()
}

// section writes one section.
func (l *local) section(b *strings.Builder, s *section) {
	f := strings.Fields(s.lines[0])
	own := l.own(s)
	var only []string // payload types; empty: all
	if own != nil {
		only = []string{strconv.Itoa(int(own.format.pt))}
		if own.format.rtx != 0 {
			only = append(only, strconv.Itoa(int(own.format.rtx)))
		}
	}
	port := " 9 "
	if s.rejected {
		port = " 0 "
	}
	b.WriteString(f[0] + port + f[2])
	for _, pt := range f[3:] {
		if len(only) == 0 || slices.Contains(only, pt) {
			b.WriteString(" " + pt)
		}
	}
	b.WriteString("\r\nc=IN IP4 0.0.0.0\r\na=mid:" + s.mid + "\r\n")
	if s.rejected {
		return
	}
	b.WriteString("a=ice-ufrag:" + l.ufrag + "\r\na=ice-pwd:" + l.password + "\r\na=fingerprint:" + l.fingerprint +
		"\r\na=setup:active\r\na=rtcp-mux\r\na=" + direction(own != nil, l.receives && s.sends) + "\r\n")
	for _, line := range s.lines[1:] {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "a=rtcp-rsize":
		case "a=extmap":
			if _, uri, _ := strings.Cut(value, " "); uri == "urn:3gpp:video-orientation" {
				continue // nothing here sends it
			}
		case "a=rtpmap", "a=fmtp", "a=rtcp-fb":
			if pt, _, _ := strings.Cut(value, " "); len(only) > 0 && !slices.Contains(only, pt) {
				continue
			}
		default:
			continue
		}
		b.WriteString(line + "\r\n")
	}
	if own != nil {
		own.describe(b, l.cname)
	}
}

// own returns what the client sends on a section, or nil.
func (l *local) own(s *section) *publication {
	for _, p := range []*publication{l.audio, l.video} {
		if p != nil && s.takes && p.mid == s.mid {
			return p
		}
	}
	return nil
}

func direction(sends, takes bool) string {
	switch {
	case sends && takes:
		return "sendrecv"
	case sends:
		return "sendonly"
	case takes:
		return "recvonly"
	}
	return "inactive"
}
