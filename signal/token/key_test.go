package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, private any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der)
}

func sec1(t testing.TB, private *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return block("EC PRIVATE KEY", der)
}

func certificate(t testing.TB, private crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func ecOn(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysToVerifyWithAreReadInEveryForm(t *testing.T) {
	raw := []byte{0xff, 0xfe, 30: 7, 31: '\n'} // no text: the last byte is part of it
	for name, c := range map[string]struct {
		alg  string
		data []byte
		want any
	}{
		"PKIX, RSA":         {RS256, publicPEM(t, rsaKey().Public()), rsaKey().Public()},
		"PKCS #1":           {RS256, block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), rsaKey().Public()},
		"certificate, RSA":  {RS256, certificate(t, rsaKey()), rsaKey().Public()},
		"PKIX, EC":          {ES256, publicPEM(t, ecKey().Public()), ecKey().Public()},
		"certificate, EC":   {ES256, certificate(t, ecKey()), ecKey().Public()},
		"text before PEM":   {ES256, append([]byte("subject=app\n"), publicPEM(t, ecKey().Public())...), ecKey().Public()},
		"secret":            {HS256, []byte(secret), []byte(secret)},
		"secret, newline":   {HS256, []byte(secret + "\n"), []byte(secret)},
		"secret, CR LF":     {HS256, []byte(secret + "\r\n"), []byte(secret)},
		"secret, spaces":    {HS256, []byte("  " + secret), []byte("  " + secret)},
		"secret, bytes":     {HS256, raw, raw},
		"secret, base64":    {HS256, []byte("base64:" + base64.StdEncoding.EncodeToString(raw) + "\n"), raw},
		"secret, base64url": {HS256, []byte("base64:" + base64.RawURLEncoding.EncodeToString(raw)), raw},
		// It is not guessed: a secret that looks like base64 or hexadecimal is text.
		"secret, looks like base64": {HS256, []byte(strings.Repeat("QUJD", 10)), []byte(strings.Repeat("QUJD", 10))},
	} {
		k, err := ParseKey("k", c.alg, c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if fmt.Sprint(k.verify) != fmt.Sprint(c.want) || k.Alg != c.alg || k.ID != "k" {
			t.Errorf("%s: another key", name)
		}
		if c.alg != HS256 && k.sign != nil {
			t.Errorf("%s: it can sign", name)
		}
	}
}

func TestKeysThatAreWrongOrWeakAreRefusedAndSayWhy(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, rs := publicPEM(t, ecKey().Public()), publicPEM(t, rsaKey().Public())
	for name, c := range map[string]struct {
		alg  string
		data []byte
		want string
	}{
		"secret of 31 bytes":           {HS256, []byte(strings.Repeat("x", 31)), "32"},
		"secret of 31 bytes, newline":  {HS256, []byte(strings.Repeat("x", 31) + "\n"), "31 bytes"},
		"secret of 31 bytes in base64": {HS256, []byte("base64:" + base64.StdEncoding.EncodeToString(make([]byte, 31))), "31 bytes"},
		"nothing":                      {HS256, nil, "0 bytes"},
		"base64 that is none":          {HS256, []byte("base64:" + strings.Repeat("?", 50)), "base64"},
		"RSA public key as secret":     {HS256, rs, "PEM"},
		"EC public key as secret":      {HS256, append([]byte("\n"), ec...), "PEM"},
		"EC key for RS256":             {RS256, ec, "ES256"},
		"RSA key for ES256":            {ES256, rs, "RS256"},
		"RSA of 1024 bits":             {RS256, publicPEM(t, short.Public()), "1024"},
		"P-384":                        {ES256, publicPEM(t, ecOn(t, elliptic.P384()).Public()), "P-384"},
		"Ed25519":                      {ES256, publicPEM(t, edPublic), "ed25519"},
		"private key":                  {ES256, pkcs8(t, ecKey()), "private"},
		"private key, SEC 1":           {ES256, sec1(t, ecKey()), "private"},
		"two keys":                     {ES256, append(bytes.Clone(ec), rs...), "more than one"},
		"no PEM":                       {RS256, []byte(secret), "PEM"},
		"PEM of something else":        {RS256, block("X509 CRL", []byte{1}), "X509 CRL"},
		"broken key":                   {RS256, block("PUBLIC KEY", []byte{1, 2, 3}), "asn1"},
		"broken certificate":           {RS256, block("CERTIFICATE", []byte{1, 2, 3}), "x509"},
		"cut off":                      {ES256, ec[:len(ec)-20], "PEM"},
		"none":                         {"none", []byte(secret), "none"},
		"HS512":                        {"HS512", []byte(secret), "HS512"},
		"no algorithm":                 {"", []byte(secret), "algorithm"},
	} {
		k, err := ParseKey("k", c.alg, c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) || k.verify != nil {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestSigningKeysAreReadInEveryForm(t *testing.T) {
	v := testVerifier(t)
	for name, c := range map[string]struct {
		id   string
		data []byte
	}{
		"PKCS #8, RSA":            {"rs", pkcs8(t, rsaKey())},
		"PKCS #1":                 {"rs", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))},
		"PKCS #8, EC":             {"es", pkcs8(t, ecKey())},
		"SEC 1":                   {"es", sec1(t, ecKey())},
		"SEC 1, parameters first": {"es", append(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}), sec1(t, ecKey())...)},
		"secret":                  {"hs", []byte(secret + "\n")},
	} {
		k, err := ParseSigningKey(c.id, c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		token, _, err := k.Sign(roomGrant())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantReason(t, v, name, token, "")
	}
}

func TestKeysThatCannotSignAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"public key":   {publicPEM(t, ecKey().Public()), "not a private key"},
		"certificate":  {certificate(t, ecKey()), "not a private key"},
		"encrypted":    {block("ENCRYPTED PRIVATE KEY", []byte{1}), "encrypted"},
		"broken":       {block("PRIVATE KEY", []byte{1}), "asn1"},
		"P-521":        {pkcs8(t, ecOn(t, elliptic.P521())), "P-521"},
		"short secret": {[]byte("secret"), "6 bytes"},
	} {
		if _, err := ParseSigningKey("k", c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestVerifierNeedsKeysWithNamesOfTheirOwn(t *testing.T) {
	k := parseKey(t, "k", HS256, []byte(secret))
	unnamed := k
	unnamed.ID = ""
	for want, keys := range map[string][]Key{
		`two token keys are called "k"`: {k, parseKey(t, "k", ES256, publicPEM(t, ecKey().Public()))},
		"no name":                       {unnamed},
		"empty":                         {{ID: "zero", Alg: HS256}},
	} {
		if _, err := New(keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", keys, err, want)
		}
	}
}

func TestKeyFilesAreNamedInErrorsAndHaveABound(t *testing.T) {
	dir := t.TempDir()
	missing, big, weak := filepath.Join(dir, "missing"), filepath.Join(dir, "big"), filepath.Join(dir, "weak")
	if err := os.WriteFile(big, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(weak, []byte("password"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{missing, big, weak, dir} {
		if _, err := LoadKey("k", HS256, file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("LoadKey: %v does not name %s", err, file)
		}
		if _, err := LoadSigningKey("k", file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("LoadSigningKey: %v does not name %s", err, file)
		}
	}
}

func TestNewKeyFilesFitEachOther(t *testing.T) {
	for _, alg := range []string{HS256, ES256} {
		files, err := NewKeyFiles(alg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := NewKeyFiles(alg)
		if err != nil || bytes.Equal(files.Signing, again.Signing) {
			t.Errorf("%s: the same key twice: %v", alg, err)
		}
		sign, err := ParseSigningKey("new", files.Signing)
		if err != nil || sign.Alg != alg {
			t.Fatalf("%s: %v, %v", alg, sign, err)
		}
		public := files.Public
		if alg == HS256 {
			public = files.Signing
		}
		v, err := New([]Key{parseKey(t, "new", alg, public)})
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := sign.Sign(roomGrant())
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, v, alg, token, "")
	}
	if _, err := NewKeyFiles(RS256); err == nil || !strings.Contains(err.Error(), ES256) {
		t.Errorf("%s: %v", RS256, err)
	}
}

func TestKeysDoNotPrintThemselves(t *testing.T) {
	k := parseKey(t, "k", HS256, []byte(secret))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, value := range []any{k, &k, []Key{k}, struct{ Key Key }{k}} {
			text := fmt.Sprintf(format, value)
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) ||
				strings.Contains(text, fmt.Sprint([]byte(secret)[:8])[1:20]) {
				t.Errorf("%s of %T: %s", format, value, text)
			}
		}
	}
}
