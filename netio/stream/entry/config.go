package entry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"
)

// SniffBytes is the most that is read of a connection to tell what it is.
const SniffBytes = 16

// Sizes that are no settings: what no honest client reaches.
const (
	maxProxyV1 = 107      // bytes of a PROXY v1 header, its specification's section 2.1
	maxProxyV2 = 536      // and of a v2 one: what section 2.2 has every receiver take
	maxHello   = 16 << 10 // bytes of a ClientHello; the largest post-quantum ones are 2 KiB
	maxName    = 253      // characters of a host name (RFC 1035 section 2.3.4, as text)
	maxRequest = 4 << 10  // of a plain HTTP request that is to be redirected
)

// Defaults of Config, for fields that are zero.
const (
	DefaultHeaderTimeout    = 5 * time.Second
	DefaultSniffTimeout     = 5 * time.Second
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultQueueTimeout     = 2 * time.Second
	DefaultReloadInterval   = time.Second
	DefaultDialTimeout      = 5 * time.Second
	DefaultMaxConnections   = 32768
	DefaultMaxPerAddress    = 4096
	DefaultMaxHalfOpen      = 2048
	DefaultMaxHalfOpenPer   = 512
)

// CertificateFiles names a certificate chain and its key, both PEM.
type CertificateFiles struct{ Certificate, Key string }

// Config is for New. Zeros of times and bounds mean the defaults above.
type Config struct {
	// ProxyPeers are the networks whose connections must begin with a PROXY header, v1 or
	// v2. From anybody else such a header is an unknown protocol.
	ProxyPeers []netip.Prefix

	Certificates []CertificateFiles // the first is for clients that send no server name
	// GetCertificate and Names are for certificates that are had by ACME: Names are served
	// with what GetCertificate returns, TLS-ALPN-01 challenges included.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Names          []string

	// Passthrough is the host:port to which TLS for server names that are not ours is passed
	// as it is; empty: it is refused by the alert unrecognized_name. PassthroughProxy is the
	// version of the PROXY header that is written to it first, 1 or 2; 0: none.
	Passthrough      string
	PassthroughProxy int

	HeaderTimeout    time.Duration // from accept to the end of a PROXY header
	SniffTimeout     time.Duration // for the first bytes; once more for those inside TLS
	HandshakeTimeout time.Duration // from the first byte of TLS to the end of its handshake
	QueueTimeout     time.Duration // that a ClientHello waits for one of MaxHandshakes
	ReloadInterval   time.Duration // between looks at the certificate files, at handshakes
	DialTimeout      time.Duration // to Passthrough

	MaxConnections int // open at a time, all together; beyond: closed at once
	MaxPerAddress  int // of one address (IPv6: of one /64); beyond: closed at once
	MaxHalfOpen    int // not known yet for what they are; beyond: the oldest one is closed
	MaxHalfOpenPer int // and of one address; beyond: its oldest one is closed
	// MaxHandshakes are computed at the same time: what costs the processor. It is not the
	// client's pace that keeps one of them; those who wait for their client are half open.
	// Zero: twice the processors, at least 4.
	MaxHandshakes int

	Log *slog.Logger // nil: none
}

// withDefaults returns c with its zeros filled, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.HeaderTimeout, DefaultHeaderTimeout}, {&c.SniffTimeout, DefaultSniffTimeout},
		{&c.HandshakeTimeout, DefaultHandshakeTimeout}, {&c.QueueTimeout, DefaultQueueTimeout},
		{&c.ReloadInterval, DefaultReloadInterval}, {&c.DialTimeout, DefaultDialTimeout},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.MaxConnections, DefaultMaxConnections}, {&c.MaxPerAddress, DefaultMaxPerAddress},
		{&c.MaxHalfOpen, DefaultMaxHalfOpen}, {&c.MaxHalfOpenPer, DefaultMaxHalfOpenPer},
		{&c.MaxHandshakes, max(4, 2*runtime.GOMAXPROCS(0))},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Passthrough != "" {
		if _, _, err := net.SplitHostPort(c.Passthrough); err != nil {
			return c, fmt.Errorf("the target of pass-through: %w", err)
		}
	}
	if c.PassthroughProxy < 0 || c.PassthroughProxy > 2 {
		return c, fmt.Errorf("version %d of the PROXY protocol: 0 (none), 1 or 2", c.PassthroughProxy)
	}
	if len(c.Names) > 0 && c.GetCertificate == nil {
		return c, errors.New("names without GetCertificate: nobody has certificates for them")
	}
	return c, nil
}
