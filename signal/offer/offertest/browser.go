package offertest

import (
	"fmt"
	"slices"
	"strings"
)

// Browser answers the offers of one connection and holds them to RFC 8829 and RFC 9143,
// more strictly than any browser does. The zero value takes every format.
type Browser struct {
	// Supports reports whether it has a codec with the parameters; nil: all of them.
	Supports func(name, params string) bool
	// Decline reports whether to reject a section that is in use; nil: none.
	Decline func(mid string) bool
	// Backwards lists formats in an order of its own, and Single only the first that it has.
	Backwards, Single bool
	// NoRED: it has no redundancy of Opus, as Firefox.
	NoRED bool

	Sections []*Received // as of the last offer
	// Anchor is the mid of the first section that was accepted: the transport of all is its
	// own, and goes with it.
	Anchor string

	origin   string
	version  int
	meanings map[string]string // of payload types
	ssrcs    map[string]string // all that were ever offered: mid and msid
}

// Received is what a browser knows of one section.
type Received struct {
	Kind, MID, MSID string
	Live            bool // offered as in use
	Candidates      bool // says where the server is
	Accepted        bool
	SSRC, RTX       string
	Formats         []Format // as offered; those of retransmissions are not among them
	Taken           []Format // as answered
}

// Format is one payload format.
type Format struct {
	RED          string // payload type of it with redundancy; may be empty
	Type, RTX    string // payload types; RTX may be empty
	Name, Params string // of rtpmap, without the clock rate, and fmtp
}

// Answer checks an offer and answers it.
func (b *Browser) Answer(offer string) (string, error) {
	if b.meanings == nil {
		b.meanings, b.ssrcs = map[string]string{}, map[string]string{}
	}
	if err := b.head(offer); err != nil {
		return "", err
	}
	sections := Sections(offer)
	if len(sections) < len(b.Sections) {
		return "", fmt.Errorf("%d sections after %d", len(sections), len(b.Sections))
	}
	bundle, msids, mids, ssrcs := group(offer), map[string]bool{}, map[string]bool{}, map[string]bool{}
	var now []*Received
	for i := range sections {
		r, err := b.read(&sections[i])
		if err != nil {
			return "", err
		}
		var before *Received
		if i < len(b.Sections) {
			before = b.Sections[i]
		}
		if err := b.compare(before, r); err != nil {
			return "", err
		}
		switch {
		case mids[r.MID]:
			return "", fmt.Errorf("mid %s twice", r.MID)
		case r.MID == b.Anchor && !r.Live:
			return "", fmt.Errorf("mid %s has port 0, and the transport", r.MID)
		case r.Live != bundle[r.MID]:
			return "", fmt.Errorf("mid %s: in use %t, bundled %t", r.MID, r.Live, bundle[r.MID])
		case r.MSID != "" && msids[r.MSID]:
			return "", fmt.Errorf("msid %s twice", r.MSID)
		case r.SSRC != "" && (ssrcs[r.SSRC] || ssrcs[r.RTX] || r.SSRC == r.RTX):
			return "", fmt.Errorf("SSRC %s or %s twice", r.SSRC, r.RTX)
		}
		mids[r.MID], msids[r.MSID], ssrcs[r.SSRC], ssrcs[r.RTX] = true, true, true, true
		delete(ssrcs, "")
		b.take(r)
		now = append(now, r)
	}
	if len(bundle) != len(slices.DeleteFunc(slices.Clone(now), func(r *Received) bool { return !r.Live })) {
		return "", fmt.Errorf("BUNDLE names what is not there: %v", bundle)
	}
	// The first section that is taken brings the transport, and nobody else may know where it
	// leads to: browsers drop what they were told by those that they reject.
	if i := slices.IndexFunc(now, func(r *Received) bool { return r.Accepted }); b.Anchor == "" && i >= 0 {
		if b.Anchor = now[i].MID; !now[i].Candidates {
			return "", fmt.Errorf("no candidates in mid %s, the first to be accepted", b.Anchor)
		}
	}
	b.Sections = now
	return b.write(sections), nil
}

// head holds the origin to RFC 3264 section 8: the version rises by one.
func (b *Browser) head(offer string) error {
	var id string
	var version int
	_, line, _ := strings.Cut(offer, "\r\no=- ")
	if _, err := fmt.Sscanf(line, "%s %d", &id, &version); err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	if b.origin != "" && (id != b.origin || version != b.version+1) {
		return fmt.Errorf("origin %s %d after %s %d", id, version, b.origin, b.version)
	}
	b.origin, b.version = id, version
	return nil
}

func group(offer string) map[string]bool {
	out := map[string]bool{}
	_, line, _ := strings.Cut(offer, "a=group:BUNDLE")
	line, _, _ = strings.Cut(line, "\r\n")
	for _, mid := range strings.Fields(line) {
		out[mid] = true
	}
	return out
}

