package offer

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"tsubame/media/param"
)

// Limits of an answer. Browsers write some 40 lines a section.
const (
	// MaxSDP is the longest answer, in bytes (SIG-06).
	MaxSDP             = 1 << 20
	maxLinesBase       = 128
	maxLinesPerSection = 512
	maxFingerprints    = 8
	maxPayloads        = 128 // of a section
)

// parsed is an answer as far as we read it.
type parsed struct {
	firefox    bool // its name is in the o= line
	bundle     map[string]bool
	media      []media
	attributes []sdp.Attribute // of the session
}

// media is one m-section of an answer.
type media struct {
	kind        param.Kind
	mid         string
	attributes  []sdp.Attribute
	rejected    bool // port 0
	sends       bool // the client does
	receives    bool
	mux         bool
	reducedSize bool
	passive     bool
	extensions  param.Extensions
	payloads    []payload
	ssrc        uint32    // the first that is named; 0: none
	fid         [2]uint32 // the first pair of a source and its retransmissions
}

// payload is one payload type of an m-section.
type payload struct {
	pt       uint8
	name     string // in any case of letters
	clock    uint32
	apt      int // of rtx; -1: none
	fmtp     string
	feedback param.Feedback
}

// parse reads an answer to an offer of n sections. Its cost is bounded before pion/sdp
// sees it.
func parse(text string, n int) (*parsed, error) {
	if len(text) > MaxSDP {
		return nil, invalid("longer than %d bytes", MaxSDP)
	}
	if lines := strings.Count(text, "\n"); lines > maxLinesBase+maxLinesPerSection*n {
		return nil, invalid("%d lines for %d m-sections", lines, n)
	}
	// To pion/sdp, a carriage return alone ends an m-line as well.
	if m := strings.Count(text, "\nm=") + strings.Count(text, "\rm="); m > n {
		return nil, invalid("%d m-sections for %d offered", m, n)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, invalid("%.200v", err)
	}
	p := &parsed{bundle: make(map[string]bool, n), media: make([]media, len(d.MediaDescriptions)), attributes: d.Attributes}
	p.firefox = strings.HasPrefix(d.Origin.Username, "mozilla")
	for _, a := range d.Attributes {
		mids, ok := strings.CutPrefix(a.Value, "BUNDLE")
		if a.Key != "group" || !ok || mids != "" && mids[0] != ' ' {
			continue
		}
		for _, mid := range strings.Fields(mids) {
			p.bundle[mid] = true
		}
	}
	for i, m := range d.MediaDescriptions {
		if err := p.media[i].read(m); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// remote reads ICE credentials and fingerprints: those of the first section that is in use,
// or else of the session. Under BUNDLE all sections share them.
func (p *parsed) remote() (r param.Remote, err error) {
	levels := [][]sdp.Attribute{nil, p.attributes}
	for i := range p.media {
		if m := &p.media[i]; !m.rejected && p.bundle[m.mid] {
			levels[0] = m.attributes
			break
		}
	}
	one := func(key string) string {
		for _, attributes := range levels {
			for _, a := range attributes {
				if a.Key == key {
					return a.Value
				}
			}
		}
		return ""
	}
	r.Ufrag, r.Password = one("ice-ufrag"), one("ice-pwd")
	if !iceChars(r.Ufrag, 4) || !iceChars(r.Password, 22) {
		return r, invalid("ICE credentials are missing or malformed")
	}
	for _, attributes := range levels {
		for _, a := range attributes {
			if a.Key != "fingerprint" {
				continue
			}
			f, ok, err := parseFingerprint(a.Value)
			if err != nil {
				return r, err
			}
			if ok {
				r.Fingerprints = append(r.Fingerprints, f)
			}
		}
		// Fingerprints of a section override the session's (RFC 8122 section 5).
		if len(r.Fingerprints) > 0 {
			break
		}
	}
	switch n := len(r.Fingerprints); {
	case n == 0:
		return r, &Error{Reason: ReasonBadFingerprint, Detail: "no fingerprint by a hash that we accept"}
	case n > maxFingerprints:
		return r, invalid("%d fingerprints", n)
	}
	return r, nil
}

// iceChars reports whether s is 'low' to 256 ice-char (RFC 8839 section 5.4).
func iceChars(s string, low int) bool {
	if len(s) < low || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
		case c == '-', c == '_', c == '=':
			// Not in the grammar; some agents use base64's URL alphabet.
		default:
			return false
		}
	}
	return true
}

