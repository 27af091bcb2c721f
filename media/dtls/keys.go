package dtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	piondtls "github.com/pion/dtls/v3"
	pionelliptic "github.com/pion/dtls/v3/pkg/crypto/elliptic"

	"tsubame/media/srtp"
)

// What we negotiate is listed, not left to a default that grows: forward secrecy and AEAD
// only (no CBC, no NULL, no export suites), and an ECDSA certificate. All browsers since
// 2017 and libwebrtc offer the first suite of the list.
var (
	cipherSuites = []piondtls.CipherSuiteID{
		piondtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		piondtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		piondtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}

	// profiles in our order of preference: GCM costs a fifth of CM with SHA-1.
	profiles = []piondtls.SRTPProtectionProfile{
		piondtls.SRTP_AEAD_AES_128_GCM,
		piondtls.SRTP_AES128_CM_HMAC_SHA1_80,
	}

	// curves in our order of preference; every WebRTC client has both. In Go a key exchange by
	// P-256 costs a fifth less, and handshakes are a third of what a join costs.
	curves = []pionelliptic.Curve{pionelliptic.P256, pionelliptic.X25519}

	// signatureSchemes are those with which a client may prove that it holds the key of
	// its certificate; RSA certificates still come from old native clients.
	signatureSchemes = []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
		tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
		tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
	}
)

// mtu bounds our handshake datagrams: they pass every path that WebRTC media passes.
const mtu = 1200

// baseOptions returns what all handshakes of a process share.
func baseOptions(certificate tls.Certificate, flightInterval time.Duration) []piondtls.ServerOption {
	return []piondtls.ServerOption{
		piondtls.WithCertificates(certificate),
		piondtls.WithCipherSuites(cipherSuites...),
		piondtls.WithSRTPProtectionProfiles(profiles...),
		piondtls.WithEllipticCurves(curves...),
		piondtls.WithSignatureSchemes(signatureSchemes...),
		// Any certificate, but one with proof of its key: the fingerprint says whose it is.
		piondtls.WithClientAuth(piondtls.RequireAnyClientCert),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		// The path has passed an ICE check, which proves the address as a cookie would.
		piondtls.WithInsecureSkipVerifyHello(true),
		piondtls.WithFlightInterval(flightInterval),
		piondtls.WithMTU(mtu),
		piondtls.WithLoggerFactory(quiet{}),
	}
}

// newCertificate makes the self-signed P-256 certificate of this process. Its dates and
// names mean nothing in WebRTC (RFC 8827 section 6.5): the SDP carries its fingerprint.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.AddDate(0, 0, -1), // clients with slow clocks
		NotAfter:     now.AddDate(10, 0, 0), // longer than a process runs
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// ErrNoSRTP says that a client offered no use_srtp extension, or no profile of ours.
var ErrNoSRTP = errors.New("dtls: no common SRTP protection profile")

// exporter is the RFC 5705 interface of a finished handshake.
type exporter interface {
	ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error)
}

// exportKeys derives the SRTP keys of the server role (RFC 5764 section 4.2: both keys
// first, then both salts, the client's before the server's).
func exportKeys(id piondtls.SRTPProtectionProfile, from exporter) (srtp.Keys, error) {
	profile, ok := srtp.ProfileByID(uint16(id))
	if !ok {
		return srtp.Keys{}, ErrNoSRTP
	}
	keyLen, saltLen := profile.KeyLen(), profile.SaltLen()
	m, err := from.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 2*(keyLen+saltLen))
	if err != nil {
		return srtp.Keys{}, fmt.Errorf("dtls: exporting SRTP keys: %w", err)
	}
	next := func(n int) []byte {
		b := m[:n:n]
		m = m[n:]
		return b
	}
	k := srtp.Keys{Profile: profile}
	k.RemoteKey, k.LocalKey = next(keyLen), next(keyLen)
	k.RemoteSalt, k.LocalSalt = next(saltLen), next(saltLen)
	return k, nil
}
