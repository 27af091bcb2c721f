package bot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"tsubame/media/param"
)

// URIs of the RTP header extensions that a bot takes up when they are offered.
const (
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriAbsSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	uriTransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriAudioLevel  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriOrientation = "urn:3gpp:video-orientation"
)

var knownExtensions = []string{uriMID, uriAbsSendTime, uriTransportCC, uriAudioLevel, uriOrientation}

// offer is what a bot needs to know of the server's SDP.
type offer struct {
	ufrag, password string
	fingerprints    []param.Fingerprint
	candidates      []netip.AddrPort // UDP, by priority
	sections        []section
}

// section is one m-section of an offer.
type section struct {
	kind         param.Kind // 0: neither audio nor video
	media        string
	protos       []string
	formats      []string
	mid          string
	rejected     bool // port 0, or nothing in it that a bot speaks
	sends, takes bool // the server's directions

	codecs     []format // those that the bot speaks, in the order of the m-line
	extensions map[string]uint8
	reduced    bool

	ssrc, rtxSSRC uint32 // of what the server sends
	stream, track string // a=msid
}

// format is one payload format of a section. A codec may have several.
type format struct {
	codec    param.Codec
	pt, rtx  uint8 // rtx 0: none
	red      uint8 // 0: none
	rtpmap   string
	fmtp     string
	feedback []string // values of a=rtcp-fb without the payload type
}

// has reports whether a format negotiated a kind of feedback ("nack", "nack pli").
func (f *format) has(feedback string) bool { return slices.Contains(f.feedback, feedback) }

// parseOffer reads an offer as a bot does that does not speak some codecs; ICE and DTLS
// parameters may be at either level.
func parseOffer(text string, without ...param.Codec) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("bot: offer: %w", err)
	}
	o := &offer{}
	var candidates []candidate
	o.transport(d.Attributes, &candidates)
	for _, m := range d.MediaDescriptions {
		o.transport(m.Attributes, &candidates)
		o.sections = append(o.sections, readSection(m, without))
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return int(b.priority) - int(a.priority) })
	for _, c := range candidates {
		if !slices.Contains(o.candidates, c.address) {
			o.candidates = append(o.candidates, c.address)
		}
	}
	switch {
	case o.ufrag == "" || o.password == "":
		return nil, errors.New("bot: offer has no ICE credentials")
	case len(o.fingerprints) == 0:
		return nil, errors.New("bot: offer has no fingerprint")
	case len(o.sections) == 0:
		return nil, errors.New("bot: offer has no m-section")
	}
	return o, nil
}

// transport reads what belongs to the one transport of a bundle; the first value stands.
func (o *offer) transport(attributes []sdp.Attribute, candidates *[]candidate) {
	for _, a := range attributes {
		switch a.Key {
		case "ice-ufrag":
			if o.ufrag == "" {
				o.ufrag = a.Value
			}
		case "ice-pwd":
			if o.password == "" {
				o.password = a.Value
			}
		case "fingerprint":
			if fp, ok := parseFingerprint(a.Value); ok {
				o.fingerprints = append(o.fingerprints, fp)
			}
		case "candidate":
			if c, ok := parseCandidate(a.Value); ok {
				*candidates = append(*candidates, c)
			}
		}
	}
}

type candidate struct {
	address  netip.AddrPort
	priority uint32
}

// parseCandidate reads a UDP candidate of component 1 with an IP address (RFC 8839
// section 5.1).
func parseCandidate(value string) (candidate, bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return candidate{}, false
	}
	priority, err := strconv.ParseUint(f[3], 10, 31)
	if err != nil {
		return candidate{}, false
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil {
		return candidate{}, false // a name: never resolved
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return candidate{}, false
	}
	return candidate{netip.AddrPortFrom(ip.Unmap(), uint16(port)), uint32(priority)}, true
}

// parseFingerprint reads "sha-256 AB:CD:..." (RFC 8122 section 5).
func parseFingerprint(value string) (param.Fingerprint, bool) {
	name, digits, ok := strings.Cut(value, " ")
	if !ok {
		return param.Fingerprint{}, false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), ":", ""))
	if err != nil || len(b) == 0 {
		return param.Fingerprint{}, false
	}
	return param.Fingerprint{Algorithm: strings.ToLower(name), Value: b}, true
}

