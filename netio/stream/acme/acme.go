// Package acme has certificates from an ACME server (RFC 8555), by certmagic. It answers
// TLS-ALPN-01 challenges (RFC 8737) through GetCertificate, on the TLS port that the server
// has anyway; while that is open it opens none itself, and it takes no HTTP-01 and DNS-01
// challenges. Keys and certificates are kept in a directory, so that a restart asks for
// nothing.
//
// It has goroutines of its own between New and Close, for obtaining and renewing. Two kinds of
// certmagic's outlive Close: one an account that limits requests, which ends with the process,
// and those that keep lock files, which end within 5 s. It talks to nobody but the ACME server
// and, as certificates name them, its OCSP responders. Everything exported may be called from
// any goroutine.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Config is for New.
type Config struct {
	Domains   []string // host names, no wildcards: TLS-ALPN-01 cannot prove those
	Email     string   // of the account, for the CA's warnings; may be empty
	Directory string   // URL of the ACME directory; empty: Let's Encrypt
	Storage   string   // directory of keys and certificates, 0700
	// Port is where the TLS port listens, if the CA's connections to 443 are forwarded
	// elsewhere; 0: 443. It must listen before Start.
	Port int
	// Roots verify the ACME server; nil: the system's.
	Roots *x509.CertPool
	Log   *slog.Logger // nil: none
}

// Manager obtains, renews and hands out certificates.
type Manager struct {
	domains []string
	storage string
	cache   *certmagic.Cache
	magic   *certmagic.Config
	cancel  context.CancelFunc
	ctx     context.Context
}

// New checks the configuration. It sends nothing.
func New(cfg Config) (*Manager, error) {
	domains, err := checkDomains(cfg.Domains)
	if err != nil {
		return nil, err
	}
	if cfg.Storage == "" {
		return nil, errors.New("ACME: no directory for keys and certificates")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{domains: domains, storage: cfg.Storage}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	log := zap.New(core{log: cfg.Log})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		Logger:           log,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: cfg.Storage},
		Logger:  log,
		OnEvent: events{cfg.Log}.on, ShouldEmitFunc: isNews,
		// Clients that send no name get the first domain's.
		DefaultServerName: domains[0],
	})
	m.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(m.magic, certmagic.ACMEIssuer{
		CA: cfg.Directory, Email: cfg.Email, Agreed: true,
		DisableHTTPChallenge: true, AltTLSALPNPort: cfg.Port, DisableDistributedSolvers: true,
		TrustedRoots: cfg.Roots, Logger: log,
	})}
	return m, nil
}

// checkDomains returns the names in lower case.
func checkDomains(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, errors.New("ACME: no domains")
	}
	out := make([]string, len(list))
	for i, name := range list {
		name = strings.ToLower(name)
		if !isHostName(name) || !certmagic.SubjectQualifiesForPublicCert(name) || certmagic.SubjectIsIP(name) {
			return nil, fmt.Errorf("ACME: %q: not a host name that a public CA certifies by TLS-ALPN-01", list[i])
		}
		out[i] = name
	}
	return out, nil
}

// isHostName takes letters, digits, hyphens and dots (RFC 1123 section 2.1); the rest of the
// world's names are written with these (RFC 5890).
func isHostName(s string) bool {
	return strings.Contains(s, ".") && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) < 0
}

// Names returns the domains, for entry.Config.Names.
func (m *Manager) Names() []string { return m.domains }

// GetCertificate is for entry.Config.GetCertificate.
func (m *Manager) GetCertificate(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.magic.GetCertificate(info)
}

// Start loads what there is and obtains what is missing, in the background: what fails is
// logged and tried again for a month, at growing intervals. An error says that keys and
// certificates cannot be kept: nothing is begun then, as each restart would ask the CA anew.
func (m *Manager) Start() error {
	if err := os.MkdirAll(m.storage, 0o700); err != nil {
		return fmt.Errorf("ACME: %w", err)
	}
	probe, err := os.CreateTemp(m.storage, "probe")
	if err != nil {
		return fmt.Errorf("ACME: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("ACME: %w", err)
	}
	return m.magic.ManageAsync(m.ctx, m.domains)
}

// Close ends renewing. What is being obtained is given up.
func (m *Manager) Close() {
	m.cancel()
	m.cache.Stop()
}
