// Package offertest answers SDP offers as a browser does, for tests of what builds offers
// and reads answers. It is text in, text out, keeps no state, and no server imports it.
package offertest

import (
	"fmt"
	"strings"
)

// What every answer says about its transport, unless edited.
const (
	Ufrag       = "peerU"
	Password    = "peerpasswordpeerpassword"
	Fingerprint = "sha-256 CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD:CD"
)

// Peer answers offers. The zero value accepts everything.
type Peer struct {
	Decline map[string]bool // mids to answer with port 0
	Still   map[string]bool // mids to answer inactive
	// Edit may change the lines of one section, Session those in front of the first.
	Edit    func(mid string, lines []string) []string
	Session func(lines []string) []string
}

// Section is one m-section of an offer.
type Section struct {
	Kind  string
	Port  int
	MID   string
	Lines []string // with the m-line
}

// Sections splits an SDP.
func Sections(sdp string) []Section {
	var out []Section
	for _, l := range strings.Split(strings.TrimSuffix(sdp, "\r\n"), "\r\n") {
		if strings.HasPrefix(l, "m=") {
			s := Section{}
			fmt.Sscanf(l, "m=%s %d", &s.Kind, &s.Port)
			out = append(out, s)
		}
		if len(out) == 0 {
			continue
		}
		s := &out[len(out)-1]
		s.Lines = append(s.Lines, l)
		if mid, ok := strings.CutPrefix(l, "a=mid:"); ok {
			s.MID = mid
		}
	}
	return out
}

// Attribute returns the first value of an attribute of the section; "" if there is none.
func (s *Section) Attribute(name string) string {
	for _, l := range s.Lines {
		if v, ok := strings.CutPrefix(l, "a="+name+":"); ok {
			return v
		}
	}
	return ""
}

// Answer writes the answer to an offer. Sections on which the offer receives are sent on,
// with SSRC 1000 + 10 * index, and one more for retransmissions of video.
func (p *Peer) Answer(offer string) string { return p.answer(Sections(offer)) }

func (p *Peer) answer(sections []Section) string {
	var bundle, body []string
	for i, s := range sections {
		lines, live := p.section(i, &s)
		if live {
			bundle = append(bundle, s.MID)
		}
		body = append(body, lines...)
	}
	head := []string{"v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE " + strings.Join(bundle, " "), "a=msid-semantic: WMS"}
	if p.Session != nil {
		head = p.Session(head)
	}
	return strings.Join(append(head, body...), "\r\n") + "\r\n"
}

func (p *Peer) section(i int, s *Section) (lines []string, live bool) {
	port := 9
	if s.Port == 0 || p.Decline[s.MID] {
		port = 0
	}
	_, formats, _ := strings.Cut(s.Lines[0], " UDP/TLS/RTP/SAVPF ")
	lines = []string{
		fmt.Sprintf("m=%s %d UDP/TLS/RTP/SAVPF %s", s.Kind, port, formats),
		"c=IN IP4 0.0.0.0", "a=ice-ufrag:" + Ufrag, "a=ice-pwd:" + Password,
		"a=fingerprint:" + Fingerprint, "a=setup:active", "a=mid:" + s.MID,
	}
	sends := false
	for _, l := range s.Lines {
		name, _, _ := strings.Cut(strings.TrimPrefix(l, "a="), ":")
		switch name {
		case "extmap", "rtpmap", "rtcp-fb", "fmtp", "rtcp-mux", "rtcp-rsize":
			lines = append(lines, l)
		case "recvonly":
			sends = !p.Still[s.MID]
			lines = append(lines, map[bool]string{true: "a=sendonly", false: "a=inactive"}[sends])
		case "sendonly":
			lines = append(lines, map[bool]string{true: "a=inactive", false: "a=recvonly"}[p.Still[s.MID]])
		case "inactive":
			lines = append(lines, "a=inactive")
		}
	}
	if sends && port != 0 {
		ssrc := 1000 + 10*i
		if s.Kind == "video" {
			lines = append(lines, fmt.Sprintf("a=ssrc-group:FID %d %d", ssrc, ssrc+1), fmt.Sprintf("a=ssrc:%d cname:x", ssrc+1))
		}
		lines = append(lines, fmt.Sprintf("a=ssrc:%d cname:x", ssrc))
	}
	if p.Edit != nil {
		lines = p.Edit(s.MID, lines)
	}
	return lines, port != 0
}
