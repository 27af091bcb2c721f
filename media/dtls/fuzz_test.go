package dtls

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

var fuzzServer = sync.OnceValues(func() (*Server, error) {
	return NewServer(Config{Deadline: time.Minute}) // each input ends with Close
})

// Row DTLS-08. FuzzHandshake feeds arbitrary datagrams to an endpoint at each stage of a
// handshake. The input is a stage, then records with two bytes of length before each: their
// headers are made right, or the gate would leave nothing for the library; with the top
// bit of the length set the bytes go in as they are. Whatever comes, the handshake ends,
// once, and never with keys.
func FuzzHandshake(f *testing.F) {
	msg := func(mt byte, seq uint16, body []byte) []byte {
		return appendVector(nil, append([]byte{typeHandshake}, message(mt, seq, body)...))
	}
	with := func(stage byte, parts ...[]byte) []byte {
		b := []byte{stage}
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	h := goodHello
	f.Add(with(0, msg(msgClientHello, 0, h.body(make([]byte, 32)))))
	h.dtls13 = true
	f.Add(with(0, msg(msgClientHello, 0, h.body(make([]byte, 32)))))
	der := clientCertificate().Certificate[0]
	f.Add(with(1, msg(msgCertificate, 1, appendVector24(nil, appendVector24(nil, der))),
		msg(msgClientKeyExchange, 2, append([]byte{65, 4}, make([]byte, 64)...)),
		msg(msgCertificateVerify, 3, appendVector([]byte{4, 3}, make([]byte, 70)))))
	f.Add(with(1, msg(msgCertificate, 1, nil), msg(msgClientKeyExchange, 2, []byte{0, 3, 1, 2, 3})))
	f.Add(with(1, appendVector(nil, []byte{typeChangeCipherSpec, 1}), msg(20, 4, make([]byte, 12))))
	f.Add(with(2, msg(msgCertificateVerify, 3, appendVector([]byte{8, 4}, make([]byte, 256)))))
	f.Add(with(2, msg(msgCertificateVerify, 3, nil)))
	f.Add(with(3, appendVector(nil, []byte{typeAlert, 2, 40})))
	for mt := range byte(25) {
		f.Add(with(mt%4, msg(mt, uint16(mt%5), []byte{0, 1, 2, 3, 4, 5, 6, 7})))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		s, err := fuzzServer()
		if err != nil {
			t.Fatal(err)
		}
		x := newScript(t, s)
		defer x.endpoint.Close()
		reach(x, input[0]%4)
		feedRecords(x, input[1:])
		x.endpoint.Feed(input[1:])
		x.endpoint.Close()
		if o := wait(t, x.sink.done, "Done"); o.err == nil {
			t.Fatal("arbitrary bytes made a session")
		}
		select {
		case <-x.sink.done:
			t.Fatal("Done twice")
		case <-x.sink.closed:
			t.Fatal("Closed without a session")
		default:
		}
	})
}

// reach brings a script to a stage of its handshake.
func reach(x *script, stage byte) {
	if stage >= 1 {
		x.begin(goodHello)
	}
	if stage >= 2 {
		x.sayCertificate(1, x.certificate.Certificate[0])
		x.sayKeyExchange(2)
	}
	if stage >= 3 {
		x.sayVerify(3, x.privateKey())
	}
}

// feedRecords feeds the records of a fuzzer's input.
func feedRecords(x *script, b []byte) {
	for len(b) >= 3 {
		n := int(binary.BigEndian.Uint16(b))
		raw := n&0x8000 != 0
		n = min(n&0x7fff, len(b)-2)
		if n == 0 {
			return
		}
		part := b[2 : 2+n]
		b = b[2+n:]
		switch {
		case raw:
			x.endpoint.Feed(part)
		case n > 1:
			feedAndSettle(x, x.record(part[0], part[1:]))
		}
	}
}
