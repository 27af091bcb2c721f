package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms (RFC 7518 section 3.1).
const (
	HS256 = "HS256" // a secret that both sides have
	RS256 = "RS256" // RSASSA-PKCS1-v1_5, RSA of 2048 bits or more
	ES256 = "ES256" // ECDSA with P-256
)

const (
	// MinSecret is the shortest secret of HS256, in bytes: the size of the hash
	// (RFC 7518 section 3.2). Shorter ones can be guessed from one token.
	MinSecret = 32

	minRSABits = 2048     // RFC 7518 section 3.3
	maxRSABits = 8192     // verifying costs the square of it
	maxKeyFile = 64 << 10 // bytes
)

// Key is a key with its name and its one algorithm. The zero value is none.
type Key struct {
	ID  string // kid
	Alg string // HS256, RS256 or ES256

	method jwt.SigningMethod
	verify any // []byte, *rsa.PublicKey, *ecdsa.PublicKey
	sign   any // []byte, *rsa.PrivateKey, *ecdsa.PrivateKey; nil: it only verifies
}

// String has the name and the algorithm, and never the key.
func (k Key) String() string { return k.ID + ":" + k.Alg }

// GoString is String: %#v of a configuration goes into logs.
func (k Key) GoString() string { return k.String() }

// Format keeps every verb from printing the key.
func (k Key) Format(s fmt.State, _ rune) { io.WriteString(s, k.String()) }

// LoadKey reads the key that tokens are verified with from a file, see ParseKey.
func LoadKey(id, alg, file string) (Key, error) {
	data, err := readKeyFile(file)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(id, alg, data)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// LoadSigningKey reads the key that tokens are signed with from a file, see
// ParseSigningKey.
func LoadSigningKey(id, file string) (Key, error) {
	data, err := readKeyFile(file)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseSigningKey(id, data)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

func readKeyFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s: more than %d bytes", file, maxKeyFile)
	}
	return data, nil
}

// ParseKey reads a key to verify with from the content of a file. For RS256 and ES256
// that is one PEM block: a public key (PKIX, or PKCS #1 for RSA) or a certificate. For
// HS256 it is the secret as it stands, without the newline at its end if it is text, or
// "base64:" and the secret in base64 or base64url. A PEM file is no secret: whoever has
// the public key could sign with it.
func ParseKey(id, alg string, data []byte) (Key, error) {
	switch alg {
	case HS256:
		return secretKey(id, data)
	case RS256, ES256:
	default:
		return Key{}, fmt.Errorf("algorithm %q is none of %s, %s, %s", alg, HS256, RS256, ES256)
	}
	block, err := onePEM(data)
	if err != nil {
		return Key{}, err
	}
	public, err := publicKey(block)
	if err != nil {
		return Key{}, err
	}
	k, err := publicKeyFor(id, public)
	if err == nil && k.Alg != alg {
		return Key{}, fmt.Errorf("the key is for %s, not for %s", k.Alg, alg)
	}
	return k, err
}

// ParseSigningKey reads a key to sign with from the content of a file: a PEM block with a
// private key (PKCS #8, PKCS #1 or SEC 1), which says its algorithm, or the secret of
// HS256 as in ParseKey. It verifies as well.
func ParseSigningKey(id string, data []byte) (Key, error) {
	if !looksLikePEM(data) {
		return secretKey(id, data)
	}
	block, err := onePEM(data)
	if err != nil {
		return Key{}, err
	}
	private, err := privateKey(block)
	if err != nil {
		return Key{}, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Key{}, fmt.Errorf("a key of type %T cannot sign", private)
	}
	k, err := publicKeyFor(id, signer.Public())
	if err != nil {
		return Key{}, err
	}
	k.sign = private
	return k, nil
}

var pemBegin = []byte("-----BEGIN ")

func looksLikePEM(data []byte) bool { return bytes.Contains(data, pemBegin) }

func onePEM(data []byte) (*pem.Block, error) {
	// openssl puts the parameters of the curve before the key.
	for {
		block, rest := pem.Decode(data)
		switch {
		case block == nil:
			return nil, errors.New("not a PEM file")
		case block.Type == "EC PARAMETERS":
			data = rest
			continue
		case looksLikePEM(rest):
			return nil, errors.New("more than one PEM block; which one is meant?")
		}
		return block, nil
	}
}

func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, errors.New("a private key: the server needs only the public one, and should not have this one")
	}
	return nil, fmt.Errorf("PEM block %q is neither a public key nor a certificate", block.Type)
}

func privateKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the private key is encrypted; take the passphrase off first")
	}
	return nil, fmt.Errorf("PEM block %q is not a private key", block.Type)
}

// publicKeyFor says what algorithm a public key is for, and refuses weak ones.
func publicKeyFor(id string, public any) (Key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSABits || n > maxRSABits {
			return Key{}, fmt.Errorf("RSA key of %d bits, want %d to %d", n, minRSABits, maxRSABits)
		}
		return Key{ID: id, Alg: RS256, method: jwt.SigningMethodRS256, verify: p}, nil
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("EC key on %s, want P-256", p.Curve.Params().Name)
		}
		return Key{ID: id, Alg: ES256, method: jwt.SigningMethodES256, verify: p}, nil
	}
	return Key{}, fmt.Errorf("a key of type %T is for none of %s and %s", public, RS256, ES256)
}

var base64Prefix = []byte("base64:")

func secretKey(id string, data []byte) (Key, error) {
	if looksLikePEM(data) {
		return Key{}, fmt.Errorf("a PEM file is no secret for %s", HS256)
	}
	secret := data
	if utf8.Valid(data) {
		secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	}
	if text, ok := bytes.CutPrefix(secret, base64Prefix); ok {
		var err error
		if secret, err = decodeAny64(string(bytes.TrimSpace(text))); err != nil {
			return Key{}, fmt.Errorf("what follows base64: %w", err)
		}
	}
	return newSecret(id, bytes.Clone(secret))
}

func newSecret(id string, secret []byte) (Key, error) {
	if len(secret) < MinSecret {
		return Key{}, fmt.Errorf("the secret has %d bytes, %s needs %d or more (RFC 7518 section 3.2)", len(secret), HS256, MinSecret)
	}
	return Key{ID: id, Alg: HS256, method: jwt.SigningMethodHS256, verify: secret, sign: secret}, nil
}

func decodeAny64(text string) ([]byte, error) {
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if data, err := e.DecodeString(text); err == nil {
			return data, nil
		}
	}
	return nil, errors.New("is not base64")
}

// newSecretText makes 260 random bits, as text, so that every library takes it as it
// stands.
func newSecretText() string { return rand.Text() + rand.Text() }

// KeyFiles are the contents of the files of a new key.
type KeyFiles struct {
	Signing []byte // to sign with: a PKCS #8 private key, or the secret as text
	Public  []byte // to verify with: a PKIX public key; nil for HS256, whose secret does both
}

// NewKeyFiles makes a key for HS256 or ES256.
func NewKeyFiles(alg string) (KeyFiles, error) {
	switch alg {
	case HS256:
		return KeyFiles{Signing: []byte(newSecretText() + "\n")}, nil
	case ES256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return KeyFiles{}, err
		}
		signing, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return KeyFiles{}, err
		}
		public, err := x509.MarshalPKIXPublicKey(private.Public())
		if err != nil {
			return KeyFiles{}, err
		}
		return KeyFiles{
			Signing: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: signing}),
			Public:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		}, nil
	}
	return KeyFiles{}, fmt.Errorf("keys are made for %s and %s, not for %q", HS256, ES256, alg)
}
