package srtp

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes hexadecimal digits with white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 3711 appendix B.3.
func TestKeyDerivationVectors(t *testing.T) {
	key := unhex(t, "E1F97A0D3E018BE0D64FA32C06DE4139")
	salt := unhex(t, "0EC675AD498AFEEBB6960B3AABE6")
	for label, want := range map[byte]string{
		labelRTPKey:  "C61E7A93744F39EE10734AFE3FF7A087",
		labelRTPSalt: "30CBBC08863D8C85D49DB34A9AE1",
		0x01: `CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
			E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
			6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2`,
	} {
		w := unhex(t, want)
		if got := derive(key, salt, label, len(w)); !bytes.Equal(got, w) {
			t.Errorf("label %d: got %x, want %x", label, got, w)
		}
	}
}

// The keys of RFC 7714 sections 16 and 17 are session keys already.
func rfc7714(t *testing.T) *gcm {
	key, salt := unhex(t, "000102030405060708090a0b0c0d0e0f"), unhex(t, "517569642070726f2071756f")
	g, err := newGCMFromSessionKeys(key, salt, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// RFC 7714 section 16.1.1.
func TestSealRTPVector(t *testing.T) {
	plain := unhex(t, `8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
		69736120 696e2070 61727465 73207472 6573`)
	want := unhex(t, `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
		0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce`)
	slot := make([]byte, 2048)
	copy(slot, plain[:12])
	n, err := rfc7714(t).sealRTP(slot, 12, plain[12:], 0x5501a0b2, 0xf17b)
	if err != nil || !bytes.Equal(slot[:n], want) {
		t.Errorf("%v\n got %x\nwant %x", err, slot[:n], want)
	}
}

// RFC 7714 section 17.1.
func TestSealRTCPVector(t *testing.T) {
	plain := unhex(t, `81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
		deadbeef deadbeef deadbeef deadbeef deadbeef`)
	want := unhex(t, `81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
		c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4`)
	slot := make([]byte, 2048)
	copy(slot, plain)
	n, err := rfc7714(t).sealRTCP(slot, len(plain), 0x4d617273, 0x5d4)
	if err != nil || !bytes.Equal(slot[:n], want) {
		t.Errorf("%v\n got %x\nwant %x", err, slot[:n], want)
	}
}
