package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tsubame/signal/sora"
)

// now is the time of day of these tests, 2030-01-01.
var now = time.Unix(1893456000, 0)

// claimsAt are the claims of a good token, with others behind them.
func good(more string) string {
	return fmt.Sprintf(`{"exp":%d,"channel_id":"room","role":"sendrecv"%s}`, now.Unix()+3600, more)
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, minRSABits)
	if err != nil {
		panic(err)
	}
	return k
})

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

const secret = "a secret of more than thirty-two bytes"

func publicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func parseKey(t testing.TB, id, alg string, data []byte) Key {
	t.Helper()
	k, err := ParseKey(id, alg, data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testVerifier has one key for each algorithm, called as it.
func testVerifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := New([]Key{
		parseKey(t, "hs", HS256, []byte(secret)),
		parseKey(t, "rs", RS256, publicPEM(t, rsaKey().Public())),
		parseKey(t, "es", ES256, publicPEM(t, ecKey().Public())),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signer is the key that a header's algorithm is signed with here.
func signer(alg string) (jwt.SigningMethod, any) {
	switch alg {
	case RS256:
		return jwt.SigningMethodRS256, rsaKey()
	case ES256:
		return jwt.SigningMethodES256, ecKey()
	}
	return jwt.SigningMethodHS256, []byte(secret)
}

// forge signs whatever header and claims there are.
func forge(t testing.TB, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	signed := strict64.EncodeToString([]byte(header)) + "." + strict64.EncodeToString([]byte(claims))
	signature, err := method.Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + strict64.EncodeToString(signature)
}

// signed is a token with an honest signature of an algorithm's key.
func signed(t testing.TB, alg, header, claims string) string {
	t.Helper()
	method, key := signer(alg)
	return forge(t, method, key, header, claims)
}

// hs is a token of the secret, with these claims.
func hs(t testing.TB, claims string) string {
	return signed(t, HS256, `{"alg":"HS256","kid":"hs"}`, claims)
}

// wantReason verifies for the channel room and the role sendrecv.
func wantReason(t *testing.T, v *Verifier, name, token, reason string) {
	t.Helper()
	answer, err := v.Verify(token, now, "room", sora.SendRecv)
	if reason == "" {
		if err != nil || answer == nil || !answer.Allowed {
			t.Errorf("%s: refused: %v", name, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || answer != nil {
		t.Errorf("%s: %v, %v; want %s", name, answer, err, reason)
		return
	}
	if e.Reason != reason || e.Detail == "" {
		t.Errorf("%s: %v, want %s", name, err, reason)
	}
}

func TestTokenOfEveryAlgorithmLetsIn(t *testing.T) {
	v := testVerifier(t)
	for alg, kid := range map[string]string{HS256: "hs", RS256: "rs", ES256: "es"} {
		wantReason(t, v, alg+" with kid", signed(t, alg, `{"alg":"`+alg+`","kid":"`+kid+`"}`, good("")), "")
		wantReason(t, v, alg+" without kid", signed(t, alg, `{"typ":"JWT","alg":"`+alg+`"}`, good("")), "")
	}
}

func TestClaimsAreWhatAnAuthWebhookWouldAnswer(t *testing.T) {
	v := testVerifier(t)
	token := hs(t, good(`,"client_id":"ann","video_bit_rate":1500,"video_codec_type":"VP9","audio":false,`+
		`"metadata":{"a":1},"connection_lifetime":60,"iss":"app","sub":"ann","jti":"7","allowed":true`))
	a, err := v.Verify(token, now, "room", sora.SendRecv)
	if err != nil {
		t.Fatal(err)
	}
	if a.ClientID != "ann" || a.VideoBitrate != 1_500_000 || a.VideoCodec != "VP9" || a.Audio != sora.False ||
		string(a.Metadata) != `{"a":1}` || a.ConnectionLifetime != time.Minute || len(a.Warnings) != 0 {
		t.Errorf("%+v", a)
	}
	if len(a.Roles) != 1 || a.Roles[0] != sora.SendRecv {
		t.Errorf("roles %v", a.Roles)
	}
}

// Row AUTH-01.
func TestForgedTokensAreRefused(t *testing.T) {
	v := testVerifier(t)
	claims := good("")
	unsigned := func(header string) string {
		return strict64.EncodeToString([]byte(header)) + "." + strict64.EncodeToString([]byte(claims)) + "."
	}
	rsaPEM, ecPEM := publicPEM(t, rsaKey().Public()), publicPEM(t, ecKey().Public())
	hmac := func(key []byte, header string) string { return forge(t, jwt.SigningMethodHS256, key, header, claims) }
	honest := hs(t, claims)
	last := honest[len(honest)-1]
	for name, token := range map[string]string{
		"alg none":                        unsigned(`{"alg":"none"}`),
		"alg None":                        unsigned(`{"alg":"None","kid":"hs"}`),
		"alg none, with a signature":      signed(t, HS256, `{"alg":"none"}`, claims),
		"no signature":                    unsigned(`{"alg":"HS256","kid":"hs"}`),
		"no alg":                          signed(t, HS256, `{"kid":"hs"}`, claims),
		"alg is a number":                 signed(t, HS256, `{"alg":256,"kid":"hs"}`, claims),
		"alg in lower case":               signed(t, HS256, `{"alg":"hs256"}`, claims),
		"HS512":                           forge(t, jwt.SigningMethodHS512, []byte(secret), `{"alg":"HS512","kid":"hs"}`, claims),
		"HS512 that says HS256":           forge(t, jwt.SigningMethodHS512, []byte(secret), `{"alg":"HS256","kid":"hs"}`, claims),
		"PS256":                           forge(t, jwt.SigningMethodPS256, rsaKey(), `{"alg":"PS256","kid":"rs"}`, claims),
		"RSA public key as secret, kid":   hmac(rsaPEM, `{"alg":"HS256","kid":"rs"}`),
		"RSA public key as secret":        hmac(rsaPEM, `{"alg":"HS256"}`),
		"EC public key as secret, kid":    hmac(ecPEM, `{"alg":"HS256","kid":"es"}`),
		"EC public key as secret":         hmac(ecPEM, `{"alg":"HS256"}`),
		"RSA public key, says RS256":      hmac(rsaPEM, `{"alg":"RS256","kid":"rs"}`),
		"kid of another algorithm":        signed(t, HS256, `{"alg":"HS256","kid":"es"}`, claims),
		"unknown kid":                     signed(t, HS256, `{"alg":"HS256","kid":"gone"}`, claims),
		"empty kid":                       signed(t, HS256, `{"alg":"HS256","kid":""}`, claims),
		"kid is a path":                   hmac(nil, `{"alg":"HS256","kid":"../../../dev/null"}`),
		"kid is a number":                 signed(t, HS256, `{"alg":"HS256","kid":1}`, claims),
		"another secret":                  hmac([]byte(strings.Repeat("x", 40)), `{"alg":"HS256","kid":"hs"}`),
		"own key in the header":           hmac([]byte("mine"), `{"alg":"HS256","kid":"hs","jwk":{"kty":"oct","k":"bWluZQ"}}`),
		"critical extension":              signed(t, HS256, `{"alg":"HS256","kid":"hs","crit":["b64"],"b64":false}`, claims),
		"alg twice":                       signed(t, HS256, `{"alg":"HS256","alg":"none","kid":"hs"}`, claims),
		"kid twice, once escaped":         signed(t, HS256, `{"alg":"HS256","kid":"hs","k\u0069d":"rs"}`, claims),
		"header is an array":              signed(t, HS256, `["HS256"]`, claims),
		"header is no JSON":               signed(t, HS256, `{"alg":"HS256"`, claims),
		"header with something behind it": signed(t, HS256, `{"alg":"HS256","kid":"hs"}{}`, claims),
		"last bit of the signature":       honest[:len(honest)-1] + string(flip(last)),
		"padding":                         honest + "=",
		"a line break":                    honest[:40] + "\n" + honest[40:],
		"a space":                         honest + " ",
		"base64 that is not for URLs":     honest[:len(honest)-2] + "+/",
		"four parts":                      honest + ".x",
		"two parts":                       honest[:strings.LastIndexByte(honest, '.')],
		"one part":                        "token",
		"only dots":                       "..",
		"a million dots":                  strings.Repeat(".", 1_000_000),
		"claims of another token":         swapClaims(honest, hs(t, good(`,"client_id":"root"`))),
	} {
		wantReason(t, v, name, token, ReasonInvalid)
	}
}

// flip changes a character of base64url in the bits that no byte needs, or in those that
// one does: both have to be refused.
func flip(c byte) byte {
	if c == 'A' {
		return 'B'
	}
	return 'A'
}

func swapClaims(token, other string) string {
	a, b := strings.Split(token, "."), strings.Split(other, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

// Row AUTH-01.
func TestEveryTruncationIsRefused(t *testing.T) {
	v := testVerifier(t)
	token := hs(t, good(""))
	for i := 1; i < len(token); i++ {
		wantReason(t, v, fmt.Sprintf("%d bytes", i), token[:i], ReasonInvalid)
	}
}

// Row AUTH-01.
func TestHugeTokensAreRefusedUnseen(t *testing.T) {
	v := testVerifier(t)
	size := func(n int) string {
		token := hs(t, good(`,"iss":""`))
		grown := hs(t, good(`,"iss":"`+strings.Repeat("x", (n-len(token))*3/4)+`"`))
		for pad := range 8 {
			grown = hs(t, good(`,"iss":"`+strings.Repeat("x", (n-len(token))*3/4-4+pad)+`"`))
			if len(grown) >= n {
				break
			}
		}
		return grown
	}
	most := size(MaxSize)
	if len(most) != MaxSize {
		t.Fatalf("the token has %d bytes, want %d", len(most), MaxSize)
	}
	wantReason(t, v, "as long as it may be", most, "")
	wantReason(t, v, "longer", size(MaxSize+2), ReasonInvalid)
	huge := strings.Repeat("x", 1<<20)
	if n := testing.AllocsPerRun(10, func() { v.Verify(huge, now, "room", sora.SendRecv) }); n > 5 {
		t.Errorf("%v allocations for a token that is too long: it was looked at", n)
	}
}

// Row AUTH-01.
func TestTimesAreHeldToWithinTheLeeway(t *testing.T) {
	v := testVerifier(t)
	at := func(members string) string {
		return hs(t, `{"channel_id":"room","role":"sendrecv"`+members+`}`)
	}
	n := now.Unix()
	for members, reason := range map[string]string{
		fmt.Sprintf(`,"exp":%d`, n+3600):                     "",
		fmt.Sprintf(`,"exp":%d.5`, n-60):                     "",
		fmt.Sprintf(`,"exp":%d`, n-59):                       "",
		fmt.Sprintf(`,"exp":%d`, n-60):                       ReasonExpired,
		fmt.Sprintf(`,"exp":%d`, n-86400):                    ReasonExpired,
		fmt.Sprintf(`,"exp":%d,"nbf":%d`, n+3600, n+60):      "",
		fmt.Sprintf(`,"exp":%d,"nbf":%d`, n+3600, n+61):      ReasonNotYetValid,
		fmt.Sprintf(`,"exp":%d,"iat":%d`, n+3600, n+60):      "",
		fmt.Sprintf(`,"exp":%d,"iat":%d`, n+3600, n+61):      ReasonNotYetValid,
		fmt.Sprintf(`,"exp":%d,"iat":%d`, n+3600, n-9999999): "",
		`,"exp":253402300799`:                                "",
		`,"exp":253402300800`:                                ReasonInvalid, // milliseconds, most often
		`,"exp":1e400`:                                       ReasonInvalid,
		`,"exp":-1`:                                          ReasonInvalid,
		`,"exp":0`:                                           ReasonInvalid,
		`,"exp":"253402300799"`:                              ReasonInvalid,
		`,"exp":null`:                                        ReasonInvalid,
		`,"exp":[1]`:                                         ReasonInvalid,
		``:                                                   ReasonInvalid,
		fmt.Sprintf(`,"exp":%d,"nbf":true`, n+3600):          ReasonInvalid,
		fmt.Sprintf(`,"exp":%d,"iat":{}`, n+3600):            ReasonInvalid,
		fmt.Sprintf(`,"exp":%d,"exp":%d`, n+3600, n+7200):    ReasonInvalid,
		fmt.Sprintf(`,"exp":%d,"e\u0078p":%d`, n-3600, n+99): ReasonInvalid,
	} {
		wantReason(t, v, members, at(members), reason)
	}
}

// Row AUTH-03.
func TestTokenIsForItsChannelsAndRolesOnly(t *testing.T) {
	v := testVerifier(t)
	for _, c := range []struct {
		claims, channel string
		role            sora.Role
		reason          string
	}{
		{`"channel_id":"room","role":"sendrecv"`, "room", sora.SendRecv, ""},
		{`"channel_id":"room","role":"sendrecv"`, "room2", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"room","role":"sendrecv"`, "roo", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"room","role":"sendrecv"`, "Room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"room","role":"sendrecv"`, "", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"caf\u00e9","role":"sendrecv"`, "café", sora.SendRecv, ""},
		{`"channel_id":"caf\u00e9","role":"sendrecv"`, "cafe\u0301", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":["a","room"],"role":"sendrecv"`, "room", sora.SendRecv, ""},
		{`"channel_id":["a","b"],"role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":[],"role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"","role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"ro*","role":"sendrecv"`, "room", sora.SendRecv, ""},
		{`"channel_id":"ro*","role":"sendrecv"`, "ro", sora.SendRecv, ""},
		{`"channel_id":"ro*","role":"sendrecv"`, "bro", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"r*m","role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"*room","role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":"*","role":"sendrecv"`, "anything", sora.SendRecv, ""},
		{`"role":"sendrecv"`, "room", sora.SendRecv, ReasonWrongChannel},
		{`"channel_id":7,"role":"sendrecv"`, "7", sora.SendRecv, ReasonInvalid},
		{`"channel_id":["room",7],"role":"sendrecv"`, "room", sora.SendRecv, ReasonInvalid},
		{`"channel_id":null,"role":"sendrecv"`, "room", sora.SendRecv, ReasonInvalid},
		{`"channel_id":"room","channel_id":"other","role":"sendrecv"`, "room", sora.SendRecv, ReasonInvalid},

		{`"channel_id":"room","role":"recvonly"`, "room", sora.RecvOnly, ""},
		{`"channel_id":"room","role":"recvonly"`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":"recvonly"`, "room", sora.SendOnly, ReasonWrongRole},
		{`"channel_id":"room","role":"sendonly"`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":"sendrecv"`, "room", sora.RecvOnly, ReasonWrongRole},
		{`"channel_id":"room","role":["recvonly","sendonly"]`, "room", sora.SendOnly, ""},
		{`"channel_id":"room","role":["recvonly","sendonly"]`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":"host"`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":["host","sendrecv"]`, "room", sora.SendRecv, ""},
		{`"channel_id":"room","role":"SENDRECV"`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":true`, "room", sora.SendRecv, ReasonInvalid},
		{`"channel_id":"room"`, "room", sora.SendRecv, ReasonWrongRole},
		{`"channel_id":"room","role":"sendrecv"`, "room", 0, ReasonWrongRole},
	} {
		token := hs(t, fmt.Sprintf(`{"exp":%d,%s}`, now.Unix()+60, c.claims))
		_, err := v.Verify(token, now, c.channel, c.role)
		var e *Error
		if errors.As(err, &e); c.reason == "" && err != nil || c.reason != "" && (e == nil || e.Reason != c.reason) {
			t.Errorf("%s for %q as %v: %v, want %q", c.claims, c.channel, c.role, err, c.reason)
		}
	}
}

func TestClaimsThatCannotBeUsedAreRefused(t *testing.T) {
	v := testVerifier(t)
	for more, reason := range map[string]string{
		`,"allowed":false`:                                ReasonInvalid,
		`,"allowed":false,"reason":"NO"`:                  ReasonInvalid,
		`,"allowed":"yes"`:                                ReasonInvalid,
		`,"audio":3`:                                      ReasonInvalid,
		`,"video_codec_type":"MPEG"`:                      ReasonInvalid,
		`,"client_id":"a","client_id":"b"`:                ReasonInvalid,
		`,"client_id":"` + strings.Repeat("x", 256) + `"`: ReasonInvalid,
		`,"metadata":` + strings.Repeat("[", 400) + strings.Repeat("]", 400): ReasonInvalid,
		",\"iss\":\"\xff\"":          ReasonInvalid,
		",\"iss\":\"a\tb\"":          ReasonInvalid,
		`,"aud":"tsubame"`:           "",
		`,"aud":["api","tsubame"]`:   "",
		`,"aud":"api"`:               ReasonInvalid,
		`,"aud":[]`:                  ReasonInvalid,
		`,"aud":1`:                   ReasonInvalid,
		`,"http://example.com/x":{}`: "",
	} {
		wantReason(t, v, more, hs(t, good(more)), reason)
	}
	for _, claims := range []string{``, `7`, `null`, `[]`, `"x"`, `{`, good("") + "x"} {
		wantReason(t, v, claims, hs(t, claims), ReasonInvalid)
	}
}

func TestMissingTokenIsSaidToBeMissing(t *testing.T) {
	wantReason(t, testVerifier(t), "no token", "", ReasonRequired)
}

func TestTokenWithoutKidNeedsTheOnlyKeyOfItsAlgorithm(t *testing.T) {
	v, err := New([]Key{
		parseKey(t, "old", HS256, []byte(strings.Repeat("o", 32))),
		parseKey(t, "new", HS256, []byte(secret)),
	})
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, v, "no kid, two keys", signed(t, HS256, `{"alg":"HS256"}`, good("")), ReasonInvalid)
	wantReason(t, v, "kid, two keys", signed(t, HS256, `{"alg":"HS256","kid":"new"}`, good("")), "")
	wantReason(t, v, "no key of the algorithm", signed(t, ES256, `{"alg":"ES256"}`, good("")), ReasonInvalid)
	none, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, none, "no keys at all", hs(t, good("")), ReasonInvalid)
}

// A reason goes into a close frame of at most 123 bytes (RFC 6455 section 5.5), a detail
// into a log that people read in a terminal.
func TestErrorsQuoteTheTokenEscapedAndCut(t *testing.T) {
	v := testVerifier(t)
	long := strings.Repeat("\x1b[31m\n", 500)
	escaped := strings.ReplaceAll(strings.ReplaceAll(long, "\x1b", `\u001b`), "\n", `\n`)
	for name, token := range map[string]string{
		"kid":        signed(t, HS256, `{"alg":"HS256","kid":"`+escaped+`"}`, good("")),
		"alg":        signed(t, HS256, `{"alg":"`+escaped+`"}`, good("")),
		"channel_id": hs(t, fmt.Sprintf(`{"exp":%d,"channel_id":"%s"}`, now.Unix(), escaped)),
		"aud":        hs(t, good(`,"aud":"`+escaped+`"`)),
		"twice":      hs(t, good(`,"`+escaped[:1200]+`":1,"`+escaped[:1200]+`":2`)),
	} {
		_, err := v.Verify(token, now, "room", sora.SendRecv)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); strings.ContainsAny(text, "\x1b\n") || len(text) > 1000 {
			t.Errorf("%s: %d bytes: %q", name, len(text), text)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	v := testVerifier(b)
	for _, alg := range []string{HS256, RS256, ES256} {
		token := signed(b, alg, `{"alg":"`+alg+`"}`, good(`,"client_id":"ann"`))
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(token, now, "room", sora.SendRecv); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
