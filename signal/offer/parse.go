package offer

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"

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

// parsed is an answer as far as we read it. Its strings are parts of the answer's text, so
// whatever is kept of them for longer than the answer is taken has to be a copy.
type parsed struct {
	session  string // the lines in front of the first section
	firefox  bool   // its name is in the o= line
	bundle   string // the mids of a=group:BUNDLE
	media    []media
	payloads []payload // of all sections
}

// media is one m-section of an answer.
type media struct {
	text string
	// hash is of the text, under a key that nobody else knows.
	hash uint64
	// known: text is what the last answer said of a section that has not changed since. Then
	// it means what it meant, and of what follows only kind, mid and rejected are set.
	known       bool
	kind        param.Kind
	mid         string
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

// parses holds what parse fills in, to be used again: in a channel of n, each join makes n
// answers, of some 2 n sections.
var parses = sync.Pool{New: func() any { return new(parsed) }}

// keepPayloads is the most room for payload types that is kept for another answer.
const keepPayloads = 4096

// done gives back what parse returned.
func (p *parsed) done() {
	if cap(p.payloads) > keepPayloads {
		return
	}
	clear(p.media)
	clear(p.payloads)
	*p = parsed{media: p.media[:0], payloads: p.payloads[:0]}
	parses.Put(p)
}

// hashKey makes sections hard to forge: a client can fool but itself with one that looks like
// another, and would have to guess.
var hashKey = maphash.MakeSeed()

// parse reads an answer. A section of which the answer says, byte for byte, what the last one
// said, is not read again.
func (s *State) parse(text string) (*parsed, error) {
	if len(text) > MaxSDP {
		return nil, invalid("longer than %d bytes", MaxSDP)
	}
	p := parses.Get().(*parsed)
	err := s.split(p, text)
	if err == nil {
		err = p.head()
	}
	for i := range p.media {
		if err == nil {
			err = s.section(p, &p.media[i], i)
		}
	}
	if err != nil {
		p.done()
		return nil, err
	}
	return p, nil
}

// split finds the sections, of which there may be no more than were offered.
func (s *State) split(p *parsed, text string) error {
	n := len(s.sections)
	if lines := strings.Count(text, "\n"); lines > maxLinesBase+maxLinesPerSection*n {
		return invalid("%d lines for %d m-sections", lines, n)
	}
	at := strings.Index(text, "\nm=") + 1
	if at == 0 {
		p.session = text
		return nil
	}
	p.session, text = text[:at], text[at:]
	for text != "" {
		if len(p.media) == n {
			return invalid("more than %d m-sections", n)
		}
		end := len(text)
		if i := strings.Index(text, "\nm="); i >= 0 {
			end = i + 1
		}
		p.media = append(p.media, media{text: text[:end]})
		text = text[end:]
	}
	return nil
}

// line takes the first line off a text (RFC 8866 section 5): its type, and what is behind the
// equals sign. Empty lines are skipped; type 0: there is none left.
func line(text string) (kind byte, value, rest string, err error) {
	for text != "" {
		l := text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			l, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		if n := len(l); n > 0 && l[n-1] == '\r' {
			l = l[:n-1]
		}
		if l == "" {
			continue
		}
		if len(l) < 2 || l[1] != '=' || l[0] < 'a' || l[0] > 'z' {
			return 0, "", "", invalid("the line %.40q", l)
		}
		return l[0], l[2:], text, nil
	}
	return 0, "", "", nil
}

// head reads the lines in front of the sections. They begin with version, origin and name.
func (p *parsed) head() error {
	rest := p.session
	for n := 0; ; n++ {
		kind, value, next, err := line(rest)
		if err != nil {
			return err
		}
		if n < len("vos") && kind != "vos"[n] || n == 0 && value != "0" {
			return invalid("it does not begin with v=0, o= and s=")
		}
		switch kind {
		case 0:
			return nil
		case 'o':
			p.firefox = strings.HasPrefix(value, "mozilla")
		case 'a':
			if mids, ok := strings.CutPrefix(value, "group:BUNDLE"); ok && (mids == "" || mids[0] == ' ') {
				p.bundle = mids
			}
		}
		rest = next
	}
}

// section reads one, unless it is known. The client's own are always read, since publications
// are made of them.
func (s *State) section(p *parsed, m *media, i int) error {
	sec := s.sections[min(i, len(s.sections)-1)]
	m.hash = maphash.String(hashKey, m.text)
	if sec.use == remote && sec.heard != 0 && sec.heard == m.hash {
		m.known, m.kind, m.mid, m.rejected = true, sec.kind, sec.mid, !sec.offered
		return nil
	}
	return p.read(m)
}

// remote reads ICE credentials and fingerprints: those of the first section that is in use,
// or else of the session. Under BUNDLE all sections share them.
func (s *State) remoteOf(p *parsed) (r param.Remote, err error) {
	levels := [2]string{"", p.session}
	for i := range p.media {
		if m := &p.media[i]; !m.rejected && s.mids[m.mid] != nil && s.mids[m.mid].bundled {
			levels[0] = m.text
			break
		}
	}
	for _, text := range levels {
		var own []param.Fingerprint
		for kind, value, rest, err := line(text); kind != 0 || err != nil; kind, value, rest, err = line(rest) {
			if err != nil {
				return r, err
			}
			if kind != 'a' {
				continue
			}
			key, value, _ := strings.Cut(value, ":")
			switch {
			case key == "ice-ufrag" && r.Ufrag == "":
				r.Ufrag = value
			case key == "ice-pwd" && r.Password == "":
				r.Password = value
			case key == "fingerprint" && len(r.Fingerprints) == 0:
				f, ok, err := parseFingerprint(value)
				if err != nil {
					return r, err
				}
				if ok {
					own = append(own, f)
				}
			}
		}
		// Fingerprints of a section override the session's (RFC 8122 section 5).
		if len(r.Fingerprints) == 0 {
			r.Fingerprints = own
		}
	}
	if !iceChars(r.Ufrag, 4) || !iceChars(r.Password, 22) {
		return r, invalid("ICE credentials are missing or malformed")
	}
	r.Ufrag, r.Password = strings.Clone(r.Ufrag), strings.Clone(r.Password)
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

// digests are the hashes that we accept.
var digests = []struct {
	name string
	size int // bytes
}{{"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}}

// parseFingerprint returns false for a hash that we do not accept.
func parseFingerprint(v string) (f param.Fingerprint, ok bool, err error) {
	name, digest, _ := strings.Cut(v, " ")
	i := 0
	for i < len(digests) && !strings.EqualFold(name, digests[i].name) {
		i++
	}
	if i == len(digests) {
		return f, false, nil
	}
	algorithm, size := digests[i].name, digests[i].size
	digest = strings.TrimSpace(digest)
	if len(digest) != 3*size-1 {
		return f, false, invalid("%s fingerprint of a wrong length", algorithm)
	}
	value := make([]byte, size)
	for i := range value {
		high, low := hexDigit(digest[3*i]), hexDigit(digest[3*i+1])
		if high > 15 || low > 15 || i < size-1 && digest[3*i+2] != ':' {
			return f, false, invalid("malformed fingerprint")
		}
		value[i] = high<<4 | low
	}
	return param.Fingerprint{Algorithm: algorithm, Value: value}, true, nil
}

// hexDigit returns the value of a digit in any case; above 15: it is none.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

// savpf is the transport protocol of every section (RFC 8829 section 5.1.2).
const savpf = "UDP/TLS/RTP/SAVPF"

// read fills in a section of which the text is there.
func (p *parsed) read(m *media) error {
	// A section without a direction is sendrecv (RFC 8866 section 6.7).
	m.sends, m.receives = true, true
	kind, value, rest, err := line(m.text)
	if err != nil || kind != 'm' {
		return invalid("a section without an m-line")
	}
	if err := p.mLine(m, value); err != nil {
		return err
	}
	everyone := false // feedback for all payload types comes in any order with the others
	for text := rest; ; text = rest {
		if kind, value, rest, err = line(text); err != nil {
			return err
		}
		switch kind {
		case 0:
			if everyone {
				m.feedbackForAll()
			}
			return nil
		case 'a':
			key, value, _ := strings.Cut(value, ":")
			everyone = m.attribute(key, value) || everyone
		}
	}
}

// mLine reads what is behind m= (RFC 8866 section 5.14).
func (p *parsed) mLine(m *media, value string) error {
	kind, value, _ := strings.Cut(value, " ")
	port, value, _ := strings.Cut(value, " ")
	protocol, formats, _ := strings.Cut(value, " ")
	switch kind {
	case "audio":
		m.kind = param.Audio
	case "video":
		m.kind = param.Video
	}
	port, _, _ = strings.Cut(port, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return invalid("port %.40q", port)
	}
	if m.rejected = n == 0; !m.rejected && protocol != savpf {
		return invalid("transport protocol %.40q", protocol)
	}
	first, listed := len(p.payloads), 0
	for formats != "" {
		var f string
		if f, formats, _ = strings.Cut(formats, " "); f == "" {
			continue
		}
		if listed++; listed > maxPayloads {
			return invalid("more than %d payload types", maxPayloads)
		}
		if pt, ok := payloadType(f); ok {
			p.payloads = append(p.payloads, payload{pt: pt, apt: -1})
		}
	}
	m.payloads = p.payloads[first:len(p.payloads):len(p.payloads)]
	return nil
}

// feedbackForAll reads the feedback that is for all payload types.
func (m *media) feedbackForAll() {
	for kind, value, rest, _ := line(m.text); kind != 0; kind, value, rest, _ = line(rest) {
		if v, ok := strings.CutPrefix(value, "rtcp-fb:*"); ok && kind == 'a' {
			m.rtcpFeedback("*" + v)
		}
	}
}

// attribute reads one, and reports whether it is of all payload types, whose feedback is
// read when they are all known.
func (m *media) attribute(key, value string) (forAll bool) {
	switch key {
	case "mid":
		m.mid = value
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
		m.passive = value == "passive" || value == "holdconn"
	case "extmap":
		m.extmap(value)
	case "rtpmap":
		pt, rest, _ := strings.Cut(value, " ")
		name, rate, _ := strings.Cut(rest, "/")
		rate, _, _ = strings.Cut(rate, "/")
		if p := m.payload(pt); p != nil {
			clock, _ := strconv.ParseUint(rate, 10, 32)
			p.name, p.clock = name, uint32(clock)
		}
	case "fmtp":
		m.fmtp(value)
	case "rtcp-fb":
		if strings.HasPrefix(value, "*") {
			return true
		}
		m.rtcpFeedback(value)
	case "ssrc":
		id, _, _ := strings.Cut(value, " ")
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && m.ssrc == 0 {
			m.ssrc = uint32(n)
		}
	case "ssrc-group":
		m.group(strings.Fields(value))
	}
	return false
}

func (m *media) fmtp(value string) {
	pt, rest, _ := strings.Cut(value, " ")
	p := m.payload(pt)
	if p == nil || p.fmtp != "" {
		return
	}
	p.fmtp = strings.TrimSpace(rest)
	if apt, ok := payloadType(parameter(p.fmtp, "apt")); ok {
		p.apt = int(apt)
	}
}

func (m *media) payload(pt string) *payload {
	n, ok := payloadType(pt)
	if !ok {
		return nil
	}
	for i := range m.payloads {
		if m.payloads[i].pt == n {
			return &m.payloads[i]
		}
	}
	return nil
}

// payloadType reads a number of one to three digits, 0 to 127 (RFC 3550 section 5.1).
func payloadType(s string) (uint8, bool) {
	n := 0
	for i := range len(s) {
		if i == 3 || s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return uint8(n), s != "" && n < maxPayloads
}

// extmap notes an extension that is answered under the id that we offered it with. Another
// id would be against RFC 8285 section 7; the extension then counts as declined.
func (m *media) extmap(v string) {
	id, rest, _ := strings.Cut(v, " ")
	id, _, _ = strings.Cut(id, "/")
	uri, _, _ := strings.Cut(rest, " ")
	for i := range extensions {
		// An id has one digit.
		if x := &extensions[i]; len(id) == 1 && id[0] == '0'+x.id && x.uri == uri && x.fits(m.kind) {
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
	red      uint8 // 0: none
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
		if f.red != 0 && r.clock == f.clock && strings.EqualFold(r.name, "red") && redOf(r.fmtp, found.pt) && (n.red == 0 || r.pt == f.red) {
			n.red = r.pt
		}
	}
	return n, true
}

// redOf reports whether the format parameters of RED are of redundancy of one payload type only
// (RFC 2198 section 4: "111/111", once for each level).
func redOf(fmtp string, pt uint8) bool {
	of := 0
	for more := true; more; of++ {
		var s string
		s, fmtp, more = strings.Cut(fmtp, "/")
		if n, ok := payloadType(strings.TrimSpace(s)); !ok || n != pt {
			return false
		}
	}
	return of > 1
}
