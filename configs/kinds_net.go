package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// quotable is what can stand in a quoted-string of RFC 3261 as it is (RFC 8489 section 14.9):
// printable ASCII without quotes and backslashes.
func quotable(maxBytes int) kind[string] {
	return words(func(v string) error {
		if v == "" || len(v) > maxBytes {
			return fmt.Errorf("not 1..%d characters", maxBytes)
		}
		for _, b := range []byte(v) {
			if b < ' ' || b > '~' || b == '"' || b == '\\' {
				return fmt.Errorf("%q has other characters than printable ASCII without quotes and backslashes", v)
			}
		}
		return nil
	})
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

var fqdn = words(checkName)

var fqdns = several(1, maxList, "names", func(w string) (string, error) { return w, checkName(w) }, strings.Clone)

// maxPath is the longest path, in bytes: what Linux has room for.
const maxPath = 4095

// file is a path, which is relative to the folder that the process was started in.
var file = words(func(v string) error {
	if v == "" || len(v) > maxPath || strings.IndexByte(v, 0) >= 0 {
		return fmt.Errorf("not a path of 1..%d bytes", maxPath)
	}
	return nil
})

// maxURL is the longest URL, in bytes.
const maxURL = 2048

// absoluteURL is the kind of a URL with one of the schemes. What is wrong with it is said without
// repeating it: it may hold a password.
func absoluteURL(schemes ...string) kind[string] {
	return words(func(v string) error {
		u, err := url.Parse(v)
		switch {
		case err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "":
			return fmt.Errorf("not an absolute URL that begins with %s://", strings.Join(schemes, ":// or "))
		case len(v) > maxURL:
			return fmt.Errorf("longer than %d bytes", maxURL)
		case strings.Contains(v, "#"):
			return errors.New("has a fragment (#), which no server is sent")
		}
		return nil
	})
}

var (
	httpURL  = absoluteURL("http", "https")
	httpsURL = absoluteURL("https")
	wsURL    = absoluteURL("ws", "wss")
)

// origin is scheme, host and port, as a browser sends it: no path, not even a slash.
var origin = words(func(v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || v != u.Scheme+"://"+u.Host {
		return errors.New("not http:// or https:// and a host, with a port or without, and nothing else")
	}
	return nil
})

// hostPort is the name or address of a host, and a port.
var hostPort = words(func(v string) error {
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
	return nil
})

// userID is a name that can go before a colon (RFC 7617 section 2).
var userID = words(func(v string) error {
	if err := printable(v); err != nil {
		return err
	}
	if strings.Contains(v, ":") {
		return errors.New("has a colon, where the password would begin (RFC 7617)")
	}
	return nil
})

// password is what RFC 7617 section 2 lets go after that colon.
var password = words(printable)

// printable refuses what a user name or a password cannot have.
func printable(v string) error {
	if len(v) > 255 {
		return errors.New("longer than 255 bytes")
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("has control characters")
	}
	return nil
}

// tokenAlgorithms are those of RFC 7518 that tokens may be signed with.
var tokenAlgorithms = []string{"HS256", "RS256", "ES256"}

// tokenKeys are KID:ALG:FILE. The name of the file may contain colons, but neither commas nor
// spaces.
var tokenKeys = distinct(several(1, maxList, "keys", func(w string) (TokenKey, error) {
	parts := strings.SplitN(w, ":", 3)
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
		return TokenKey{}, fmt.Errorf("%q is not KID:ALG:FILE", w)
	}
	k := TokenKey{ID: parts[0], Alg: parts[1], File: parts[2]}
	if !slices.Contains(tokenAlgorithms, k.Alg) {
		return k, fmt.Errorf("algorithm %q of key %q is none of %s", k.Alg, k.ID, strings.Join(tokenAlgorithms, ", "))
	}
	return k, nil
}, func(k TokenKey) string { return k.ID + ":" + k.Alg + ":" + k.File }),
	func(k TokenKey) string { return fmt.Sprintf("key %q", k.ID) })
