package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// authority is a small ACME server (RFC 8555): one account, one order at a time. It checks
// what concerns us, the TLS-ALPN-01 challenge, as a CA does; it does not verify signatures.
type authority struct {
	*httptest.Server
	t      *testing.T
	target string // where it connects to for the challenge, whatever the name says
	key    *ecdsa.PrivateKey
	root   *x509.Certificate

	mu         sync.Mutex
	thumbprint string // of the account's key
	domain     string // of the order
	status     string // of the order's authorization
	chain      []byte // PEM; nil: not issued
	issued     int
	contacts   []string
	offered    []string // kinds of challenges that the client could choose from
}

const token = "a-token-of-the-test"

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, root: root, offered: []string{"http-01", "dns-01", "tls-alpn-01"}}
	mux := http.NewServeMux()
	for path, handle := range map[string]func(map[string]any, []byte) (int, any){
		"/account": a.account, "/order": a.order, "/order/1": a.orderState, "/authz": a.authorization,
		"/challenge": a.challenge, "/finalize": a.finalize,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			header, payload, err := message(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			a.mu.Lock()
			status, body := handle(header, payload)
			a.mu.Unlock()
			w.Header().Set("Replay-Nonce", "nonce")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", a.URL+path+map[string]string{"/order": "/1"}[path])
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(body)
		})
	}
	mux.HandleFunc("/directory", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{
			"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/order",
			"revokeCert": a.URL + "/revoke", "keyChange": a.URL + "/key",
		})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Replay-Nonce", "nonce") })
	mux.HandleFunc("POST /certificate", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w.Header().Set("Replay-Nonce", "nonce")
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(a.chain)
	})
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

// message takes a JWS apart (RFC 8555 section 6.2).
func message(r io.Reader) (header map[string]any, payload []byte, err error) {
	var jws struct{ Protected, Payload string }
	if err := json.NewDecoder(r).Decode(&jws); err != nil {
		return nil, nil, err
	}
	protected, err := base64.RawURLEncoding.DecodeString(jws.Protected)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(protected, &header); err != nil {
		return nil, nil, err
	}
	payload, err = base64.RawURLEncoding.DecodeString(jws.Payload)
	return header, payload, err
}

func (a *authority) account(header map[string]any, payload []byte) (int, any) {
	key := header["jwk"].(map[string]any)
	// RFC 7638: the required members, in order.
	canonical := fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q,"y":%q}`, key["crv"], key["kty"], key["x"], key["y"])
	sum := sha256.Sum256([]byte(canonical))
	a.thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
	var account struct{ Contact []string }
	json.Unmarshal(payload, &account)
	a.contacts = account.Contact
	return http.StatusCreated, map[string]any{"status": "valid", "contact": account.Contact}
}

func (a *authority) order(_ map[string]any, payload []byte) (int, any) {
	var order struct {
		Identifiers []struct{ Type, Value string }
	}
	if err := json.Unmarshal(payload, &order); err != nil || len(order.Identifiers) != 1 {
		return http.StatusBadRequest, problem("malformed", "one name, please")
	}
	a.domain, a.status, a.chain = order.Identifiers[0].Value, "pending", nil
	_, body := a.orderState(nil, nil)
	return http.StatusCreated, body
}

func (a *authority) orderState(map[string]any, []byte) (int, any) {
	body := map[string]any{
		"status": "pending", "identifiers": []any{a.identifier()},
		"authorizations": []string{a.URL + "/authz"}, "finalize": a.URL + "/finalize",
	}
	switch {
	case a.chain != nil:
		body["status"], body["certificate"] = "valid", a.URL+"/certificate"
	case a.status == "valid":
		body["status"] = "ready"
	}
	return http.StatusOK, body
}

func (a *authority) identifier() any { return map[string]string{"type": "dns", "value": a.domain} }

func (a *authority) authorization(map[string]any, []byte) (int, any) {
	challenges := make([]any, len(a.offered))
	for i, kind := range a.offered {
		challenges[i] = map[string]any{"type": kind, "url": a.URL + "/challenge", "status": a.status, "token": token}
	}
	return http.StatusOK, map[string]any{"status": a.status, "identifier": a.identifier(), "challenges": challenges}
}

func (a *authority) challenge(map[string]any, []byte) (int, any) {
	a.status = "valid"
	body := map[string]any{"type": "tls-alpn-01", "url": a.URL + "/challenge", "token": token}
	if err := a.verify(); err != nil {
		a.status = "invalid"
		body["error"] = problem("unauthorized", err.Error())
	}
	body["status"] = a.status
	return http.StatusOK, body
}

// verify is RFC 8737 section 3.
func (a *authority) verify() error {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	c, err := tls.DialWithDialer(dialer, "tcp", a.target, &tls.Config{
		ServerName: a.domain, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	state := c.ConnectionState()
	if state.NegotiatedProtocol != "acme-tls/1" {
		return errors.New("another protocol")
	}
	leaf := state.PeerCertificates[0]
	if !slices.Equal(leaf.DNSNames, []string{a.domain}) {
		return fmt.Errorf("a certificate for %v", leaf.DNSNames)
	}
	sum := sha256.Sum256([]byte(token + "." + a.thumbprint))
	want, err := asn1.Marshal(sum[:])
	if err != nil {
		return err
	}
	for _, e := range leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && e.Critical && slices.Equal(e.Value, want) {
			return nil
		}
	}
	return errors.New("no acmeIdentifier of this account")
}

func (a *authority) finalize(_ map[string]any, payload []byte) (int, any) {
	var finalize struct{ CSR string }
	json.Unmarshal(payload, &finalize)
	der, err := base64.RawURLEncoding.DecodeString(finalize.CSR)
	if err != nil {
		return http.StatusBadRequest, problem("badCSR", err.Error())
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || a.status != "valid" || !slices.Equal(csr.DNSNames, []string{a.domain}) {
		return http.StatusForbidden, problem("badCSR", fmt.Sprint(err, a.status))
	}
	a.issued++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(a.issued) + 1), DNSNames: csr.DNSNames,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
	if err != nil {
		return http.StatusInternalServerError, problem("serverInternal", err.Error())
	}
	a.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})...)
	return a.orderState(nil, nil)
}

func problem(kind, detail string) any {
	return map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": http.StatusForbidden}
}
