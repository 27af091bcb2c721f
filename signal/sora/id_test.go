package sora

import (
	"strings"
	"testing"
)

func TestIDEncodingTakesBitsFromTheTop(t *testing.T) {
	for _, c := range []struct {
		in   [16]byte
		want string
	}{
		{[16]byte{}, "00000000000000000000000000"},
		{[16]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "ZZZZZZZZZZZZZZZZZZZZZZZZZW"},
		{[16]byte{0x08, 0x42, 0x10, 0x84, 0x21}, "11111111000000000000000000"},
		{[16]byte{15: 0x07}, "0000000000000000000000000W"},
	} {
		if got := encodeID(c.in); got != c.want {
			t.Errorf("%x: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestNewIDIsAUUIDv4(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if len(id) != IDLen || strings.Trim(id, alphabet) != "" || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
		bit := func(i int) int { return strings.IndexByte(alphabet, id[i/5]) >> (4 - i%5) & 1 }
		version := bit(48)<<3 | bit(49)<<2 | bit(50)<<1 | bit(51)
		variant := bit(64)<<1 | bit(65)
		if version != 4 || variant != 2 {
			t.Fatalf("id %s: version %d, variant %d", id, version, variant)
		}
	}
}
