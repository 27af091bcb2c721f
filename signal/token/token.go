// Package token lets people join by a JSON Web Token (RFC 7519) that an application has
// signed, without that the server asks anybody. A token says which channels and roles it is
// for and until when; beside that its claims are what an authentication webhook may answer,
// under the same names. The package verifies tokens, makes them, and reads and makes keys.
//
// A key has one algorithm and one name (kid): what the header of a token says about
// itself only chooses among the keys that the operator has configured, and never how or
// with what it is verified. Only HS256, RS256 and ES256 exist here (RFC 7518 section 3.1).
//
// It has no clock and, apart from Load functions, does no I/O. A [Verifier] is not changed
// after [New]: any goroutine may use it. What it returns is the caller's. No error text has
// any part of a token's signature or of a key in it.
package token

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fastjson"

	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

const (
	// MaxSize is the longest token, in bytes. A longer one is refused unseen, so that
	// nobody makes the server decode and hash what has no bound.
	MaxSize = 8 << 10

	// Leeway is how much the clocks of the server and of who signs may differ.
	Leeway = 60 * time.Second

	// Audience is who we are where a token has the claim aud: one that is only for others
	// is not for us (RFC 7519 section 4.1.3).
	Audience = "tsubame"
)

// Reasons of an Error. They are what a client reads in the close frame, so they tell it
// what it has to do and nothing about keys.
const (
	ReasonRequired     = "TOKEN-REQUIRED"
	ReasonInvalid      = "TOKEN-INVALID"
	ReasonExpired      = "TOKEN-EXPIRED"
	ReasonNotYetValid  = "TOKEN-NOT-YET-VALID"
	ReasonWrongChannel = "TOKEN-WRONG-CHANNEL"
	ReasonWrongRole    = "TOKEN-WRONG-ROLE"
)

// Error says why a token does not let its bearer in. Detail is for the log: it may quote
// what the token claims, with control characters escaped.
type Error struct {
	Reason string // one of the constants
	Detail string
}

func (e *Error) Error() string { return e.Reason + ": " + e.Detail }

func invalid(format string, args ...any) error {
	return &Error{ReasonInvalid, fmt.Sprintf(format, args...)}
}

// Verifier knows the keys.
type Verifier struct {
	byID  map[string]Key
	byAlg map[string][]Key
}

// New takes the keys to verify with. Every key needs an ID that no other one has.
func New(keys []Key) (*Verifier, error) {
	v := &Verifier{byID: make(map[string]Key), byAlg: make(map[string][]Key)}
	for _, k := range keys {
		if k.method == nil || k.verify == nil {
			return nil, fmt.Errorf("token key %q is empty", k.ID)
		}
		if k.ID == "" {
			return nil, fmt.Errorf("a token key of algorithm %s has no name", k.Alg)
		}
		if _, twice := v.byID[k.ID]; twice {
			return nil, fmt.Errorf("two token keys are called %q", k.ID)
		}
		v.byID[k.ID] = k
		v.byAlg[k.Alg] = append(v.byAlg[k.Alg], k)
	}
	return v, nil
}

// Verify checks a token (JWS compact serialization, RFC 7515 section 3.1) and what it
// grants, and returns the rest of its claims as an authentication webhook's answer, which is
// allowed. now is the time of day. The error is always an *Error. An empty token is one
// that is missing.
//
// exp is required, nbf and iat are observed if they are there, all of them with Leeway.
// channel_id and role are required too: a string or an array of strings of which one has
// to fit. A channel_id that ends with * fits every channel that begins with what is
// before it; a role fits itself only.
func (v *Verifier) Verify(token string, now time.Time, channelID string, role sora.Role) (*webhook.AuthAnswer, error) {
	if token == "" {
		return nil, &Error{ReasonRequired, "there is no token"}
	}
	payload, err := v.open(token)
	if err != nil {
		return nil, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return nil, err
	}
	if err := c.checkTime(now); err != nil {
		return nil, err
	}
	if err := c.checkGrants(channelID, role); err != nil {
		return nil, err
	}
	answer, err := webhook.ParseGrants(payload)
	if err != nil {
		return nil, invalid("claims: %v", err)
	}
	if !answer.Allowed {
		return nil, invalid("claims: allowed is false")
	}
	answer.Roles = c.roles
	return answer, nil
}

// open verifies the signature and returns the payload.
func (v *Verifier) open(token string) ([]byte, error) {
	if len(token) > MaxSize {
		return nil, invalid("%d bytes, more than %d", len(token), MaxSize)
	}
	signed, signature64, ok := cutLast(token)
	if !ok || strings.Count(token, ".") != 2 {
		return nil, invalid("not three parts")
	}
	header64, payload64, _ := strings.Cut(signed, ".")
	header, err := decode64(header64)
	if err != nil {
		return nil, invalid("header: %v", err)
	}
	signature, err := decode64(signature64)
	if err != nil {
		return nil, invalid("signature: %v", err)
	}
	payload, err := decode64(payload64)
	if err != nil {
		return nil, invalid("claims: %v", err)
	}
	key, err := v.choose(header)
	if err != nil {
		return nil, err
	}
	if err := key.method.Verify(signed, signature, key.verify); err != nil {
		return nil, invalid("the signature does not fit key %q", key.ID)
	}
	return payload, nil
}

