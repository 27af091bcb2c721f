package ice

import (
	"math"
	"strings"
	"testing"
)

func TestIndexSurvivesTheUfrag(t *testing.T) {
	for _, index := range []uint32{0, 1, 63, 64, 4095, 4096, 1 << 18, MaxIndex - 1, MaxIndex} {
		c := NewCredentials(index)
		got, ok := DecodeIndex([]byte(c.Ufrag))
		if !ok || got != index {
			t.Errorf("%d came back as %d, %v", index, got, ok)
		}
	}
}

func TestForeignUfragsHaveNoIndex(t *testing.T) {
	for _, ufrag := range []string{"", "AAAA", "AAAAbbbbcccc1", "AAAAbbbbccc", "AA-Abbbbcccc", "AA Abbbbcccc", "\xff\xff\xff\xffbbbbcccc"} {
		if i, ok := DecodeIndex([]byte(ufrag)); ok {
			t.Errorf("%q has index %d", ufrag, i)
		}
	}
}

func TestIndexTooLargePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewCredentials(MaxIndex + 1)
}

// All characters but the index are uniform over the 64 of ice-char, so the ufrag has 48 random
// bits and the password 144; nothing of them repeats between connections of one index, which
// is what a guesser would need.
//
// Row ICE-07.
func TestCredentialsAreUniformAndNeverRepeat(t *testing.T) {
	const draws = 20000
	if bits := 6 * (ufragLen - indexLen); bits < 32 {
		t.Errorf("ufrag of %d bits", bits)
	}
	if bits := 6 * passwordLen; bits < 128 {
		t.Errorf("password of %d bits", bits)
	}
	var counts [ufragLen + passwordLen][256]int
	ufrags, passwords := map[string]bool{}, map[string]bool{}
	for range draws {
		c := NewCredentials(7)
		if len(c.Ufrag) != ufragLen || len(c.Password) != passwordLen {
			t.Fatalf("lengths of %+v", c)
		}
		ufrags[c.Ufrag], passwords[c.Password] = true, true
		for i, ch := range []byte(c.Ufrag + c.Password) {
			counts[i][ch]++
		}
	}
	if len(ufrags) != draws || len(passwords) != draws {
		t.Errorf("%d ufrags and %d passwords in %d draws", len(ufrags), len(passwords), draws)
	}
	// Each count is binomial; six standard deviations are not left by chance.
	mean := float64(draws) / 64
	limit := 6 * math.Sqrt(mean*63/64)
	for i := indexLen; i < len(counts); i++ {
		for ch, n := range counts[i] {
			want := 0.0
			if strings.IndexByte(iceChars, byte(ch)) >= 0 {
				want = mean
			}
			if d := math.Abs(float64(n) - want); d > limit || want == 0 && n > 0 {
				t.Errorf("character %d is %q %d times of %d", i, rune(ch), n, draws)
			}
		}
	}
}
