package dtls

import (
	"errors"
	"testing"
	"time"
)

var (
	fatalAlert   = []byte{alertFatal, 40} // handshake_failure
	closeNotify  = []byte{1, 0}
	warningAlert = []byte{1, 90} // user_canceled
)

// Row DTLS-09.
func TestForgedPlaintextRecordsDoNotTouchALiveSession(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.complete()
	sent := x.sink.sent.Load()
	forged := [][]byte{
		rawRecord(typeAlert, 0, 1000, fatalAlert),
		rawRecord(typeAlert, 0, 1001, closeNotify),
		rawRecord(typeAlert, 0, 1002, []byte{alertFatal}),
		rawRecord(23, 0, 1003, []byte("application data")),
		rawRecord(99, 0, 1004, []byte("no such type")),
		rawRecord(typeChangeCipherSpec, 0, 1005, []byte{1}),
		rawRecord(typeHandshake, 0, 1006, message(msgClientHello, 0, goodHello.body(make([]byte, 32)))),
		rawRecord(typeHandshake, 0, 1007, message(0, 5, nil)), // HelloRequest
		rawRecord(typeAlert, 2, 1008, fatalAlert),
	}
	for _, b := range forged {
		if x.endpoint.Feed(b) {
			t.Errorf("%x was let in", b)
		}
	}
	// These look encrypted and are thrown out by the cipher.
	for i, contentType := range []byte{typeAlert, typeHandshake} {
		x.endpoint.Feed(rawRecord(contentType, 1, uint64(500+i), make([]byte, 40)))
	}
	// It still lives: the real close_notify is heard, answered, and was not before.
	if len(x.sink.closed) != 0 {
		t.Fatal("closed by a forgery")
	}
	x.endpoint.Feed(x.sealed(typeAlert, closeNotify))
	wait(t, x.sink.closed, "Closed")
	if n := x.sink.sent.Load() - sent; n != 1 {
		t.Fatalf("%d datagrams sent, want the answer to close_notify alone", n)
	}
}

// Row DTLS-09. An alert in the clear proves nothing, so a handshake goes on after it.
func TestForgedAlertDoesNotEndAHandshake(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	alert := func() {
		x.endpoint.Feed(rawRecord(typeAlert, 0, 1<<40, fatalAlert))
		x.endpoint.Feed(rawRecord(typeAlert, 0, 1<<41, closeNotify))
	}
	alert()
	x.begin(goodHello)
	alert()
	x.sayCertificate(1, x.certificate.Certificate[0])
	x.sayKeyExchange(2)
	alert()
	x.sayVerify(3, x.privateKey())
	alert()
	x.sayFinished(4)
	if o := wait(t, x.sink.done, "Done"); o.err != nil {
		t.Fatal(o.err)
	}
}

// Row DTLS-09. A client that has really given up does not keep its place until the
// deadline.
func TestAlertWithoutAnythingAfterItEndsAHandshakeSoon(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{Deadline: time.Hour}))
	x.begin(goodHello)
	x.endpoint.Feed(x.record(typeAlert, fatalAlert))
	if err := x.fails(); !errors.Is(err, ErrAlert) {
		t.Fatal(err)
	}
}

// Row DTLS-09. The state table of what an authenticated peer may send after the handshake.
func TestRecordsOnALiveSession(t *testing.T) {
	for _, c := range []struct {
		name   string
		record func(x *script) []byte
		ends   bool
	}{
		{"close_notify", func(x *script) []byte { return x.sealed(typeAlert, closeNotify) }, true},
		{"fatal alert", func(x *script) []byte { return x.sealed(typeAlert, fatalAlert) }, true},
		{"warning", func(x *script) []byte { return x.sealed(typeAlert, warningAlert) }, false},
		{"alert cut short", func(x *script) []byte { return x.sealed(typeAlert, []byte{alertFatal}) }, false},
		{"application data", func(x *script) []byte { return x.sealed(23, []byte("data")) }, false},
		{"ChangeCipherSpec", func(x *script) []byte { return x.sealed(typeChangeCipherSpec, []byte{1}) }, false},
		{"renegotiation", func(x *script) []byte {
			return x.sealed(typeHandshake, message(msgClientHello, 0, goodHello.body(make([]byte, 32))))
		}, false},
		{"renegotiation in small pieces", func(x *script) []byte {
			body := goodHello.body(make([]byte, 32))
			return x.sealed(typeHandshake, fragment(msgClientHello, 5, len(body), 0, body[:10]))
		}, false},
		{"HelloRequest", func(x *script) []byte { return x.sealed(typeHandshake, message(0, 5, nil)) }, false},
		{"another certificate", func(x *script) []byte {
			return x.sealed(typeHandshake, message(msgCertificate, 5, []byte{0, 0, 3, 0, 0, 0}))
		}, false},
		{"no such content type", func(x *script) []byte { return x.sealed(99, []byte("?")) }, false},
		{"next epoch", func(x *script) []byte { return rawRecord(typeAlert, 2, 0, closeNotify) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newScript(t, newTestServer(t, Config{}))
			x.complete()
			x.endpoint.Feed(c.record(x))
			if !c.ends {
				if len(x.sink.closed) != 0 {
					t.Fatal("ended")
				}
				x.endpoint.Feed(x.sealed(typeAlert, closeNotify)) // it lives to hear this
			}
			wait(t, x.sink.closed, "Closed")
			x.endpoint.server.Wait()
			if len(x.sink.done) != 0 || len(x.sink.closed) != 0 {
				t.Fatal("Done or Closed came twice: the session was made anew")
			}
		})
	}
}

// Row DTLS-09. Warnings in a storm are neither answered nor able to pile up.
func TestAlertStorm(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.complete()
	sent := x.sink.sent.Load()
	let := 0
	for range 10_000 {
		if x.endpoint.Feed(x.sealed(typeAlert, warningAlert)) {
			let++
		}
	}
	until(t, "the queue is empty", func() bool { return len(x.endpoint.pipe.in) == 0 })
	if n := x.sink.sent.Load() - sent; n != 0 {
		t.Errorf("%d datagrams in answer", n)
	}
	// The storm may take longer than a second on a slow machine.
	if dropped := x.endpoint.server.Stats().Dropped[DropRate]; uint64(let)+dropped != 10_000 || let > 30*lateRate {
		t.Errorf("%d let in, %d dropped", let, dropped)
	}
}

// Row DTLS-09. After close_notify nothing is taken.
func TestRecordsAfterCloseNotify(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.complete()
	x.endpoint.Feed(x.sealed(typeAlert, closeNotify))
	wait(t, x.sink.closed, "Closed")
	for range 10 {
		if x.endpoint.Feed(x.sealed(typeHandshake, x.finished(4))) {
			t.Fatal("fed after the end")
		}
	}
}
