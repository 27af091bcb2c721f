package dtls

import (
	"bytes"
	"testing"
	"time"
)

// Row DTLS-08. Key exchange messages of suites that we do not offer, and broken ones of the
// suite that we do.
func TestCraftedKeyExchangeFails(t *testing.T) {
	point := func(x *script) []byte { return x.key.PublicKey().Bytes() }
	for _, c := range []struct {
		name string
		body func(x *script) []byte
	}{
		{"empty", func(*script) []byte { return []byte{0} }},
		{"length past the end", func(x *script) []byte { return append([]byte{255}, point(x)...) }},
		{"length short of the end", func(x *script) []byte { return append([]byte{10}, point(x)...) }},
		{"off the curve", func(x *script) []byte {
			p := bytes.Clone(point(x))
			p[64] ^= 1
			return append([]byte{65}, p...)
		}},
		{"point at infinity", func(*script) []byte { return []byte{1, 0} }},
		{"compressed point", func(x *script) []byte { return append([]byte{33, 2}, point(x)[1:33]...) }},
		{"X25519 where P-256 was agreed", func(*script) []byte { return append([]byte{32}, make([]byte, 32)...) }},
		{"RSA: an encrypted premaster secret", func(*script) []byte {
			return appendVector(nil, bytes.Repeat([]byte{7}, 256))
		}},
		{"PSK: an identity", func(*script) []byte { return appendVector(nil, []byte("identity")) }},
		{"ECDHE_PSK: an identity and a point", func(x *script) []byte {
			return append(appendVector(nil, []byte("identity")), append([]byte{65}, point(x)...)...)
		}},
		{"DHE: a public value of 64 kB", func(*script) []byte {
			return appendVector(nil, make([]byte, 1500))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newScript(t, newTestServer(t, Config{Deadline: 300 * time.Millisecond}))
			x.begin(goodHello)
			x.sayCertificate(1, x.certificate.Certificate[0])
			x.say(msgClientKeyExchange, 2, c.body(x))
			x.sayVerify(3, x.privateKey())
			t.Logf("ends with: %v", x.fails())
		})
	}
}
