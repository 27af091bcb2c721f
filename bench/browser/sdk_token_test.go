//go:build browser

package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tsubame/bench/harness"
)

// tokenScene is a scene whose server wants tokens, with a secret and a key pair to make them.
type tokenScene struct {
	*scene
	secret     []byte
	key        *ecdsa.PrivateKey
	secretFile string
	publicPEM  []byte
}

func newTokenScene(t *testing.T) *tokenScene {
	t.Helper()
	dir := t.TempDir()
	s := &tokenScene{secret: []byte("0123456789abcdefghijklmnopqrstuv"), secretFile: filepath.Join(dir, "secret")}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.publicPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	public := filepath.Join(dir, "public.pem")
	for file, content := range map[string][]byte{s.secretFile: s.secret, public: s.publicPEM} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.scene = newSceneWith(t, harness.Options{Args: []string{"-dev"}, Config: map[string]string{
		"token_keys": "main:HS256:" + s.secretFile + ", app:ES256:" + public, "token_required": "true",
	}})
	return s
}

// claims are those of a good token of the test's channel, with more of them or others; nil
// takes one away.
func claims(t *testing.T, more jwt.MapClaims) jwt.MapClaims {
	all := jwt.MapClaims{
		"channel_id": channelName(t), "role": []string{"sendonly", "recvonly"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// sign makes a token.
func sign(t *testing.T, method jwt.SigningMethod, kid string, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// showing is metadata with a token in it.
func showing(token string) any { return map[string]any{"access_token": token} }

// A client that the server has never heard of gets in with a good token, and does as its
// claims say; with any other it is told what is wrong with it.
//
// Row AUTH-01.
func TestSDKJoinsByToken(t *testing.T) {
	besideChurn(t)
	s := newTokenScene(t)
	c := s.client(sharedChromium(t), "client", 2)
	hour := func(n int) any { return time.Now().Add(time.Duration(n) * time.Hour).Unix() }
	forged := sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, nil))
	forged = forged[:len(forged)-4] + strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, forged[len(forged)-4:])
	for _, test := range []struct {
		name, token, want string
	}{
		{"none", "", "TOKEN-REQUIRED"},
		{"no token", "password", "TOKEN-INVALID"},
		{"expired", sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, jwt.MapClaims{"iat": hour(-2), "exp": hour(-1)})), "TOKEN-EXPIRED"},
		{"not yet valid", sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, jwt.MapClaims{"nbf": hour(1), "exp": hour(2)})), "TOKEN-NOT-YET-VALID"},
		{"without an end", sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, jwt.MapClaims{"exp": nil})), "TOKEN-INVALID"},
		{"another channel", sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, jwt.MapClaims{"channel_id": "another"})), "TOKEN-WRONG-CHANNEL"},
		{"another role", sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, jwt.MapClaims{"role": "sendonly"})), "TOKEN-WRONG-ROLE"},
		{"alg none", sign(t, jwt.SigningMethodNone, "main", jwt.UnsafeAllowNoneSignatureType, claims(t, nil)), "TOKEN-INVALID"},
		{"forged", forged, "TOKEN-INVALID"},
		{"another secret", sign(t, jwt.SigningMethodHS256, "main", []byte(strings.Repeat("x", 32)), claims(t, nil)), "TOKEN-INVALID"},
		{"the public key as a secret", sign(t, jwt.SigningMethodHS256, "app", s.publicPEM, claims(t, nil)), "TOKEN-INVALID"},
		{"another algorithm of the same secret", sign(t, jwt.SigningMethodHS512, "main", s.secret, claims(t, nil)), "TOKEN-INVALID"},
		{"an unknown key", sign(t, jwt.SigningMethodHS256, "nobody", s.secret, claims(t, nil)), "TOKEN-INVALID"},
	} {
		t.Log(test.name)
		if test.token == "" {
			c.requireRefused(nil, test.want)
			c.requireRefused(map[string]any{"name": "x"}, test.want)
			continue
		}
		c.requireRefused(showing(test.token), test.want)
	}

	granting := jwt.MapClaims{"video_codec_type": "VP8", "audio": false, "client_id": "of the token", "metadata": "from the token"}
	for _, token := range []string{
		sign(t, jwt.SigningMethodHS256, "main", s.secret, claims(t, granting)),
		sign(t, jwt.SigningMethodES256, "app", s.key, claims(t, granting)),
	} {
		c.joinSaying("sendonly", showing(token), options{"videoCodecType": "VP9"}, "VP8")
		eventually(t, arriveTimeout, "VP8 is sent, and no audio", func() (bool, any) {
			sent := c.report().Sent
			return sent.Video != nil && sent.Video.Packets > 0 && sent.Video.Codec == "video/VP8" && (sent.Audio == nil || sent.Audio.Packets == 0), sent
		})
		if got := eval[granted](c.tab, "rig.granted()"); got.Client != "of the token" || got.Metadata != "from the token" {
			t.Errorf("the client is told %+v", got)
		}
		c.leave()
	}
}

// What `tsubame token` prints lets a client in.
func TestSDKJoinsByATokenOfTheCommandLine(t *testing.T) {
	besideChurn(t)
	s := newTokenScene(t)
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	made := func(channel string) string {
		cmd := exec.Command(binary, "token", "--channel", channel, "--role", "sendonly", "--role", "recvonly", "--valid-for", "1h", "--key", s.secretFile, "--kid", "main")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tsubame token: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	c := s.client(sharedChromium(t), "client", 2)
	c.requireRefused(showing(made("another")), "TOKEN-WRONG-CHANNEL")
	c.joinSaying("sendonly", showing(made(channelName(t))), options{"videoCodecType": "VP8"}, "VP8")
	c.leave()
}