// readSection reads one m-section and picks the codec that the bot speaks.
func readSection(m *sdp.MediaDescription, without []param.Codec) section {
	s := section{
		media: m.MediaName.Media, protos: m.MediaName.Protos, formats: m.MediaName.Formats,
		rejected: m.MediaName.Port.Value == 0, sends: true, takes: true,
		extensions: make(map[string]uint8),
	}
	switch s.media {
	case "audio":
		s.kind = param.Audio
	case "video":
		s.kind = param.Video
	}
	for _, a := range m.Attributes {
		s.attribute(a)
	}
	s.readFormats(m, without)
	if len(s.codecs) == 0 {
		s.rejected = true
	}
	return s
}

// attribute reads what needs no codec.
func (s *section) attribute(a sdp.Attribute) {
	switch a.Key {
	case "mid":
		s.mid = a.Value
	case "sendonly":
		s.takes = false
	case "recvonly":
		s.sends = false
	case "inactive":
		s.sends, s.takes = false, false
	case "rtcp-rsize":
		s.reduced = true
	case "msid":
		s.stream, s.track, _ = strings.Cut(a.Value, " ")
	case "extmap":
		id, uri, ok := strings.Cut(a.Value, " ")
		id, _, _ = strings.Cut(id, "/")
		uri, _, _ = strings.Cut(uri, " ")
		n, err := strconv.ParseUint(id, 10, 8)
		if ok && err == nil && n > 0 && n < 15 && slices.Contains(knownExtensions, uri) {
			s.extensions[uri] = uint8(n)
		}
	case "ssrc":
		first, _, _ := strings.Cut(a.Value, " ")
		if n, err := strconv.ParseUint(first, 10, 32); err == nil && s.ssrc == 0 {
			s.ssrc = uint32(n)
		}
	case "ssrc-group":
		f := strings.Fields(a.Value)
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

// encodings are the names of the codecs in a=rtpmap.
var encodings = map[string]param.Codec{
	"opus/48000/2": param.Opus, "vp8/90000": param.VP8, "vp9/90000": param.VP9,
	"av1/90000": param.AV1, "h264/90000": param.H264, "h265/90000": param.H265,
}

// readFormats finds what the bot speaks among the formats, and the RTX of each.
func (s *section) readFormats(m *sdp.MediaDescription, without []param.Codec) {
	values := func(key, format string) (out []string) {
		for _, a := range m.Attributes {
			if rest, ok := strings.CutPrefix(a.Value, format+" "); ok && a.Key == key {
				out = append(out, rest)
			}
		}
		return out
	}
	repairs := make(map[string]uint8) // by the value of fmtp
	reds := make(map[string]uint8)    // the same, of redundant audio
	for _, number := range s.formats {
		pt, err := strconv.ParseUint(number, 10, 7)
		if err != nil {
			continue
		}
		fmtp := strings.Join(values("fmtp", number), ";")
		for _, name := range values("rtpmap", number) {
			codec := encodings[strings.ToLower(name)]
			switch {
			case strings.EqualFold(name, "rtx/90000"):
				repairs[fmtp] = uint8(pt)
			case strings.EqualFold(name, redName):
				reds[fmtp] = uint8(pt)
			case codec != 0 && (codec == param.Opus) == (s.kind == param.Audio) && s.kind != 0 && !slices.Contains(without, codec):
				s.codecs = append(s.codecs, format{
					codec: codec, pt: uint8(pt), rtpmap: name, fmtp: fmtp, feedback: values("rtcp-fb", number),
				})
			}
		}
	}
	for i := range s.codecs {
		f := &s.codecs[i]
		f.rtx = repairs[fmt.Sprintf("apt=%d", f.pt)]
		for fmtp, pt := range reds {
			if f.codec == param.Opus && redOf(fmtp, strconv.Itoa(int(f.pt))) {
				f.red = pt
			}
		}
	}
}

// format returns the first one of a codec, or nil.
func (s *section) format(c param.Codec) *format {
	for i := range s.codecs {
		if s.codecs[i].codec == c {
			return &s.codecs[i]
		}
	}
	return nil
}

// withoutRED makes the offer one of a server without redundant audio.
func (o *offer) withoutRED() {
	for i := range o.sections {
		for j := range o.sections[i].codecs {
			o.sections[i].codecs[j].red = 0
		}
	}
}

// answer is what a bot says about itself.
type answer struct {
	session, version uint64
	ufrag, password  string
	fingerprint      param.Fingerprint
	cname            string
	senders          map[string]*sender // by mid: the sections on which it sends
	takes            bool               // the role receives
}

// text writes the answer to o (RFC 8829 section 5.3): the same sections in the same order.
func (a *answer) text(o *offer) (string, error) {
	d := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: a.session, SessionVersion: a.version,
			NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	bundle := "BUNDLE"
	for i := range o.sections {
		if s := &o.sections[i]; !s.rejected {
			bundle += " " + s.mid
		}
	}
	d.WithValueAttribute("group", bundle)
	for i := range o.sections {
		d.WithMedia(a.section(&o.sections[i]))
	}
	b, err := d.Marshal()
	return string(b), err
}

// section writes one m-section.
func (a *answer) section(s *section) *sdp.MediaDescription {
	m := sdp.NewJSEPMediaDescription(s.media, nil)
	m.MediaName.Protos = s.protos
	if s.rejected {
		m.MediaName.Port.Value = 0
		m.MediaName.Formats = s.formats
		return m.WithValueAttribute("mid", s.mid)
	}
	m.WithICECredentials(a.ufrag, a.password).
		WithFingerprint(a.fingerprint.Algorithm, fingerprintText(a.fingerprint.Value)).
		WithValueAttribute("setup", "active").
		WithValueAttribute("mid", s.mid)
	for _, uri := range knownExtensions {
		if id, ok := s.extensions[uri]; ok {
			m.WithValueAttribute("extmap", fmt.Sprintf("%d %s", id, uri))
		}
	}
	from := a.senders[s.mid]
	m.WithPropertyAttribute(direction(from != nil && s.takes, a.takes && s.sends)).
		WithPropertyAttribute("rtcp-mux")
	if s.reduced {
		m.WithPropertyAttribute("rtcp-rsize")
	}
	if from != nil && s.takes {
		writeFormats(m, []format{from.format})
		a.source(m, from)
	} else {
		writeFormats(m, s.codecs)
	}
	return m
}

// writeFormats writes formats under the offer's payload types.
func writeFormats(m *sdp.MediaDescription, formats []format) {
	for i := range formats {
		f := &formats[i]
		pt := strconv.Itoa(int(f.pt))
		if f.red != 0 { // in front, as offered
			red := strconv.Itoa(int(f.red))
			m.MediaName.Formats = append(m.MediaName.Formats, red)
			m.WithValueAttribute("rtpmap", red+" "+redName)
			m.WithValueAttribute("fmtp", red+" "+pt+"/"+pt)
		}
		m.MediaName.Formats = append(m.MediaName.Formats, pt)
		m.WithValueAttribute("rtpmap", pt+" "+f.rtpmap)
		if f.fmtp != "" {
			m.WithValueAttribute("fmtp", pt+" "+f.fmtp)
		}
		for _, fb := range f.feedback {
			m.WithValueAttribute("rtcp-fb", pt+" "+fb)
		}
		if f.rtx != 0 {
			rtx := strconv.Itoa(int(f.rtx))
			m.MediaName.Formats = append(m.MediaName.Formats, rtx)
			m.WithValueAttribute("rtpmap", rtx+" rtx/90000")
			m.WithValueAttribute("fmtp", rtx+" apt="+pt)
		}
	}
}

// source writes what the bot sends on a section.
func (a *answer) source(m *sdp.MediaDescription, from *sender) {
	msid := a.cname + " " + a.cname + "-" + from.kind.String()
	m.WithValueAttribute("msid", msid)
	ssrcs := []uint32{from.ssrc}
	if from.rtxSSRC != 0 {
		ssrcs = append(ssrcs, from.rtxSSRC)
		m.WithValueAttribute("ssrc-group", fmt.Sprintf("FID %d %d", from.ssrc, from.rtxSSRC))
	}
	for _, ssrc := range ssrcs {
		m.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:%s", ssrc, a.cname))
		m.WithValueAttribute("ssrc", fmt.Sprintf("%d msid:%s", ssrc, msid))
	}
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

// fingerprintText writes a digest as RFC 8122 wants it.
func fingerprintText(digest []byte) string {
	parts := make([]string, len(digest))
	for i, b := range digest {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}
