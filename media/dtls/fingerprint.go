package dtls

import (
	"crypto"
	_ "crypto/sha256" // registers the hashes that crypto.Hash names
	_ "crypto/sha512"
	"crypto/subtle"

	"tsubame/media/param"
)

// strength orders the hashes that we accept in a=fingerprint, strongest first. SHA-1 and
// MD5 are not among them: RFC 8122 section 5.1 forbids MD5 and a collision for SHA-1 is
// for sale.
var strength = []struct {
	name string
	hash crypto.Hash
}{
	{"sha-512", crypto.SHA512},
	{"sha-384", crypto.SHA384},
	{"sha-256", crypto.SHA256},
}

// Matches reports whether the certificate, in DER, is the one that the fingerprints of an
// SDP name. RFC 8122 section 5: of several hash functions the strongest decides, of several
// fingerprints of that function any one may match. It refuses when there is none that it
// accepts. The comparison takes the same time whatever the bytes are. Any goroutine may
// call it; it allocates and keeps nothing of its arguments.
func Matches(der []byte, fps []param.Fingerprint) bool {
	for _, s := range strength {
		found, match := false, 0
		var sum []byte
		for _, fp := range fps {
			if fp.Algorithm != s.name {
				continue
			}
			if !found {
				found = true
				h := s.hash.New()
				h.Write(der)
				sum = h.Sum(nil)
			}
			match |= subtle.ConstantTimeCompare(sum, fp.Value)
		}
		if found {
			return len(der) > 0 && match == 1
		}
	}
	return false
}

// fingerprintOf returns the SHA-256 fingerprint of a certificate, which every client knows.
func fingerprintOf(der []byte) param.Fingerprint {
	h := crypto.SHA256.New()
	h.Write(der)
	return param.Fingerprint{Algorithm: "sha-256", Value: h.Sum(nil)}
}
