package dtls

import (
	"errors"
	"testing"
	"time"
)

// Row DTLS-07.
func TestWeakOffersAreRefused(t *testing.T) {
	const (
		ecdsaGCM     = 0xc02b
		nullSHA256   = 0x003b
		ecdsaNULL    = 0xc006
		exportRC4    = 0x0003
		rsaGCM       = 0xc02f // our certificate is not RSA
		ecdsaCBC     = 0xc00a
		ecdsaCBC256  = 0xc023
		ecdsaCCM8    = 0xc0ae
		pskGCM       = 0x00a8
		anonGCM      = 0x00a6
		p256         = 0x0017
		brainpool256 = 0x001a
		srtpGCM      = 0x0007
		srtpCM80     = 0x0001
		srtpCM32     = 0x0002
		srtpNull80   = 0x0005
		srtpNull32   = 0x0006
	)
	list := func(v ...uint16) []uint16 { return v }
	for _, c := range []struct {
		name string
		h    hello
		want error // nil: whatever the library says
	}{
		{"NULL cipher", hello{suites: list(nullSHA256, ecdsaNULL), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"export cipher", hello{suites: list(exportRC4), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"CBC only", hello{suites: list(ecdsaCBC, ecdsaCBC256), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"CCM with a short tag", hello{suites: list(ecdsaCCM8), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"RSA only", hello{suites: list(rsaGCM), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"PSK", hello{suites: list(pskGCM), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"anonymous", hello{suites: list(anonGCM), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"unknown cipher", hello{suites: list(0xfafa), groups: list(p256), profiles: list(srtpGCM)}, nil},
		{"unknown curve", hello{suites: list(ecdsaGCM), groups: list(brainpool256), profiles: list(srtpGCM)}, nil},
		{"no extended master secret", hello{suites: list(ecdsaGCM), groups: list(p256), profiles: list(srtpGCM), noEMS: true}, nil},
		{"SRTP NULL", hello{suites: list(ecdsaGCM), groups: list(p256), profiles: list(srtpNull80, srtpNull32)}, nil},
		{"SRTP with a short tag", hello{suites: list(ecdsaGCM), groups: list(p256), profiles: list(srtpCM32)}, nil},
		{"unknown SRTP profiles", hello{suites: list(ecdsaGCM), groups: list(p256), profiles: list(0x00ff, 0x7777)}, nil},
		{"no SRTP profile in use_srtp", hello{suites: list(ecdsaGCM), groups: list(p256), profiles: list()}, ErrTimeout},
		{"no use_srtp", hello{suites: list(ecdsaGCM), groups: list(p256)}, ErrNoSRTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{}
			if c.want == ErrTimeout { // a ClientHello that cannot be parsed gets no answer
				cfg.Deadline = 200 * time.Millisecond
			}
			x := newScript(t, newTestServer(t, cfg))
			x.say(msgClientHello, 0, c.h.body(x.random[:]))
			if c.want == ErrNoSRTP { // found out when the client's Finished is in
				x.readFlight()
				x.sayCertificate(1, x.certificate.Certificate[0])
				x.sayKeyExchange(2)
				x.sayVerify(3, x.privateKey())
				x.sayFinished(4)
			}
			err := x.fails()
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && errors.Is(err, ErrTimeout) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			t.Logf("ends with: %v", err)
		})
	}
}

// Row DTLS-07. The explicit lists pick what they should from a client that offers all.
func TestBestOfAMixedOfferIsTaken(t *testing.T) {
	for _, c := range []struct {
		name     string
		profiles []uint16
		want     uint16
	}{
		{"gcm over cm", []uint16{0x0005, 0x0002, 0x0001, 0x0008, 0x0007}, 0x0007},
		{"cm when there is no gcm", []uint16{0x0006, 0x7777, 0x0002, 0x0001}, 0x0001},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newScript(t, newTestServer(t, Config{}))
			h := goodHello
			h.suites = []uint16{0x003b, 0xc00a, 0xfafa, 0xc02b, 0xc02c}
			h.profiles = c.profiles
			x.begin(h)
			x.sayCertificate(1, x.certificate.Certificate[0])
			x.sayKeyExchange(2)
			x.sayVerify(3, x.privateKey())
			x.sayFinished(4)
			o := wait(t, x.sink.done, "Done")
			if o.err != nil || o.result.Keys.Profile.ID() != c.want {
				t.Fatalf("%+v", o)
			}
		})
	}
}

// Row DTLS-07. DTLS 1.0 has no AEAD and SHA-1 signatures.
func TestDTLS10IsRefused(t *testing.T) {
	x := newScript(t, newTestServer(t, Config{Deadline: time.Second}))
	body := goodHello.body(x.random[:])
	body[1] = 0xff
	x.say(msgClientHello, 0, body)
	x.fails()
}
