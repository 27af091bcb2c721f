//go:build browser

package browser

import "testing"

// Firefox as the viewer, in the codecs that it has. That Chromium's call is no other without
// padding is shown for Chromium; here nothing may go wrong at all.
func TestFirefoxEqualisingPaddingIsHarmless(t *testing.T) {
	codecs, fox := []string{"VP8", "VP9", "AV1"}, theFirefox(t)
	requireNoHarm(t, func() (h harm) {
		for _, v := range watchPadding(t, true, codecs, func(string) []browser { return []browser{fox} }) {
			v.requirePadded(t)
			h.add(v.harm(view{encoded: v.encoded, decoded: v.encoded}))
		}
		return h
	})
}
