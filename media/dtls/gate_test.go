package dtls

import (
	"bytes"
	"testing"

	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// Row DTLS-02. Records of a later epoch, and those that are neither handshake nor alert,
// end here, before anything parses them.
func TestGate(t *testing.T) {
	const all = 255
	hs := func(seq uint16, mt byte, n int) []byte { return message(mt, seq, make([]byte, n)) }
	plain := func(contentType byte, body []byte) []byte { return rawRecord(contentType, 0, 9, body) }
	sealed := func(contentType byte, n int) []byte { return rawRecord(contentType, 1, 9, make([]byte, n)) }
	version := func(b []byte, minor byte) []byte { b[2] = minor; return b }
	two := func(a, b []byte) []byte { return append(bytes.Clone(a), b...) }
	var (
		clientHello = plain(typeHandshake, hs(0, msgClientHello, 100))
		certificate = plain(typeHandshake, hs(1, msgCertificate, 500))
		ccs         = plain(typeChangeCipherSpec, []byte{1})
	)
	for _, c := range []struct {
		name  string
		phase phase
		in    []byte
		let   int // bytes let through; all: the whole datagram
		drops map[int]int
		fatal bool
	}{
		{"ClientHello", phaseHello, clientHello, all, nil, false},
		{"ClientHello in a record of DTLS 1.0", phaseHello, version(bytes.Clone(clientHello), 0xff), all, nil, false},
		{"ClientHello in a record of DTLS 1.3", phaseHello, version(bytes.Clone(clientHello), 0xfc), 0, map[int]int{DropMalformed: 1}, false},
		{"a part of a ClientHello", phaseHello, plain(typeHandshake, fragment(msgClientHello, 0, 1400, 700, make([]byte, 700))), all, nil, false},
		{"ClientHello after a cookie", phaseHello, plain(typeHandshake, hs(1, msgClientHello, 100)), 0, map[int]int{DropUnexpected: 1}, false},
		{"ClientHello again", phaseFlight, clientHello, 0, map[int]int{DropUnexpected: 1}, false},
		{"ClientHello on a live session", phaseLive, clientHello, 0, map[int]int{DropPlaintext: 1}, false},
		{"Certificate too early", phaseHello, certificate, 0, map[int]int{DropUnexpected: 1}, false},
		{"Certificate", phaseFlight, certificate, all, nil, false},
		{"ClientKeyExchange", phaseFlight, plain(typeHandshake, hs(2, msgClientKeyExchange, 66)), all, nil, false},
		{"CertificateVerify", phaseFlight, plain(typeHandshake, hs(3, msgCertificateVerify, 76)), all, nil, false},
		{"two messages in a record", phaseFlight, plain(typeHandshake, two(hs(1, msgCertificate, 50), hs(2, msgClientKeyExchange, 66))), all, nil, false},
		{"a good and a bad message in a record", phaseFlight, plain(typeHandshake, two(hs(1, msgCertificate, 50), hs(2, 99, 66))), 0, map[int]int{DropUnexpected: 1}, false},
		{"a good and a bad record", phaseFlight, two(certificate, clientHello), len(certificate), map[int]int{DropUnexpected: 1}, false},
		{"a bad and a good record", phaseFlight, two(clientHello, certificate), len(certificate), map[int]int{DropUnexpected: 1}, false},
		{"ServerHello", phaseFlight, plain(typeHandshake, hs(1, 2, 70)), 0, map[int]int{DropUnexpected: 1}, false},
		{"HelloRequest", phaseFlight, plain(typeHandshake, hs(1, 0, 1)), 0, map[int]int{DropUnexpected: 1}, false},
		{"Finished in the clear", phaseFlight, plain(typeHandshake, hs(4, 20, 12)), 0, map[int]int{DropUnexpected: 1}, false},
		{"message_seq far ahead", phaseFlight, plain(typeHandshake, hs(maxSequence+1, msgCertificate, 50)), 0, map[int]int{DropUnexpected: 1}, false},
		{"fragment past the end", phaseFlight, plain(typeHandshake, fragment(msgCertificate, 1, 100, 60, make([]byte, 50))), 0, map[int]int{DropMalformed: 1}, false},
		{"fragment longer than the record", phaseFlight, plain(typeHandshake, hs(1, msgCertificate, 50)[:40]), 0, map[int]int{DropMalformed: 1}, false},
		{"half a handshake header", phaseFlight, plain(typeHandshake, make([]byte, 11)), 0, map[int]int{DropMalformed: 1}, false},
		{"message of 64 kB", phaseFlight, plain(typeHandshake, fragment(msgCertificate, 1, maxMessage, 0, make([]byte, 9))), all, nil, false},
		{"message of a byte more", phaseFlight, plain(typeHandshake, fragment(msgCertificate, 1, maxMessage+1, 0, make([]byte, 9))), 0, map[int]int{DropBomb: 1}, false},
		{"empty fragment", phaseFlight, plain(typeHandshake, fragment(msgCertificate, 1, 100, 50, nil)), 0, map[int]int{DropBomb: 1}, false},
		{"ChangeCipherSpec", phaseFlight, ccs, all, nil, false},
		{"ChangeCipherSpec too early", phaseHello, ccs, 0, map[int]int{DropUnexpected: 1}, false},
		{"ChangeCipherSpec of 2", phaseFlight, plain(typeChangeCipherSpec, []byte{2}), 0, map[int]int{DropMalformed: 1}, false},
		{"ChangeCipherSpec too long", phaseFlight, plain(typeChangeCipherSpec, []byte{1, 1}), 0, map[int]int{DropMalformed: 1}, false},
		{"fatal alert in the clear", phaseFlight, plain(typeAlert, fatalAlert), 0, map[int]int{DropPlaintextAlert: 1}, true},
		{"warning in the clear", phaseFlight, plain(typeAlert, warningAlert), 0, map[int]int{DropPlaintextAlert: 1}, false},
		{"alert in the clear on a live session", phaseLive, plain(typeAlert, fatalAlert), 0, map[int]int{DropPlaintextAlert: 1}, false},
		{"application data in the clear", phaseFlight, plain(23, []byte("data")), 0, map[int]int{DropUnexpected: 1}, false},
		{"unknown content type", phaseFlight, plain(99, []byte("data")), 0, map[int]int{DropUnexpected: 1}, false},
		{"record with a connection id", phaseLive, rawRecord(25, 1, 0, make([]byte, 40)), 0, map[int]int{DropUnexpected: 1}, false},
		{"Finished", phaseFlight, sealed(typeHandshake, 48), all, nil, false},
		{"Finished before there are keys", phaseHello, sealed(typeHandshake, 48), 0, map[int]int{DropUnexpected: 1}, false},
		{"Finished again", phaseLive, sealed(typeHandshake, 48), all, nil, false},
		{"Finished much later", phaseSettled, sealed(typeHandshake, 48), 0, map[int]int{DropUnexpected: 1}, false},
		{"an encrypted handshake message larger than Finished", phaseLive, sealed(typeHandshake, maxFinished+1), 0, map[int]int{DropBomb: 1}, false},
		{"encrypted alert", phaseSettled, sealed(typeAlert, 26), all, nil, false},
		{"encrypted application data", phaseLive, sealed(23, 100), 0, map[int]int{DropUnexpected: 1}, false},
		{"a later epoch", phaseLive, rawRecord(typeAlert, 2, 0, make([]byte, 26)), 0, map[int]int{DropUnexpected: 1}, false},
		{"empty record", phaseFlight, plain(typeHandshake, nil), 0, map[int]int{DropMalformed: 1}, false},
		{"nothing", phaseFlight, nil, 0, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, v := admit(nil, c.in, c.phase)
			if c.let == all {
				c.let = len(c.in)
			}
			if len(out) != c.let {
				t.Errorf("%d bytes let through, want %d", len(out), c.let)
			}
			if v.fatal != c.fatal {
				t.Errorf("fatal %v", v.fatal)
			}
			for reason, n := range v.drops {
				if int(n) != c.drops[reason] {
					t.Errorf("%s: %d, want %d", DropNames[reason], n, c.drops[reason])
				}
			}
		})
	}
}

