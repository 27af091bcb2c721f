package hooks

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// maxPEM bounds a file of certificates or a key, in bytes. A bundle of all public
// authorities has some 250 kB.
const maxPEM = 4 << 20

// trust is where the material of a TLS client lies. Empty names: the system's authorities,
// and no certificate of ours.
type trust struct {
	ca, chain, key string
	insecure       bool
}

// material is what was read. Two of the same sum are the same, whatever the files are
// called.
type material struct {
	config *tls.Config
	sum    [sha256.Size]byte
}

// load reads the files. They are read anew at every reconfiguration, since a certificate is
// renewed under its old name.
func (t trust) load() (material, error) {
	m := material{config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.insecure}}
	sum := sha256.New()
	fmt.Fprintln(sum, t.insecure)
	if t.ca != "" {
		pem, err := readPEM(t.ca)
		if err != nil {
			return m, err
		}
		m.config.RootCAs = x509.NewCertPool()
		if !m.config.RootCAs.AppendCertsFromPEM(pem) {
			return m, fmt.Errorf("%s has no certificate", t.ca)
		}
		fmt.Fprintln(sum, "ca", len(pem))
		sum.Write(pem)
	}
	if t.chain != "" || t.key != "" {
		chain, err := readPEM(t.chain)
		if err != nil {
			return m, err
		}
		key, err := readPEM(t.key)
		if err != nil {
			return m, err
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return m, fmt.Errorf("%s with %s: %w", t.chain, t.key, err)
		}
		m.config.Certificates = []tls.Certificate{pair}
		fmt.Fprintln(sum, "pair", len(chain), len(key))
		sum.Write(chain)
		sum.Write(key)
	}
	m.sum = [sha256.Size]byte(sum.Sum(nil))
	return m, nil
}

func readPEM(name string) ([]byte, error) {
	if name == "" {
		return nil, errors.New("a client certificate needs both its chain and its key")
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPEM {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", name, maxPEM)
	}
	return os.ReadFile(name)
}
