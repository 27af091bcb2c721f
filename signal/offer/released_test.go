package offer

import (
	"strings"
	"testing"
)

// The SDK makes port 0 port 9 for Firefox, which would give a section beside the group a
// transport of its own, without candidates, and fail.
func TestReleasedSectionsStayInTheGroupForFirefoxOnly(t *testing.T) {
	for name, origin := range map[string]string{"Firefox": "o=mozilla...THIS_IS_SDPARTA-99.0 ", "another": "o=- "} {
		s, p := New(testConfig()), new(peer)
		exchange := func() string {
			text := s.Offer()
			if _, err := s.Answer(strings.Replace(p.Answer(text), "o=- ", origin, 1)); err != nil {
				t.Fatal(err)
			}
			return text
		}
		s.SetRemote("A", pair(1))
		exchange()
		s.SetRemote("A", nil)
		d := parseOffer(t, exchange())
		group := " " + d.Attributes[0].Value + " "
		for _, m := range d.MediaDescriptions {
			want := m.MediaName.Port.Value != 0 || name == "Firefox"
			if strings.Contains(group, " "+attribute(m, "mid")+" ") != want {
				t.Errorf("%s: mid %s with port %d: in the group%s: want %t", name, attribute(m, "mid"), m.MediaName.Port.Value, group, want)
			}
		}
	}
}
