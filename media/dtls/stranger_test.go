package dtls

import (
	"testing"
	"time"
)

// Row DTLS-01. At this level: records reach an endpoint by its own Feed alone, which the
// edge calls for the validated path and no other. A thousand handshakes, each beside an
// attacker whose ClientHellos (well formed, and with a suite that fails) go to an endpoint
// of their own, all succeed; the attackers' end where they belong.
func TestStrangersClientHelloNeverReachesTheRealHandshake(t *testing.T) {
	handshakes := 1000
	if testing.Short() {
		handshakes = 100
	}
	s := newTestServer(t, Config{Deadline: time.Minute})
	bad := goodHello
	bad.suites = []uint16{0xc00a}
	for i := range handshakes {
		attacker := newScript(t, s)
		h := goodHello
		if i%2 == 0 {
			h = bad
		}
		attacker.endpoint.Feed(attacker.record(typeHandshake, message(msgClientHello, 0, h.body(attacker.random[:]))))
		x := newScript(t, s)
		x.complete()
		x.endpoint.Close()
		attacker.endpoint.Close()
		if o := wait(t, attacker.sink.done, "Done of the attacker"); o.err == nil {
			t.Fatal("the attacker has a session")
		}
	}
	if st := s.Stats(); st.Established != uint64(handshakes) || st.Failed != uint64(handshakes) {
		t.Fatalf("%+v", st)
	}
}
