package token

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tsubame/signal/sora"
)

func roomGrant() Grant {
	return Grant{Channels: []string{"room"}, Roles: []sora.Role{sora.SendRecv}, Issued: now, Ends: now.Add(time.Hour)}
}

func TestSignedTokensAreWhatOtherLibrariesRead(t *testing.T) {
	k, err := ParseSigningKey("es", pkcs8(t, ecKey()))
	if err != nil {
		t.Fatal(err)
	}
	g := roomGrant()
	g.Channels = []string{"room", "lobby-*"}
	g.Roles = []sora.Role{sora.SendRecv, sora.RecvOnly}
	g.Begins = now.Add(time.Minute)
	g.ClientID = `ann "the admin"`
	g.Claims = []Claim{{"video_bit_rate", json.RawMessage("1500")}}
	text, warnings, err := k.Sign(g)
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	claims := jwt.MapClaims{}
	read, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return ecKey().Public(), nil },
		jwt.WithTimeFunc(func() time.Time { return g.Begins }), jwt.WithStrictDecoding(), jwt.WithValidMethods([]string{ES256}))
	if err != nil {
		t.Fatal(err)
	}
	if read.Header["kid"] != "es" || read.Header["typ"] != "JWT" {
		t.Errorf("header %v", read.Header)
	}
	got, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"channel_id":["room","lobby-*"],"client_id":"ann \"the admin\"","exp":1893459600,"iat":1893456000,` +
		`"nbf":1893456060,"role":["sendrecv","recvonly"],"video_bit_rate":1500}`
	if string(got) != want {
		t.Errorf("claims %s\nwant   %s", got, want)
	}
}

func TestTokensThatNobodyWouldTakeAreNotMade(t *testing.T) {
	sign, err := newSecret("hs", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Grant){
		"channel":           func(g *Grant) { g.Channels = nil },
		"role":              func(g *Grant) { g.Roles = nil },
		"ends before":       func(g *Grant) { g.Ends = g.Issued },
		"before it begins":  func(g *Grant) { g.Begins = g.Ends },
		`claim "exp"`:       func(g *Grant) { g.Claims = []Claim{{"exp", json.RawMessage("1")}} },
		`claim "client_id"`: func(g *Grant) { g.Claims = []Claim{{"client_id", json.RawMessage(`"a"`)}} },
		"not JSON":          func(g *Grant) { g.Claims = []Claim{{"audio", json.RawMessage("tru")}} },
		"audio":             func(g *Grant) { g.Claims = []Claim{{"audio", json.RawMessage("3")}} },
		"twice": func(g *Grant) {
			g.Claims = []Claim{{"audio", json.RawMessage("true")}, {"audio", json.RawMessage("true")}}
		},
		"bytes, more than": func(g *Grant) { g.ClientID = strings.Repeat("x", MaxSize) },
		"seconds since":    func(g *Grant) { g.Ends = time.Unix(maxDate+1, 0) },
	} {
		g := roomGrant()
		change(&g)
		if token, _, err := sign.Sign(g); err == nil || token != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v, want an error with %q", token, err, want)
		}
	}
}

func TestPublicKeysDoNotSign(t *testing.T) {
	k := parseKey(t, "es", ES256, publicPEM(t, ecKey().Public()))
	if token, _, err := k.Sign(roomGrant()); err == nil || token != "" {
		t.Errorf("%q, %v", token, err)
	}
}

func TestSignWarnsOfClaimsWithoutEffect(t *testing.T) {
	k, err := newSecret("", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	g := roomGrant()
	g.Claims = []Claim{{"vidoe", json.RawMessage("true")}}
	token, warnings, err := k.Sign(g)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "vidoe") {
		t.Errorf("%v, %v", warnings, err)
	}
	header, _ := decode64(token[:strings.IndexByte(token, '.')])
	if strings.Contains(string(header), "kid") {
		t.Errorf("a kid that nobody gave: %s", header)
	}
}

func TestDevelopmentKeyTokenAndURLFitEachOther(t *testing.T) {
	k := freshKey(t)
	v, err := New([]Key{k})
	if err != nil {
		t.Fatal(err)
	}
	g := roomGrant()
	g.Channels = []string{"*"}
	token, _, err := k.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(DevURL("http://127.0.0.1:5000/", "a room & more", sora.SendRecv, token))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	if u.Host != "127.0.0.1:5000" || query.Get("channel") != "a room & more" || query.Get("role") != "sendrecv" {
		t.Errorf("%s", u)
	}
	var metadata struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(query.Get("metadata")), &metadata); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(metadata.AccessToken, now, "a room & more", sora.SendRecv); err != nil {
		t.Error(err)
	}
	if other, err := New([]Key{freshKey(t)}); err != nil {
		t.Error(err)
	} else if _, err := other.Verify(token, now, "room", sora.SendRecv); err == nil {
		t.Error("every process has the same key")
	}
}

// freshKey makes a secret of its own, called "dev".
func freshKey(t *testing.T) Key {
	t.Helper()
	files, err := NewKeyFiles(HS256)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseSigningKey("dev", files.Signing)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
