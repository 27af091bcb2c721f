package offer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"tsubame/media/param"
)

// seeded is a deterministic source of random bytes.
type seeded struct{ *rand.ChaCha8 }

func newSeeded(n byte) seeded { return seeded{rand.NewChaCha8([32]byte{n})} }

const (
	testUfrag    = "peerU"
	testPassword = "peerpasswordpeerpassword"
)

func testFingerprint(b byte) param.Fingerprint {
	f := param.Fingerprint{Algorithm: "sha-256", Value: make([]byte, 32)}
	for i := range f.Value {
		f.Value[i] = b
	}
	return f
}

func testConfig() Config {
	return Config{
		ConnectionID: "SELF", Fingerprint: testFingerprint(0xab), Ufrag: "srvU", Password: "serverpasswordserverpass",
		Candidates: []string{"1 1 udp 2130706431 192.0.2.1 3478 typ host", "2 1 udp 2130706175 192.0.2.2 3478 typ host"},
		Audio:      &OwnAudio{}, Video: &OwnVideo{Codec: param.VP8, Bitrate: 500_000}, Rand: newSeeded(1),
	}
}

func audioTrack(n uint32) Track {
	return Track{Kind: param.Audio, Codec: param.Opus, ID: param.TrackID{Index: n}}
}

func videoTrack(n uint32) Track {
	return Track{Kind: param.Video, Codec: param.VP8, ID: param.TrackID{Index: n}}
}

// pair is what a publisher sends.
func pair(n uint32) []Track { return []Track{audioTrack(2 * n), videoTrack(2*n + 1)} }

// peer answers offers as a browser does.
type peer struct {
	decline map[string]bool // mids to answer with port 0
	still   map[string]bool // mids to answer inactive
	edit    func(mid string, lines []string) []string
	session func(lines []string) []string
}

func parseOffer(t *testing.T, text string) *sdp.SessionDescription {
	t.Helper()
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("the offer does not parse: %v\n%s", err, text)
	}
	return &d
}

func attribute(m *sdp.MediaDescription, key string) string {
	v, _ := m.Attribute(key)
	return v
}

// answer writes the answer to an offer.
func (p *peer) answer(t *testing.T, offer string) string {
	t.Helper()
	d := parseOffer(t, offer)
	var bundle []string
	var body []string
	for i, m := range d.MediaDescriptions {
		mid := attribute(m, "mid")
		port := 9
		if m.MediaName.Port.Value == 0 || p.decline[mid] {
			port = 0
		} else {
			bundle = append(bundle, mid)
		}
		lines := []string{
			fmt.Sprintf("m=%s %d UDP/TLS/RTP/SAVPF %s", m.MediaName.Media, port, strings.Join(m.MediaName.Formats, " ")),
			"c=IN IP4 0.0.0.0", "a=ice-ufrag:" + testUfrag, "a=ice-pwd:" + testPassword,
			"a=fingerprint:" + fingerprintText(testFingerprint(0xcd)), "a=setup:active", "a=mid:" + mid,
		}
		sends := false
		for _, a := range m.Attributes {
			switch a.Key {
			case "extmap", "rtpmap", "rtcp-fb", "fmtp":
				lines = append(lines, "a="+a.Key+":"+a.Value)
			case "rtcp-mux", "rtcp-rsize":
				lines = append(lines, "a="+a.Key)
			case "recvonly":
				sends = !p.still[mid]
				lines = append(lines, map[bool]string{true: "a=sendonly", false: "a=inactive"}[sends])
			case "sendonly":
				lines = append(lines, map[bool]string{true: "a=inactive", false: "a=recvonly"}[p.still[mid]])
			case "inactive":
				lines = append(lines, "a=inactive")
			}
		}
		if sends && port != 0 {
			ssrc := 1000 + 10*i
			if m.MediaName.Media == "video" {
				lines = append(lines, fmt.Sprintf("a=ssrc-group:FID %d %d", ssrc, ssrc+1))
				lines = append(lines, fmt.Sprintf("a=ssrc:%d cname:x", ssrc+1))
			}
			lines = append(lines, fmt.Sprintf("a=ssrc:%d cname:x", ssrc))
		}
		if p.edit != nil {
			lines = p.edit(mid, lines)
		}
		body = append(body, lines...)
	}
	head := []string{"v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE " + strings.Join(bundle, " "), "a=msid-semantic: WMS"}
	if p.session != nil {
		head = p.session(head)
	}
	return strings.Join(append(head, body...), "\r\n") + "\r\n"
}

// exchange runs one offer and its answer.
func (p *peer) exchange(t *testing.T, s *State) (string, Answer) {
	t.Helper()
	o := s.Offer()
	a, err := s.Answer(p.answer(t, o))
	if err != nil {
		t.Fatalf("%v\n%s", err, o)
	}
	return o, a
}
