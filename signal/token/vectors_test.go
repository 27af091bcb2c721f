package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
	"time"

	"tsubame/signal/sora"
)

// The claims of RFC 7515 appendix A: {"iss":"joe", "exp":1300819380,
// "http://example.com/is_root":true}, with line breaks.
const vectorClaims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	data, err := decode64(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vectors are the keys and tokens of RFC 7515 appendices A.1, A.2 and A.3.
func vectors(t *testing.T) map[string]struct {
	key   Key
	token string
} {
	t.Helper()
	rsaPublic := &rsa.PublicKey{E: 65537, N: new(big.Int).SetBytes(bytesOf(t, "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"))}
	point := append([]byte{4}, bytesOf(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	ecPublic, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, bytesOf(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		key   Key
		token string
	}{
		"A.1": {
			parseKey(t, "a1", HS256, []byte("base64:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\n")),
			"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + vectorClaims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		},
		"A.2": {
			parseKey(t, "a2", RS256, publicPEM(t, rsaPublic)),
			"eyJhbGciOiJSUzI1NiJ9." + vectorClaims + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
		},
		"A.3": {
			parseKey(t, "a3", ES256, publicPEM(t, ecPublic)),
			"eyJhbGciOiJFUzI1NiJ9." + vectorClaims + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		},
	}
}

// The vectors have no channel: that it is asked for shows that the signature was good and
// exp was read.
func TestVectorsOfRFC7515Verify(t *testing.T) {
	before := time.Unix(1300819379, 0)
	after := time.Unix(1300819380, 0).Add(Leeway)
	for name, vector := range vectors(t) {
		v, err := New([]Key{vector.key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(vector.token, before, "room", sora.SendRecv); err == nil || !strings.HasPrefix(err.Error(), ReasonWrongChannel) {
			t.Errorf("%s: %v, want %s", name, err, ReasonWrongChannel)
		}
		if _, err := v.Verify(vector.token, after, "room", sora.SendRecv); err == nil || !strings.HasPrefix(err.Error(), ReasonExpired) {
			t.Errorf("%s: %v, want %s", name, err, ReasonExpired)
		}
		i := strings.LastIndexByte(vector.token, '.') + 1
		forged := vector.token[:i] + string(flip(vector.token[i])) + vector.token[i+1:]
		if _, err := v.Verify(forged, before, "room", sora.SendRecv); err == nil || !strings.HasPrefix(err.Error(), ReasonInvalid) {
			t.Errorf("%s, signature changed: %v, want %s", name, err, ReasonInvalid)
		}
	}
}
