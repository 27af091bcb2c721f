package ice

import (
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"tsubame/turnsrv/stunwire"
)

// Row ICE-03.
func TestAnyOtherIntegrityIsRefused(t *testing.T) {
	var c Codec
	msg := browserCheck(t, testPassword)
	end := len(msg) - attrHeaderLen - stunwire.FingerprintLen
	for bit := range stunwire.IntegrityLen * 8 {
		forged := slices.Clone(msg)
		forged[end-stunwire.IntegrityLen+bit/8] ^= 1 << (bit % 8)
		if _, err := c.Parse(refit(forged)); err != nil {
			t.Fatal(err)
		}
		if c.Verify(testPassword) {
			t.Errorf("accepted with bit %d turned", bit)
		}
	}
}

// Row ICE-03.
func TestAnyOtherMessageIsRefused(t *testing.T) {
	var c Codec
	msg := browserCheck(t, testPassword)
	for bit := 8 * 8; bit < 8*(len(msg)-attrHeaderLen-stunwire.FingerprintLen-stunwire.IntegrityLen-attrHeaderLen); bit++ {
		forged := slices.Clone(msg)
		forged[bit/8] ^= 1 << (bit % 8)
		if _, err := c.Parse(refit(forged)); err != nil && err != ErrUnknownAttribute {
			continue // refused before the integrity
		}
		if c.Verify(testPassword) {
			t.Errorf("accepted with bit %d turned", bit)
		}
	}
}

func TestOtherPasswordsAreRefused(t *testing.T) {
	var c Codec
	if _, err := c.Parse(browserCheck(t, testPassword)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", testPassword[1:], testPassword[:23], "1" + testPassword[1:], testPassword[:23] + "o"} {
		if c.Verify(p) {
			t.Errorf("accepted %q", p)
		}
	}
}

// pion/stun must agree on what we sign and what we verify.
func TestPionAgreesOnIntegrityAndFingerprint(t *testing.T) {
	ours := &stun.Message{Raw: browserCheck(t, testPassword)}
	if err := ours.Decode(); err != nil {
		t.Fatal(err)
	}
	if err := stun.NewShortTermIntegrity(testPassword).Check(ours); err != nil {
		t.Error(err)
	}
	if err := stun.Fingerprint.Check(ours); err != nil {
		t.Error(err)
	}
	theirs, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(testUsername),
		stun.NewShortTermIntegrity(testPassword), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	var c Codec
	if _, err := c.Parse(theirs.Raw); err != nil || !c.Verify(testPassword) {
		t.Errorf("pion's request: %v", err)
	}
}
