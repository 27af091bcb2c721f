package dtls

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Row DTLS-03. A thousand handshakes, ended in every way there is, leave no goroutine.
func TestNothingIsLeftAfterAThousandHandshakes(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := NewServer(Config{Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	hasty, err := NewServer(Config{Deadline: 100 * time.Millisecond})
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
		func() { newScript(t, hasty) },             // silent from the start
		func() { startHello(t, hasty, somewhere) }, // after the ClientHello
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
	hasty.Wait()
	goleak.VerifyNone(t, before)
	a, b := s.Stats(), hasty.Stats()
	if a.InFlight+b.InFlight != 0 || a.Started+b.Started != 1000 || a.Established+a.Failed+b.TimedOut != 1000 {
		t.Fatalf("%+v %+v", a, b)
	}
}
