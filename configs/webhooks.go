package configs

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// httpURI reads an absolute URL of HTTP. What is wrong with it is said without repeating it: it
// may hold a password.
func httpURI(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || len(v) > maxURL {
			return fmt.Errorf("not an http:// or https:// URL of at most %d bytes", maxURL)
		}
		if u.Fragment != "" {
			return errors.New("has a fragment (#), which no server is sent")
		}
		*field(c) = v
		return nil
	}
}

// maxURL is the longest URL, in bytes.
const maxURL = 2048

// nodeName reads the name of a node: it is one word.
func nodeName(field func(*Config) *string) set {
	return func(c *Config, v string) error {
		if v == "" || len(v) > 255 {
			return errors.New("not 1..255 characters")
		}
		for _, b := range []byte(v) {
			if b <= ' ' || b > '~' {
				return fmt.Errorf("%q has other characters than printable ASCII without spaces", v)
			}
		}
		*field(c) = v
		return nil
	}
}

// tokenAlgorithms are those of RFC 7518 that tokens may be signed with.
var tokenAlgorithms = []string{"HS256", "RS256", "ES256"}

// tokenKeys reads a list of KID:ALG:FILE. The name of the file may contain colons.
func tokenKeys(field func(*Config) *[]TokenKey) set {
	return func(c *Config, v string) error {
		var out []TokenKey
		for _, w := range list(v) {
			parts := strings.SplitN(w, ":", 3)
			if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
				return fmt.Errorf("%q is not KID:ALG:FILE", w)
			}
			k := TokenKey{ID: parts[0], Alg: parts[1], File: parts[2]}
			if !slices.Contains(tokenAlgorithms, k.Alg) {
				return fmt.Errorf("algorithm %q of key %q is none of %s", k.Alg, k.ID, strings.Join(tokenAlgorithms, ", "))
			}
			if slices.ContainsFunc(out, func(o TokenKey) bool { return o.ID == k.ID }) {
				return fmt.Errorf("two keys are called %q", k.ID)
			}
			out = append(out, k)
		}
		if len(out) == 0 || len(out) > maxList {
			return fmt.Errorf("not a list of 1..%d keys", maxList)
		}
		*field(c) = out
		return nil
	}
}
