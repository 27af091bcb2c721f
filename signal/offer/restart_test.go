package offer

import (
	"strings"
	"testing"
)

// A restart names other credentials in every section and changes nothing else; what the client
// answers with its own new ones is news for media.
func TestRestartChangesCredentialsAndNothingElse(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	s.SetRemote("A", pair(1))
	before, _ := p.exchange(t, s)
	if s.Changed() {
		t.Fatal("there is something to offer before the restart")
	}
	s.Restart("srvV", "anotherpasswordforserver", []string{"3 1 udp 2130706431 192.0.2.3 3478 typ host"})
	if !s.Changed() {
		t.Fatal("nothing is to be offered")
	}
	after := s.Offer()
	same := strings.NewReplacer("srvV", "srvU", "anotherpasswordforserver", "serverpasswordserverpass").Replace(after)
	keep := func(text string) (lines []string) {
		for _, l := range strings.Split(text, "\r\n") {
			if !strings.HasPrefix(l, "o=") && !strings.HasPrefix(l, "a=candidate") && !strings.HasPrefix(l, "a=end-of-candidates") {
				lines = append(lines, l)
			}
		}
		return lines
	}
	if strings.Join(keep(same), "\n") != strings.Join(keep(before), "\n") {
		t.Errorf("the restart has changed more:\n%s\nwas\n%s", after, before)
	}
	if strings.Contains(after, "srvU") || !strings.Contains(after, "192.0.2.3") || strings.Contains(after, "192.0.2.1 ") {
		t.Errorf("not the new credentials and candidates alone:\n%s", after)
	}
	answer := strings.ReplaceAll(p.Answer(after), "a=ice-ufrag:", "a=ice-ufrag:again")
	a, err := s.Answer(answer)
	if err != nil {
		t.Fatal(err)
	}
	if !a.RemoteChanged || !strings.HasPrefix(a.Remote.Ufrag, "again") {
		t.Errorf("%+v", a.Remote)
	}
	if len(a.Subscribe) != 0 || len(a.Unsubscribe) != 0 || s.Changed() {
		t.Errorf("streams changed: %+v", a)
	}
}

// One that comes while an offer waits for its answer is in the next.
func TestRestartWhileAnOfferIsOutstandingComesWithTheNext(t *testing.T) {
	s, p := New(testConfig()), new(peer)
	o := s.Offer()
	s.Restart("srvV", "anotherpasswordforserver", nil)
	if _, err := s.Answer(p.Answer(o)); err != nil {
		t.Fatal(err)
	}
	if !s.Changed() {
		t.Fatal("the restart is forgotten")
	}
	if o = s.Offer(); !strings.Contains(o, "a=ice-ufrag:srvV\r\n") {
		t.Errorf("no restart in\n%s", o)
	}
}
