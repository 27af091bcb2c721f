package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func block(kind string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}

// certify makes a certificate that signs itself, and its key, as PEM.
func certify(t *testing.T) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", certificate), block("PRIVATE KEY", der)
}

func TestPrivateKeysOfEveryFormAreTaken(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, pkcs8 := certify(t)
	for name, content := range map[string]string{
		"PKCS #8": pkcs8, "SEC 1": block("EC PRIVATE KEY", sec1), "PKCS #1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		"after something else": "text\n" + block("EC PARAMETERS", []byte{6, 0}) + pkcs8,
	} {
		if err := privateKey([]byte(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Row OPS-08.
func TestFilesThatKeysNameAreLookedInto(t *testing.T) {
	chain, key := certify(t)
	_, otherKey := certify(t)
	encrypted := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	good := "webhook_tls_fullchain_file = " + write(t, "chain.pem", chain+chain) +
		"\nwebhook_tls_privkey_file = " + write(t, "key.pem", key) +
		"\nwebhook_tls_verify_cacert_path = " + write(t, "ca.pem", "some text\n"+chain)
	read(t, write(t, "f", good))

	for _, c := range []struct{ key, content, want string }{
		{"webhook_tls_verify_cacert_file", "", "has no certificate in the PEM format"},
		{"webhook_tls_verify_cacert_file", key, "has no certificate in the PEM format"},
		{"webhook_tls_verify_cacert_file", chain + block("CERTIFICATE", []byte("x")), "x509: "},
		{"stats_exporter_tls_verify_cacert_file", "DER", "has no certificate in the PEM format"},
		{"audio_streaming_tls_privkey_file", chain, "has no private key in the PEM format"},
		{"audio_streaming_tls_privkey_file", encrypted, "has a passphrase: write the key without one"},
		{"audio_streaming_tls_privkey_file", block("ENCRYPTED PRIVATE KEY", []byte("x")), "has a passphrase"},
		{"audio_streaming_tls_privkey_file", block("PRIVATE KEY", []byte("x")), "asn1: "},
		{"audio_streaming_tls_fullchain_file", strings.Repeat("x", maxPEM+1), "is larger than"},
	} {
		named := write(t, "named.pem", c.content)
		file := write(t, "f", "\n"+c.key+" = "+named)
		got := faults(t, file)
		if !strings.HasPrefix(got, file+":2: "+c.key+": ") || !strings.Contains(got, named) || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q", c.key, got, c.want)
		}
	}

	for _, prefix := range []string{"webhook_tls_", "stats_exporter_tls_"} {
		file := write(t, "f", prefix+"privkey_file = "+write(t, "other.pem", otherKey)+"\n"+prefix+"fullchain_file = "+write(t, "chain.pem", chain))
		if got := faults(t, file); !strings.HasPrefix(got, file+":2: "+prefix+"privkey_file: does not go with "+prefix+"fullchain_file: ") {
			t.Error(got)
		}
	}
	tlsFiles := "tls_port = 443\ntls_certificate_file = " + write(t, "chain.pem", chain) + "\ntls_private_key_file = "
	read(t, write(t, "f", tlsFiles+write(t, "key.pem", key)))
	if got := faults(t, write(t, "f", tlsFiles+write(t, "other.pem", otherKey))); !strings.Contains(got, ":3: tls_private_key_file: does not go with") {
		t.Error(got)
	}
}

// Row OPS-08.
func TestMissingFilesAreAllNamed(t *testing.T) {
	got := faults(t, write(t, "f", "webhook_tls_fullchain_file = /none/chain\nwebhook_tls_privkey_file = /none/key\nshards = x"))
	for _, want := range []string{":1: webhook_tls_fullchain_file: open /none/chain: ", ":2: webhook_tls_privkey_file: open /none/key: ", ":3: shards: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing", got, want)
		}
	}
	if strings.Contains(got, "does not go with") {
		t.Error(got)
	}
}

func TestKeysOfTokensAreLookedAtByWhoeverUsesThem(t *testing.T) {
	file := write(t, "f", "label = x\ntoken_keys = a:HS256:/a b:ES256:/b c:RS256:/c")
	var asked []string
	_, err := Read(file, nil, func(k TokenKey) error {
		asked = append(asked, k.ID+k.Alg+k.File)
		if k.ID == "a" {
			return nil
		}
		return errors.New("is bad")
	})
	if strings.Join(asked, " ") != "aHS256/a bES256/b cRS256/c" {
		t.Error(asked)
	}
	if want := file + ":2: token_keys: /b: is bad\n" + file + ":2: token_keys: /c: is bad"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestFilesAreNotLookedIntoByParse(t *testing.T) {
	parse(t, "webhook_tls_verify_cacert_file = /none")
}
