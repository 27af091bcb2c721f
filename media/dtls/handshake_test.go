package dtls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/media/param"
	"tsubame/media/srtp"
)

func TestHandshakeGivesBothSidesTheSameKeys(t *testing.T) {
	for _, c := range []struct {
		name    string
		offered []piondtls.SRTPProtectionProfile
		want    srtp.Profile
		key     int
		salt    int
	}{
		{"gcm", []piondtls.SRTPProtectionProfile{piondtls.SRTP_AEAD_AES_128_GCM}, srtp.AEAD_AES_128_GCM, 16, 12},
		{"cm", []piondtls.SRTPProtectionProfile{piondtls.SRTP_AES128_CM_HMAC_SHA1_80}, srtp.AES_CM_128_HMAC_SHA1_80, 16, 14},
		// Chromium lists CM first; the choice is ours.
		{"chromium", []piondtls.SRTPProtectionProfile{
			piondtls.SRTP_AES128_CM_HMAC_SHA1_80, piondtls.SRTP_AEAD_AES_256_GCM, piondtls.SRTP_AEAD_AES_128_GCM,
		}, srtp.AEAD_AES_128_GCM, 16, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSession(t, newTestServer(t, Config{}))
			conn, r := x.connect(t, piondtls.WithSRTPProtectionProfiles(c.offered...))
			state, ok := conn.ConnectionState()
			if !ok {
				t.Fatal("client has no state")
			}
			m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(c.key+c.salt))
			if err != nil {
				t.Fatal(err)
			}
			k := r.Keys
			got := bytes.Join([][]byte{k.RemoteKey, k.LocalKey, k.RemoteSalt, k.LocalSalt}, nil)
			if k.Profile != c.want || !bytes.Equal(got, m) || len(k.LocalKey) != c.key || len(k.LocalSalt) != c.salt {
				t.Fatalf("keys %+v, the client exports %x", k, m)
			}
			if !bytes.Equal(r.PeerCertificate, clientCertificate().Certificate[0]) {
				t.Fatal("not the client's certificate")
			}
			if !Matches(state.PeerCertificates[0], []param.Fingerprint{x.server.Fingerprint()}) {
				t.Fatal("the client saw a certificate that is not the server's")
			}
		})
	}
}

func TestServerHasOneP256Certificate(t *testing.T) {
	s := newTestServer(t, Config{})
	var seen []byte
	for range 2 {
		conn, _ := newSession(t, s).connect(t)
		state, _ := conn.ConnectionState()
		cert, err := x509.ParseCertificate(state.PeerCertificates[0])
		if err != nil {
			t.Fatal(err)
		}
		if cert.PublicKeyAlgorithm != x509.ECDSA || cert.SignatureAlgorithm != x509.ECDSAWithSHA256 {
			t.Fatalf("%v signed by %v", cert.PublicKeyAlgorithm, cert.SignatureAlgorithm)
		}
		if seen != nil && !bytes.Equal(seen, cert.Raw) {
			t.Fatal("two sessions saw two certificates")
		}
		seen = cert.Raw
	}
}

func TestHandshakeCompletesWhenEveryFlightIsLostOnce(t *testing.T) {
	x := newSession(t, newTestServer(t, Config{}))
	lossy := func(pass func([]byte)) func([]byte) {
		seen := make(map[string]bool)
		return func(b []byte) {
			// A repeated message has a new record, so it is told by type and length.
			key := fmt.Sprint(b[0], len(b))
			if seen[key] {
				pass(b)
			}
			seen[key] = true
		}
	}
	x.toServer, x.toClient = lossy(x.toServer), lossy(x.toClient)
	x.connect(t)
}

func TestClientHelloInManyDatagrams(t *testing.T) {
	for _, mtu := range []int{60, 100, 150} {
		x := newSession(t, newTestServer(t, Config{}))
		pieces := 0
		pass := x.toServer
		x.toServer = func(b []byte) { pieces++; pass(b) }
		x.connect(t, piondtls.WithMTU(mtu))
		if pieces < 6 {
			t.Fatalf("mtu %d: %d datagrams are no test of fragments", mtu, pieces)
		}
	}
}

func TestCloseNotifyFromThePeerIsReportedOnce(t *testing.T) {
	x := newSession(t, newTestServer(t, Config{}))
	conn, _ := x.connect(t)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if id := wait(t, x.sink.closed, "Closed"); id != 1 {
		t.Fatalf("Closed(%d)", id)
	}
	x.server.Wait()
	if len(x.sink.closed) != 0 || len(x.sink.done) != 0 {
		t.Fatal("reported twice")
	}
	if x.endpoint.Feed([]byte{typeAlert}) {
		t.Fatal("fed after the end")
	}
}

func TestCloseSaysCloseNotifyAndReportsNothing(t *testing.T) {
	x := newSession(t, newTestServer(t, Config{}))
	conn, _ := x.connect(t)
	x.endpoint.Close()
	x.endpoint.Close()
	var b [100]byte
	if _, err := conn.Read(b[:]); err == nil {
		t.Fatal("the client read data")
	}
	x.server.Wait()
	if len(x.sink.closed) != 0 || len(x.sink.done) != 0 {
		t.Fatal("Close was reported to who called it")
	}
}

func TestCloseDuringTheHandshakeEndsIt(t *testing.T) {
	s := newTestServer(t, Config{})
	for _, c := range []struct {
		name string
		when func(x *session) // called before the client starts
	}{
		{"before the first datagram", func(x *session) { x.endpoint.Close() }},
		{"after the first flight", func(x *session) {
			x.toClient = func([]byte) { x.endpoint.Close() }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newSession(t, s)
			c.when(x)
			x.mustFail(t, ErrClosed)
			if len(x.sink.done) != 0 {
				t.Fatal("Done twice")
			}
		})
	}
}

func TestHandshakeEndsAtItsDeadline(t *testing.T) {
	s := newTestServer(t, Config{Deadline: 100 * time.Millisecond})
	sink := newRecorder()
	start := time.Now()
	if _, err := s.Start(7, somewhere, sink); err != nil {
		t.Fatal(err)
	}
	o := wait(t, sink.done, "Done")
	if !errors.Is(o.err, ErrTimeout) || o.id != 7 || time.Since(start) < 100*time.Millisecond {
		t.Fatalf("%+v after %v", o, time.Since(start))
	}
	s.Wait()
	if st := s.Stats(); st.InFlight != 0 || st.TimedOut != 1 || st.Failed != 1 {
		t.Fatalf("%+v", st)
	}
}

// The path is validated by ICE, so no cookie round trip is paid for.
func TestNoHelloVerifyRequest(t *testing.T) {
	x := newSession(t, newTestServer(t, Config{}))
	var first []byte
	pass := x.toClient
	x.toClient = func(b []byte) {
		if first == nil {
			first = b
		}
		pass(b)
	}
	x.connect(t)
	const serverHello = 2
	if first[0] != typeHandshake || first[recordHeader] != serverHello {
		t.Fatalf("the first message is %d", first[recordHeader])
	}
}
