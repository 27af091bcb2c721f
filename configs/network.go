package configs

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// either reads one of two words into whether it is the second.
func either(field func(*Config) *bool, first, second string) set {
	return func(c *Config, v string) error {
		if v != first && v != second {
			return fmt.Errorf("%q is none of %s, %s", v, first, second)
		}
		*field(c) = v == second
		return nil
	}
}

// portInUse reads a port that somebody is told of, so that 0 is none.
func portInUse(field func(*Config) *uint16) set {
	return func(c *Config, v string) error {
		n, err := decimal(v, 1, 65535)
		if err == nil {
			*field(c) = uint16(n)
		}
		return err
	}
}

// quotable reads what has to stand in a quoted-string of RFC 3261 as it is (RFC 8489 section
// 14.9): printable ASCII without quotes and backslashes.
func quotable(field func(*Config) *string, maxBytes int) set {
	return func(c *Config, v string) error {
		if v == "" || len(v) > maxBytes {
			return fmt.Errorf("not 1..%d characters", maxBytes)
		}
		for _, b := range []byte(v) {
			if b < ' ' || b > '~' || b == '"' || b == '\\' {
				return fmt.Errorf("%q has other characters than printable ASCII without quotes and backslashes", v)
			}
		}
		*field(c) = v
		return nil
	}
}

// maxName and maxLabel are from RFC 1035 section 2.3.4.
const (
	maxName  = 253
	maxLabel = 63
)

// checkName says what keeps v from being the name of a host.
func checkName(v string) error {
	if _, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
		return fmt.Errorf("%q is an address and no name", v)
	}
	if strings.HasSuffix(v, ".") {
		return fmt.Errorf("%q ends with a dot: leave it out", v)
	}
	if strings.Contains(v, ":") {
		return fmt.Errorf("%q is more than a name: no scheme, no port", v)
	}
	if len(v) > maxName {
		return fmt.Errorf("longer than %d characters", maxName)
	}
	for label := range strings.SplitSeq(v, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is not the name of a host", v)
		}
		for _, b := range []byte(label) {
			if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-') {
				return fmt.Errorf("%q is not the name of a host: letters, digits, hyphens and dots only", v)
			}
		}
	}
	return nil
}

func fqdn(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		err := checkName(v)
		if err == nil {
			*field(c) = v
		}
		return err
	}
}

// fqdns reads a list of names.
func fqdns(field func(*Config) *[]string) set {
	return func(c *Config, v string) error {
		l := list(v)
		if len(l) == 0 || len(l) > maxList {
			return fmt.Errorf("not a list of 1..%d names", maxList)
		}
		for _, name := range l {
			if err := checkName(name); err != nil {
				return err
			}
		}
		*field(c) = l
		return nil
	}
}

// maxPath is the longest path, in bytes: what Linux has room for.
const maxPath = 4095

// file reads a path, which is relative to the folder that the process was started in. Whether
// there is anything shows when it is opened.
func file(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		if v == "" || len(v) > maxPath || strings.IndexByte(v, 0) >= 0 {
			return fmt.Errorf("not a path of 1..%d bytes", maxPath)
		}
		*field(c) = v
		return nil
	}
}

func httpsURI(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%q is not an https URL", v)
		}
		*field(c) = v
		return nil
	}
}

// hostPort reads the name or address of a host, and a port.
func hostPort(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		host, p, err := net.SplitHostPort(v)
		if err != nil {
			return fmt.Errorf("%q is not HOST:PORT", v)
		}
		if _, err := netip.ParseAddr(host); err != nil {
			if err := checkName(host); err != nil {
				return err
			}
		}
		if _, err := decimal(p, 1, 65535); err != nil {
			return fmt.Errorf("port of %q: %w", v, err)
		}
		*field(c) = v
		return nil
	}
}

// PlainPort reports whether there is anything to listen for at ListenPort.
func (c *Config) PlainPort() bool { return c.TURN.On && c.TURN.TCP || c.TCP.ICE }

// portContradiction is contradiction for what belongs to TURN and the ports.
func (c *Config) portContradiction() (key, other, problem string) {
	t, tcp := &c.TURN, &c.TCP
	if tcp.TLSPort != 0 {
		switch files := tcp.CertificateFile != "" || tcp.PrivateKeyFile != ""; {
		case files && len(tcp.ACMEDomains) > 0:
			return "tls_acme_domains", "tls_certificate_file", "there is a certificate in a file already: set one or the other"
		case len(tcp.ACMEDomains) > 0:
		case tcp.CertificateFile == "":
			return "tls_port", "tls_private_key_file", "needs a certificate: set tls_certificate_file and tls_private_key_file, or tls_acme_domains"
		case tcp.PrivateKeyFile == "":
			return "tls_certificate_file", "tls_port", "needs tls_private_key_file beside it"
		}
	}
	if key, other := c.samePort(); key != "" {
		return key, other, "is the same port as " + other + ": each has its own"
	}
	if !t.On {
		if t.RelayOnly {
			return "ice_transport_policy", "turn", "is relay, but turn is false: no client could connect"
		}
		return "", "", ""
	}
	switch {
	case t.TCPOnly && t.TLSOnly:
		return "turn_tcp_only", "turn_tls_only", "is true, and so is turn_tls_only: nothing would be left"
	case t.TCPOnly && !t.TCP:
		return "turn_tcp_only", "turn_tcp", "is true, but turn_tcp is false: nothing would be left"
	case t.TLSOnly && !t.TLS:
		return "turn_tls_only", "turn_tls", "is true, but turn_tls is false: nothing would be left"
	case t.TLS && t.TLSFQDN == "" && t.FQDN == "":
		return "turn_tls", "turn", "needs turn_tls_fqdn or turn_fqdn: a certificate is for a name"
	case t.TLS && !t.TCP && tcp.TLSPort == 0:
		return "turn_tls", "turn_tcp", "needs turn_tcp = true, which a proxy forwards to, or tls_port"
	}
	return "", "", ""
}

// samePort returns two keys of TCP ports that are the same.
func (c *Config) samePort() (key, other string) {
	type named struct {
		key  string
		port uint16
	}
	ports := []named{{"signaling_port", c.Signaling.Port}, {"tls_port", c.TCP.TLSPort}}
	if c.PlainPort() {
		ports = append(ports, named{"turn_tcp_listen_port", c.TCP.ListenPort})
	}
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.port == b.port && a.port != 0 {
				return a.key, b.key
			}
		}
	}
	return "", ""
}