// choose finds the key for a header (RFC 7515 section 4). The header is not to be
// trusted: it names a key, whose algorithm it has to repeat. jwk, jku, x5c and the like,
// which would have the sender say what to verify with, are not looked at.
func (v *Verifier) choose(header []byte) (Key, error) {
	var alg, kid string
	hasKid := false
	err := eachMember(header, func(name string, value *fastjson.Value) error {
		switch name {
		case "alg":
			return asString(value, &alg)
		case "kid":
			hasKid = true
			return asString(value, &kid)
		case "crit": // has to be understood (section 4.1.11), and we have no extensions
			return fmt.Errorf("critical extensions")
		}
		return nil
	})
	if err != nil {
		return Key{}, invalid("header: %v", err)
	}
	if hasKid {
		key, ok := v.byID[kid]
		if !ok {
			return Key{}, invalid("no key is called %.100q", kid)
		}
		if key.Alg != alg {
			return Key{}, invalid("algorithm %.100q, but key %q is for %s", alg, key.ID, key.Alg)
		}
		return key, nil
	}
	switch keys := v.byAlg[alg]; len(keys) {
	case 1:
		return keys[0], nil
	case 0:
		return Key{}, invalid("no key is for algorithm %.100q", alg)
	}
	return Key{}, invalid("no kid, and several keys are for %s", alg)
}

// claims is what a verified payload says.
type claims struct {
	exp, nbf, iat float64 // s since 1970; 0: not there
	channels      []string
	roles         []sora.Role
}

// maxDate is the end of the year 9999 in seconds since 1970: what is later is a mistake,
// most often milliseconds.
const maxDate = 253402300799

func readClaims(payload []byte) (claims, error) {
	var c claims
	if err := eachMember(payload, c.member); err != nil {
		return c, invalid("claims: %v", err)
	}
	return c, nil
}

// member reads one of the claims that the token itself is checked by. iss, sub and jti
// (RFC 7519 section 4.1) mean nothing to us.
func (c *claims) member(name string, value *fastjson.Value) error {
	switch name {
	case "exp":
		return asDate(value, &c.exp)
	case "nbf":
		return asDate(value, &c.nbf)
	case "iat":
		return asDate(value, &c.iat)
	case "aud":
		var list []string
		if err := asStrings(value, &list); err != nil {
			return err
		}
		if !slices.Contains(list, Audience) {
			return fmt.Errorf("it is for %.100q, and not for %q", list, Audience)
		}
	case "channel_id":
		return asStrings(value, &c.channels)
	case "role":
		return asRoles(value, &c.roles)
	}
	return nil
}

func (c *claims) checkTime(now time.Time) error {
	at := float64(now.UnixMicro()) / 1e6
	leeway := Leeway.Seconds()
	switch {
	case c.exp == 0:
		return invalid("there is no exp")
	case at >= c.exp+leeway:
		return &Error{ReasonExpired, "it ended at " + date(c.exp)}
	case at < c.nbf-leeway:
		return &Error{ReasonNotYetValid, "it begins at " + date(c.nbf)}
	case at < c.iat-leeway:
		return &Error{ReasonNotYetValid, "it was made at " + date(c.iat) + ", later than now"}
	}
	return nil
}

func date(seconds float64) string {
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

func (c *claims) checkGrants(channelID string, role sora.Role) error {
	if !slices.ContainsFunc(c.channels, func(pattern string) bool { return fits(pattern, channelID) }) {
		return &Error{ReasonWrongChannel, fmt.Sprintf("it is for %.100q, not for %.100q", c.channels, channelID)}
	}
	if !slices.Contains(c.roles, role) {
		return &Error{ReasonWrongRole, fmt.Sprintf("it is for %v, not for %v", c.roles, role)}
	}
	return nil
}

// fits compares bytes: what looks alike is not the same channel.
func fits(pattern, channelID string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(channelID, prefix)
	}
	return pattern == channelID
}

func asString(v *fastjson.Value, into *string) error {
	b, err := v.StringBytes()
	if err != nil || !utf8.Valid(b) {
		return fmt.Errorf("not a string")
	}
	*into = string(b)
	return nil
}

// asStrings reads a string or an array of strings.
func asStrings(v *fastjson.Value, into *[]string) error {
	list, err := v.Array()
	if err != nil {
		list = []*fastjson.Value{v}
	}
	for _, item := range list {
		var s string
		if err := asString(item, &s); err != nil {
			return fmt.Errorf("neither a string nor an array of strings")
		}
		*into = append(*into, s)
	}
	return nil
}

// asRoles leaves out names that are no roles here: a token may be for other servers too.
func asRoles(v *fastjson.Value, into *[]sora.Role) error {
	var names []string
	if err := asStrings(v, &names); err != nil {
		return err
	}
	for _, role := range []sora.Role{sora.SendRecv, sora.SendOnly, sora.RecvOnly} {
		if slices.Contains(names, role.String()) {
			*into = append(*into, role)
		}
	}
	return nil
}

// asDate reads a NumericDate (RFC 7519 section 2), which may have a fraction.
func asDate(v *fastjson.Value, into *float64) error {
	f, err := v.Float64()
	if err != nil || math.IsNaN(f) || f <= 0 || f > maxDate {
		return fmt.Errorf("not a time in seconds since 1970")
	}
	*into = f
	return nil
}
