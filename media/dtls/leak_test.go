package dtls

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Row DTLS-03. A thousand handshakes, ended in every way there is, leave no goroutine.
func TestNothingIsLeftAfterAThousandHandshakes(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := NewServer(Config{Deadline: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ways := []func(){
		func() { // a session, closed by us
			c := newScript(t, s)
			c.complete()
			c.endpoint.Close()
		},
		func() { // by the peer
			c := newScript(t, s)
			c.complete()
			c.endpoint.Feed(c.sealed(typeAlert, closeNotify))
			wait(t, c.sink.closed, "Closed")
		},
		func() { // by both at once
			c := newScript(t, s)
			c.complete()
			c.endpoint.Feed(c.sealed(typeAlert, fatalAlert))
			c.endpoint.Close()
		},
		func() { newScript(t, s) },                  // silent from the start
		func() { newScript(t, s).begin(goodHello) }, // after the ClientHello
		func() { // closed halfway
			c := newScript(t, s)
			c.begin(goodHello)
			c.sayCertificate(1, c.certificate.Certificate[0])
			c.sayKeyExchange(2)
			c.endpoint.Close()
		},
		func() { // closed at once
			c := newScript(t, s)
			c.endpoint.Close()
			c.say(msgClientHello, 0, goodHello.body(c.random[:]))
		},
		func() { // refused
			c := newScript(t, s)
			c.say(msgClientHello, 0, hello{suites: []uint16{0xc00a}}.body(c.random[:]))
		},
		func() { // flooded
			c := newScript(t, s)
			for range 200 {
				c.endpoint.Feed(c.record(typeHandshake, fragment(msgClientHello, 0, 60_000, 1000, make([]byte, 1000))))
			}
		},
		func() { // wrong Finished
			c := newScript(t, s)
			c.begin(goodHello)
			c.sayCertificate(1, c.certificate.Certificate[0])
			c.sayKeyExchange(2)
			c.sayVerify(3, c.privateKey())
			c.transcript = c.transcript[1:]
			c.sayFinished(4)
		},
	}
	for i := range 1000 {
		ways[i%len(ways)]()
	}
	s.Wait()
	goleak.VerifyNone(t, before)
	if st := s.Stats(); st.InFlight != 0 || st.Started != 1000 || st.Established+st.Failed != 1000 {
		t.Fatalf("%+v", st)
	}
}
