package offer

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/pion/sdp/v3"

	"tsubame/signal/offer/offertest"
)

// What a section says, as pion/sdp reads it.
func attributesOf(t *testing.T, m *sdp.MediaDescription) *media {
	t.Helper()
	text := "m=" + m.MediaName.String() + "\n"
	for _, a := range m.Attributes {
		text += "a=" + a.String() + "\n"
	}
	out := &media{text: text}
	if err := new(parsed).read(out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// Our reader of lines against pion/sdp, which follows the grammar of RFC 8866 to the letter.
func TestSectionsAreFoundAsPionFindsThem(t *testing.T) {
	s := New(testConfig())
	s.SetRemote("A", pair(1))
	good := new(offertest.Peer).Answer(s.Offer())
	for name, text := range map[string]string{
		"as it is":            good,
		"lines end with LF":   strings.ReplaceAll(good, "\r\n", "\n"),
		"empty lines":         strings.ReplaceAll(good, "a=mid", "\r\na=mid"),
		"titles, bandwidths":  strings.ReplaceAll(good, "c=IN IP4 0.0.0.0\r\n", "i=title\r\nc=IN IP4 0.0.0.0\r\nb=AS:5\r\n"),
		"a port with a range": strings.ReplaceAll(good, " 9 UDP", " 9/2 UDP"),
	} {
		var d sdp.SessionDescription
		if err := d.UnmarshalString(text); err != nil {
			t.Fatalf("%s: pion/sdp: %v", name, err)
		}
		p, err := s.parse(text)
		if err != nil || len(p.media) != len(d.MediaDescriptions) {
			t.Fatalf("%s: error %v, %d sections", name, err, len(d.MediaDescriptions))
		}
		for i := range p.media {
			m, want := &p.media[i], attributesOf(t, d.MediaDescriptions[i])
			same := m.kind == want.kind && m.mid == want.mid && m.rejected == want.rejected && m.sends == want.sends &&
				m.receives == want.receives && m.mux == want.mux && m.reducedSize == want.reducedSize && m.passive == want.passive &&
				m.extensions == want.extensions && m.ssrc == want.ssrc && m.fid == want.fid && slices.Equal(m.payloads, want.payloads)
			if !same || m.mid == "" || len(m.payloads) == 0 {
				t.Errorf("%s: section %d\n%+v\n%+v", name, i, m, want)
			}
		}
		p.done()
	}
}

func TestTextThatIsNoSDPIsRefused(t *testing.T) {
	s := New(testConfig())
	good := new(offertest.Peer).Answer(s.Offer())
	for name, text := range map[string]string{
		"no version":      strings.Replace(good, "v=0\r\n", "", 1),
		"another version": strings.Replace(good, "v=0", "v=1", 1),
		"no origin":       strings.Replace(good, "o=", "b=", 1),
		"no name":         strings.Replace(good, "s=-\r\n", "", 1),
		"no type":         strings.Replace(good, "a=mid:", "=mid:", 1),
		"a long type":     strings.Replace(good, "a=mid:", "ab=mid:", 1),
		"an upper case":   strings.Replace(good, "a=mid:", "A=mid:", 1),
		"no port":         strings.Replace(good, "m=audio 9 ", "m=audio ", 1),
		"a huge port":     strings.Replace(good, "m=audio 9 ", "m=audio 65536 ", 1),
		"a negative port": strings.Replace(good, "m=audio 9 ", "m=audio -9 ", 1),
	} {
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := s.Answer(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What lives on is a copy: an answer of a large channel has hundreds of KiB.
func TestAnAnswerIsNotKeptInMemory(t *testing.T) {
	s := New(testConfig())
	text := new(offertest.Peer).Answer(s.Offer())
	a, err := s.Answer(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{a.Remote.Ufrag, a.Remote.Password, a.Remote.Fingerprints[0].Algorithm} {
		if within(kept, text) {
			t.Errorf("%q is a part of the answer's text", kept)
		}
	}
}

// within reports whether a string's bytes are those of a text, not only equal to some.
func within(s, text string) bool {
	for i := 0; i+len(s) <= len(text); i++ {
		if unsafe.StringData(text[i:]) == unsafe.StringData(s) {
			return true
		}
	}
	return false
}
