package configs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
)

// maxPEM is the largest file of certificates or keys, in bytes: a bundle of all authorities that a
// system trusts is a quarter of it.
const maxPEM = 1 << 20

// contents looks into the files that are named.
func (r *reader) contents(tokenKey func(TokenKey) error) {
	for i := range keys {
		k := &keys[i]
		path, ok := k.get(&r.config)
		if k.content == nil || !ok || r.wrong[k.name] {
			continue
		}
		data, err := readFile(path, maxPEM)
		if err == nil {
			err = k.content(data)
		}
		if err != nil {
			r.fileFault(k.name, path, err)
		}
	}
	t, w, e := &r.config.TCP, &r.config.Webhooks, &r.config.Exporter
	r.pair("tls_certificate_file", t.CertificateFile, "tls_private_key_file", t.PrivateKeyFile)
	r.pair("webhook_tls_fullchain_file", w.CertFile, "webhook_tls_privkey_file", w.KeyFile)
	r.pair("stats_exporter_tls_fullchain_file", e.CertFile, "stats_exporter_tls_privkey_file", e.KeyFile)
	for _, k := range r.config.Tokens.Keys {
		if err := tokenKey(k); err != nil {
			r.fileFault("token_keys", k.File, err)
		}
	}
}

// fileFault says what is wrong with a file. Errors of the system name it themselves.
func (r *reader) fileFault(key, path string, err error) {
	problem := err.Error()
	if !strings.Contains(problem, path) {
		problem = path + ": " + problem
	}
	r.wrong[key] = true
	r.faults.add(Finding{r.origins[key], key, problem})
}

// pair checks that a certificate is for a private key, if there are both.
func (r *reader) pair(chainKey, chainFile, keyKey, keyFile string) {
	if chainFile == "" || keyFile == "" || r.wrong[chainKey] || r.wrong[keyKey] {
		return
	}
	chain, err1 := readFile(chainFile, maxPEM)
	key, err2 := readFile(keyFile, maxPEM)
	_, err3 := tls.X509KeyPair(chain, key)
	if err := errors.Join(err1, err2, err3); err != nil {
		r.wrong[keyKey] = true
		r.faults.add(Finding{r.later(chainKey, keyKey), keyKey, "does not go with " + chainKey + ": " + err.Error()})
	}
}

// certificates reads every certificate of a file. Blocks of other types are passed over.
func certificates(data []byte) error {
	n := 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("has no certificate in the PEM format (BEGIN CERTIFICATE)")
	}
	return nil
}

// certificateChain and authorities are the same to look at: which is which shows when it is used.
func certificateChain(data []byte) error { return certificates(data) }
func authorities(data []byte) error      { return certificates(data) }

// privateKey reads the first private key of a file.
func privateKey(data []byte) error {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return errors.New("has no private key in the PEM format (BEGIN PRIVATE KEY)")
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return errors.New("has a passphrase: write the key without one")
		}
		_, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			if _, e := x509.ParsePKCS1PrivateKey(block.Bytes); e == nil {
				return nil
			}
			if _, e := x509.ParseECPrivateKey(block.Bytes); e == nil {
				return nil
			}
		}
		return err
	}
}
