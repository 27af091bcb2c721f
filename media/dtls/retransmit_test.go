package dtls

import (
	"testing"
	"time"
)

// Row DTLS-10. A client that repeats its ClientHello forever draws our flight at our pace,
// and less bytes than it sends.
func TestRepeatedClientHelloDrawsNothing(t *testing.T) {
	const interval = 200 * time.Millisecond
	s := newTestServer(t, Config{FlightInterval: interval, Deadline: time.Minute})
	x := newScript(t, s)
	body := goodHello.body(x.random[:])
	start := time.Now()
	x.say(msgClientHello, 0, body)
	x.readFlight()
	flight := x.sink.sent.Load()
	fed := int64(0)
	for range 100 {
		b := x.record(typeHandshake, message(msgClientHello, 0, body))
		fed += int64(len(b))
		if x.endpoint.Feed(b) {
			t.Fatal("a repeated ClientHello was passed on after our flight")
		}
	}
	if n := x.sink.sent.Load(); n != flight && time.Since(start) < interval {
		t.Fatalf("%d datagrams, the flight has %d", n, flight)
	}
	// Our own timer does repeat it, once an interval that doubles.
	until(t, "the flight is repeated", func() bool { return x.sink.sent.Load() >= 2*flight })
	if d := time.Since(start); d < interval {
		t.Fatalf("repeated after %v", d)
	}
	if out := x.sink.bytes.Load(); out > fed {
		t.Fatalf("%d bytes out for %d in", out, fed)
	}
}

// Row DTLS-10. The same with the last flight, which the library sends again for each
// Finished it reads.
func TestRepeatedFinishedIsAnsweredAtOurPace(t *testing.T) {
	const interval = 100 * time.Millisecond
	s := newTestServer(t, Config{FlightInterval: interval})
	x := newScript(t, s)
	x.complete()
	sent, start := x.sink.sent.Load(), time.Now()
	fed := 0
	for time.Since(start) < 500*time.Millisecond {
		if x.endpoint.Feed(x.sealed(typeHandshake, x.finished(4))) {
			fed++
		}
		<-time.After(20 * time.Millisecond) // far faster than our pace
	}
	elapsed := time.Since(start)
	n := x.sink.sent.Load() - sent
	if most := int64(elapsed/interval) + 1; n > most {
		t.Errorf("%d repeats in %v", n, elapsed)
	}
	if n == 0 {
		t.Errorf("a lost last flight would never be repeated")
	}
	if held := s.Stats().HeldBack; fed > int(n) && held == 0 {
		t.Errorf("%d fed, %d answered, none held back", fed, n)
	}
}

// Row DTLS-10. A flight recorded and replayed is a flight of records already seen.
func TestReplayedFlightDrawsNothing(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.begin(goodHello)
	var flight [][]byte
	keep := func(b []byte) { flight = append(flight, b); x.endpoint.Feed(b) }
	x.sayCertificate(1, x.certificate.Certificate[0])
	x.sayKeyExchange(2)
	x.sayVerify(3, x.privateKey())
	keep(x.record(typeChangeCipherSpec, []byte{1}))
	keep(x.sealed(typeHandshake, x.finished(4)))
	if o := wait(t, x.sink.done, "Done"); o.err != nil {
		t.Fatal(o.err)
	}
	sent := x.sink.sent.Load()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		for _, b := range flight {
			x.endpoint.Feed(b)
		}
	}
	until(t, "the queue is empty", func() bool { return len(x.endpoint.pipe.in) == 0 })
	if n := x.sink.sent.Load() - sent; n != 0 {
		t.Fatalf("%d datagrams in answer to a replay", n)
	}
}

// A client whose view of our last flight was lost gets it again.
func TestLostLastFlightIsRepeated(t *testing.T) {
	x := newSession(t, newTestServer(t, Config{}))
	pass, lost := x.toClient, 0
	x.toClient = func(b []byte) {
		if b[0] == typeChangeCipherSpec && lost < 3 {
			lost++
			return
		}
		pass(b)
	}
	x.connect(t)
	if lost != 3 {
		t.Fatalf("%d lost", lost)
	}
}
