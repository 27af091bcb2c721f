//go:build browser

package browser

import (
	"fmt"
	"testing"
)

// The tests of this package believe what the probe reads from a picture, so the
// probe is tested first, against patterns drawn in the same page.

const showPattern = `(async () => {
	const { TestPattern } = await import("/page/pattern.js");
	const pattern = new TestPattern(%d);
	const video = document.createElement("video");
	video.muted = true;
	video.srcObject = new MediaStream([pattern.track]);
	document.body.append(video);
	await video.play();
	globalThis.shown = { pattern, video };
})()`

func (tb *tab) readShown() *picture {
	tb.t.Helper()
	return eval[*picture](tb, "probe.readPicture(shown.video)")
}

func TestProbeReadsEveryPattern(t *testing.T) {
	besideChurn(t)
	tb := sharedChromium(t).open(t, "probe", startSite(t).URL+"/sdk.html")
	for pattern := range bandColours {
		tb.run(fmt.Sprintf(showPattern, pattern))
		frames := map[int]bool{}
		eventually(t, callTimeout, "five frames are read", func() (bool, any) {
			p := tb.readShown()
			if p != nil && p.Readable {
				frames[p.Frame] = true
				if p.Colour != pattern || !isBand(p.Band, pattern) {
					t.Fatalf("pattern %d is read as %+v", pattern, p)
				}
				for other := range bandColours {
					if other != pattern && isBand(p.Band, other) {
						t.Fatalf("the band of pattern %d passes for that of %d: %v", pattern, other, p.Band)
					}
				}
			}
			return len(frames) >= 5, p
		})
		tb.run("shown.pattern.stop(); shown.video.remove()")
	}
}

func TestProbeSeesThatAPictureStandsStillOrIsNone(t *testing.T) {
	besideChurn(t)
	tb := sharedChromium(t).open(t, "probe", startSite(t).URL+"/sdk.html")
	tb.run(fmt.Sprintf(showPattern, 2))
	eventually(t, callTimeout, "a readable picture", func() (bool, any) {
		p := tb.readShown()
		return p != nil && p.Readable, p
	})
	tb.run("shown.pattern.ticker.terminate()")
	var last *picture
	same := 0
	eventually(t, callTimeout, "the same frame ten times", func() (bool, any) {
		p := tb.readShown()
		if last != nil && p.Frame == last.Frame {
			same++
		} else {
			same = 0
		}
		last = p
		return same >= 10, p
	})
	tb.run("shown.pattern.context.fillRect(0, 0, 640, 360); shown.pattern.frame++")
	eventually(t, callTimeout, "a blank picture is no pattern", func() (bool, any) {
		p := tb.readShown()
		return !p.Readable, p
	})
}

func TestProbeCatchesSwallowedErrors(t *testing.T) {
	besideChurn(t)
	tb := sharedChromium(t).open(t, "probe", startSite(t).URL+"/sdk.html")
	for name, script := range map[string]string{
		"a promise that nobody looks at": `setTimeout(() => Promise.reject(new Error("one")))`,
		"an error outside any handler":   `setTimeout(() => { throw new Error("two") })`,
		"an error on the console":        `console.error("three")`,
		"a description that is caught":   `new RTCPeerConnection().setRemoteDescription({ type: "offer", sdp: "four" }).catch(() => {})`,
	} {
		tb.run("probe.errors.length = 0")
		tb.run(script + "; undefined")
		eventually(t, callTimeout, name+" is noted", func() (bool, any) {
			errors := eval[[]string](tb, "probe.errors")
			return len(errors) == 1, errors
		})
	}
	tb.run("probe.errors.length = 0")
}
