package rtp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// unhex turns spaced hexadecimal into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Valid packets, decrypted; the fuzz targets and the truncation test start from them.
var validPackets = map[string]string{
	"header only":        "80 60 1234 00001000 CAFEBABE",
	"marker and payload": "80 E0 1234 00001000 CAFEBABE 010203",
	"two CSRCs":          "82 60 FFFF FFFFFFFF 00000001 11111111 22222222 AA",
	"padding":            "A0 60 0001 00000002 00000003 AABB 000003",
	"padding only":       "A0 60 0001 00000002 00000003 00000004",
	"padding of one":     "A0 60 0001 00000002 00000003 01",
	"empty extension":    "90 60 0001 00000002 00000003 BEDE0000 AA",
	"one-byte form":      "90 60 0001 00000002 00000003 BEDE0002 10 AA 00 21 BB CC 00 00 FF",
	"two-byte form":      "90 60 0001 00000002 00000003 10000002 10 01 AA 00 0F 02 BB CC FF",
	"other profile":      "90 60 0001 00000002 00000003 ABCD0001 10111213 FF",
	"everything":         "B1 E0 0001 00000002 00000003 44444444 BEDE0001 50 77 00 00 DDEE 0002",
}

func TestHeaderFieldsAreRead(t *testing.T) {
	b := unhex(t, validPackets["everything"])
	v, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if v.PayloadType != 96 || !v.Marker || v.Seq != 1 || v.Timestamp != 2 || v.SSRC != 3 {
		t.Errorf("fixed fields: %+v", v)
	}
	if v.CSRCCount != 1 || v.CSRC(0) != 0x44444444 {
		t.Errorf("CSRC count %d", v.CSRCCount)
	}
	if v.HeaderLen != 24 || !v.Padded || v.Padding != 2 || !v.HasExtensions() {
		t.Errorf("header length %d, padding %d", v.HeaderLen, v.Padding)
	}
	if got := v.Payload(); !bytes.Equal(got, []byte{0xDD, 0xEE}) {
		t.Errorf("payload %x", got)
	}
	if got := v.Extension(5); !bytes.Equal(got, []byte{0x77}) {
		t.Errorf("extension 5 is %x", got)
	}
}

func TestPayloadLiesBetweenHeaderAndPadding(t *testing.T) {
	for name, want := range map[string]string{
		"header only": "", "marker and payload": "010203", "two CSRCs": "AA",
		"padding": "AABB", "padding only": "", "padding of one": "",
		"empty extension": "AA", "one-byte form": "FF", "other profile": "FF",
	} {
		b := unhex(t, validPackets[name])
		v, err := Parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := v.Payload(); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: payload %x, want %s", name, got, want)
		}
	}
}

// Row RTP-02.
func TestMalformedPacketsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, packet string
		want         error
	}{
		{"empty", "", ErrShort},
		{"eleven bytes", "80 60 1234 00001000 CAFEBA", ErrShort},
		{"version 0", "00 60 1234 00001000 CAFEBABE", ErrVersion},
		{"version 1", "40 60 1234 00001000 CAFEBABE", ErrVersion},
		{"version 3", "C0 60 1234 00001000 CAFEBABE", ErrVersion},
		{"CSRC count past the end", "8F 60 0001 00000002 00000003 11111111", ErrShort},
		{"one CSRC, three bytes of it", "81 60 0001 00000002 00000003 111111", ErrShort},
		{"extension bit, nothing behind", "90 60 0001 00000002 00000003", ErrShort},
		{"extension header cut", "90 60 0001 00000002 00000003 BEDE00", ErrShort},
		{"extension length past the end", "90 60 0001 00000002 00000003 BEDE0002 10AA0000", ErrShort},
		{"extension length 65535 words", "90 60 0001 00000002 00000003 BEDEFFFF 10AA0000", ErrShort},
		{"padding bit, no payload", "A0 60 0001 00000002 00000003", ErrPadding},
		{"padding count 0", "A0 60 0001 00000002 00000003 AABB00", ErrPadding},
		{"padding larger than payload", "A0 60 0001 00000002 00000003 AABB04", ErrPadding},
		{"padding reaching into the extension", "B0 60 0001 00000002 00000003 BEDE0001 10AA0000 02", ErrPadding},
		{"padding 255", "A0 60 0001 00000002 00000003 FF", ErrPadding},
	} {
		if _, err := Parse(unhex(t, c.packet)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A prefix of a packet is refused as long as its header is not complete. From there on
// it is a packet with a shorter payload, unless it is padded: then it is valid only if
// its last byte happens to be a count that fits.
func TestTruncatedPacketsAreRefusedOrShorter(t *testing.T) {
	for name, packet := range validPackets {
		b := unhex(t, packet)
		whole, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for n := range b {
			cut := b[:n:n]
			v, err := Parse(cut)
			if n < whole.HeaderLen {
				if !errors.Is(err, ErrShort) {
					t.Errorf("%s cut to %d: %v", name, n, err)
				}
				continue
			}
			if whole.Padded {
				count := int(cut[n-1])
				fits := n > whole.HeaderLen && count > 0 && count <= n-whole.HeaderLen
				if fits != (err == nil) {
					t.Errorf("%s cut to %d: %v", name, n, err)
				}
				continue
			}
			if err != nil || len(v.Payload()) != n-whole.HeaderLen {
				t.Errorf("%s cut to %d: %v, payload of %d", name, n, err, len(v.Payload()))
			}
		}
	}
}

func TestEncryptedPacketKeepsItsPaddingCount(t *testing.T) {
	// The last byte belongs to the authentication tag here.
	b := unhex(t, "A0 60 0001 00000002 00000003 AABB00")
	v, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Padded || v.Padding != 0 || len(v.Payload()) != 3 {
		t.Errorf("padded %v, padding %d, payload of %d", v.Padded, v.Padding, len(v.Payload()))
	}
}

func TestCSRCBeyondTheCountPanics(t *testing.T) {
	v, err := Parse(unhex(t, validPackets["two CSRCs"]))
	if err != nil {
		t.Fatal(err)
	}
	if v.CSRC(1) != 0x22222222 {
		t.Errorf("CSRC 1 is %x", v.CSRC(1))
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	v.CSRC(2)
}
