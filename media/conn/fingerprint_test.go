package conn

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"testing"

	"tsubame/media/dtls"
	"tsubame/media/param"
	"tsubame/media/srtp"
)

func fingerprint(der []byte) param.Fingerprint {
	sum := sha256.Sum256(der)
	return param.Fingerprint{Algorithm: "sha-256", Value: sum[:]}
}

// The certificate is compared whichever comes first, answer or handshake, and nothing is
// installed unless it is the one.
//
// Row DTLS-05.
func TestKeysAreTakenWithTheRightCertificateOnly(t *testing.T) {
	der, other := []byte("certificate"), []byte("another")
	long := sha512.Sum512(der)
	cases := map[string]struct {
		fingerprints []param.Fingerprint
		good         bool
	}{
		"right":                 {[]param.Fingerprint{fingerprint(der)}, true},
		"wrong":                 {[]param.Fingerprint{fingerprint(other)}, false},
		"none":                  {nil, false},
		"one of several":        {[]param.Fingerprint{fingerprint(other), fingerprint(der)}, true},
		"several wrong":         {[]param.Fingerprint{fingerprint(other), fingerprint([]byte("x"))}, false},
		"longer hash":           {[]param.Fingerprint{{Algorithm: "sha-512", Value: long[:]}}, true},
		"weak hash":             {[]param.Fingerprint{{Algorithm: "sha-1", Value: fingerprint(der).Value[:20]}}, false},
		"right value cut short": {[]param.Fingerprint{{Algorithm: "sha-256", Value: fingerprint(der).Value[:16]}}, false},
	}
	for name, c := range cases {
		for _, answerFirst := range []bool{true, false} {
			r := newRig(t)
			keys := srtp.Keys{Profile: srtp.AEAD_AES_128_GCM, LocalKey: make([]byte, 16), RemoteKey: make([]byte, 16),
				LocalSalt: make([]byte, 12), RemoteSalt: make([]byte, 12)}
			result := &dtls.Result{Keys: keys, PeerCertificate: der}
			remote := &param.Remote{Fingerprints: c.fingerprints}
			k := New(1, r.now, nil)
			first := func() (bool, error) { return k.HandshakeDone(&r.env, r.now, result) }
			second := func() (bool, error) { return k.SetRemote(&r.env, r.now, remote) }
			if answerFirst {
				first, second = second, first
			}
			if up, err := first(); up || err != nil {
				t.Fatalf("%s: one alone: %v, %v", name, up, err)
			}
			up, err := second()
			if up != c.good || k.Established() != c.good || errors.Is(err, ErrBadFingerprint) == c.good {
				t.Errorf("%s, answer first %v: established %v (%v), %v", name, answerFirst, up, k.Established(), err)
			}
		}
	}
}

func TestLaterAnswersAndHandshakesDoNotChangeKeys(t *testing.T) {
	r := newRig(t)
	p := r.connect(1, srtp.AEAD_AES_128_GCM)
	session := p.conn.session
	up, err := p.conn.SetRemote(&r.env, r.now, &param.Remote{Fingerprints: []param.Fingerprint{fingerprint([]byte("x"))}})
	if up || err != nil || p.conn.session != session {
		t.Fatalf("another answer: %v, %v", up, err)
	}
	up, err = p.conn.HandshakeDone(&r.env, r.now, &dtls.Result{PeerCertificate: []byte("x")})
	if up || err != nil || p.conn.session != session {
		t.Fatalf("another handshake: %v, %v", up, err)
	}
}