// Of a datagram cut anywhere, only the records before the cut pass.
func TestGateOnTruncatedDatagrams(t *testing.T) {
	whole := [][]byte{
		rawRecord(typeHandshake, 0, 1, message(msgCertificate, 1, make([]byte, 300))),
		rawRecord(typeHandshake, 0, 2, message(msgClientKeyExchange, 2, make([]byte, 66))),
		rawRecord(typeChangeCipherSpec, 0, 3, []byte{1}),
		rawRecord(typeHandshake, 1, 0, make([]byte, 48)),
	}
	datagram := bytes.Join(whole, nil)
	for n := range datagram {
		want, clean := 0, false
		for _, r := range whole {
			if want+len(r) > n {
				break
			}
			want += len(r)
		}
		clean = want == n
		out, v := admit(nil, datagram[:n], phaseFlight)
		if !bytes.Equal(out, datagram[:want]) {
			t.Fatalf("cut at %d: %d bytes pass, want %d", n, len(out), want)
		}
		if (v.drops[DropMalformed] == 0) != clean {
			t.Fatalf("cut at %d: %v", n, v)
		}
	}
}

// FuzzGate checks that what passes is made of whole records of the datagram, that passing
// twice changes nothing, and that the library can take it apart.
func FuzzGate(f *testing.F) {
	f.Add([]byte(nil), uint8(0))
	f.Add(rawRecord(typeHandshake, 0, 0, message(msgClientHello, 0, goodHello.body(make([]byte, 32)))), uint8(0))
	f.Add(rawRecord(typeHandshake, 0, 1, fragment(msgCertificate, 1, 500, 100, make([]byte, 50))), uint8(1))
	f.Add(append(rawRecord(typeChangeCipherSpec, 0, 1, []byte{1}), rawRecord(typeHandshake, 1, 0, make([]byte, 48))...), uint8(1))
	f.Add(rawRecord(typeAlert, 0, 1, fatalAlert), uint8(1))
	f.Add(rawRecord(typeAlert, 1, 1, make([]byte, 26)), uint8(2))
	f.Fuzz(func(t *testing.T, datagram []byte, p uint8) {
		ph := phase(p % (uint8(phaseSettled) + 1))
		in := bytes.Clone(datagram)
		out, _ := admit(nil, datagram, ph)
		if !bytes.Equal(in, datagram) {
			t.Fatal("the datagram was changed")
		}
		if len(out) == 0 {
			return
		}
		again, v := admit(nil, out, ph)
		if !bytes.Equal(again, out) || v != (verdict{}) {
			t.Fatalf("what passed does not pass again: %+v", v)
		}
		records, err := recordlayer.UnpackDatagram(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if !bytes.Contains(in, r) {
				t.Fatal("a record that nobody sent")
			}
			var h recordlayer.Header
			if err := h.Unmarshal(r); err != nil || h.Epoch > 1 {
				t.Fatalf("%+v, %v", h, err)
			}
		}
	})
}

func TestGateAllocatesNothingForWhatItDrops(t *testing.T) {
	bad := [][]byte{
		rawRecord(typeAlert, 0, 1, fatalAlert),
		rawRecord(23, 1, 1, make([]byte, 1000)),
		make([]byte, 1200),
		rawRecord(typeHandshake, 0, 1, fragment(msgCertificate, 1, 1<<24-1, 0, make([]byte, 1000))),
	}
	if raceEnabled {
		return // the detector's own allocations count
	}
	for _, b := range bad {
		if n := testing.AllocsPerRun(100, func() { admit(nil, b, phaseFlight) }); n != 0 {
			t.Errorf("%x...: %v allocations", b[:20], n)
		}
	}
}