var digestSizes = map[string]int{"sha-256": 32, "sha-384": 48, "sha-512": 64}

// parseFingerprint returns false for a hash that we do not accept.
func parseFingerprint(v string) (f param.Fingerprint, ok bool, err error) {
	algorithm, digest, _ := strings.Cut(v, " ")
	algorithm = strings.ToLower(algorithm)
	size, known := digestSizes[algorithm]
	if !known {
		return f, false, nil
	}
	digest = strings.TrimSpace(digest)
	if len(digest) != 3*size-1 {
		return f, false, invalid("%s fingerprint of a wrong length", algorithm)
	}
	value := make([]byte, 0, size)
	for i := 0; i < len(digest); i += 3 {
		b, err := hex.DecodeString(digest[i : i+2])
		if err != nil || i+2 < len(digest) && digest[i+2] != ':' {
			return f, false, invalid("malformed fingerprint")
		}
		value = append(value, b...)
	}
	return param.Fingerprint{Algorithm: algorithm, Value: value}, true, nil
}

// savpf is the transport protocol of every section (RFC 8829 section 5.1.2), in its parts.
var savpf = []string{"UDP", "TLS", "RTP", "SAVPF"}

// read fills in an empty section.
func (m *media) read(d *sdp.MediaDescription) error {
	// A section without a direction is sendrecv (RFC 8866 section 6.7).
	m.attributes, m.rejected, m.sends, m.receives = d.Attributes, d.MediaName.Port.Value == 0, true, true
	switch d.MediaName.Media {
	case "audio":
		m.kind = param.Audio
	case "video":
		m.kind = param.Video
	}
	if !m.rejected && !slices.Equal(d.MediaName.Protos, savpf) {
		return invalid("transport protocol %.40q", strings.Join(d.MediaName.Protos, "/"))
	}
	if n := len(d.MediaName.Formats); n > maxPayloads {
		return invalid("%d payload types", n)
	}
	m.payloads = make([]payload, 0, len(d.MediaName.Formats))
	for _, f := range d.MediaName.Formats {
		if pt, err := strconv.ParseUint(f, 10, 8); err == nil && pt < maxPayloads {
			m.payloads = append(m.payloads, payload{pt: uint8(pt), apt: -1})
		}
	}
	for _, a := range d.Attributes {
		m.attribute(a)
	}
	// Feedback for all payload types comes in any order with the others, hence last.
	for _, a := range d.Attributes {
		if a.Key == "rtcp-fb" {
			m.rtcpFeedback(a.Value)
		}
	}
	return nil
}

func (m *media) attribute(a sdp.Attribute) {
	switch a.Key {
	case "mid":
		m.mid = a.Value
	case "sendrecv":
		m.sends, m.receives = true, true
	case "sendonly":
		m.sends, m.receives = true, false
	case "recvonly":
		m.sends, m.receives = false, true
	case "inactive":
		m.sends, m.receives = false, false
	case "rtcp-mux":
		m.mux = true
	case "rtcp-rsize":
		m.reducedSize = true
	case "setup":
		m.passive = a.Value == "passive" || a.Value == "holdconn"
	case "extmap":
		m.extmap(a.Value)
	case "rtpmap":
		pt, rest, _ := strings.Cut(a.Value, " ")
		name, rate, _ := strings.Cut(rest, "/")
		rate, _, _ = strings.Cut(rate, "/")
		if p := m.payload(pt); p != nil {
			clock, _ := strconv.ParseUint(rate, 10, 32)
			p.name, p.clock = name, uint32(clock)
		}
	case "fmtp":
		pt, rest, _ := strings.Cut(a.Value, " ")
		if p := m.payload(pt); p != nil && p.fmtp == "" {
			p.fmtp = strings.TrimSpace(rest)
			if apt := parameter(p.fmtp, "apt"); apt != "" {
				if n, err := strconv.ParseUint(apt, 10, 8); err == nil {
					p.apt = int(n)
				}
			}
		}
	case "ssrc":
		id, _, _ := strings.Cut(a.Value, " ")
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && m.ssrc == 0 {
			m.ssrc = uint32(n)
		}
	case "ssrc-group":
		m.group(strings.Fields(a.Value))
	}
}

