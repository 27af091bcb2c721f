package entry

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// clientHello returns what crypto/tls sends first.
func clientHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(theirs, cfg).Handshake() // fails: nobody answers
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(ours, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	<-done
	return append(header, body...)
}

// Row TURN-14.
func TestFirstBytesTellTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		want  Kind
		at    int // bytes after which it is certain
	}{
		{"TLS ClientHello", string(clientHello(t, &tls.Config{ServerName: "x.example"})), TLS, 6},
		{"TLS 1.0 record version", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", TLS, 6},
		{"TLS alert first", "\x15\x03\x01\x00\x02\x01\x00", Unknown, 1},
		{"TLS ServerHello first", "\x16\x03\x03\x00\x7a\x02\x00\x00\x76", Unknown, 6},
		{"TLS record of zero bytes", "\x16\x03\x01\x00\x00\x01", Unknown, 5},
		{"TLS record too long", "\x16\x03\x01\x40\x01\x01", Unknown, 5},
		{"TLS of a later age", "\x16\x03\x05\x00\x10\x01", Unknown, 5},
		{"DTLS ClientHello", "\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x78\x01", Unknown, 2},
		{"SSLv2 hello", "\x80\x2e\x01\x03\x01", Unknown, 1},
		{"TURN Allocate", string(allocate), TURN, 8},
		{"STUN Binding", string(binding), TURN, 8},
		{"STUN success response", "\x01\x01\x00\x00\x21\x12\xa4\x42", Unknown, 2},
		{"STUN indication", "\x00\x16\x00\x00\x21\x12\xa4\x42", Unknown, 2},
		{"STUN of RFC 3489, no cookie", "\x00\x01\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08", Unknown, 5},
		{"STUN of an odd length", "\x00\x01\x00\x02\x21\x12\xa4\x42", Unknown, 4},
		{"ICE-TCP check", string(framed), ICETCP, 10},
		{"ICE-TCP check with attributes", "\x00\x64\x00\x01\x00\x50\x21\x12\xa4\x42ab", ICETCP, 10},
		{"RFC 4571 length that lies", "\x00\x68\x00\x01\x00\x50\x21\x12\xa4\x42ab", Unknown, 6},
		{"RFC 4571 length beyond any check", "\x08\x04\x00\x01\x07\xf0\x21\x12\xa4\x42ab", Unknown, 4},
		{"RFC 4571 frame of DTLS", "\x00\x64\x16\xfe\xff\x00", Unknown, 4},
		{"ChannelData first", string(channel), Unknown, 1},
		{"SSH banner", string(sshBanner), Unknown, 1},
		{"GET", "GET / HTTP/1.1\r\n", HTTP, 5},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\n", HTTP, 9},
		{"POST", "POST /whip/a HTTP/1.1\r\n", HTTP, 6},
		{"PATCH", "PATCH /whip/a HTTP/1.1\r\n", HTTP, 7},
		{"DELETE", "DELETE /whip/a HTTP/1.1\r\n", HTTP, 8},
		{"CONNECT", "CONNECT 10.0.0.1:22 HTTP/1.1\r\n", Unknown, 1},
		{"method without a target", "GET \r\n", Unknown, 5},
		{"method in small letters", "get / HTTP/1.1\r\n", Unknown, 1},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n", Unknown, 2},
		{"PROXY v1 of a stranger", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Unknown, 2},
		{"PROXY v2 of a stranger", proxyV2Begins + "\x21\x11\x00\x0c", Unknown, 1},
		{"SMTP", "EHLO example.com\r\n", Unknown, 1},
		{"zeros", "\x00\x00\x00\x00\x00\x00\x00\x00", Unknown, 5},
		{"nothing", "", Unknown, -1},
	} {
		kind, enough := Classify([]byte(c.bytes))
		if kind != c.want || enough != (c.at >= 0) {
			t.Errorf("%s: %v, %v; want %v", c.name, kind, enough, c.want)
		}
		for n := 0; n < c.at; n++ {
			if kind, enough := Classify([]byte(c.bytes)[:n]); enough {
				t.Errorf("%s: %v is certain after %d bytes, want %d", c.name, kind, n, c.at)
			}
		}
		if c.at >= 0 {
			if kind, enough := Classify([]byte(c.bytes)[:c.at]); !enough || kind != c.want {
				t.Errorf("%s: %v, %v after %d bytes, want %v", c.name, kind, enough, c.at, c.want)
			}
		}
	}
}

func TestClassifyAllocatesNothing(t *testing.T) {
	for _, b := range [][]byte{allocate, framed, channel, getRequest} {
		if n := testing.AllocsPerRun(100, func() { Classify(b) }); n != 0 {
			t.Errorf("%q: %v allocations", b, n)
		}
	}
}

// What is certain stays so with more bytes, and sixteen bytes are always enough.
//
// Row TURN-14.
func FuzzClassify(f *testing.F) {
	for _, b := range [][]byte{allocate, binding, framed, channel, sshBanner, getRequest, clientHello(f, &tls.Config{ServerName: "x.example"}), []byte(proxyV2Begins)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, enough := Classify(b)
		if len(b) >= SniffBytes && !enough {
			t.Fatalf("%d bytes are not enough", len(b))
		}
		if !enough && kind != Unknown {
			t.Fatalf("%v without being certain", kind)
		}
		certain := false
		for n := range b {
			k, e := Classify(b[:n])
			if certain && !e || e && (k != kind || !enough) {
				t.Fatalf("after %d bytes %v, %v; in the end %v, %v", n, k, e, kind, enough)
			}
			certain = e
		}
		matches := 0
		for _, m := range []func([]byte) verdict{matchTLS, matchTURN, matchICETCP, matchHTTP} {
			if m(b[:min(len(b), SniffBytes)]) == yes {
				matches++
			}
		}
		if matches > 1 {
			t.Fatalf("%q is of %d protocols", b, matches)
		}
		if k, _ := Classify(append(bytes.Clone(b[:min(len(b), SniffBytes)]), 0xff)); len(b) >= SniffBytes && k != kind {
			t.Fatal("more than SniffBytes are looked at")
		}
	})
}
