//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"
)

// The server pads packets of a frame to one length (RFC 3550 section 5.1) and lets them wait
// for each other. Decoders, depacketizers and jitter buffers must not notice.
func TestEqualisingPaddingIsHarmless(t *testing.T) {
	b := sharedChromium(t)
	requireHarmless(t, videoCodecs, func(string) []browser { return []browser{b} })
}

// What the calls are compared by: each kind of harm is seen, and none where there is none.
func TestHarmOfPaddingIsSeen(t *testing.T) {
	well := view{codec: "VP8", viewer: "chromium", encoded: 15, decoded: 14.9, keys: 1, asked: 1, requests: 1, undecoded: 1}
	if h := well.harm(well); len(h.tempo)+len(h.picture) != 0 {
		t.Errorf("of nothing: %q", h)
	}
	for want, change := range map[string]func(v *view){
		"not all that was encoded": func(v *view) { v.decoded = 14 },
		"fewer frames are encoded": func(v *view) { v.encoded = 12; v.decoded = 12 },
		"fewer frames are decoded": func(v *view) { v.decoded = 14.1 },
		"froze":                    func(v *view) { v.freezes = 1 },
		"dropped":                  func(v *view) { v.dropped = 1 },
		"could not be decoded":     func(v *view) { v.undecoded = 10 },
		"the viewer asked":         func(v *view) { v.requests = 2 },
		"the publisher was asked":  func(v *view) { v.asked = 2 },
		"more key frames":          func(v *view) { v.keys = 2 },
	} {
		v := well
		change(&v)
		h := v.harm(well)
		if all := fmt.Sprint(h.tempo, h.picture); !strings.Contains(all, want) {
			t.Errorf("%q is not seen: %v", want, all)
		}
	}
}
