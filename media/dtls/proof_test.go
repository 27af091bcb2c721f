package dtls

import (
	"errors"
	"testing"
	"time"
)

// Row DTLS-06.
func TestCertificateWithoutProofOfPossessionFails(t *testing.T) {
	thief, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	stolen := clientCertificate().Certificate[0]
	for _, c := range []struct {
		name  string
		steps func(c *script)
	}{
		{"no CertificateVerify", func(c *script) {
			c.sayCertificate(1, stolen)
			c.sayKeyExchange(2)
			c.sayFinished(3)
		}},
		{"CertificateVerify by another key", func(c *script) {
			c.certificate = thief
			c.sayCertificate(1, stolen)
			c.sayKeyExchange(2)
			c.sayVerify(3, c.privateKey())
			c.sayFinished(4)
		}},
		{"CertificateVerify before the certificate", func(c *script) {
			c.sayVerify(1, c.privateKey())
			c.sayCertificate(2, stolen)
			c.sayKeyExchange(3)
			c.sayFinished(4)
		}},
		{"CertificateVerify without a certificate", func(c *script) {
			c.sayCertificate(1)
			c.sayKeyExchange(2)
			c.sayVerify(3, c.privateKey())
			c.sayFinished(4)
		}},
		{"CertificateVerify of another session", func(c *script) {
			c.sayCertificate(1, stolen)
			c.sayKeyExchange(2)
			kept := c.transcript
			c.transcript = append([]byte("another transcript"), kept...)
			c.sayVerify(3, c.privateKey())
			c.sayFinished(4)
		}},
		{"no certificate", func(c *script) {
			c.sayKeyExchange(1)
			c.sayFinished(2)
		}},
		{"an empty list of certificates", func(c *script) {
			c.sayCertificate(1)
			c.sayKeyExchange(2)
			c.sayFinished(3)
		}},
		{"bytes that are no certificate", func(c *script) {
			c.sayCertificate(1, []byte("certificate"))
			c.sayKeyExchange(2)
			c.sayVerify(3, c.privateKey())
			c.sayFinished(4)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newScript(t, newTestServer(t, Config{Deadline: 300 * time.Millisecond}))
			x.begin(goodHello)
			c.steps(x)
			t.Logf("ends with: %v", x.fails())
		})
	}
}

// Row DTLS-06.
func TestFinishedThatDoesNotVerifyFails(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{}))
	x.begin(goodHello)
	x.sayCertificate(1, x.certificate.Certificate[0])
	x.sayKeyExchange(2)
	x.sayVerify(3, x.privateKey())
	x.transcript[len(x.transcript)-1] ^= 1
	x.sayFinished(4)
	if err := x.fails(); errors.Is(err, ErrTimeout) {
		t.Fatalf("not noticed: %v", err)
	}
}