func (m *media) payload(pt string) *payload {
	n, err := strconv.ParseUint(pt, 10, 8)
	if err != nil {
		return nil
	}
	for i := range m.payloads {
		if uint64(m.payloads[i].pt) == n {
			return &m.payloads[i]
		}
	}
	return nil
}

// extmap notes an extension that is answered under the id that we offered it with. Another
// id would be against RFC 8285 section 7; the extension then counts as declined.
func (m *media) extmap(v string) {
	id, rest, _ := strings.Cut(v, " ")
	id, _, _ = strings.Cut(id, "/")
	uri, _, _ := strings.Cut(rest, " ")
	for i := range extensions {
		if x := &extensions[i]; x.uri == uri && x.fits(m.kind) && id == strconv.Itoa(int(x.id)) {
			*x.field(&m.extensions) = x.id
		}
	}
}

func (m *media) rtcpFeedback(v string) {
	pt, value, _ := strings.Cut(v, " ")
	value = strings.TrimSpace(value)
	i := slices.IndexFunc(feedbacks, func(x feedback) bool { return x.value == value && x.fits(m.kind) })
	if i < 0 {
		return
	}
	if pt == "*" {
		for j := range m.payloads {
			*feedbacks[i].field(&m.payloads[j].feedback) = true
		}
	} else if p := m.payload(pt); p != nil {
		*feedbacks[i].field(&p.feedback) = true
	}
}

// group reads the SSRCs of a flow and its retransmissions (RFC 5576 section 4.2).
func (m *media) group(fields []string) {
	if len(fields) != 3 || fields[0] != "FID" || m.fid[0] != 0 {
		return
	}
	a, err1 := strconv.ParseUint(fields[1], 10, 32)
	b, err2 := strconv.ParseUint(fields[2], 10, 32)
	if err1 == nil && err2 == nil && a != 0 && b != 0 && a != b {
		m.fid = [2]uint32{uint32(a), uint32(b)}
	}
}

// primary returns the SSRCs of the section's media and of its retransmissions; 0: not
// signalled.
func (m *media) primary() (ssrc, rtx uint32) {
	if m.fid[0] != 0 {
		return m.fid[0], m.fid[1]
	}
	return m.ssrc, 0
}

// negotiated is what an answer settled about one codec.
type negotiated struct {
	pt       uint8
	rtx      uint8 // 0: none
	feedback param.Feedback
}

// negotiate finds a format among the section's payload types, under its own number if
// possible. An answer lists all that the client takes of the offered, in its order, so
// neither the first one nor the name settles it.
func (m *media) negotiate(f *format) (negotiated, bool) {
	var found *payload
	for i := range m.payloads {
		p := &m.payloads[i]
		if p.clock != f.clock || !strings.EqualFold(p.name, f.name) {
			continue
		}
		// One without parameters under our number has nothing to say against ours.
		if p.pt == f.pt && p.fmtp == "" || f.accepts(f.params, p.fmtp) {
			if found == nil || p.pt == f.pt {
				found = p
			}
		}
	}
	if found == nil {
		return negotiated{}, false
	}
	n := negotiated{pt: found.pt, feedback: found.feedback}
	for _, r := range m.payloads {
		if f.rtx != 0 && strings.EqualFold(r.name, "rtx") && r.apt == int(found.pt) && (n.rtx == 0 || r.pt == f.rtx) {
			n.rtx = r.pt
		}
	}
	return n, true
}
