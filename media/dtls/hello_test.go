package dtls

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestScriptedHandshakeSucceeds(t *testing.T) {
	c := newScript(t, newTestServer(t, Config{}))
	if r := c.complete(); !bytes.Equal(r.PeerCertificate, c.certificate.Certificate[0]) {
		t.Fatal("not the certificate that was sent")
	}
}

// Browsers send ClientHellos of 1,413 to 1,481 bytes in two datagrams, always.
func TestBrowserClientHelloInTwoDatagrams(t *testing.T) {
	h := goodHello
	h.dtls13 = true
	const cut = 1100
	for _, order := range [][]int{{0, 1}, {1, 0}, {0, 0, 1}, {1, 1, 0}, {0, 1, 0, 1}} {
		c := newScript(t, newTestServer(t, Config{}))
		body := h.body(c.random[:])
		if wire := len(body) + 2*(recordHeader+messageHeader); wire < 1413 {
			t.Fatalf("a ClientHello of %d bytes is not like a browser's", wire)
		}
		c.transcript = message(msgClientHello, 0, body)
		parts := [][]byte{
			fragment(msgClientHello, 0, len(body), 0, body[:cut]),
			fragment(msgClientHello, 0, len(body), cut, body[cut:]),
		}
		for _, i := range order {
			c.endpoint.Feed(c.record(typeHandshake, parts[i]))
		}
		c.readFlight()
		c.sayCertificate(1, c.certificate.Certificate[0])
		c.sayKeyExchange(2)
		c.sayVerify(3, c.privateKey())
		c.sayFinished(4)
		if o := wait(t, c.sink.done, "Done"); o.err != nil {
			t.Fatalf("order %v: %v", order, o.err)
		}
	}
}

// The answer to an offer of 1.3 beside 1.2 is 1.2.
func TestAnswerToDTLS13IsDTLS12(t *testing.T) {
	c := newScript(t, newTestServer(t, Config{}))
	h := goodHello
	h.dtls13 = true
	c.endpoint.Feed(c.record(typeHandshake, message(msgClientHello, 0, h.body(c.random[:]))))
	datagram := wait(t, c.in, "server flight")
	body := datagram[recordHeader+messageHeader:]
	if v := binary.BigEndian.Uint16(body); v != 0xfefd {
		t.Fatalf("ServerHello has version %#x", v)
	}
}
