package calls

import (
	"testing"

	piondtls "github.com/pion/dtls/v3"

	"tsubame/bench/bot"
)

// GCM is taken whenever it is offered, in whatever order, and CM when nothing else is.
func TestSRTPProfiles(t *testing.T) {
	const gcm, cm = "SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_HMAC_SHA1_80"
	type profiles = []piondtls.SRTPProtectionProfile
	for name, c := range map[string]struct {
		offered profiles
		want    string
	}{
		"GCM first": {profiles{bot.GCM, bot.CM}, gcm},
		"CM first":  {profiles{bot.CM, bot.GCM}, gcm},
		"CM only":   {profiles{bot.CM}, cm},
		"GCM only":  {profiles{bot.GCM}, gcm},
	} {
		t.Run(name, func(t *testing.T) {
			eachIO(t, func(t *testing.T, w *world) {
				cfg := w.peer(bot.SendRecv)
				cfg.Profiles = c.offered
				a, b := w.join(cfg), w.join(w.peer(bot.SendRecv))
				if got := a.Stats().Profile; got != c.want {
					t.Errorf("%s was chosen, want %s", got, c.want)
				}
				// The other one has GCM in any case: each side has a cipher of its own.
				requireFrames(t, 25, among(a, b)...)
				requireIntact(t, among(a, b)...)
			})
		})
	}
}
