package token

import (
	"errors"
	"strings"
	"testing"

	"tsubame/signal/sora"
)

// FuzzVerify holds Verify to three things for tokens whose header and claims are
// anything, with an honest signature and with none: it does not panic, its errors are its
// own, and what lets in has an honest signature and the claims that it needs.
func FuzzVerify(f *testing.F) {
	v := testVerifier(f)
	f.Add(`{"alg":"HS256","kid":"hs"}`, good(`,"client_id":"ann","metadata":{"a":[1]}`), "", true)
	f.Add(`{"alg":"HS256"}`, good(""), "", true)
	f.Add(`{"alg":"none"}`, good(""), "", false)
	f.Add(`{"alg":"HS256","kid":"rs","crit":[]}`, `{"exp":1e99,"channel_id":["*"],"role":[]}`, "AAAA", false)
	f.Add(`[]`, `{"exp":`, "....", false)
	f.Fuzz(func(t *testing.T, header, claims, signature string, honest bool) {
		token := strict64.EncodeToString([]byte(header)) + "." + strict64.EncodeToString([]byte(claims)) + "." + signature
		if honest {
			token = signed(t, HS256, header, claims)
		}
		answer, err := v.Verify(token, now, "room", sora.SendRecv)
		var e *Error
		switch {
		case err == nil && (!honest || !answer.Allowed):
			t.Errorf("let in: honest %v, %+v", honest, answer)
		case err == nil && (!strings.Contains(claims, "room") && !strings.Contains(claims, `\u`) && !strings.Contains(claims, "*")):
			t.Errorf("let in without its channel: %s", claims)
		case err != nil && (!errors.As(err, &e) || e.Reason == ReasonRequired || answer != nil):
			t.Errorf("%v, %v", answer, err)
		}
	})
}

// FuzzVerifyText feeds whole tokens: what is not three parts of base64url.
func FuzzVerifyText(f *testing.F) {
	v := testVerifier(f)
	f.Add(signed(f, ES256, `{"alg":"ES256"}`, `{}`))
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if answer, err := v.Verify(token, now, "room", sora.SendRecv); err == nil || answer != nil {
			t.Errorf("let in: %q", token)
		}
	})
}

// FuzzParseKey reads keys of both kinds out of anything: one that is taken can be used.
func FuzzParseKey(f *testing.F) {
	f.Add(HS256, []byte(secret))
	f.Add(HS256, []byte("base64:AAAA"))
	f.Add(ES256, publicPEM(f, ecKey().Public()))
	f.Add(RS256, certificate(f, rsaKey()))
	f.Add(ES256, pkcs8(f, ecKey()))
	f.Fuzz(func(t *testing.T, alg string, data []byte) {
		if k, err := ParseKey("k", alg, data); err == nil {
			v, err := New([]Key{k})
			if err != nil || k.Alg != alg {
				t.Fatalf("%v: %v", k, err)
			}
			v.Verify("eyJhbGciOiJub25lIn0.e30.", now, "room", sora.SendRecv)
		}
		if k, err := ParseSigningKey("k", data); err == nil {
			if _, _, err := k.Sign(roomGrant()); err != nil {
				t.Errorf("%v cannot sign: %v", k, err)
			}
		}
	})
}
