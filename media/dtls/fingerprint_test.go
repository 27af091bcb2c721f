package dtls

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"testing"

	"tsubame/media/param"
)

func fp(algorithm string, value []byte) param.Fingerprint {
	return param.Fingerprint{Algorithm: algorithm, Value: value}
}

// Row DTLS-05.
func TestMatches(t *testing.T) {
	der := clientCertificate().Certificate[0]
	s256, s384, s512 := sha256.Sum256(der), sha512.Sum384(der), sha512.Sum512(der)
	s1, m5 := sha1.Sum(der), md5.Sum(der)
	other := sha256.Sum256([]byte("another certificate"))
	other512 := sha512.Sum512([]byte("another certificate"))
	good := fp("sha-256", s256[:])
	for _, c := range []struct {
		name string
		der  []byte
		fps  []param.Fingerprint
		want bool
	}{
		{"sha-256", der, []param.Fingerprint{good}, true},
		{"sha-384", der, []param.Fingerprint{fp("sha-384", s384[:])}, true},
		{"sha-512", der, []param.Fingerprint{fp("sha-512", s512[:])}, true},
		{"another certificate", der, []param.Fingerprint{fp("sha-256", other[:])}, false},
		{"no certificate", nil, []param.Fingerprint{good}, false},
		{"no certificate, hash of nothing", nil, []param.Fingerprint{fp("sha-256", emptySum())}, false},
		{"no fingerprint", der, nil, false},
		{"several, the second matches", der, []param.Fingerprint{fp("sha-256", other[:]), good}, true},
		{"several, none matches", der, []param.Fingerprint{fp("sha-256", other[:]), fp("sha-256", other[:])}, false},
		{"several hashes, all match", der, []param.Fingerprint{good, fp("sha-512", s512[:])}, true},
		// RFC 8122 section 5: a match of the weaker hash does not make up for the other.
		{"the strongest does not match", der, []param.Fingerprint{good, fp("sha-512", other512[:])}, false},
		{"only the strongest matches", der, []param.Fingerprint{fp("sha-256", other[:]), fp("sha-512", s512[:])}, true},
		{"sha-1", der, []param.Fingerprint{fp("sha-1", s1[:])}, false},
		{"md5", der, []param.Fingerprint{fp("md5", m5[:])}, false},
		{"md5 and sha-1", der, []param.Fingerprint{fp("md5", m5[:]), fp("sha-1", s1[:])}, false},
		{"a weak one beside a good one", der, []param.Fingerprint{fp("sha-1", other[:20]), good}, true},
		{"a weak match beside a strong mismatch", der, []param.Fingerprint{fp("sha-1", s1[:]), fp("sha-256", other[:])}, false},
		{"unknown hash", der, []param.Fingerprint{fp("sha-999", s256[:])}, false},
		{"upper case is not what signaling hands over", der, []param.Fingerprint{fp("SHA-256", s256[:])}, false},
		{"truncated", der, []param.Fingerprint{fp("sha-256", s256[:31])}, false},
		{"too long", der, []param.Fingerprint{fp("sha-256", append(s256[:], 0))}, false},
		{"empty", der, []param.Fingerprint{fp("sha-256", nil)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Matches(c.der, c.fps); got != c.want {
				t.Fatalf("%v, want %v", got, c.want)
			}
		})
	}
}

func emptySum() []byte {
	s := sha256.Sum256(nil)
	return s[:]
}

// Row DTLS-05. In the role of the server what the peer showed is reported as it is, proof
// of its key included, and Matches tells it from the one that was signalled; in the role
// of the client the same function judges the server's.
func TestMatchesJudgesBothRoles(t *testing.T) {
	signalled, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, Config{})
	conn, r := newSession(t, s).connect(t)
	state, _ := conn.ConnectionState()
	shown := clientCertificate().Certificate[0]
	for _, c := range []struct {
		role string
		der  []byte
		fp   param.Fingerprint
		want bool
	}{
		{"server, as signalled", r.PeerCertificate, fingerprintOf(shown), true},
		{"server, another", r.PeerCertificate, fingerprintOf(signalled.Certificate[0]), false},
		{"client, as signalled", state.PeerCertificates[0], s.Fingerprint(), true},
		{"client, another", state.PeerCertificates[0], fingerprintOf(signalled.Certificate[0]), false},
	} {
		if got := Matches(c.der, []param.Fingerprint{c.fp}); got != c.want {
			t.Errorf("%s: %v", c.role, got)
		}
	}
}