// read reads one section, and holds its payload types to what they have meant so far.
func (b *Browser) read(s *Section) (*Received, error) {
	r := &Received{Kind: s.Kind, MID: s.MID, MSID: s.Attribute("msid"), Live: s.Port != 0, Candidates: s.Attribute("candidate") != ""}
	maps, params := map[string]string{}, map[string]string{}
	for _, l := range s.Lines {
		name, value, _ := strings.Cut(strings.TrimPrefix(l, "a="), ":")
		pt, rest, _ := strings.Cut(value, " ")
		switch name {
		case "rtpmap":
			maps[pt] = rest
		case "fmtp":
			params[pt] = rest
		case "ssrc-group":
			fmt.Sscanf(value, "FID %s %s", &r.SSRC, &r.RTX)
		case "ssrc":
			if r.SSRC == "" {
				r.SSRC = pt
			}
		}
	}
	fields, red := strings.Fields(s.Lines[0])[3:], ""
	for _, pt := range fields {
		meaning := maps[pt] + " " + params[pt]
		if known := b.meanings[pt]; maps[pt] == "" || known != "" && known != meaning {
			return nil, fmt.Errorf("payload type %s of mid %s is %q, was %q", pt, s.MID, meaning, known)
		}
		b.meanings[pt] = meaning
		name, _, _ := strings.Cut(maps[pt], "/")
		if name == "rtx" {
			last := &r.Formats[len(r.Formats)-1]
			if params[pt] != "apt="+last.Type {
				return nil, fmt.Errorf("payload type %s is %q after %s", pt, meaning, last.Type)
			}
			last.RTX = pt
			continue
		}
		if name == "red" {
			red = pt
			continue
		}
		if of := pt + "/" + pt; red != "" && (name != "opus" || params[red] != of || maps[red] != "red/48000/2") {
			return nil, fmt.Errorf("payload type %s is %s of %q in front of %s, which is %s", red, maps[red], params[red], pt, name)
		}
		r.Formats = append(r.Formats, Format{RED: red, Type: pt, Name: name, Params: params[pt]})
		red = ""
	}
	if len(fields) != len(maps) || len(r.Formats) == 0 {
		return nil, fmt.Errorf("%d formats, %d rtpmaps", len(fields), len(maps))
	}
	if !r.Live && (r.MSID != "" || r.SSRC != "" || !slices.Contains(s.Lines, "a=inactive")) {
		return nil, fmt.Errorf("mid %s has port 0 and is in use", s.MID)
	}
	return r, nil
}

// compare holds a section to what it was before.
func (b *Browser) compare(before, r *Received) error {
	for _, ssrc := range []string{r.SSRC, r.RTX} {
		id := r.MID + " " + r.MSID
		if known := b.ssrcs[ssrc]; ssrc != "" && known != "" && (known != id || !before.Live) {
			return fmt.Errorf("SSRC %s of %s was used by %s", ssrc, id, known)
		}
		b.ssrcs[ssrc] = id
	}
	if before == nil {
		return nil
	}
	if before.Kind != r.Kind || before.MID != r.MID {
		return fmt.Errorf("section %s %s became %s %s", before.Kind, before.MID, r.Kind, r.MID)
	}
	for _, f := range before.Formats {
		if !slices.Contains(r.Formats, f) {
			return fmt.Errorf("mid %s has lost %v", r.MID, f)
		}
	}
	retired := strings.HasPrefix(r.MSID, "default ") // it stays for the transport only
	if before.Live && r.Live && before.Accepted && !retired && (before.MSID != r.MSID || before.SSRC != r.SSRC || before.RTX != r.RTX) {
		return fmt.Errorf("mid %s turned from %s to %s without port 0", r.MID, before.MSID, r.MSID)
	}
	return nil
}

// take settles which formats the answer has.
func (b *Browser) take(r *Received) {
	for _, f := range r.Formats {
		if b.Supports == nil || b.Supports(f.Name, f.Params) {
			r.Taken = append(r.Taken, f)
		}
	}
	if b.Backwards {
		slices.Reverse(r.Taken)
	}
	if b.Single && len(r.Taken) > 1 {
		r.Taken = r.Taken[:1]
	}
	r.Accepted = r.Live && len(r.Taken) > 0 && (b.Decline == nil || !b.Decline(r.MID))
}

// write is the answer: a Peer's, without the formats that were not taken.
func (b *Browser) write(sections []Section) string {
	p := Peer{Decline: map[string]bool{}}
	byMID := map[string]*Received{}
	for _, r := range b.Sections {
		byMID[r.MID], p.Decline[r.MID] = r, !r.Accepted
	}
	p.Edit = func(mid string, lines []string) []string {
		r := byMID[mid]
		if len(r.Taken) == 0 {
			return lines // with port 0 the list says nothing
		}
		var types []string
		for _, f := range r.Taken {
			if f.RED != "" && !b.NoRED {
				types = append(types, f.RED)
			}
			types = append(types, f.Type)
			if f.RTX != "" {
				types = append(types, f.RTX)
			}
		}
		head, _, _ := strings.Cut(lines[0], " UDP/TLS/RTP/SAVPF ")
		out := []string{head + " UDP/TLS/RTP/SAVPF " + strings.Join(types, " ")}
		for _, l := range lines[1:] {
			name, value, _ := strings.Cut(strings.TrimPrefix(l, "a="), ":")
			pt, _, _ := strings.Cut(value, " ")
			if name == "rtpmap" || name == "fmtp" || name == "rtcp-fb" {
				if !slices.Contains(types, pt) {
					continue
				}
			}
			out = append(out, l)
		}
		return out
	}
	return p.answer(sections)
}
