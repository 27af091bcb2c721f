package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tsubame/signal/sora"
	"tsubame/signal/webhook"
)

// Grant is what a token to be signed says.
type Grant struct {
	Channels []string // channel ids, or prefixes with * behind them; at least one
	Roles    []sora.Role
	Issued   time.Time // iat
	Begins   time.Time // nbf; zero: with Issued
	Ends     time.Time // exp
	ClientID string    // empty: the client says its own
	Claims   []Claim   // what an authentication webhook would answer
}

// Claim is one member of an authentication webhook's answer.
type Claim struct {
	Name  string
	Value json.RawMessage
}

// Sign makes a token. It refuses to make one that Verify would refuse whatever the
// channel, so that a mistake is seen by who makes it. The warnings are of claims that have
// no effect, as a server would log them.
func (k Key) Sign(g Grant) (token string, warnings []string, err error) {
	if k.sign == nil {
		return "", nil, fmt.Errorf("key %q can only verify", k.ID)
	}
	if len(g.Channels) == 0 || len(g.Roles) == 0 {
		return "", nil, errors.New("a token needs a channel and a role")
	}
	payload, err := g.payload()
	if err != nil {
		return "", nil, err
	}
	header := appendString([]byte(`{"typ":"JWT","alg":`), k.Alg)
	if k.ID != "" {
		header = appendString(append(header, `,"kid":`...), k.ID)
	}
	header = append(header, '}')
	signed := strict64.EncodeToString(header) + "." + strict64.EncodeToString(payload)
	signature, err := k.method.Sign(signed, k.sign)
	if err != nil {
		return "", nil, fmt.Errorf("signing with %s: %w", k.Alg, err)
	}
	token = signed + "." + strict64.EncodeToString(signature)
	answer, err := k.tryOut(token, g)
	if err != nil {
		return "", nil, fmt.Errorf("no server would take this token: %w", err)
	}
	return token, answer.Warnings, nil
}

// tryOut verifies a token at the time at which it begins, for the first that it is for.
func (k Key) tryOut(token string, g Grant) (*webhook.AuthAnswer, error) {
	if k.ID == "" { // a verifier's keys have names
		k.ID = "-"
	}
	v, err := New([]Key{k})
	if err != nil {
		return nil, err
	}
	now := g.Issued
	if g.Begins.After(now) {
		now = g.Begins
	}
	if !g.Ends.After(now) {
		return nil, errors.New("it ends before it begins")
	}
	return v.Verify(token, now, exampleOf(g.Channels[0]), g.Roles[0])
}

// taken are the claims that have a field of their own, or that would not do what their
// name says.
var taken = map[string]bool{
	"exp": true, "nbf": true, "iat": true, "channel_id": true, "role": true, "allowed": true, "client_id": true,
}

func (g *Grant) payload() ([]byte, error) {
	p := fmt.Appendf(nil, `{"iat":%d,"exp":%d`, g.Issued.Unix(), g.Ends.Unix())
	if !g.Begins.IsZero() {
		p = fmt.Appendf(p, `,"nbf":%d`, g.Begins.Unix())
	}
	roles := make([]string, len(g.Roles))
	for i, r := range g.Roles {
		roles[i] = r.String()
	}
	p = appendOneOrMore(append(p, `,"channel_id":`...), g.Channels)
	p = appendOneOrMore(append(p, `,"role":`...), roles)
	if g.ClientID != "" {
		p = appendString(append(p, `,"client_id":`...), g.ClientID)
	}
	for _, c := range g.Claims {
		if taken[c.Name] {
			return nil, fmt.Errorf("claim %q is not given like this", c.Name)
		}
		if !json.Valid(c.Value) {
			return nil, fmt.Errorf("claim %q: not JSON", c.Name)
		}
		p = appendString(append(p, ','), c.Name)
		p = append(append(p, ':'), c.Value...)
	}
	return append(p, '}'), nil
}

func appendOneOrMore(dst []byte, list []string) []byte {
	if len(list) == 1 {
		return appendString(dst, list[0])
	}
	for i, s := range list {
		dst = appendString(append(dst, "[,"[min(i, 1)]), s)
	}
	return append(dst, ']')
}

// exampleOf is a channel that a pattern fits.
func exampleOf(pattern string) string { return strings.TrimSuffix(pattern, "*") }

// DevURL is an address under which the page of a server joins a channel with a token: for
// --dev only, because an address ends up in histories and logs.
func DevURL(page, channelID string, role sora.Role, token string) string {
	metadata := append(appendString([]byte(`{"access_token":`), token), '}')
	query := url.Values{"channel": {channelID}, "role": {role.String()}, "metadata": {string(metadata)}}
	return page + "?" + query.Encode()
}
